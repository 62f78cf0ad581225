package student_test

import (
	"math"
	"runtime"
	"slices"
	"strings"
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

// What is wrong with a parameter is said each time, and not answered by those that
// were there before.
func TestPredictRefusesAgain(t *testing.T) {
	net := student.Sequence{{"fc", student.Linear{Out: 5}}, {"norm", student.BatchNorm{}}}
	m, b := must(student.New(net, of(4), 1)), sample(1, 3, 3, 4)
	for range 2 {
		must(m.Predict(b, "norm"))
	}
	for p := range m.Params() {
		if p.Name == "norm.running_var" {
			p.Value.Float64s()[1] = -1
			p.Touch()
		}
	}
	for range 3 {
		s, err := m.Predict(b, "norm")
		if s != nil || err == nil || !strings.Contains(err.Error(), "a variance of -1; want 0 or more") {
			t.Fatalf("the prediction is %v, the error %v", s, err)
		}
	}
}

// A graph of the model may have parameters besides, which its predictions know
// nothing of.
func TestPredictAfterMoreParameters(t *testing.T) {
	m, b := must(student.New(student.MLP{Out: 3}, of(4), 1)), sample(1, 5, 5, 4)
	want := floats(must(m.Predict(b))["logits"])
	must(m.Compile(student.Mode{Rows: 5}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return nil, []*gorgonia.Node{b.Layer("more", student.Linear{Out: 4}, taps["logits"])}
	}))
	if got := floats(must(m.Predict(b))["logits"]); !slices.Equal(got, want) {
		t.Errorf("the prediction is %v; it was %v", got, want)
	}
}

// Taps are told apart by their names, whatever is in them.
func TestPredictsTapsOfAnyName(t *testing.T) {
	m := must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		first, second := b.Layer("l1", student.Linear{Out: 3}, in["x"]), b.Layer("l2", student.Linear{Out: 5}, in["x"])
		return student.Taps{"a": first, "b": second, "a\x00b": second}
	}), of(4), 1))
	b := sample(1, 6, 6, 4)
	both := must(m.Predict(b, "b", "a", "b"))
	must(m.Predict(b, "a", "b"))
	one := must(m.Predict(b, "a\x00b"))
	if len(both) != 2 || !slices.Equal(floats(one["a\x00b"]), floats(both["b"])) {
		t.Errorf("one value is %v and %v", one, both)
	}
}

// heap is the memory that is still reached.
func heap() int {
	runtime.GC()
	runtime.GC() // what pools keep is let go by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// The same taps in another order take no more memory, and a model that is trimmed
// takes none.
func TestTrim(t *testing.T) {
	m := must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		first := b.Layer("l1", student.Linear{Out: 31}, in["x"])
		second := b.Layer("l2", student.Linear{Out: 29}, first)
		return student.Taps{"a": first, "b": second, "c": b.Layer("l3", student.Linear{Out: 5}, second)}
	}), of(17), 1))
	b := sample(1, 30, 30, 17)
	rest := heap()
	want := must(m.Predict(b, "a", "b", "c"))
	once := heap() - rest
	for _, taps := range [][]string{{"b", "a", "c"}, {"c", "b", "a"}, {"b", "c", "a"}} {
		must(m.Predict(b, taps...))
	}
	if used := heap() - rest; used > once*3/2 {
		t.Errorf("the taps in four orders take %d bytes, and in one %d; want no more", used, once)
	}
	m.Trim()
	if left := heap() - rest; once < 16<<10 || left > once/3 {
		t.Errorf("%d bytes are left of %d; want a third at most", left, once)
	}
	if got := must(m.Predict(b, "c")); !slices.Equal(floats(got["c"]), floats(want["c"])) {
		t.Error("a trimmed model predicts other bits")
	}
}

func TestPredictWantsAModel(t *testing.T) {
	var m *student.Model
	if _, err := m.Predict(sample(1, 3, 3, 4)); err == nil || err.Error() != "student: Predict has a nil Model; want one that New made" {
		t.Errorf("the error is %v", err)
	}
}
