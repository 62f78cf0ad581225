package student_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// singles is [of] 5 in float32.
var singles = data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{5}, Dtype: tensor.Float32}}}

var mlp = student.MLP{Hidden: []int{6, 4}, Out: 3, Act: student.Tanh, Dropout: 0.5}

func TestNewRefuses(t *testing.T) {
	field := func(d tensor.Dtype) data.Field { return data.Field{Shape: tensor.Shape{5}, Dtype: d} }
	tests := map[string]struct {
		net  student.Module
		spec data.Spec
		want string
	}{
		"nil module":            {nil, of(5), "student: the module is nil"},
		"nil function":          {student.ModuleFunc(nil), of(5), "student: the ModuleFunc is nil; want a function"},
		"no name":               {mlp, data.Spec{In: map[string]data.Field{"": field(tensor.Float32)}}, "student: the name of an input is empty"},
		"too large for float32": {student.MLP{Out: 3, Init: student.Uniform(1e300)}, singles, "its Init makes element 0 +Inf; want finite numbers of float32"},
		"no tap name":           {student.ModuleFunc(func(_ *student.Builder, in student.Taps) student.Taps { return student.Taps{"": in["x"]} }), of(5), "student: the name of a tap is empty"},
		"no inputs":             {mlp, data.Spec{}, "student: the spec has no inputs"},
		"other dtype":           {mlp, data.Spec{In: map[string]data.Field{"x": field(tensor.Uint8)}}, `student: input "x" is of uint8; want float32, float64 or int`},
		"no dtype":              {mlp, data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{5}}}}, `input "x" is of`},
		"two dtypes": {mlp, data.Spec{In: map[string]data.Field{"a": field(tensor.Float32), "x": field(tensor.Float64)}},
			"student: inputs are of float32 and float64; want one of them"},
		"empty sample":    {mlp, of(5, 0), "student: input \"x\" has shape (5, 0); want 1 or more in each place"},
		"negative sample": {mlp, of(-5), "student: input \"x\" has shape (-5); want 1 or more in each place"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := student.New(test.net, test.spec, 1)
			wantError(t, err, test.want)
		})
	}
}

func TestModel(t *testing.T) {
	m := must(student.New(mlp, of(2, 5), 1))
	for p := range m.Params() {
		p.Frozen = p.Name == "l1.bias"
	}
	const want = `parameter  shape    elements
l1.weight  (6, 10)  60
l1.bias    (6)      6  frozen
l2.weight  (4, 6)   24
l2.bias    (4)      4
l3.weight  (3, 4)   12
l3.bias    (3)      3
total               109

tap      shape of a sample  parameters  up to here
flatten  (10)                           0
drop1    (6)                            66
l1       (6)                66          66
drop2    (4)                            94
l2       (4)                28          94
l3       (3)                15          109
logits   (3)                            109
`
	if diff := cmp.Diff(want, m.Describe()); diff != "" {
		t.Errorf("Describe (-want +got):\n%s", diff)
	}
	if m.Size() != 109 || m.Dtype() != tensor.Float64 || !m.Spec().In["x"].Shape.Eq(tensor.Shape{2, 5}) {
		t.Errorf("the model is of size %d, %v and %v", m.Size(), m.Dtype(), m.Spec())
	}
	taps := m.Taps()
	if f := taps["l2"]; !f.Shape.Eq(tensor.Shape{4}) || f.Dtype != tensor.Float64 {
		t.Errorf("the field of l2 is %v", f)
	}
	clear(taps)
	if len(m.Taps()) != 7 {
		t.Error("a caller changed the model's taps")
	}
	if d := must(student.New(mlp, singles, 1)).Dtype(); d != tensor.Float32 {
		t.Errorf("a model of float32 inputs is of %v", d)
	}
}

func TestFingerprint(t *testing.T) {
	print := func(net student.Module, seed uint64) [32]byte {
		return must(student.New(net, of(5), seed)).Fingerprint()
	}
	want := print(mlp, 1)
	if print(mlp, 1) != want {
		t.Error("two builds of one seed differ")
	}
	if print(mlp, 2) == want || print(student.MLP{Hidden: []int{6, 5}, Out: 3}, 1) == want {
		t.Error("another seed or shape has the same fingerprint")
	}
	m := must(student.New(mlp, of(5), 1))
	for p := range m.Params() {
		v := p.Value.Float64s()
		v[0] = math.Nextafter(v[0], 9)
		if m.Fingerprint() == want {
			t.Errorf("the last bit of %s does not show", p.Name)
		}
		v[0] = math.Nextafter(v[0], -9)
	}
	must(m.Predict(sample(1, 3, 4, 5)))
	if m.Fingerprint() != want {
		t.Error("Predict changed the model")
	}
}

// A row is what it is, in whatever batch it comes, to the last bit.
func TestPredictAnyBatch(t *testing.T) {
	m := must(student.New(mlp, of(5), 1))
	const n = 20
	all := sample(1, n, n, 5)
	want := must(m.Predict(all, "logits", "l1"))
	for rows := 1; rows <= n; rows++ { // more sizes than a model keeps programs for
		b := sample(1, 0, rows, 5)
		b.N = (rows + 1) / 2
		b.ID = all.ID[:b.N]
		copy(b.In["x"].Float64s(), all.In["x"].Float64s()[:b.N*5])
		got := must(m.Predict(b, "logits", "l1"))
		for name, width := range map[string]int{"logits": 3, "l1": 6} {
			if !got[name].Shape().Eq(tensor.Shape{b.N, width}) || !slices.Equal(got[name].Float64s(), want[name].Float64s()[:b.N*width]) {
				t.Errorf("%s of %d in %d rows are %v", name, b.N, rows, got[name])
			}
		}
	}
}

func TestPredictByHand(t *testing.T) {
	m := must(student.New(student.MLP{Hidden: []int{2}, Out: 1}, of(3), 1))
	values := map[string][]float64{"l1.weight": {1, 0, -1, 2, 2, 2}, "l1.bias": {0.5, -30}, "l2.weight": {3, 5}, "l2.bias": {-1}}
	for p := range m.Params() {
		copy(p.Value.Float64s(), values[p.Name])
		p.Touch()
	}
	x := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float64{4, 5, 3, 7, 7, 8}))
	out := must(m.Predict(data.Batch{N: 2, ID: make([]data.ID, 2), In: data.Signals{"x": x}}))
	// relu(1.5), relu(-6) and relu(-0.5), relu(14)
	if got, want := out["logits"].Float64s(), []float64{3.5, 69}; !slices.Equal(got, want) {
		t.Errorf("the logits are %v; want %v", got, want)
	}
}

// A tap that a stock transpose leaves as a view, and one of tensor.Int.
func TestPredictOddTaps(t *testing.T) {
	spec := of(2, 3)
	spec.In["id"] = data.Field{Shape: tensor.Shape{4}, Dtype: tensor.Int}
	m := must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"turned": b.Op(gorgonia.Transpose(in["x"], 0, 2, 1)), "id": in["id"]}
	}), spec, 1))
	b := sample(1, 2, 3, 2, 3)
	b.In["id"] = tensor.New(tensor.WithShape(3, 4), tensor.WithBacking([]int{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0}))
	out := must(m.Predict(b, "turned", "id"))
	x := b.In["x"].Float64s()
	want := []float64{x[0], x[3], x[1], x[4], x[2], x[5], x[6], x[9], x[7], x[10], x[8], x[11]}
	if !slices.Equal(out["turned"].Float64s(), want) || !out["turned"].Shape().Eq(tensor.Shape{2, 3, 2}) {
		t.Errorf("the transposed tap is %v; want %v", out["turned"].Float64s(), want)
	}
	if got := out["id"].Ints(); !slices.Equal(got, []int{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("the ids are %v", got)
	}
	if _, err := m.Predict(b); err == nil {
		t.Error("a model without logits predicted them")
	}
}

func TestPredictRefuses(t *testing.T) {
	m := must(student.New(mlp, of(5), 1))
	_, err := m.Predict(sample(1, 3, 4, 5), "logits", "l9")
	wantError(t, err, `student: no tap "l9"; there are ["drop1" "drop2" "flatten" "l1" "l2" "l3" "logits"]`)
	_, err = m.Predict(data.Batch{})
	wantError(t, err, "student: the batch has no inputs")
	_, err = m.Predict(sample(1, 3, 4, 6))
	wantError(t, err, `student: input "x": the value is (4, 6) of float64; want (4, 5) of float64`)
	bad := sample(1, 3, 4, 5)
	bad.In["x"] = tensor.New(tensor.FromScalar(1.0))
	_, err = m.Predict(bad)
	wantError(t, err, "the batch has no inputs")
	if out := must(m.Predict(sample(1, 0, 4, 5))); out["logits"].Shape()[0] != 0 {
		t.Errorf("no samples have logits %v", out["logits"].Shape())
	}
}

// Many goroutines and two models: the race detector watches.
func TestPredictInParallel(t *testing.T) {
	models := []*student.Model{must(student.New(mlp, of(5), 1)), must(student.New(mlp, of(5), 2))}
	want := map[string][]float64{}
	key := func(model, rows int) string { return fmt.Sprint(model, " ", rows) }
	for i, m := range models {
		for rows := 1; rows < 12; rows++ {
			want[key(i, rows)] = floats(must(m.Predict(sample(1, rows, rows, 5)))["logits"])
		}
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for rows := 1; rows < 12; rows++ {
				i := (g + rows) % 2
				out, err := models[i].Predict(sample(1, rows, rows, 5))
				if err != nil || !slices.Equal(out["logits"].Float64s(), want[key(i, rows)]) {
					t.Errorf("model %d on %d rows: %v, %v", i, rows, out, err)
				}
			}
		})
	}
	wait.Wait()
}

func BenchmarkPredict(b *testing.B) {
	m := must(student.New(mlp, of(5), 1))
	batch := sample(1, 64, 64, 5)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Predict(batch); err != nil {
			b.Fatal(err)
		}
	}
}

// What is trained is what is saved: a parameter that exists in training alone
// would be lost.
func TestParametersOfOneModeAreRefused(t *testing.T) {
	aux := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x := in[data.Input]
		if b.Training() {
			b.Layer("aux", student.Linear{Out: 3}, x)
		}
		return student.Taps{"logits": b.Layer("l1", student.Linear{Out: 4}, x)}
	})
	m, err := student.New(aux, of(5), 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first attempt leaves nothing behind
		_, err = m.Compile(student.Mode{Rows: 3, Training: true}, func(*student.Builder, student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
			return nil, nil
		})
		if err == nil || !strings.Contains(err.Error(), "parameter aux.weight is new in this mode") {
			t.Errorf("the error is %v; want it to name aux.weight", err)
		}
	}
	if m.Size() != 5*4+4 {
		t.Errorf("the model has %d parameters; want 24", m.Size())
	}
}

// A Model that New did not make has nothing, and says so.
func TestZeroModel(t *testing.T) {
	m := new(student.Model)
	for range m.Params() {
		t.Error("a zero Model has a parameter")
	}
	if m.Size() != 0 || len(m.Taps()) != 0 || m.Describe() == "" {
		t.Errorf("a zero Model has the size %d and the taps %v", m.Size(), m.Taps())
	}
	_, err := m.Predict(sample(1, 3, 4, 5))
	wantError(t, err, `student: no tap "logits"`)
	_, err = m.Compile(student.Mode{Rows: 3}, nil)
	wantError(t, err, "student: Compile has a Model that New did not make")
}

func TestNilReaderAndWriter(t *testing.T) {
	m := must(student.New(mlp, singles, 1))
	wantError(t, m.Save(nil), "student: save: safetensors: the io.Writer is nil")
	wantError(t, m.Load(nil), "student: load: safetensors: the io.Reader is nil")
}
