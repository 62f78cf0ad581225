package lm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

// segmented is a spec of ids and their segments.
func segmented(positions int) data.Spec {
	s := lm.Spec(positions)
	s.In[lm.Segment] = s.In[data.Input]
	return s
}

// Each text of a row is what it is alone, to the last bit and in all that the model
// says: of a prediction, of a graph, and of a saved student.
func TestTextsOfARow(t *testing.T) {
	if lm.Segment != text.Segment {
		t.Errorf("segments are the input %q; data/text has %q", lm.Segment, text.Segment)
	}
	const length = 12
	segments := []int{
		1, 1, 1, 1, 1, 2, 2, 2, 3, 0, 0, 0,
		1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
		4, 4, 4, 1, 1, 1, 1, 1, 4, 4, 4, 4,
	}
	for name, c := range map[string]lm.Config{"small": small, "every": every} {
		t.Run(name, func(t *testing.T) {
			c.Context = length
			m := must(student.New(c, segmented(length), 1))
			v := make([]int, len(segments))
			for i := range v {
				v[i] = bits("packed", len(v))[i] % c.Vocab
			}
			shaped := func(v []int) *tensor.Dense { return tensor.New(tensor.WithShape(3, length), tensor.WithBacking(v)) }
			batch := data.Batch{N: 3, ID: make([]data.ID, 3), In: data.Signals{data.Input: shaped(v), lm.Segment: shaped(segments)}}
			said := everything(m, batch)
			for row := 0; row < len(v); {
				end := row + 1
				for end%length != 0 && segments[end] == segments[row] {
					end++
				}
				alone := must(lm.New(c, end-row, 1))
				in := inputs(tensor.New(tensor.WithShape(1, end-row), tensor.WithBacking(slices.Clone(v[row:end]))))
				for tap, want := range everything(alone, in) {
					size := want.Shape().TotalSize() / (end - row)
					if got := said[tap].Float32s()[row*size : end*size]; !slices.Equal(got, want.Float32s()) {
						t.Errorf("%s of the text from %d to %d is another alone", tap, row, end)
					}
				}
				row = end
			}
			sameInGraph(t, m, batch, said)
			got := must(inferred(t, m).Run(map[string][]float32{data.Input: asFloats(shaped(v)), lm.Segment: asFloats(shaped(segments))}))
			for tap, v := range got {
				if !slices.Equal(v, said[tap].Float32s()) {
					t.Errorf("infer says something else of %s", tap)
				}
			}
		})
	}
}

// sameInGraph wants a graph to say what a prediction said.
func sameInGraph(t *testing.T, m *student.Model, batch data.Batch, said data.Signals) {
	t.Helper()
	nodes := map[string]*gorgonia.Node{}
	p := must(m.Compile(student.Mode{Rows: batch.N}, func(_ *student.Builder, taps student.Taps) (_ *gorgonia.Node, all []*gorgonia.Node) {
		for name, n := range taps {
			nodes[name] = n
			all = append(all, n)
		}
		return nil, all
	}))
	if err := p.Bind(batch); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(0); err != nil {
		t.Fatal(err)
	}
	for name, n := range nodes {
		if !slices.Equal(p.Value(n).Float32s(), said[name].Float32s()) {
			t.Errorf("a graph says something else of %s", name)
		}
	}
}

// A plan computes each kind of model, and to the last bit what a graph does.
func TestPredictionsAreGraphs(t *testing.T) {
	for _, r := range references(t) {
		t.Run(r.Name, func(t *testing.T) {
			m := r.model(tensor.Float32)
			batch := inputs(ids(r.Config.Vocab))
			sameInGraph(t, m, batch, everything(m, batch))
		})
	}
}

func TestSegmentsRefuse(t *testing.T) {
	for _, f := range []data.Field{{Shape: tensor.Shape{7}, Dtype: tensor.Float32}, {Shape: tensor.Shape{6}, Dtype: tensor.Int}} {
		spec := lm.Spec(7)
		spec.In[lm.Segment] = f
		want := fmt.Sprintf("the input %q is %v of %v; want the shape of %q, of int", lm.Segment, append(tensor.Shape{3}, f.Shape...), f.Dtype, data.Input)
		if _, err := student.New(small, spec, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
}

// A model for other inputs says the same, and learns alone. What it has no use for, a
// saved one does not ask for.
func TestFor(t *testing.T) {
	m := must(lm.New(every, positions, 1))
	for p := range m.Params() {
		p.Frozen = strings.Contains(p.Name, "norm")
	}
	before := m.Fingerprint()
	spec := segmented(5)
	spec.In[text.Position] = spec.In[data.Input]
	n, err := lm.For(m, spec)
	if err != nil {
		t.Fatal(err)
	}
	v := ids(every.Vocab).Ints()
	short := slices.Concat(v[:5], v[positions:positions+5])
	shaped := func(v []int) *tensor.Dense { return tensor.New(tensor.WithShape(2, 5), tensor.WithBacking(v)) }
	batch := data.Batch{N: 2, ID: make([]data.ID, 2), In: data.Signals{
		data.Input: shaped(short), lm.Segment: shaped(make([]int, 10)), text.Position: shaped(make([]int, 10)),
	}}
	got := must(n.Predict(batch))["logits"].Float32s()
	want := logits(t, m, v, 3)
	size := 5 * every.Vocab
	if !slices.Equal(got[:size], want[:size]) || !slices.Equal(got[size:], want[positions*every.Vocab:][:size]) {
		t.Error("it says something else")
	}
	said := must(inferred(t, n).Run(map[string][]float32{data.Input: asFloats(shaped(short)), lm.Segment: make([]float32, 10)}))
	if !slices.Equal(said["logits"], got) {
		t.Error("a saved one says something else")
	}
	for p := range n.Params() {
		if p.Frozen != strings.Contains(p.Name, "norm") {
			t.Errorf("%s is frozen: %v", p.Name, p.Frozen)
		}
		p.Value.Float32s()[0]++
		p.Touch()
	}
	if m.Fingerprint() != before {
		t.Error("it shares parameters with the other")
	}
	if _, err := lm.For(nil, spec); err == nil || err.Error() != "lm: the model is nil; want one that New or Load made" {
		t.Errorf("error %v", err)
	}
	if _, err := lm.For(m, lm.Spec(10)); err == nil || !strings.Contains(err.Error(), "sequences have 10 positions") {
		t.Errorf("error %v", err)
	}
}
