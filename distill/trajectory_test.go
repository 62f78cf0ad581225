package distill

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// A trajectory is a training run of PyTorch in float64, on one batch.
type trajectory struct {
	Name      string
	Optimizer struct {
		Name         string
		LR, Momentum float64
		Nesterov     bool
		Decay        float64 `json:"weight_decay"`
		Betas        [2]float64
		Eps          float64
		Schedule     string
	}
	Temperature   float64
	HardWeight    float64 `json:"hard_weight"`
	SoftWeight    float64 `json:"soft_weight"`
	Inputs        array
	Labels        []int
	TeacherLogits array `json:"teacher_logits"`
	Initial       map[string]array
	Final         map[string]array
	Losses        []float64
	Rates         []float64 `json:"learning_rates"`
	ClipNorm      float64   `json:"clip_norm"`
	GradNorms     []float64 `json:"grad_norms_before_clip"`
	EvalLogits    array     `json:"eval_logits"`
}

type array struct {
	Shape []int
	Data  []float64
}

// The names of the parameters of the network, linear, ReLU, linear, with the
// weights as (out, in).
var mlpNames = []string{"l1.weight", "l1.bias", "l2.weight", "l2.bias"}

func trajectories(t *testing.T) []trajectory {
	t.Helper()
	text, err := os.ReadFile("testdata/trajectories.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []trajectory }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// optimizer is that of the run, as this package has it.
func (c trajectory) optimizer(t *testing.T) Optimizer {
	o, rate := c.Optimizer, Constant(c.Optimizer.LR)
	if o.Schedule == "cosine to 0 over all steps" {
		rate = Cosine(o.LR, 0, len(c.Losses))
	}
	switch o.Name {
	case "sgd":
		return SGD{Rate: rate, Momentum: o.Momentum, Nesterov: o.Nesterov, Decay: o.Decay}
	case "adam":
		return Adam{Rate: rate, Beta1: o.Betas[0], Beta2: o.Betas[1], Epsilon: o.Eps, Decay: o.Decay}
	case "adamw":
		return AdamW{Rate: rate, Beta1: o.Betas[0], Beta2: o.Betas[1], Epsilon: o.Eps, Decay: o.Decay}
	}
	t.Fatalf("no optimizer is called %q", o.Name)
	return nil
}

func TestOptimizersFollowPyTorch(t *testing.T) {
	followed := 0
	for _, c := range trajectories(t) {
		if !strings.HasPrefix(c.Name, "mlp_") {
			continue
		}
		followed++
		t.Run(c.Name+"/float64", func(t *testing.T) { follow[float64](t, c, 1e-8) })
		t.Run(c.Name+"/float32", func(t *testing.T) { follow[float32](t, c, 1e-5) })
	}
	if followed != 7 {
		t.Errorf("%d trajectories; want 7", followed)
	}
}

// follow trains the network as the trajectory did and compares every step.
func follow[T floating](t *testing.T, c trajectory, tolerance float64) {
	near := func(what string, step int, got, want float64) {
		if math.Abs(got-want) > tolerance*max(1, math.Abs(want)) {
			t.Fatalf("step %d: %s is %v, want %v", step, what, got, want)
		}
	}
	opt := c.optimizer(t)
	if err := opt.Validate(); err != nil {
		t.Fatal(err)
	}
	var params []*tensor.Dense
	slots := make([][]*tensor.Dense, len(mlpNames))
	for i, name := range mlpNames {
		a := c.Initial[name]
		params = append(params, dense[T](a.Data, a.Shape...))
		for range opt.Slots() {
			slots[i] = append(slots[i], dense[T](nil, a.Shape...))
		}
	}
	for step, want := range c.Losses {
		_, loss, grads := c.forward(params)
		near("the loss", step, loss, want)
		near("the rate", step, opt.LearningRate(step), c.Rates[step])
		var g []*tensor.Dense
		for i, p := range params {
			g = append(g, dense[T](grads[i], p.Shape()...))
		}
		if c.ClipNorm > 0 {
			norm := gradNorm(g)
			near("the norm", step, norm, c.GradNorms[step])
			clip(g, norm, c.ClipNorm)
		}
		for i := range params {
			if err := opt.Update(step, opt.LearningRate(step), true, params[i], g[i], slots[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, name := range mlpNames {
		for j, got := range floats[T](params[i]) {
			near(name, len(c.Losses), float64(got), c.Final[name].Data[j])
		}
	}
	logits, _, _ := c.forward(params)
	for i, got := range logits {
		near("a logit", len(c.Losses), got, c.EvalLogits.Data[i])
	}
}

// forward is the network with the loss hard*CE + soft*T²*KL(teacher || student)
// and the gradients of the parameters.
func (c trajectory) forward(params []*tensor.Dense) (logits []float64, loss float64, grads [4][]float64) {
	w1, b1, w2, b2 := wide(params[0]), wide(params[1]), wide(params[2]), wide(params[3])
	n, x := len(c.Labels), c.Inputs.Data
	hidden := affine(x, w1, b1, n)
	for i := range hidden {
		hidden[i] = max(hidden[i], 0)
	}
	logits = affine(hidden, w2, b2, n)
	classes := len(b2)
	d := make([]float64, len(logits))
	for r := range n {
		z, p := logits[r*classes:][:classes], c.TeacherLogits.Data[r*classes:][:classes]
		q1, qT, pT := logSoftmax(z, 1), logSoftmax(z, c.Temperature), logSoftmax(p, c.Temperature)
		loss -= c.HardWeight * q1[c.Labels[r]] / float64(n)
		for k := range classes {
			loss += c.SoftWeight * c.Temperature * c.Temperature * math.Exp(pT[k]) * (pT[k] - qT[k]) / float64(n)
			d[r*classes+k] = (c.HardWeight*math.Exp(q1[k]) + c.SoftWeight*c.Temperature*(math.Exp(qT[k])-math.Exp(pT[k]))) / float64(n)
		}
		d[r*classes+c.Labels[r]] -= c.HardWeight / float64(n)
	}
	var dh []float64
	dh, grads[2], grads[3] = affineGrad(hidden, w2, d, n)
	for i, h := range hidden {
		if h == 0 {
			dh[i] = 0
		}
	}
	_, grads[0], grads[1] = affineGrad(x, w1, dh, n)
	return logits, loss, grads
}

// affine is x wᵀ + b for n rows.
func affine(x, w, b []float64, n int) []float64 {
	in, out := len(x)/n, len(b)
	y := make([]float64, n*out)
	for i := range y {
		r, o := i/out, i%out
		y[i] = b[o]
		for k := range in {
			y[i] += x[r*in+k] * w[o*in+k]
		}
	}
	return y
}

// affineGrad has the gradients of x, w and b, given that of y.
func affineGrad(x, w, dy []float64, n int) (dx, dw, db []float64) {
	in, out := len(x)/n, len(dy)/n
	dx, dw, db = make([]float64, len(x)), make([]float64, len(w)), make([]float64, out)
	for i, d := range dy {
		r, o := i/out, i%out
		db[o] += d
		for k := range in {
			dx[r*in+k] += d * w[o*in+k]
			dw[o*in+k] += d * x[r*in+k]
		}
	}
	return dx, dw, db
}

func logSoftmax(z []float64, temperature float64) []float64 {
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(v / temperature)
	}
	y := make([]float64, len(z))
	for i, v := range z {
		y[i] = v/temperature - math.Log(sum)
	}
	return y
}

// wide is a copy of a tensor in float64.
func wide(t *tensor.Dense) []float64 {
	if t.Dtype() == tensor.Float32 {
		return cast[float64](t.Float32s())
	}
	return cast[float64](t.Float64s())
}

func cast[U, T floating](x []T) []U {
	y := make([]U, len(x))
	for i, v := range x {
		y[i] = U(v)
	}
	return y
}

// dense is a tensor of T with the given values, or zeros.
func dense[T floating](values []float64, shape ...int) *tensor.Dense {
	backing := cast[T](values)
	if values == nil {
		backing = make([]T, tensor.Shape(shape).TotalSize())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
}
