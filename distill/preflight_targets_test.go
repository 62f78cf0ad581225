package distill

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// Whatever compares distributions says so when there is nothing in them.
func TestEveryTermsTargets(t *testing.T) {
	ones := tensor.New(tensor.WithBacking(slices.Repeat([]float32{1}, 46))) // which all losses take
	set := must(toySet[float32](46).WithWeights(ones))
	for _, loss := range []Loss{
		KL{}, ReverseKL{}, JSD{}, SkewKL{}, SkewReverseKL{}, AlphaDivergence{}, TotalVariation{}, UniversalLogit{},
		DKD{}, NKD{}, WSLD{}, DIST{}, Corrected{}, Standardized{Of: KL{T: Constant(1e-4)}},
	} {
		for _, test := range []struct {
			scale           float32
			oneHot, uniform float64
			says            string
		}{
			{1e6, 1, 0, `100% of the soft targets of term "it" are one-hot`},
			{1e-15, 0, 1, `100% of the soft targets of term "it" are uniform`},
		} {
			r := toyRun[float32]()
			r.Train, r.Valid = data.Loader{Set: set, Batch: 8}, data.Loader{Set: set, Batch: 9, InOrder: true}
			r.Teacher = scaled(func(v float32) float32 { return test.scale * v })
			r.Terms = []Term{{Name: "it", Loss: loss}, {Name: "hint", Loss: Hint{Student: "l1", Teacher: "hidden"}}}
			if w := warnings(t, r, test.says); len(w) != 1 {
				t.Errorf("%T of %v: no warning that %s", loss, test.scale, test.says)
			}
			if p, _, err := look(t, r); err != nil || p.OneHot != test.oneHot || p.Uniform != test.uniform {
				t.Errorf("%T of %v: error %v, one-hot %v, uniform %v", loss, test.scale, err, p.OneHot, p.Uniform)
			}
		}
	}
	for _, loss := range []Loss{MSE{}, Standardized{}, Standardized{Of: MSE{}}} {
		r := toyRun[float32]()
		r.Teacher = scaled(func(v float32) float32 { return 1e6 * v })
		r.Terms = []Term{{Name: "it", Loss: loss}}
		if p, log, err := look(t, r); err != nil || p.OneHot > 0 || strings.Contains(log, "soft targets") {
			t.Errorf("%T: error %v, one-hot %v, log %q; want none", loss, err, p.OneHot, log)
		}
	}
}

// Of two terms each is warned of by its name, and the larger share is kept,
// whichever comes first.
func TestTargetsOfTwoTerms(t *testing.T) {
	for _, temps := range [][2]float64{{1e6, 2}, {2, 1e6}} {
		r := toyRun[float32]()
		r.Terms = nil
		for _, T := range temps {
			r.Terms = append(r.Terms, Term{Name: fmt.Sprint("at ", T), Loss: JSD{T: Constant(T)}})
		}
		if w := warnings(t, r, "soft targets"); len(w) != 1 || !strings.Contains(w[0], `term "at 1e+06" are uniform`) {
			t.Errorf("%v: warnings %q; want one", temps, w)
		}
		if p, _, err := look(t, r); err != nil || p.Uniform != 1 || p.OneHot != 0 {
			t.Errorf("%v: error %v, uniform %v, one-hot %v; want 1 and 0", temps, err, p.Uniform, p.OneHot)
		}
	}
}

// A logit by itself is one of two, and top-k logits have the sum of all.
func TestTargets(t *testing.T) {
	z := []float64{1, -2, 5, 0, 3, 0, 0, -4, 2, 1, 7, -1}
	dense := data.Signals{"logits": tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(z))}
	got := softening{signal: "logits", T: 4, yes: true}.targets(Case{Teacher: dense})
	for i, largest := range got.largest {
		if p := 1 / (1 + math.Exp(-z[i]/4)); got.chance != 0.5 || math.Abs(largest-max(p, 1-p)) > 1e-15 {
			t.Errorf("a logit of %v has %v; want %v", z[i], largest, max(p, 1-p))
		}
	}
	whole := softening{signal: "logits", T: 4}.targets(Case{Teacher: dense})
	var top, lse []float64
	for r, largest := range whole.largest {
		row := z[4*r:][:4]
		sum := func(T float64) (sum float64) {
			for _, v := range row {
				sum += math.Exp(v / T)
			}
			return sum
		}
		first := row[argmax(row)]
		if p := math.Exp(first/4) / sum(4); math.Abs(largest-p) > 1e-15 || whole.chance != 0.25 {
			t.Errorf("row %d has %v; want %v", r, largest, p)
		}
		top, lse = append(top, first, 0), append(lse, math.Log(sum(1)), math.Log(sum(4)), 0)
	}
	c := Case{Temps: []float64{1, 4, 9}, Teacher: data.Signals{
		"logits.top": tensor.New(tensor.WithShape(3, 2), tensor.WithBacking(top)),
		"logits.lse": tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(lse)),
	}}
	some := softening{signal: "logits", T: 4}.targets(c)
	for r, largest := range some.largest {
		if math.Abs(largest-whole.largest[r]) > 1e-15 || some.chance != 0 {
			t.Errorf("row %d of top-k logits has %v; want %v", r, largest, whole.largest[r])
		}
	}
	if n := len(some.largest); n != 3 || len(got.largest) != 12 {
		t.Errorf("%d and %d targets; want 3 and 12", n, len(got.largest))
	}
	if n := len(softening{signal: "logits", T: 5}.targets(c).largest); n != 0 {
		t.Errorf("%d targets at a temperature that was not recorded; want 0", n)
	}
}
