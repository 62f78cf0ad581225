package student_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/student"
)

// of describes one input, "x", of float64.
func of(shape ...int) data.Spec {
	return data.Spec{In: map[string]data.Field{data.Input: {Shape: shape, Dtype: tensor.Float64}}}
}

// sample is a batch of n normal samples of the shape, in rows rows.
func sample(seed uint64, n, rows int, shape ...int) data.Batch {
	x := gradcheck.Normal(seed, append([]int{rows}, shape...)...)
	size := tensor.Shape(shape).TotalSize()
	clear(x.Float64s()[n*size:])
	b := data.Batch{N: n, In: data.Signals{data.Input: x}}
	for i := range n {
		b.ID = append(b.ID, data.ID{Sample: seed + uint64(i)})
	}
	return b
}

// logits is a network of one tap.
func logits(f func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node) student.Module {
	return student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"logits": f(b, in[data.Input])}
	})
}

func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v; want %q in it", err, want)
	}
}

// floats are the values of t.
func floats(t *tensor.Dense) []float64 { return slices.Clone(t.Float64s()) }

func TestMistakesEndTheBuild(t *testing.T) {
	linear := student.Linear{Out: 4}
	other := gorgonia.NewGraph()
	foreign := gorgonia.NewMatrix(other, tensor.Float64, gorgonia.WithShape(3, 5), gorgonia.WithName("x"))
	tests := map[string]struct {
		f    func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node
		want string
	}{
		"error of Gorgonia": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Scope("block").Scope("sum").Op(gorgonia.Add(x, b.Param("w", student.Zeros, 4, 6)))
		}, "student: block.sum: Builder.Op at builder_test.go:"},
		"own error": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Scope("flat").Reshape(x, 7, 3)
		}, "student: flat: graph: "},
		"no layer name":     {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Layer("", linear, x) }, "student: the name of a layer or scope is empty"},
		"no parameter name": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Param("", student.Zeros, 3, 4) }, "student: the name of a parameter is empty"},
		"nil params": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.With(nil).Layer("l", linear, x)
		}, "student: With has nil Params"},
		"nil scalar": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Scalar(nil) }, "student: the function of a Scalar is nil"},
		"parameter without end": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Layer("l", student.Linear{Out: 1 << 50}, x)
		}, "student: l: parameter l.weight has shape [1125899906842624 5]; want 1 or more in each place, and 1073741824 elements at most"},
		"NaN": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Layer("l", student.Linear{Out: 4, Init: student.Uniform(math.NaN())}, x)
		}, "student: l: parameter l.weight: its Init makes element 0 NaN; want finite numbers of float64"},
		"panic": {func(*student.Builder, *gorgonia.Node) *gorgonia.Node { panic("out of ideas") }, "student: the build panicked: out of ideas"},
		"stock reshape": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Scope("flat").Op(gorgonia.Reshape(x, tensor.Shape{5, 3}))
		}, "student: flat: gorgonia's Reshape(5, 3) is refused: it aliases its input; use Builder.Reshape"},
		"nil node": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Op(nil, nil) }, "the node is nil"},
		"nil operand": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Scope("block").Add(x, nil, student.ReLU)
		}, "student: block: operand 1 of Builder.Add is nil; want a node"},
		"check": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			b.Check(errors.New("five is no good"))
			return x
		}, "student: five is no good"},
		"parameter twice": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Layer("l", linear, b.Layer("l", linear, x))
		}, `student: l: the parameter name "l.weight" is taken; want a name of its own for each layer`},
		"parameter of one shape twice": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			b.Param("w", student.Zeros, 3)
			return b.Param("w", student.Zeros, 3)
		}, `student: the parameter name "w" is taken`},
		"parameter of shape 0": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Param("w", student.Zeros, 3, 0)
		}, "parameter w has shape [3 0]; want 1 or more in each place"},
		"no Init": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Param("w", nil, 3)
		}, "parameter w has no Init"},
		"input twice": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Input("in/x", tensor.Float64, 3, 5)
		}, "duplicate input name in/x"},
		"missing input": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Layer("l1", linear, nil)
		}, "student: l1: the layer or its input is nil; want both"},
		"nil tap":           {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return nil }, `tap "logits" is nil`},
		"tap of a number":   {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Op(gorgonia.Sum(x)) }, `tap "logits" is () for a batch of 3; want the batch as its leading axis`},
		"tap without batch": {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Reshape(x, 5, 3) }, `tap "logits" is (5, 3) for a batch of 3`},
		"tap of elsewhere":  {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return foreign }, `tap "logits" belongs to another graph`},
		"dropout rate":      {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Dropout(x, 1) }, "the dropout rate is 1; want 0 or more and below 1"},
		"no activation":     {func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Activate(x, 99) }, "Act(99)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := student.New(logits(test.f), of(5), 1)
			wantError(t, err, test.want)
			if m != nil {
				t.Error("there is a model beside the error")
			}
		})
	}
}

func TestNoTaps(t *testing.T) {
	none := student.ModuleFunc(func(*student.Builder, student.Taps) student.Taps { return nil })
	_, err := student.New(none, of(5), 1)
	wantError(t, err, "student: Forward returned no taps")
}

// What a builder says of itself, and the names that scopes make.
func TestBuilder(t *testing.T) {
	net := logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		if b.Rows() != 3 && b.Rows() != 4 {
			t.Errorf("there are %d rows", b.Rows())
		}
		if b.Dtype() != tensor.Float64 {
			t.Errorf("the dtype is %v", b.Dtype())
		}
		deep := b.Scope("block").Scope("conv")
		w := deep.Param("weight", student.He, 4, 5)
		h := deep.Linear(x, w, nil, student.ReLU)
		return b.Linear(h, b.Param("head", student.He, 5, 4), nil, student.Identity)
	})
	m := must(student.New(net, of(5), 1))
	var names []string
	for p := range m.Params() {
		names = append(names, p.Name)
	}
	if want := []string{"block.conv.weight", "head"}; !slices.Equal(names, want) {
		t.Errorf("the parameters are %q; want %q", names, want)
	}
	for _, training := range []bool{false, true} {
		_, err := m.Compile(student.Mode{Rows: 4, Training: training}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			if b.Training() != training {
				t.Errorf("training is %v; want %v", b.Training(), training)
			}
			if name := b.Scope("loss").Op(gorgonia.Tanh(taps["logits"])).Name(); !strings.HasPrefix(name, "loss.tanh#") {
				t.Errorf("a node of the scope is called %s", name)
			}
			return nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestSoftmaxOfBuilder(t *testing.T) {
	m := must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x := in[data.Input]
		return student.Taps{"p": b.Softmax(x), "logp": b.LogSoftmax(x), "x": x, "exp": b.Op(gorgonia.Exp(b.LogSoftmax(x)))}
	}), of(3, 4), 1))
	out := must(m.Predict(sample(1, 5, 5, 3, 4), "p", "exp", "x"))
	p := out["p"].Float64s()
	for i := 0; i < len(p); i += 4 {
		if sum := p[i] + p[i+1] + p[i+2] + p[i+3]; sum < 1-1e-12 || sum > 1+1e-12 {
			t.Errorf("the probabilities from %d on sum to %v", i, sum)
		}
	}
	if !slices.Equal(p, out["exp"].Float64s()) {
		t.Error("the softmax is not the exponential of its logarithm")
	}
	if !slices.Equal(out["x"].Float64s(), sample(1, 5, 5, 3, 4).In["x"].Float64s()) {
		t.Error("an input that is a tap came back changed")
	}
}

// A scheduled number, an input of one's own, the rows that are valid, and
// parameters that are kept elsewhere.
func TestProgramInputs(t *testing.T) {
	m := must(student.New(student.MLP{Out: 3}, of(5), 1))
	own := student.NewParams(7)
	var twice, extra, valid, regressed *gorgonia.Node
	p := must(m.Compile(student.Mode{Rows: 4}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		rate := b.Scalar(func(step int) float64 { return float64(10 * step) })
		twice = b.Op(gorgonia.Add(rate, rate))
		extra = b.Input("extra", tensor.Float64, 4, 6)
		valid = b.Valid()
		regressed = b.With(own).Layer("regressor", student.Linear{Out: 2}, extra)
		return b.Op(gorgonia.Sum(regressed)), []*gorgonia.Node{twice, valid, taps["logits"]}
	}))
	v := gradcheck.Normal(2, 4, 6)
	if err := errors.Join(p.Let(extra, v), p.Bind(sample(1, 3, 4, 5))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{0, 3} {
		if err := p.Run(step); err != nil {
			t.Fatal(err)
		}
		if got := p.Scalar(twice); got != float64(20*step) {
			t.Errorf("twice the scalar is %v at step %d", got, step)
		}
	}
	if got := p.Value(valid).Float64s(); !slices.Equal(got, []float64{1, 1, 1, 0}) {
		t.Errorf("the valid rows are %v", got)
	}
	var trained []string
	for ps := range p.Grads() {
		trained = append(trained, ps.Name)
	}
	if want := []string{"regressor.weight", "regressor.bias"}; !slices.Equal(trained, want) || own.Lookup(want[0]) == nil || own.Lookup("l1.weight") != nil {
		t.Errorf("%q are trained; want %q, kept on their own", trained, want)
	}
	for range p.Grads() {
		break
	}
	if unused := p.Unused(); len(unused) != 2 || unused[0].Name != "l1.weight" {
		t.Errorf("%d parameters are unused; want the two of the model", len(unused))
	}
	wantError(t, p.Let(extra, gradcheck.Normal(1, 6, 4)), "the value is (6, 4) of float64; want (4, 6) of float64")
	wantError(t, p.Let(nil, nil), "the node or its value is nil")
	wantError(t, p.Let(twice, tensor.New(tensor.FromScalar(2.0))), "non input")
}

// A program reads what was bound last, in place, be it a view or not, and makes
// nothing of its own for that.
func TestLetReadsInPlace(t *testing.T) {
	var x, y *gorgonia.Node
	p := must(student.Compile(student.NewParams(1), of(3, 5), student.Mode{Rows: 4, Dtype: tensor.Float64},
		func(b *student.Builder, in student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			x = in[data.Input]
			y = b.Activate(x, student.Identity)
			return nil, []*gorgonia.Node{y}
		}))
	check := func(want *tensor.Dense) {
		t.Helper()
		if err := p.Run(0); err != nil {
			t.Fatal(err)
		}
		if got := p.Value(y).Float64s(); !slices.Equal(got, want.Float64s()) {
			t.Errorf("the program read %v; want %v", got, want)
		}
	}
	first, second := sample(1, 4, 4, 3, 5), sample(2, 4, 4, 3, 5)
	for _, b := range []data.Batch{first, second, first} {
		if err := p.Bind(b); err != nil {
			t.Fatal(err)
		}
		check(b.In[data.Input])
	}
	first.In[data.Input].Float64s()[7] = 99
	check(first.In[data.Input])

	turned := gradcheck.Normal(3, 4, 5, 3)
	if err := errors.Join(turned.T(0, 2, 1), p.Let(x, turned)); err != nil {
		t.Fatal(err)
	}
	check(turned.Materialize().(*tensor.Dense))
	if err := p.Bind(second); err != nil {
		t.Fatal(err)
	}
	check(second.In[data.Input])
	if n := testing.AllocsPerRun(10, func() { _ = errors.Join(p.Bind(first), p.Bind(second)) }); n != 0 {
		t.Errorf("to bind two batches makes %v objects; want none", n)
	}
}

func TestBindRefuses(t *testing.T) {
	m := must(student.New(student.MLP{Out: 3}, of(5), 1))
	p := must(m.Compile(student.Mode{Rows: 4}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return nil, []*gorgonia.Node{taps["logits"]}
	}))
	tests := map[string]struct {
		change func(b *data.Batch)
		want   string
	}{
		"no input":   {func(b *data.Batch) { b.In = nil }, `student: the batch has no input "x"`},
		"other rows": {func(b *data.Batch) { *b = sample(1, 3, 5, 5) }, `student: input "x": the value is (5, 5) of float64; want (4, 5)`},
		"other type": {func(b *data.Batch) { b.In["x"] = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4, 5)) }, "of float32; want"},
		"N of many":  {func(b *data.Batch) { b.N = 5; b.ID = make([]data.ID, 5) }, "the batch has N = 5 and 5 ids; want N ids, at most 4"},
		"N below 0":  {func(b *data.Batch) { b.N, b.ID = -1, nil }, "N = -1"},
		"ids":        {func(b *data.Batch) { b.ID = b.ID[:2] }, "the batch has N = 3 and 2 ids"},
		"column-major": {func(b *data.Batch) {
			b.In["x"] = tensor.New(tensor.WithShape(4, 5), tensor.AsFortran(make([]float64, 20)))
		}, "column-major"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := sample(1, 3, 4, 5)
			test.change(&b)
			err := p.Bind(b)
			if err == nil {
				err = p.Run(0)
			}
			wantError(t, err, test.want)
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	m := must(student.New(student.MLP{Out: 3}, of(5), 1))
	nothing := func(*student.Builder, student.Taps) (*gorgonia.Node, []*gorgonia.Node) { return nil, nil }
	_, err := m.Compile(student.Mode{}, nothing)
	wantError(t, err, "student: Mode.Rows is 0; want 1 or more")
	_, err = m.Compile(student.Mode{Rows: 4}, func(_ *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return taps["logits"], nil
	})
	wantError(t, err, "scalar")
	_, err = m.Compile(student.Mode{Rows: 4}, func(*student.Builder, student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return nil, []*gorgonia.Node{nil}
	})
	wantError(t, err, "a root is nil")

	float32s := student.NewParams(1)
	build := func(d tensor.Dtype) error {
		_, err := student.Compile(float32s, of(5), student.Mode{Rows: 4, Dtype: d}, func(b *student.Builder, _ student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			b.Param("w", student.He, 3)
			return nil, nil
		})
		return err
	}
	if err := build(tensor.Dtype{}); err != nil {
		t.Error(err)
	}
	wantError(t, build(tensor.Float64), "float64")
}

func TestOnly(t *testing.T) {
	m := must(student.New(student.MLP{Hidden: []int{4}, Out: 3}, of(5), 1))
	var hidden *gorgonia.Node
	p := must(m.Compile(student.Mode{Rows: 4}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		hidden = taps["l1"]
		return b.Op(gorgonia.Sum(taps["logits"])), nil
	}))
	q := must(p.Only(hidden))
	if err := errors.Join(p.Bind(sample(1, 4, 4, 5)), q.Run(0)); err != nil {
		t.Fatal(err)
	}
	if p.Value(hidden) != nil || q.Value(hidden) == nil {
		t.Errorf("hidden is %v in the program that did not run", p.Value(hidden))
	}
	for ps := range q.Grads() {
		t.Errorf("a part has a gradient by %s", ps.Name)
	}
	_, err := p.Only(nil)
	wantError(t, err, "a root is nil")
}

// Dropout works on samples that lie side by side, and no two layers drop alike.
func TestDropoutDraws(t *testing.T) {
	var two, side []*gorgonia.Node
	p, err := student.Compile(student.NewParams(1), of(4, 5), student.Mode{Rows: 3, Dtype: tensor.Float64, Training: true},
		func(b *student.Builder, in student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			x := in[data.Input]
			two = []*gorgonia.Node{b.Dropout(x, 0.5), b.Dropout(x, 0.5)}
			side = []*gorgonia.Node{b.Scope("s").Dropout(x, 0.5), b.Scope("s2").Dropout(b.Reshape(x, 12, 5), 0.5)}
			return nil, append(two, side...)
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Bind(sample(1, 3, 3, 4, 5)); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(0); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(p.Value(two[0]).Float64s(), p.Value(two[1]).Float64s()) {
		t.Error("two dropouts of one scope drop alike")
	}
	zeros := 0
	for _, v := range p.Value(side[1]).Float64s() {
		if v == 0 {
			zeros++
		}
	}
	if zeros < 15 || zeros > 45 {
		t.Errorf("%d of 60 elements are dropped at rate 0.5", zeros)
	}
	_, err = student.Compile(student.NewParams(1), of(4, 5), student.Mode{Rows: 3, Training: true, Dtype: tensor.Float64},
		func(b *student.Builder, in student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			return nil, []*gorgonia.Node{b.Dropout(b.Param("w", student.He, 4, 5), 0.5)}
		})
	if err == nil || !strings.Contains(err.Error(), "multiple of the batch") {
		t.Errorf("the error is %v; want a multiple of the batch", err)
	}
}

// A graph has one cost, and every parameter its own gradient.
func TestGradTraps(t *testing.T) {
	scale := func(b *student.Builder, names ...string) *gorgonia.Node {
		var sum *gorgonia.Node
		for _, name := range names {
			w := b.Param(name, student.He, 3)
			if sum == nil {
				sum = w
				continue
			}
			sum = b.Op(gorgonia.Add(sum, w))
		}
		return b.Op(gorgonia.Sum(sum))
	}
	build := func(f func(b *student.Builder) *gorgonia.Node) (*student.Program, error) {
		return student.Compile(student.NewParams(1), of(4), student.Mode{Rows: 3, Dtype: tensor.Float64},
			func(b *student.Builder, _ student.Taps) (*gorgonia.Node, []*gorgonia.Node) { return f(b), nil })
	}
	p, err := build(func(b *student.Builder) *gorgonia.Node { return scale(b, "w1", "w2") })
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(0); err != nil {
		t.Fatal(err)
	}
	seen := map[*float64]bool{}
	for _, g := range p.Grads() {
		seen[&g.Float64s()[0]] = true
	}
	if len(seen) != 2 {
		t.Errorf("two parameters have %d gradients", len(seen))
	}
	_, err = build(func(b *student.Builder) *gorgonia.Node {
		w := b.Param("w", student.He, 3)
		cost := b.Op(gorgonia.Sum(w))
		if _, err := gorgonia.Grad(cost, w); err != nil {
			t.Fatal(err)
		}
		return b.Op(gorgonia.Mul(cost, b.Scalar(func(int) float64 { return 3 })))
	})
	if err == nil || !strings.Contains(err.Error(), "a graph has one cost") {
		t.Errorf("the error is %v; want: a graph has one cost", err)
	}
}

// No method of a builder takes a node that is not there for one.
func TestBuilderRefusesNil(t *testing.T) {
	for name, f := range map[string]func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node{
		"Add":        func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Add(nil, x, student.ReLU) },
		"Activate":   func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.Activate(nil, student.ReLU) },
		"Detach":     func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.Detach(nil) },
		"Dropout":    func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.Dropout(nil, 0.5) },
		"LogSoftmax": func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.LogSoftmax(nil) },
		"Softmax":    func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.Softmax(nil) },
		"Reshape":    func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.Reshape(nil, 3, 5) },
		"Linear":     func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.Linear(nil, x, nil, student.ReLU) },
		"Depends": func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			b.Depends(nil)
			return x
		},
		"Conv2d": func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Conv2d(nil, x, nil, student.Window{}, 1, student.ReLU)
		},
		"MaxPool2d": func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.MaxPool2d(nil, student.Window{}) },
		"AvgPool2d": func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node {
			return b.AvgPool2d(nil, student.Window{}, false)
		},
		"GlobalAvgPool2d": func(b *student.Builder, _ *gorgonia.Node) *gorgonia.Node { return b.GlobalAvgPool2d(nil) },
	} {
		_, err := student.New(logits(f), of(5), 1)
		wantError(t, err, "student: operand 0 of Builder."+name+" is nil; want a node")
	}
}
