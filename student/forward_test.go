package student_test

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// graphed is a module that computes what m does, with an operation that no plan
// has: so it runs as a graph.
type graphed struct{ student.Module }

func (g graphed) Forward(b *student.Builder, in student.Taps) student.Taps {
	x := in[data.Input]
	return g.Module.Forward(b, student.Taps{data.Input: b.Op(gorgonia.Neg(b.Op(gorgonia.Neg(x))))})
}

// A plan and a graph predict alike, for any number of rows, before and after
// weights are packed, and follow weights that change.
func TestPredictsByPlanAsByGraph(t *testing.T) {
	net := student.Sequence{
		{"conv", student.Conv2d{Out: 5, Kernel: 3, Pad: 1}}, {"norm", student.BatchNorm{Act: student.ReLU}},
		{"pool", student.MaxPool2d{Kernel: 2}}, {"flat", student.Flatten{}}, {"fc", student.Linear{Out: 7, Act: student.Tanh}},
	}
	fast := must(student.New(net, of(3, 6, 7), 1))
	slow := must(student.New(graphed{net}, of(3, 6, 7), 1))
	for round := range 3 {
		for again := range 2 {
			for rows := 1; rows <= 6; rows += 5 {
				b := sample(uint64(round), max(rows-1, 1), rows, 3, 6, 7)
				got, want := must(fast.Predict(b, "pool", "logits")), must(slow.Predict(b, "pool", "logits"))
				for _, tap := range []string{"pool", "logits"} {
					if got[tap].Shape()[0] != b.N || !slices.Equal(got[tap].Shape(), want[tap].Shape()) {
						t.Fatalf("%s is %v by plan and %v by graph", tap, got[tap].Shape(), want[tap].Shape())
					}
					want := floats(want[tap])
					for i, v := range floats(got[tap]) {
						if math.Abs(v-want[i]) > 1e-12 {
							t.Fatalf("round %d, %s: element %d is %v by plan and %v by graph", round, tap, i, v, want[i])
						}
					}
				}
				if first := must(fast.Predict(b)); again == 0 && !slices.Equal(floats(first["logits"]), floats(got["logits"])) {
					t.Error("an answer has other bits when it is given again")
				}
			}
		}
		for _, m := range []*student.Model{fast, slow} {
			for p := range m.Params() {
				v := p.Value.Float64s()
				for i := range v {
					v[i] += 0.01 * float64(i%5+round)
				}
				p.Touch()
			}
		}
	}
}

func TestPredictWantsRowMajor(t *testing.T) {
	m := must(student.New(student.MLP{Out: 3}, of(4), 1))
	b := sample(1, 5, 5, 4)
	b.In["x"] = tensor.New(tensor.WithShape(5, 4), tensor.AsFortran(make([]float64, 20)))
	if _, err := m.Predict(b); err == nil || err.Error() != `student: input "x" is in column-major order; want row-major` {
		t.Errorf("the error is %v", err)
	}
}
