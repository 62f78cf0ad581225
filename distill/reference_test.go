package distill

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A referenceCase is a loss as a published PyTorch implementation computes it
// in float64.
type referenceCase struct {
	Method  string
	Params  params
	Student array
	Teacher array
	Labels  []int
	Loss    float64
	Grad    array
}

// params are those of a method that are numbers.
type params map[string]float64

// UnmarshalJSON leaves out what is no number, such as a name.
func (p *params) UnmarshalJSON(text []byte) error {
	var all map[string]any
	err := json.Unmarshal(text, &all)
	*p = params{}
	for name, v := range all {
		if x, ok := v.(float64); ok {
			(*p)[name] = x
		}
	}
	return err
}

func TestLossesMatchPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []json.RawMessage }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	done := map[string]int{}
	for i, raw := range file.Cases {
		var c referenceCase
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		terms := c.terms()
		if terms == nil {
			continue
		}
		done[c.Method]++
		t.Run(fmt.Sprintf("%d/%s/float64", i, c.Method), func(t *testing.T) { compareLoss[float64](t, c, terms, 1e-9, 1e-9) })
		t.Run(fmt.Sprintf("%d/%s/float32", i, c.Method), func(t *testing.T) { compareLoss[float32](t, c, terms, 1e-4, 1e-5) })
	}
	for method, want := range map[string]int{
		"kd": 16, "kd_plus_ce": 16, "logit_mse": 4, "dkd": 12, "dist": 8, "logit_standardization_kd": 8, "generalized_jsd": 40,
		"forward_cross_entropy_with_teacher": 4, "reverse_kl": 4, "total_variation": 4, "skew_forward_cross_entropy": 8,
		"skew_reverse_kl": 8, "js_distance": 4,
		"hint_mse": 1, "attention_transfer": 2, "nst": 2, "sp": 1, "pkt": 1,
		"rkd": 1, "rkd_distance": 1, "rkd_angle": 1, "cc_gaussian": 1, "cc_bilinear": 1,
	} {
		if done[method] != want {
			t.Errorf("%d cases of %s; want %d", done[method], method, want)
		}
	}
}

// terms are the case's loss as this package has it, nil if it has not. Where a
// case is a cross-entropy, it becomes the divergence.
func (c *referenceCase) terms() []Term {
	at := func(name string) Schedule { return Constant(c.Params[name]) }
	T, lambda, beta := at("temperature"), at("lambda"), at("beta")
	one := func(l Loss) []Term { return []Term{{Name: c.Method, Loss: l}} }
	switch c.Method {
	case "kd":
		return one(KL{T: T})
	case "kd_plus_ce":
		return []Term{{Name: "hard", Weight: at("hard_weight"), Loss: CrossEntropy{}}, {Name: "soft", Weight: at("soft_weight"), Loss: KL{T: T}}}
	case "logit_mse":
		return one(MSE{})
	case "dkd":
		return one(DKD{T: T, Alpha: at("alpha"), Beta: beta})
	case "dist":
		return one(DIST{T: T, Beta: beta, Gamma: at("gamma")})
	case "logit_standardization_kd":
		square := c.Params["temperature"] * c.Params["temperature"]
		return []Term{{Name: c.Method, Weight: Constant(c.Params["weight"] / square), Loss: Standardized{Of: KL{T: T}}}}
	case "generalized_jsd":
		return one(JSD{T: T, Beta: beta})
	case "forward_cross_entropy_with_teacher":
		c.Loss -= c.entropy()
		return one(KL{})
	case "reverse_kl":
		return one(ReverseKL{})
	case "total_variation":
		return one(TotalVariation{})
	case "skew_forward_cross_entropy":
		c.Loss -= c.entropy()
		return one(SkewKL{Lambda: lambda})
	case "skew_reverse_kl":
		return one(SkewReverseKL{Lambda: lambda})
	case "js_distance":
		return one(JSD{Beta: Constant(1 - c.Params["lambda"])})
	}
	if loss := c.features(); loss != nil {
		return []Term{{Name: c.Method, Loss: loss}}
	}
	return nil
}

// features are the case's loss if it is one of features, nil if it is not.
func (c referenceCase) features() Loss {
	const s, t = "logits", "logits"
	switch c.Method {
	case "hint_mse":
		return MSE{}
	case "attention_transfer":
		return AttentionTransfer{Student: s, Teacher: t, Power: c.Params["p"]}
	case "nst":
		return NST{Student: s, Teacher: t}
	case "sp":
		return SimilarityPreserving{Student: s, Teacher: t}
	case "pkt":
		return PKT{Student: s, Teacher: t}
	case "rkd", "rkd_distance", "rkd_angle":
		return RKD{Student: s, Teacher: t, Distance: c.Params["distance_weight"], Angle: c.Params["angle_weight"]}
	case "cc_gaussian":
		return CorrelationCongruence{Student: s, Teacher: t, Gamma: c.Params["gamma"], Order: int(c.Params["max_p"])}
	case "cc_bilinear":
		return CorrelationCongruence{Student: s, Teacher: t, Bilinear: true}
	}
	return nil
}

// entropy is the mean of that of the teacher's rows.
func (c *referenceCase) entropy() (sum float64) {
	n, k := c.Teacher.Shape[0], c.Teacher.Shape[1]
	for r := range n {
		for _, p := range softmax(c.Teacher.Data[r*k:][:k], 1) {
			sum -= p * math.Log(p) / float64(n)
		}
	}
	return sum
}

// softmax is that of z/T, in the plainest way.
func softmax(z []float64, T float64) []float64 {
	p, top, sum := make([]float64, len(z)), slices.Max(z), 0.0
	for i, v := range z {
		p[i] = math.Exp((v - top) / T)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func compareLoss[T floating](t *testing.T, c referenceCase, terms []Term, valueTolerance, gradTolerance float64) {
	given := Case{
		Student: data.Signals{"logits": dense[T](c.Student.Data, c.Student.Shape...)},
		Teacher: data.Signals{"logits": dense[T](c.Teacher.Data, c.Teacher.Shape...)},
	}
	if c.Labels != nil {
		given.Label = tensor.New(tensor.WithShape(len(c.Labels)), tensor.WithBacking(c.Labels))
	}
	total, grad := 0.0, make([]float64, len(c.Grad.Data))
	for _, term := range terms {
		value, grads, err := Evaluate(term.Loss, given)
		if err != nil {
			t.Fatal(err)
		}
		total += term.weight(0) * value
		for i, g := range wide(grads["logits"]) {
			grad[i] += term.weight(0) * g
		}
	}
	if math.Abs(total-c.Loss) > valueTolerance*math.Abs(c.Loss) {
		t.Errorf("the loss is %v, want %v", total, c.Loss)
	}
	largest := 0.0
	for _, g := range c.Grad.Data {
		largest = max(largest, math.Abs(g))
	}
	for i, want := range c.Grad.Data {
		if math.Abs(grad[i]-want) > gradTolerance*largest {
			t.Errorf("gradient %d is %v, want %v", i, grad[i], want)
		}
	}
}
