package student_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/safetensors"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// noise is a set of n samples with inputs of the given shapes. Its values are
// those of float32 in float64 too.
func noise(d tensor.Dtype, n int, shapes map[string][]int) data.Set {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	in := data.Signals{}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		x := tensor.New(tensor.Of(d), tensor.WithShape(append([]int{n}, shapes[name]...)...))
		for i := range x.Shape().TotalSize() {
			v := float32(3 + 2*rng.NormFloat64())
			if d == tensor.Float64 {
				x.Float64s()[i] = float64(v)
			} else {
				x.Float32s()[i] = v
			}
		}
		in[name] = x
	}
	return must(data.NewMemory(in, nil, nil))
}

// table is a set of rows of 5 numbers, normalised.
func table(d tensor.Dtype) data.Set {
	raw := noise(d, 4, map[string][]int{"x": {5}})
	return must(data.Normalize(raw, must(data.FitNormEach(raw))))
}

var net = student.MLP{Hidden: []int{7, 6}, Out: 3, Act: student.Tanh}

func model(m student.Module, spec data.Spec, seed uint64) *student.Model {
	return must(student.New(m, spec, seed))
}

func saved(t testing.TB, m *student.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// batch has all samples of a set, and padding.
func batch(t testing.TB, set data.Set) data.Batch {
	t.Helper()
	b := must(data.NewBatch(set.Spec(), set.Len()+3))
	for i := range set.Len() {
		if err := b.Append(set, i, 0); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// narrow is the first n rows of a signal in float32.
func narrow(x *tensor.Dense, n int) []float32 {
	var all []float32
	for r := range n {
		all = append(all, data.Row[float32](x, r)...)
		for _, v := range data.Row[float64](x, r) {
			all = append(all, float32(v))
		}
	}
	return all
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
}

func TestSaveLoadSave(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		set := table(d)
		a, b := model(net, set.Spec(), 1), model(net, set.Spec(), 2)
		file := saved(t, a)
		if !bytes.Equal(file, saved(t, model(net, set.Spec(), 1))) {
			t.Errorf("%v: equal models are saved as other bytes", d)
		}
		before := must(b.Predict(batch(t, set)))
		if err := b.Load(bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, saved(t, b)) {
			t.Errorf("%v: saved, loaded and saved again, the bytes differ", d)
		}
		want, got := must(a.Predict(batch(t, set))), must(b.Predict(batch(t, set)))
		if !sameBits(narrow(got["logits"], 4), narrow(want["logits"], 4)) || sameBits(narrow(got["logits"], 4), narrow(before["logits"], 4)) {
			t.Errorf("%v: the loaded model predicts %v; want %v", d, got, want)
		}
		for p := range b.Params() {
			if p.Version() == 0 {
				t.Errorf("%v: %s was written to and not touched", d, p.Name)
			}
		}
	}
}

// Any reader of the format finds the weights under PyTorch's names and shapes.
func TestSaveIsReadable(t *testing.T) {
	block := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"logits": b.Scope("block").Layer("fc", student.Linear{Out: 4}, in["x"])}
	})
	m := model(block, table(tensor.Float32).Spec(), 1)
	for p := range m.Params() {
		p.Frozen = true // saved all the same
	}
	f := must(safetensors.Read(bytes.NewReader(saved(t, m))))
	shapes := map[string][]int{}
	for _, tensor := range f.Tensors {
		shapes[tensor.Name] = tensor.Shape
	}
	if got := fmt.Sprint(shapes); got != "map[block.fc.bias:[4] block.fc.weight:[4 5]]" || f.Meta["format"] != "pt" {
		t.Errorf("the file has %v, format %q", got, f.Meta["format"])
	}
	weight, _ := f.Lookup("block.fc.weight")
	for p := range m.Params() {
		if p.Name == weight.Name && !sameBits(must(safetensors.Values[float32](weight)), p.Value.Float32s()) {
			t.Error("the weight has other values")
		}
	}
}

func TestSaveFails(t *testing.T) {
	full := errors.New("disk full")
	m := model(net, table(tensor.Float32).Spec(), 1)
	for n := range 3 {
		if err := m.Save(&failing{n, full}); !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "student: save: ") {
			t.Errorf("write %d: error %v", n, err)
		}
	}
}

// failing takes so many writes.
type failing struct {
	n   int
	err error
}

func (w *failing) Write(p []byte) (int, error) {
	if w.n--; w.n < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestLoadRefuses(t *testing.T) {
	set := table(tensor.Float32)
	good := must(safetensors.Read(bytes.NewReader(saved(t, model(net, set.Spec(), 1)))))
	with := func(name string, shape []int, of string) func([]safetensors.Tensor) []safetensors.Tensor {
		return func(all []safetensors.Tensor) []safetensors.Tensor {
			for i, t := range all {
				if t.Name == name {
					all[i].Shape, all[i].Dtype = shape, of
				}
			}
			return all
		}
	}
	for _, test := range []struct {
		name   string
		change func([]safetensors.Tensor) []safetensors.Tensor
		want   string
	}{
		{"nothing", func([]safetensors.Tensor) []safetensors.Tensor { return nil }, "no parameter l1.weight"},
		{"missing", func(all []safetensors.Tensor) []safetensors.Tensor { return all[:5] }, "no parameter l3.weight"},
		{"extra", func(all []safetensors.Tensor) []safetensors.Tensor {
			return append(all, safetensors.Of("l4.bias", []int{1}, []float32{0}))
		}, "parameter l4.bias that the model does not have"},
		{"transposed", with("l1.weight", []int{5, 7}, "F32"), "l1.weight is [5 7] of F32 in the file; the model wants (7, 5) of F32"},
		{"flat", with("l1.weight", []int{35}, "F32"), "l1.weight is [35] of F32"},
		{"column", with("l1.bias", []int{7, 1}, "F32"), "l1.bias is [7 1] of F32"},
		{"dtype", with("l1.bias", []int{7}, "I32"), "l1.bias is [7] of I32 in the file; the model wants (7) of F32"},
		{"float64", func([]safetensors.Tensor) []safetensors.Tensor {
			return must(safetensors.Read(bytes.NewReader(saved(t, model(net, table(tensor.Float64).Spec(), 1))))).Tensors
		}, "of F64 in the file"},
	} {
		var b bytes.Buffer
		if err := safetensors.WriteSummed(&b, test.change(slices.Clone(good.Tensors)), good.Meta); err != nil {
			t.Fatal(err)
		}
		refuses(t, test.name, b.Bytes(), test.want)
	}
	file := saved(t, model(net, set.Spec(), 1))
	for n := range file {
		refuses(t, fmt.Sprintf("cut after %d bytes", n), file[:n], "EOF")
	}
	for i := range file {
		flipped := slices.Clone(file)
		flipped[i] ^= 1 << (i % 8)
		same, m := model(net, set.Spec(), 1), model(net, set.Spec(), 2)
		if m.Load(bytes.NewReader(flipped)) == nil && m.Fingerprint() != same.Fingerprint() {
			t.Errorf("a file with another byte %d was loaded", i)
		}
	}
	refuses(t, "more", append(slices.Clone(file), 0), "goes on after the last tensor")
	refuses(t, "hostile", []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "the format allows")
}

// refuses says that net does not load a file, and stays as it was.
func refuses(t *testing.T, name string, file []byte, want string) {
	t.Helper()
	m := model(net, table(tensor.Float32).Spec(), 2)
	before := m.Fingerprint()
	err := m.Load(bytes.NewReader(file))
	if err == nil || !strings.HasPrefix(err.Error(), "student: load: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v; want one with %q", name, err, want)
	}
	if m.Fingerprint() != before {
		t.Errorf("%s: the model was changed", name)
	}
}

// Weights that no plan needs to know are loaded from another program's file.
func TestLoadForeign(t *testing.T) {
	m := model(student.Sequence{{Name: "fc", Layer: student.Linear{Out: 3, NoBias: true}}}, table(tensor.Float32).Spec(), 1)
	weight := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	var b bytes.Buffer
	if err := safetensors.Write(&b, []safetensors.Tensor{safetensors.Of("fc.weight", []int{3, 5}, weight)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Load(&b); err != nil {
		t.Fatal(err)
	}
	for p := range m.Params() {
		if !slices.Equal(p.Value.Float32s(), weight) {
			t.Errorf("%s is %v", p.Name, p.Value.Data())
		}
	}
}

func FuzzLoad(f *testing.F) {
	small := student.MLP{Out: 3}
	spec := table(tensor.Float32).Spec()
	good := saved(f, model(small, spec, 1))
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(saved(f, model(net, spec, 1)))
	f.Add(saved(f, model(small, table(tensor.Float64).Spec(), 1)))
	m, again := model(small, spec, 2), model(small, spec, 3)
	f.Fuzz(func(t *testing.T, file []byte) {
		before := m.Fingerprint()
		if err := m.Load(bytes.NewReader(file)); err != nil {
			if m.Fingerprint() != before {
				t.Fatalf("the model was changed by a file with the error %v", err)
			}
			return
		}
		if err := again.Load(bytes.NewReader(saved(t, m))); err != nil || again.Fingerprint() != m.Fingerprint() {
			t.Fatalf("what was loaded is not what was saved: error %v", err)
		}
	})
}

// What infer computes from a file and raw inputs is what the model does, to
// the last bit, with every tap as an output.
func agrees(t testing.TB, m student.Module, raw data.Set) {
	t.Helper()
	set := must(data.Normalize(raw, must(data.FitNorm(raw))))
	trained := model(m, set.Spec(), 1)
	p, err := infer.Load(bytes.NewReader(saved(t, trained)))
	if err != nil {
		t.Fatal(err)
	}
	taps := slices.Sorted(maps.Keys(trained.Taps()))
	want := must(trained.Predict(batch(t, set), taps...))
	in := map[string][]float32{}
	for name, x := range batch(t, raw).In {
		in[name] = narrow(x, raw.Len())
	}
	got, err := p.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(taps) || len(p.Outputs()) != len(taps) {
		t.Errorf("%d outputs for the taps %q", len(got), taps)
	}
	for _, tap := range taps {
		if !sameBits(got[tap], narrow(want[tap], raw.Len())) {
			t.Errorf("%s is %v; want %v", tap, got[tap], want[tap].Data())
		}
	}
}

// several is a module of inputs (4, 3), (5) and ().
var several = student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
	x := b.Layer("image", student.Linear{Out: 6, Act: student.ReLU}, in["x"])
	h := b.Layer("hidden", student.Linear{Out: 7, Act: student.Sigmoid}, b.Reshape(x, b.Rows(), 24))
	side := b.Layer("side", student.Linear{Out: 3, NoBias: true}, in["side"])
	return student.Taps{
		"logits":   b.Layer("out", student.Linear{Out: 4}, h),
		"tokens":   x,
		"side":     side,
		"detached": b.Detach(side),
		"input":    in["side"],
		"number":   b.Activate(in["number"], student.Tanh),
	}
})

func TestInferAgrees(t *testing.T) {
	for _, test := range []struct {
		name   string
		net    student.Module
		shapes map[string][]int
	}{
		{"MLP", net, map[string][]int{"x": {5}}},
		{"linear", student.MLP{Out: 4}, map[string][]int{"x": {5, 3}}},
		{"dropout", student.MLP{Hidden: []int{7, 6}, Out: 3, Dropout: 0.4}, map[string][]int{"x": {5, 3, 4}}},
		{"activations", student.Sequence{
			{"a", student.Activation{Act: student.Tanh}},
			{"b", student.Linear{Out: 6, Act: student.Sigmoid}},
			{"c", student.Activation{Act: student.ReLU}},
			{"d", student.Activation{}},
			{"drop", student.Dropout{Rate: 0.3}},
			{"e", student.Linear{Out: 4, NoBias: true}},
		}, map[string][]int{"x": {3, 5}}},
		{"several inputs", several, map[string][]int{"x": {4, 3}, "side": {5}, "number": nil}},
	} {
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			t.Run(fmt.Sprintf("%s/%v", test.name, d), func(t *testing.T) {
				for _, n := range []int{1, 7, 70} { // infer computes 64 at once
					agrees(t, test.net, noise(d, n, test.shapes))
				}
			})
		}
	}
}

func TestInferAgreesOnAnyMLP(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := student.MLP{
			Hidden:  rapid.SliceOfN(rapid.IntRange(1, 40), 0, 3).Draw(r, "hidden"),
			Out:     rapid.IntRange(1, 20).Draw(r, "out"),
			Act:     student.Act(rapid.IntRange(0, 3).Draw(r, "act")),
			Dropout: rapid.Float64Range(0, 0.9).Draw(r, "dropout"),
		}
		d := rapid.SampledFrom([]tensor.Dtype{tensor.Float32, tensor.Float64}).Draw(r, "dtype")
		shape := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 3).Draw(r, "shape")
		agrees(t, m, noise(d, rapid.IntRange(1, 20).Draw(r, "rows"), map[string][]int{"x": shape}))
	})
}

// Norm and classes travel with the student: infer takes raw pixels.
func TestInferOnRawDigits(t *testing.T) {
	test := must(data.Digits()).Test
	m := model(student.MLP{Hidden: []int{9}, Out: 10}, test.Spec(), 1)
	b := batch(t, test)
	raw := narrow(b.In["x"], b.N)
	for i := range raw {
		raw[i] *= 16 // exactly what they were
	}
	p, err := infer.Load(bytes.NewReader(saved(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	logits := narrow(must(m.Predict(b))["logits"], b.N)
	if got := must(p.Logits(raw)); !sameBits(got, logits) {
		t.Errorf("the logits are %v; want %v", got[:10], logits[:10])
	}
	classes := must(p.Classify(raw))
	for r, c := range classes {
		row := logits[10*r : 10*r+10]
		if want := slices.Index(row, slices.Max(row)); c.Index != want || c.Name != test.Spec().Classes[want] {
			t.Errorf("row %d is %+v; want class %d", r, c, want)
		}
	}
	if len(classes) != 500 || !slices.Equal(p.Classes(), test.Spec().Classes) {
		t.Errorf("%d rows, classes %q", len(classes), p.Classes())
	}
}

// A network that no plan can express is saved with the reason, and loaded.
func TestUnlowered(t *testing.T) {
	for _, test := range []struct {
		name string
		tap  func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node
		want string
	}{
		{"stock op", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Scope("block").Op(gorgonia.Cube(x))
		}, "block.cube#2: the operation cube has no place in a plan"},
		{"log-softmax", (*student.Builder).LogSoftmax, "the operation log-softmax has no place"},
		{"batch folded", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			x = b.Reshape(x, 5*b.Rows(), 1)
			return b.Reshape(b.Layer("fc", student.Linear{Out: 3}, x), b.Rows(), 15)
		}, "the operation reshape has no place"},
		{"computed weight", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Linear(x, b.Activate(b.Param("w", student.He, 4, 5), student.Tanh), nil, student.Identity)
		}, `step 1 ("activation"): it has 0 inputs`},
		{"weight of the batch", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Linear(x, x, nil, student.Identity)
		}, `step 1 ("linear"): it has 2 inputs`},
		{"parameter as a tap", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Param("w", student.He, b.Rows(), 4)
		}, `tap "logits" is no value of the forward pass`},
	} {
		m := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
			return student.Taps{"logits": test.tap(b, b.Layer("l1", student.Linear{Out: 5}, in["x"]))}
		})
		spec := table(tensor.Float32).Spec()
		a, b := model(m, spec, 1), model(m, spec, 2)
		file := saved(t, a)
		if !bytes.Equal(file, saved(t, a)) {
			t.Errorf("%s: saved twice, the bytes differ", test.name)
		}
		_, err := infer.Load(bytes.NewReader(file))
		if err == nil || !strings.HasPrefix(err.Error(), "infer: the student has no forward pass that runs here: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: infer says %v; want %q", test.name, err, test.want)
		}
		if err := b.Load(bytes.NewReader(file)); err != nil || a.Fingerprint() != b.Fingerprint() {
			t.Errorf("%s: it is not loaded as it was saved: error %v", test.name, err)
		}
	}
}

// Saving and predicting are reading.
func TestSaveWhilePredicting(t *testing.T) {
	set := table(tensor.Float32)
	m := model(net, set.Spec(), 1)
	file, b := saved(t, m), batch(t, set)
	want := narrow(must(m.Predict(b))["logits"], b.N)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				var got bytes.Buffer
				if err := m.Save(&got); err != nil || !bytes.Equal(got.Bytes(), file) {
					t.Errorf("other bytes, error %v", err)
				}
				s, err := m.Predict(b)
				if err != nil || !sameBits(narrow(s["logits"], b.N), want) {
					t.Errorf("other logits, error %v", err)
				}
			}
		})
	}
	wg.Wait()
}
