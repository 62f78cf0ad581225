package student_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/safetensors"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
)

// normed are networks with every norm, of images (6, 3, 5).
var normed = map[string]student.Module{
	"batch":       student.Sequence{{"bn", student.BatchNorm{}}},
	"batch relu":  student.Sequence{{"bn", student.BatchNorm{Act: student.ReLU, Momentum: 0.3, Eps: 1e-3}}},
	"batch gelu":  student.Sequence{{"bn", student.BatchNorm{Act: student.GELU, NoAffine: true}}, {"f", student.Flatten{}}, {"l", student.Linear{Out: 4, Act: student.SiLU}}},
	"fixed":       student.Sequence{{"bn", student.BatchNorm{Fixed: true, Act: student.ReLU6}}},
	"of features": student.Sequence{{"f", student.Flatten{}}, {"l", student.Linear{Out: 7}}, {"bn", student.BatchNorm{Act: student.Leaky(0.2)}}},
	"layer":       student.Sequence{{"l", student.Linear{Out: 4, Act: student.HardSwish}}, {"ln", student.LayerNorm{}}, {"plain", student.LayerNorm{Axes: 2, NoAffine: true, Eps: 1e-3}}},
	"group":       student.Sequence{{"gn", student.GroupNorm{Groups: 3, Act: student.ReLU}}, {"plain", student.GroupNorm{Groups: 2, Act: student.ELU, NoAffine: true}}},
	"block": logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		h := b.Layer("bn", student.BatchNorm{Act: student.ReLU}, b.Layer("l", student.Linear{Out: 5}, x))
		return b.Add(h, x, student.GELUTanh)
	}),
}

// The gradient by every parameter that is trained, and that a buffer has none.
func TestNormGradients(t *testing.T) {
	for name, net := range normed {
		t.Run(name, func(t *testing.T) {
			m := must(student.New(net, of(6, 3, 5), 1))
			for p := range m.Params() { // else all weights of norms were 1
				if !p.Buffer {
					copy(p.Value.Float64s(), gradcheck.Normal(uint64(len(p.Name)), p.Value.Shape()...).Float64s())
				}
			}
			p, cost := step(t, m, sample(1, 4, 5, 6, 3, 5), "logits")
			value := func() float64 {
				if err := p.Run(0); err != nil {
					t.Fatal(err)
				}
				return p.Scalar(cost)
			}
			grads := map[*student.Param][]float64{}
			for ps, g := range p.Grads() {
				grads[ps] = floats(g)
			}
			for ps := range m.Params() {
				g, trained := grads[ps]
				if trained == ps.Buffer {
					t.Errorf("%s is trained: %v", ps.Name, trained)
				}
				if trained {
					gradcheck.Compare(t, ps.Name, value, ps.Value.Float64s(), g)
				}
			}
		})
	}
}

// Saved, loaded and run without Gorgonia, a network with norms is the eval graph.
func TestNormsAreLowered(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		set := noise(d, 4, map[string][]int{"x": {6, 3, 5}})
		for name, net := range normed {
			t.Run(fmt.Sprint(name, d), func(t *testing.T) {
				m := model(net, set.Spec(), 1)
				train(t, m, batch(t, set), 2) // so that there are statistics
				p := must(infer.Load(bytes.NewReader(saved(t, m))))
				b := batch(t, set)
				want := narrow(must(m.Predict(b))["logits"], b.N)
				got := must(p.Run(map[string][]float32{"x": narrow(b.In["x"], b.N)}))["logits"]
				for i, v := range got {
					if !(math.Abs(float64(v-want[i])) <= 1e-6*max(1, math.Abs(float64(want[i])))) {
						t.Fatalf("output %d is %v; the graph says %v", i, v, want[i])
					}
				}
			})
		}
	}
}

// train runs a training graph.
func train(t testing.TB, m *student.Model, b data.Batch, runs int) {
	t.Helper()
	p := must(m.Compile(student.Mode{Rows: b.In["x"].Shape()[0], Training: true}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return nil, []*gorgonia.Node{taps["logits"]}
	}))
	for range runs {
		if err := errors.Join(p.Bind(b), p.Run(0)); err != nil {
			t.Fatal(err)
		}
	}
}

// statistics are the buffers of a model.
func statistics(m *student.Model) (all []float64) {
	for p := range m.Params() {
		if !p.Buffer {
			continue
		}
		switch v := p.Value.Data().(type) {
		case []float32:
			for _, x := range v {
				all = append(all, float64(x))
			}
		case []float64:
			all = append(all, v...)
		}
	}
	return all
}

// Three steps of training and one in eval mode are PyTorch's, in float64 to 1e-9
// and in float32 to 1e-5 (internal/graph/testdata/norms.py).
func TestRunningStatisticsMatchPyTorch(t *testing.T) {
	type array struct {
		Shape []int
		Data  []float64
	}
	var file struct {
		Batches []struct {
			Act           string
			Eps, Momentum float64
			Params        map[string]array
			Steps         []struct {
				X, Y     array
				Mean     array `json:"running_mean"`
				Variance array `json:"running_var"`
			}
		}
	}
	if err := json.Unmarshal(must(os.ReadFile("../internal/graph/testdata/norms.json")), &file); err != nil {
		t.Fatal(err)
	}
	acts := map[string]student.Act{"identity": student.Identity, "relu": student.ReLU, "relu6": student.ReLU6}
	for i, c := range file.Batches {
		for d, off := range map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.Float64: 1e-9} {
			t.Run(fmt.Sprint(i, d), func(t *testing.T) {
				shape := c.Steps[0].X.Shape
				spec := data.Spec{In: map[string]data.Field{"x": {Shape: shape[1:], Dtype: d}}}
				m := model(student.Sequence{{"bn", student.BatchNorm{Act: acts[c.Act], Eps: c.Eps, Momentum: c.Momentum, NoAffine: len(c.Params) == 0}}}, spec, 1)
				for p := range m.Params() {
					if v, ok := c.Params[strings.TrimPrefix(p.Name, "bn.")]; ok {
						fill(p.Value, v.Data)
					}
				}
				var y *gorgonia.Node
				p := must(m.Compile(student.Mode{Rows: shape[0], Training: true}, func(_ *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
					y = taps["logits"]
					return nil, []*gorgonia.Node{y}
				}))
				for n, s := range c.Steps {
					b := filled(d, s.X.Shape, s.X.Data)
					var got *tensor.Dense
					if n == len(c.Steps)-1 {
						got = must(m.Predict(b))["logits"]
					} else {
						if err := errors.Join(p.Bind(b), p.Run(n)); err != nil {
							t.Fatal(err)
						}
						got = p.Value(y)
					}
					want := slices.Concat(s.Y.Data, s.Mean.Data, s.Variance.Data)
					for i, v := range append(widened(got), statistics(m)...) {
						if !(math.Abs(v-want[i]) <= off*max(1, math.Abs(want[i]))) {
							t.Fatalf("step %d: element %d of y and the statistics is %v; PyTorch says %v", n, i, v, want[i])
						}
					}
				}
			})
		}
	}
}

func fill(t *tensor.Dense, v []float64) {
	for i, x := range v {
		if t.Dtype() == tensor.Float32 {
			t.Float32s()[i] = float32(x)
		} else {
			t.Float64s()[i] = x
		}
	}
}

func widened(t *tensor.Dense) (all []float64) {
	if t.Dtype() == tensor.Float64 {
		return floats(t)
	}
	for _, v := range t.Float32s() {
		all = append(all, float64(v))
	}
	return all
}

// filled is a batch without padding.
func filled(d tensor.Dtype, shape []int, v []float64) data.Batch {
	x := tensor.New(tensor.Of(d), tensor.WithShape(shape...))
	fill(x, v)
	return data.Batch{N: shape[0], ID: make([]data.ID, shape[0]), In: data.Signals{"x": x}}
}

var bn = student.Sequence{{"l", student.Linear{Out: 5}}, {"bn", student.BatchNorm{Act: student.ReLU}}, {"out", student.Linear{Out: 3}}}

// Only a run of a training graph moves the statistics, once each; eval graphs,
// looks at a part of a graph and fixed layers do not.
func TestWhoMovesStatistics(t *testing.T) {
	m := must(student.New(bn, of(4), 1))
	b := sample(1, 5, 6, 4)
	print, start := m.Fingerprint(), statistics(m)
	if want := []float64{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}; !slices.Equal(start, want) {
		t.Errorf("the statistics begin as %v; want %v", start, want)
	}
	must(m.Predict(b))
	m.Describe()
	saved(t, m)
	if m.Fingerprint() != print {
		t.Error("eval mode moved the statistics")
	}
	p, cost := step(t, m, b, "logits")
	once := statistics(m)
	if slices.Equal(once, start) || m.Fingerprint() == print {
		t.Error("a training run did not move the statistics")
	}
	for ps := range m.Params() {
		if ps.Buffer && ps.Version() != 1 {
			t.Errorf("%s was written to once, and has version %d", ps.Name, ps.Version())
		}
	}
	q := must(p.Only(cost))
	if err := q.Run(0); err != nil || !slices.Equal(statistics(m), once) {
		t.Errorf("a look at the graph moved the statistics; error %v", err)
	}
	look := p.Look()
	if err := look.Run(0); err != nil || !slices.Equal(statistics(m), once) {
		t.Errorf("a look at the whole graph moved the statistics; error %v", err)
	}
	for ps, g := range look.Grads() {
		if g == nil {
			t.Errorf("a look has no gradient by %s", ps.Name)
		}
	}
	if err := p.Run(1); err != nil || slices.Equal(statistics(m), once) {
		t.Errorf("a second run did not move the statistics; error %v", err)
	}

	fixed := must(student.New(student.Sequence{{"bn", student.BatchNorm{Fixed: true}}}, of(4), 1))
	before := fixed.Fingerprint()
	train(t, fixed, b, 2)
	if fixed.Fingerprint() != before {
		t.Error("a fixed layer moved its statistics")
	}
}

// Neither what pads a batch nor the order of its samples matters.
func TestStatisticsOfPaddedBatches(t *testing.T) {
	b := sample(1, 5, 5, 4)
	result := func(b data.Batch) []float64 {
		m := must(student.New(bn, of(4), 1))
		p, cost := step(t, m, b, "logits")
		all := append(statistics(m), p.Scalar(cost))
		for _, g := range p.Grads() {
			all = append(all, floats(g)...)
		}
		return all
	}
	want := result(b)
	turned := sample(1, 5, 5, 4)
	for r := range 5 {
		copy(turned.In["x"].Float64s()[r*4:][:4], b.In["x"].Float64s()[(r+2)%5*4:])
	}
	for i, v := range result(turned) {
		if math.Abs(v-want[i]) > 1e-12 {
			t.Errorf("in another order, element %d of the statistics, the cost and gradients is %v; want %v", i, v, want[i])
		}
	}
	padded := sample(1, 5, 7, 4)
	copy(padded.In["x"].Float64s(), b.In["x"].Float64s())
	for i := range 8 {
		padded.In["x"].Float64s()[20+i] = 1e6 // not looked at
	}
	m := must(student.New(bn, of(4), 1))
	train(t, m, padded, 1)
	if got := statistics(m); !slices.Equal(got, want[:10]) {
		t.Errorf("padded, the statistics are %v; want %v", got, want[:10])
	}
}

func TestBatchOfOne(t *testing.T) {
	m := must(student.New(bn, of(4), 1))
	print := m.Fingerprint()
	p := must(m.Compile(student.Mode{Rows: 3, Training: true}, func(_ *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return nil, []*gorgonia.Node{taps["logits"]}
	}))
	err := errors.Join(p.Bind(sample(1, 1, 3, 4)), p.Run(0))
	wantError(t, err, "expected more than 1 value per channel when training, got 1")
	wantError(t, err, "bn.batch-norm#")
	if m.Fingerprint() != print {
		t.Error("a run that failed moved the statistics")
	}
}

// A file of PyTorch's has a count of batches beside the statistics.
func TestLoadOfPyTorch(t *testing.T) {
	a, b := must(student.New(bn, of(4), 1)), must(student.New(bn, of(4), 2))
	train(t, a, sample(1, 5, 6, 4), 3)
	f := must(safetensors.Read(bytes.NewReader(saved(t, a))))
	write := func(name string) *bytes.Buffer {
		var file bytes.Buffer
		all := append(slices.Clone(f.Tensors), safetensors.Of(name, nil, []int64{3}))
		if err := safetensors.WriteSummed(&file, all, f.Meta); err != nil {
			t.Fatal(err)
		}
		return &file
	}
	if err := b.Load(write("bn.num_batches_tracked")); err != nil || b.Fingerprint() != a.Fingerprint() {
		t.Errorf("the file of PyTorch gave another model, error %v", err)
	}
	must(infer.Load(write("bn.num_batches_tracked")))
	for _, name := range []string{"l.num_batches_tracked", "num_batches_tracked", "bn.num_batches"} {
		wantError(t, b.Load(write(name)), "the file has a parameter "+name+" that the model does not have")
	}
}

// Buffers are told from weights.
func TestBuffers(t *testing.T) {
	m := must(student.New(bn, of(4), 1))
	if want := 25 + 10 + 18; m.Size() != want {
		t.Errorf("there are %d parameters; want %d", m.Size(), want)
	}
	if s := m.Describe(); strings.Count(s, "5  buffer\n") != 2 || strings.Contains(s, "frozen") {
		t.Errorf("the description is\n%s", s)
	}
	var names []string
	for p := range m.Params() {
		names = append(names, p.Name)
		p.Frozen = false // does not make a buffer a weight
	}
	if want := []string{"l.weight", "l.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "out.weight", "out.bias"}; !slices.Equal(names, want) {
		t.Errorf("the parameters are %q; want %q", names, want)
	}
	p, _ := step(t, m, sample(1, 5, 6, 4), "logits")
	for _, ps := range p.Unused() {
		t.Errorf("%s is said to be unused", ps.Name)
	}
}

// Gorgonia has one gradient for both sides of an addition: two parameters that
// are added must not share the tensor.
func TestAddOfParameters(t *testing.T) {
	net := logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		w := b.Add(b.Param("u", student.He, 3, 4), b.Param("v", student.He, 3, 4), student.Identity)
		return b.Linear(x, w, nil, student.Identity)
	})
	m := must(student.New(net, of(4), 1))
	p, _ := step(t, m, sample(1, 5, 6, 4), "logits")
	var grads []*tensor.Dense
	for _, g := range p.Grads() {
		grads = append(grads, g)
	}
	if len(grads) != 2 || !slices.Equal(floats(grads[0]), floats(grads[1])) {
		t.Fatalf("the gradients are %v; want two that are equal", grads)
	}
	grads[0].Float64s()[0]++
	if grads[1].Float64s()[0] == grads[0].Float64s()[0] {
		t.Error("the two gradients share a tensor")
	}
}

func TestNormsRefuse(t *testing.T) {
	layer := func(l student.Layer) student.Module { return student.Sequence{{"n", l}} }
	for name, test := range map[string]struct {
		net   student.Module
		shape []int
		want  string
	}{
		"momentum":   {layer(student.BatchNorm{Momentum: 1.5}), []int{4}, "student: n: BatchNorm.Momentum is 1.5; want 0 to 1, 0 meaning 0.1"},
		"eps":        {layer(student.BatchNorm{Eps: -1}), []int{4}, "student: n: BatchNorm.Eps is -1; want a finite number, 0 or more, 0 meaning 1e-05"},
		"numbers":    {layer(student.BatchNorm{}), nil, "student: n: the input of BatchNorm is (3); want (B, C, ...)"},
		"activation": {layer(student.BatchNorm{Act: 99}), []int{4}, `student: n: graph: activate: kernel: activation is "Act(99)"`},
		"slope":      {layer(student.BatchNorm{Act: student.Leaky(-0.2)}), []int{4}, `activation is "leakyrelu(out of range)"; want a slope of a millionth to 16`},
		"another batch": {logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Reshape(b.Layer("n", student.BatchNorm{}, b.Reshape(x, 12, 5)), 3, 4, 5)
		}), []int{4, 5}, "student: n: graph: batch norm: the mask is (3) and x (12, 5); want (B) and (B, C, ...)"},
		"groups":      {layer(student.GroupNorm{Groups: 3}), []int{4}, "student: n: GroupNorm.Groups is 3 for 4 channels; want 1 or more that divide them"},
		"no groups":   {layer(student.GroupNorm{}), []int{4}, "student: n: GroupNorm.Groups is 0"},
		"group eps":   {layer(student.GroupNorm{Groups: 2, Eps: math.Inf(1)}), []int{4}, "GroupNorm.Eps is +Inf"},
		"axes":        {layer(student.LayerNorm{Axes: 2}), []int{4}, "student: n: LayerNorm.Axes is 2 for an input of (3, 4); want 1 or more, and fewer than the input has"},
		"layer eps":   {layer(student.LayerNorm{Eps: math.NaN()}), []int{4}, "LayerNorm.Eps is NaN"},
		"one of many": {layer(student.LayerNorm{Axes: -1}), []int{4}, "LayerNorm.Axes is -1"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := student.New(test.net, of(test.shape...), 1)
			if err == nil { // what only training asks for
				_, err = m.Compile(student.Mode{Rows: 3, Training: true}, func(_ *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
					return nil, nil
				})
			}
			wantError(t, err, test.want)
		})
	}
}
