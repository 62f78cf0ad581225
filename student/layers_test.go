package student_test

import (
	"errors"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/student"
)

// step is a training program of a cost that has many gradients: Σ tanh(tap)².
func step(t testing.TB, m *student.Model, b data.Batch, tap string) (*student.Program, *gorgonia.Node) {
	t.Helper()
	var cost *gorgonia.Node
	p, err := m.Compile(student.Mode{Rows: b.In[data.Input].Shape()[0], Training: true, Seed: 3},
		func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			cost = b.Op(gorgonia.Sum(b.Op(gorgonia.Square(b.Op(gorgonia.Tanh(taps[tap]))))))
			return cost, nil
		})
	if err == nil {
		err = errors.Join(p.Bind(b), p.Run(0))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, cost
}

// The gradient by every parameter, and that every parameter has one.
func TestGradients(t *testing.T) {
	half := student.Linear{Out: 6, Act: student.Tanh}
	tests := map[string]struct {
		net   student.Module
		shape []int
	}{
		"linear":     {student.Sequence{{"a", student.Linear{Out: 4}}}, []int{5}},
		"no bias":    {student.Sequence{{"a", student.Linear{Out: 4, NoBias: true, Act: student.Sigmoid}}}, []int{5}},
		"of tokens":  {student.Sequence{{"a", student.Linear{Out: 4, Act: student.ReLU}}}, []int{3, 5}},
		"flatten":    {student.Sequence{{"a", half}, {"f", student.Flatten{}}, {"b", half}}, []int{3, 5}},
		"activation": {student.Sequence{{"a", half}, {"f", student.Activation{Act: student.Sigmoid}}}, []int{5}},
		"dropout":    {student.Sequence{{"a", half}, {"f", student.Dropout{Rate: 0.4}}, {"b", half}}, []int{5}},
		"mlp":        {student.MLP{Hidden: []int{6, 4}, Out: 3, Act: student.Tanh, Dropout: 0.3, Init: student.He}, []int{2, 3}},
		"noisy mlp":  {student.MLP{Hidden: []int{6, 4}, Out: 3, InputDropout: 0.2}, []int{2, 3}},
		"op": {logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			h := b.Layer("a", half, x)
			return b.Op(gorgonia.Add(h, b.Layer("b", half, h)))
		}), []int{5}},
		"half detached": {logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			w := b.Param("w", student.He, 6, 5)
			h := b.Linear(x, w, nil, student.Tanh)
			return b.Op(gorgonia.Add(b.LogSoftmax(h), b.Detach(b.Linear(x, b.Param("u", student.He, 6, 5), nil, student.Tanh))))
		}), []int{5}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := must(student.New(test.net, of(test.shape...), 1))
			p, cost := step(t, m, sample(1, 4, 4, test.shape...), "logits")
			value := func() float64 {
				if err := p.Run(0); err != nil {
					t.Fatal(err)
				}
				return p.Scalar(cost)
			}
			grads := map[string][]float64{}
			for ps, g := range p.Grads() {
				grads[ps.Name] = floats(g)
			}
			for ps := range m.Params() {
				if g, ok := grads[ps.Name]; ok {
					gradcheck.Compare(t, ps.Name, value, ps.Value.Float64s(), g)
				} else if ps.Name != "u" {
					t.Errorf("there is no gradient by %s", ps.Name)
				}
			}
		})
	}
}

func TestFrozenAndUnused(t *testing.T) {
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		h := b.Layer("trunk", student.Linear{Out: 6, Act: student.Tanh}, in[data.Input])
		return student.Taps{
			"hidden": h,
			"probe":  b.Layer("probe", student.Linear{Out: 4, NoBias: true}, b.Detach(h)),
			"logits": b.Layer("head", student.Linear{Out: 3, NoBias: true}, h),
		}
	})
	tests := map[string]struct {
		tap            string
		freeze         string
		trained, spare []string
	}{
		"all":         {"logits", "", []string{"trunk.weight", "trunk.bias", "head.weight"}, []string{"probe.weight"}},
		"frozen":      {"logits", "trunk.weight", []string{"trunk.bias", "head.weight"}, []string{"probe.weight"}},
		"detached":    {"probe", "", []string{"probe.weight"}, []string{"trunk.weight", "trunk.bias", "head.weight"}},
		"frozen head": {"probe", "probe.weight", nil, []string{"trunk.weight", "trunk.bias", "head.weight"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := must(student.New(net, of(5), 1))
			for p := range m.Params() {
				p.Frozen = p.Name == test.freeze
			}
			p, _ := step(t, m, sample(1, 4, 4, 5), test.tap)
			var trained, spare []string
			for ps, g := range p.Grads() {
				trained = append(trained, ps.Name)
				if !g.Shape().Eq(ps.Value.Shape()) {
					t.Errorf("the gradient by %s is %v; want %v", ps.Name, g.Shape(), ps.Value.Shape())
				}
			}
			for _, ps := range p.Unused() {
				spare = append(spare, ps.Name)
			}
			slices.Sort(trained)
			slices.Sort(test.trained)
			slices.Sort(spare)
			slices.Sort(test.spare)
			if !slices.Equal(trained, test.trained) || !slices.Equal(spare, test.spare) {
				t.Errorf("%q are trained and %q are not; want %q and %q", trained, spare, test.trained, test.spare)
			}
		})
	}
}

func TestLayersRefuse(t *testing.T) {
	tests := map[string]struct {
		net  student.Module
		spec data.Spec
		want string
	}{
		"width":           {student.MLP{}, of(5), "student: l1: Linear.Out is 0; want 1 or more"},
		"hidden width":    {student.MLP{Hidden: []int{4, -2}, Out: 3}, of(5), "student: l2: Linear.Out is -2; want 1 or more"},
		"rate":            {student.MLP{Hidden: []int{4}, Out: 3, Dropout: 1.5}, of(5), "student: drop1: the dropout rate is 1.5; want 0 or more and below 1"},
		"input rate":      {student.MLP{Out: 3, InputDropout: -0.5}, of(5), "student: drop: the dropout rate is -0.5; want 0 or more and below 1"},
		"a number each":   {student.Sequence{{"a", student.Linear{Out: 3}}}, of(), "student: a: the input of Linear is (3); want (B, ..., in)"},
		"activation":      {student.MLP{Out: 3, Hidden: []int{4}, Act: 17}, of(5), `student: l1: graph: linear: kernel: activation is "Act(17)"`},
		"empty":           {student.Sequence{}, of(5), "student: a Sequence wants one layer or more"},
		"nil layer":       {student.Sequence{{"a", nil}}, of(5), "student: a: the layer or its input is nil; want both"},
		"one name twice":  {student.Sequence{{"a", student.Linear{Out: 5}}, {"a", student.Linear{Out: 5}}}, of(5), `student: the layer name "a" is taken`},
		"one tap twice":   {student.Sequence{{"a", student.Flatten{}}, {"a", student.Flatten{}}}, of(5), `student: the layer name "a" is taken`},
		"logits inside":   {student.Sequence{{"logits", student.Flatten{}}, {"a", student.Flatten{}}}, of(5), `student: the layer name "logits" is taken`},
		"no name":         {student.Sequence{{"", student.Flatten{}}}, of(5), "student: the name of a layer or scope is empty"},
		"another input":   {student.MLP{Out: 3}, data.Spec{In: map[string]data.Field{"tokens": {Shape: tensor.Shape{5}, Dtype: tensor.Float32}}}, `student: a Sequence wants the input "x"`},
		"ids for numbers": {student.MLP{Out: 3}, data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{5}, Dtype: tensor.Int}}}, "linear: input 0 is of int; want float32"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := student.New(test.net, test.spec, 1)
			wantError(t, err, test.want)
		})
	}
}

func TestActNames(t *testing.T) {
	for act, want := range map[student.Act]string{
		student.Identity: "identity", student.ReLU: "relu", student.Tanh: "tanh", student.Sigmoid: "sigmoid", student.ReLU6: "relu6",
		student.LeakyReLU: "leakyrelu", student.Leaky(0.2): "leakyrelu(0.2)", student.Leaky(0.01): "leakyrelu", student.ELU: "elu",
		student.HardSwish: "hardswish", student.SiLU: "silu", student.GELU: "gelu", student.GELUTanh: "gelutanh",
	} {
		if act.String() != want {
			t.Errorf("%d is called %s; want %s", act, act, want)
		}
	}
}

// Dropout drops while training alone; what it drops depends on the seed, the
// step, the scope and the sample.
func TestDropout(t *testing.T) {
	const rate, size = 0.5, 40
	net := student.Sequence{{"one", student.Dropout{Rate: rate}}, {"two", student.Dropout{Rate: rate}}, {"none", student.Dropout{}}}
	m := must(student.New(net, of(size), 1))
	b := sample(1, 3, 4, size)
	was := floats(b.In[data.Input])
	if out := must(m.Predict(b)); !slices.Equal(out["logits"].Float64s(), was[:3*size]) {
		t.Error("dropout drops in eval mode")
	}
	run := func(b data.Batch, seed uint64, step int) (one, all []float64) {
		var taps student.Taps
		p := must(m.Compile(student.Mode{Rows: 4, Training: true, Seed: seed}, func(_ *student.Builder, t student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			taps = t
			return nil, []*gorgonia.Node{t["one"], t["logits"]}
		}))
		if err := errors.Join(p.Bind(b), p.Run(step)); err != nil {
			t.Fatal(err)
		}
		return floats(p.Value(taps["one"])), floats(p.Value(taps["logits"]))
	}
	one, all := run(b, 1, 2)
	for i, v := range one {
		if v != 0 && v != was[i]/(1-rate) {
			t.Fatalf("element %d of %v became %v", i, was[i], v)
		}
	}
	zeros := func(v []float64) (n int) {
		for _, x := range v[:3*size] {
			if x == 0 {
				n++
			}
		}
		return n
	}
	if z, zz := zeros(one), zeros(all); z < 40 || z > 80 || zz < 70 || zz > 110 {
		t.Errorf("%d of 120 are dropped once and %d twice; want about 60 and 90", z, zz)
	}
	same, _ := run(b, 1, 2)
	seed, _ := run(b, 2, 2)
	later, _ := run(b, 1, 3)
	if !slices.Equal(same, one) || slices.Equal(seed, one) || slices.Equal(later, one) {
		t.Error("the draw does not depend on the seed and the step alone")
	}
	// The first sample moves to the last place, with its id.
	x, moved := was[:size], sample(1, 3, 4, size)
	copy(moved.In[data.Input].Float64s()[2*size:], x)
	moved.ID[2] = b.ID[0]
	if got, _ := run(moved, 1, 2); !slices.Equal(got[2*size:3*size], one[:size]) {
		t.Error("a sample draws differently in another place")
	}
}
