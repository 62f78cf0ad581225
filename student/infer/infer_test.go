package infer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
	"github.com/godistill/godistill/internal/safetensors"
)

const nIn, nHidden, nOut = 5, 7, 3

var (
	header = plan.Header{
		Plan: &plan.Plan{
			Inputs: []plan.Value{{Name: "x", Shape: []int{nIn}}},
			Steps: []plan.Step{
				{Op: "linear", In: []int{0}, Params: []string{"l0.weight", "l0.bias"}, Act: "tanh", Shape: []int{nHidden}},
				{Op: "linear", In: []int{1}, Params: []string{"l1.weight"}, Shape: []int{nOut}},
			},
			Outputs: []plan.Output{{Name: "hidden", Value: 1}, {Name: "logits", Value: 2}},
		},
		Classes: []string{"ant", "bee", "cat"},
		Norm:    map[string]plan.Norm{"x": {Mean: []float64{1, 2, 3, 4, 5}, SD: []float64{1, 2, 0.5, 3, 1}}},
	}
	w0, b0, w1 = random(nHidden*nIn, 1), random(nHidden, 2), random(nOut*nHidden, 3)
)

func random(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// tensors are the parameters of header, and one that is none of it.
func tensors[F kernel.Float]() []safetensors.Tensor {
	var f []safetensors.Tensor
	add := func(name string, x []float64, shape ...int) {
		data := convert[F](x)
		switch x := any(data).(type) {
		case []float32:
			f = append(f, safetensors.Of(name, shape, x))
		case []float64:
			f = append(f, safetensors.Of(name, shape, x))
		}
	}
	add("l0.weight", w0, nHidden, nIn)
	add("l0.bias", b0, nHidden)
	add("l1.weight", w1, nOut, nHidden)
	return append(f, safetensors.Of("steps", nil, []int64{9}))
}

func file(t testing.TB, h plan.Header, tensors []safetensors.Tensor) []byte {
	t.Helper()
	meta, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := safetensors.WriteSummed(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func loaded(t testing.TB, file []byte) *Predictor {
	t.Helper()
	return loadedAs(t, file, Full)
}

func loadedAs(t testing.TB, file []byte, precision Precision) *Predictor {
	t.Helper()
	p, err := precision.Load(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// naive is the network of header, by definition.
func naive(x []float64) (hidden, logits []float64) {
	norm := header.Norm["x"]
	for h := range nHidden {
		sum := b0[h]
		for i, v := range x {
			sum += (v - norm.Mean[i]) / norm.SD[i] * w0[h*nIn+i]
		}
		hidden = append(hidden, math.Tanh(sum))
	}
	for o := range nOut {
		sum := 0.0
		for h, v := range hidden {
			sum += v * w1[o*nHidden+h]
		}
		logits = append(logits, sum)
	}
	return hidden, logits
}

func TestRunMatchesDefinition(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testRun(t, tensors[float32](), 2e-6) })
	t.Run("float64", func(t *testing.T) { testRun(t, tensors[float64](), 1e-7) }) // out comes float32
}

func testRun(t *testing.T, tensors []safetensors.Tensor, tol float64) {
	p := loaded(t, file(t, header, tensors))
	for _, rows := range []int{0, 1, 3, 64, 65, 200} {
		x := convert[float32](random(rows*nIn, 4))
		out, err := p.Run(map[string][]float32{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != 2 || len(out["hidden"]) != rows*nHidden || len(out["logits"]) != rows*nOut {
			t.Fatalf("%d rows: %d outputs, of %d and %d elements", rows, len(out), len(out["hidden"]), len(out["logits"]))
		}
		for r := range rows {
			hidden, logits := naive(convert[float64](x[r*nIn : (r+1)*nIn]))
			near(t, out["hidden"][r*nHidden:], hidden, tol)
			near(t, out["logits"][r*nOut:], logits, 10*tol)
		}
	}
}

func near(t *testing.T, got []float32, want []float64, tol float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tol*(1+math.Abs(w))) {
			t.Fatalf("element %d is %v, want %v", i, got[i], w)
		}
	}
}

func TestBatchesAreRows(t *testing.T) { inEach(t, testBatchesAreRows) }

// inEach calls a test with the student of header in each precision.
func inEach(t *testing.T, test func(t *testing.T, p *Predictor)) {
	for precision := range Precision(len(precisions)) {
		t.Run(precision.String(), func(t *testing.T) {
			test(t, loadedAs(t, file(t, header, tensors[float32]()), precision))
		})
	}
}

func testBatchesAreRows(t *testing.T, p *Predictor) {
	const rows = 150
	x := convert[float32](random(rows*nIn, 5))
	whole, err := p.Logits(x)
	if err != nil {
		t.Fatal(err)
	}
	var alone []float32
	for r := range rows {
		if alone, err = p.AppendLogits(alone, x[r*nIn:(r+1)*nIn]); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(whole, alone) {
		t.Error("a batch differs from its rows")
	}
}

func TestClassify(t *testing.T) {
	p := loaded(t, file(t, header, tensors[float32]()))
	const rows = 9
	x := convert[float32](random(rows*nIn, 6))
	probabilities, err := p.Probabilities(x)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := p.Classify(x)
	if err != nil || len(classes) != rows {
		t.Fatalf("%d classes, error %v", len(classes), err)
	}
	for r, c := range classes {
		_, logits := naive(convert[float64](x[r*nIn : (r+1)*nIn]))
		want := make([]float64, nOut)
		kernel.Softmax(want, logits, 1)
		row := probabilities[r*nOut : (r+1)*nOut]
		near(t, row, want, 1e-5)
		if top := slices.Index(want, slices.Max(want)); c != (Class{top, header.Classes[top], row[top]}) {
			t.Errorf("row %d is %+v, want class %d of %v", r, c, top, want)
		}
	}
}

// A student of sequences has a row of logits for each element of a sample.
func TestClassifySequences(t *testing.T) {
	p := loaded(t, file(t, plan.Header{Plan: &plan.Plan{
		Inputs:  []plan.Value{{Name: "tokens", Shape: []int{4, 3}}},
		Outputs: []plan.Output{{Name: "logits", Value: 0}},
	}}, nil))
	x := []float32{0, 9, 9, 1, 0, 0, 0, 0, 0, -9, -8, 9, 3, 2, 1, 1, 2, 3, 1, 3, 2, 0, 0, 1}
	classes, err := p.Classify(x)
	if err != nil {
		t.Fatal(err)
	}
	var index []int
	for _, c := range classes {
		index = append(index, c.Index)
	}
	if want := []int{1, 0, 0, 2, 0, 2, 1, 2}; !slices.Equal(index, want) {
		t.Errorf("classes %v, want %v", index, want)
	}
}

func TestSeveralInputs(t *testing.T) {
	p := loaded(t, file(t, plan.Header{
		Plan: &plan.Plan{
			Inputs:  []plan.Value{{Name: "a", Shape: []int{3}}, {Name: "b"}},
			Steps:   []plan.Step{{Op: "activation", In: []int{1}, Act: "relu"}},
			Outputs: []plan.Output{{Name: "a", Value: 0}, {Name: "b", Value: 2}},
		},
		Norm: map[string]plan.Norm{"a": {Mean: []float64{1}, SD: []float64{2}}, "gone": {}},
	}, nil))
	out, err := p.Run(map[string][]float32{"a": {1, 2, 3, 4, 5, 6}, "b": {-1, 1}})
	want := map[string][]float32{"a": {0, 0.5, 1, 1.5, 2, 2.5}, "b": {0, 1}}
	if err != nil || !cmp.Equal(out, want) {
		t.Errorf("got %v, %v, want %v", out, err, want)
	}
	for _, test := range []struct {
		in   map[string][]float32
		want string
	}{
		{map[string][]float32{"a": {1, 2, 3}}, `infer: input "b" is missing`},
		{map[string][]float32{"a": {1, 2, 3}, "b": {1, 2}}, `infer: input "b" has 2 rows; "a" has 1`},
		{map[string][]float32{"a": {1, 2, 3}, "b": {1}, "c": {1}}, `infer: input "c" is unknown; the student has ["a" "b"]`},
		{map[string][]float32{"a": {1, 2, 3, 4}, "b": {1}}, `infer: input "a" has 4 elements; want a multiple of 3`},
	} {
		if _, err := p.Run(test.in); err == nil || err.Error() != test.want {
			t.Errorf("%v: error %v, want %s", test.in, err, test.want)
		}
	}
	if _, err := p.Logits([]float32{1, 2, 3}); err == nil || !strings.Contains(err.Error(), `inputs ["a" "b"]`) {
		t.Errorf("Logits of two inputs: error %v", err)
	}
}

func TestInputsAreChecked(t *testing.T) {
	p := loaded(t, file(t, header, tensors[float32]()))
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, test := range []struct {
		x    []float32
		want string
	}{
		{[]float32{1, 2, 3, 4}, "4 elements; want a multiple of 5"},
		{[]float32{1, 2, 3, 4, 5, 6, nan, 8, 9, 10}, "NaN at element 1 of row 1"},
		{[]float32{1, 2, 3, 4, inf}, "-Inf at element 4 of row 0"},
	} {
		for name, call := range map[string]func([]float32) error{
			"Logits":        func(x []float32) error { _, err := p.Logits(x); return err },
			"Probabilities": func(x []float32) error { _, err := p.Probabilities(x); return err },
			"Classify":      func(x []float32) error { _, err := p.Classify(x); return err },
		} {
			if err := call(test.x); err == nil || !strings.HasPrefix(err.Error(), `infer: input "x" `) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s(%v): error %v", name, test.x, err)
			}
		}
	}
}

func TestProbabilitiesOfOverflow(t *testing.T) {
	big := float32(math.MaxFloat32)
	p := loaded(t, file(t, plan.Header{Plan: &plan.Plan{
		Inputs:  []plan.Value{{Name: "x", Shape: []int{1}}},
		Steps:   []plan.Step{{Op: "linear", In: []int{0}, Params: []string{"w"}, Shape: []int{3}}},
		Outputs: []plan.Output{{Name: "logits", Value: 1}},
	}}, []safetensors.Tensor{safetensors.Of("w", []int{3, 1}, []float32{1, 2, 3})}))
	if _, err := p.Classify([]float32{1, big}); err == nil || !strings.Contains(err.Error(), "the logits of row 1 have +Inf") {
		t.Errorf("error %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	with := func(change func(h *plan.Header)) plan.Header {
		h, p := header, *header.Plan
		h.Plan = &p
		change(&h)
		return h
	}
	f32, f64 := tensors[float32](), tensors[float64]()
	for _, test := range []struct {
		name, want string
		header     plan.Header
		tensors    []safetensors.Tensor
	}{
		{"unlowered", "no forward pass that runs here: layer conv1 is foreign", plan.Header{Unlowered: "layer conv1 is foreign"}, f32},
		{"no student", "was not saved as a student", plan.Header{}, f32},
		{"missing parameter", `"l1.weight" is missing`, header, f32[:2]},
		{"mixed types", `"l1.weight" is F32; want all F32 or all F64`, header, append(f64[:2:2], f32[2])},
		{"other type", `"l0.bias" is I64`, header, []safetensors.Tensor{safetensors.Of("l0.bias", []int{3}, []int64{1, 2, 3})}},
		{"not finite", `"l0.bias" is not finite`, header, append(slices.Delete(slices.Clone(f32), 1, 2),
			safetensors.Of("l0.bias", []int{nHidden}, slices.Repeat([]float32{float32(math.NaN())}, nHidden)))},
		{"classes", "names 2 classes; its logits have 3", with(func(h *plan.Header) { h.Classes = h.Classes[:2] }), f32},
		{"norm", `norm of input "x" has 2 elements; want none, 1 or 5`, with(func(h *plan.Header) {
			h.Norm = map[string]plan.Norm{"x": {Mean: []float64{1, 2}, SD: []float64{1, 2}}}
		}), f32},
		{"outputs", "0 outputs", with(func(h *plan.Header) { h.Plan.Outputs = nil }), f32},
	} {
		_, err := Load(bytes.NewReader(file(t, test.header, test.tensors)))
		if err == nil || !strings.HasPrefix(err.Error(), "infer: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v; want one with %q", test.name, err, test.want)
		}
	}
	whole := file(t, header, f32)
	for n := range whole {
		if _, err := Load(bytes.NewReader(whole[:n])); err == nil {
			t.Fatalf("a file cut after %d of %d bytes was loaded", n, len(whole))
		}
	}
	_, err := Load(nil)
	if err == nil || err.Error() != "infer: safetensors: the io.Reader is nil" {
		t.Errorf("error %v", err)
	}
}

// Damage is found, or does no harm: the name of the checksum may be hit.
func TestLoadRefusesDamage(t *testing.T) {
	whole, x := file(t, header, tensors[float32]()), map[string][]float32{"x": convert[float32](random(3*nIn, 4))}
	run := func(p *Predictor) map[string][]float32 {
		out, err := p.Run(x)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want, passed := run(loaded(t, whole)), 0
	for i := range whole {
		damaged := slices.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		p, err := Load(bytes.NewReader(damaged))
		if err != nil {
			continue
		}
		passed++
		if !cmp.Equal(run(p), want) || !cmp.Equal(p.Classes(), header.Classes) {
			t.Errorf("byte %d: another student", i)
		}
	}
	if passed > 40 {
		t.Errorf("%d of %d damaged files were loaded; want 40 at most", passed, len(whole))
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "student.safetensors")
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "infer: ") {
		t.Errorf("error %v", err)
	}
	whole := file(t, header, tensors[float32]())
	if err := os.WriteFile(path, whole[:9], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.HasPrefix(err.Error(), "infer: "+path+": safetensors: ") {
		t.Errorf("error %v; want one that names the file", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	in, out := p.Inputs(), p.Outputs()
	if len(in) != 1 || in[0].Name != "x" || !slices.Equal(in[0].Shape, []int{nIn}) {
		t.Errorf("inputs %+v", in)
	}
	if len(out) != 2 || out[1].Name != "logits" || !slices.Equal(out[1].Shape, []int{nOut}) {
		t.Errorf("outputs %+v", out)
	}
	in[0].Shape[0], p.Classes()[0] = 99, "changed"
	if p.Inputs()[0].Shape[0] != nIn || p.Classes()[0] != "ant" {
		t.Error("a caller can change the predictor")
	}
}

func TestManyGoroutines(t *testing.T) { inEach(t, testManyGoroutines) }

func testManyGoroutines(t *testing.T, p *Predictor) {
	const rows = 130
	x := convert[float32](random(rows*nIn, 7))
	want, err := p.Logits(x)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				n := (g*20+i)%rows + 1
				got, err := p.Logits(x[:n*nIn])
				if err != nil || !slices.Equal(got, want[:n*nOut]) {
					t.Errorf("%d rows: another result, error %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// raceEnabled says that pools forget at random.
var raceEnabled bool

func TestOneRowDoesNotAllocate(t *testing.T) { inEach(t, testOneRowDoesNotAllocate) }

func testOneRowDoesNotAllocate(t *testing.T, p *Predictor) {
	x, dst := convert[float32](random(nIn, 8)), make([]float32, 0, nOut)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := p.AppendLogits(dst, x); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 && !raceEnabled {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDependencies(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(deps), "godistill/internal/kernel\n") {
		t.Fatalf("unexpected list:\n%s", deps)
	}
	for dep := range strings.FieldsSeq(string(deps)) {
		own := strings.HasPrefix(dep, "github.com/godistill/godistill/")
		if host, _, _ := strings.Cut(dep, "/"); strings.Contains(host, ".") && !own && dep != "golang.org/x/sys/cpu" {
			t.Errorf("infer depends on %s", dep)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(file(f, header, tensors[float32]()))
	f.Add(file(f, header, tensors[float64]()))
	f.Add(file(f, plan.Header{Unlowered: "no reason"}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := Load(bytes.NewReader(file))
		if err != nil {
			return
		}
		fuzzRun(t, p)
		for _, precision := range []Precision{Float16, Int8} {
			if p, err := precision.Load(bytes.NewReader(file)); err == nil {
				fuzzRun(t, p)
			}
		}
	})
}

func fuzzRun(t *testing.T, p *Predictor) {
	in := map[string][]float32{}
	for _, v := range p.inputs {
		if v.size > 1<<16 {
			return // valid, but slow
		}
		in[v.Name] = make([]float32, 2*v.size)
	}
	if _, err := p.Run(in); err != nil {
		t.Fatal(err)
	}
}

func Example() {
	// A student of two inputs and two classes, as Save would write it.
	header := plan.Header{
		Plan: &plan.Plan{
			Inputs:  []plan.Value{{Name: "x", Shape: []int{2}}},
			Steps:   []plan.Step{{Op: "linear", In: []int{0}, Params: []string{"weight"}, Shape: []int{2}}},
			Outputs: []plan.Output{{Name: "logits", Value: 1}},
		},
		Classes: []string{"left", "right"},
		Norm:    map[string]plan.Norm{"x": {Mean: []float64{10}, SD: []float64{2}}},
	}
	meta, _ := header.Encode()
	var file bytes.Buffer
	weight := safetensors.Of("weight", []int{2, 2}, []float32{1, 0, 0, 1})
	if err := safetensors.Write(&file, []safetensors.Tensor{weight}, meta); err != nil {
		fmt.Println(err)
		return
	}

	p, err := Load(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	classes, err := p.Classify([]float32{14, 10, 8, 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range classes {
		fmt.Printf("%s %.3f\n", c.Name, c.Probability)
	}
	// Output:
	// left 0.881
	// right 0.982
}

func BenchmarkOneRow(b *testing.B) {
	const in, hidden, out = 64, 32, 10
	h := plan.Header{Plan: &plan.Plan{
		Inputs: []plan.Value{{Name: "x", Shape: []int{in}}},
		Steps: []plan.Step{
			{Op: "linear", In: []int{0}, Params: []string{"w0", "b0"}, Act: "relu", Shape: []int{hidden}},
			{Op: "linear", In: []int{1}, Params: []string{"w1", "b1"}, Shape: []int{out}},
		},
		Outputs: []plan.Output{{Name: "logits", Value: 2}},
	}}
	p := loaded(b, file(b, h, []safetensors.Tensor{
		safetensors.Of("w0", []int{hidden, in}, convert[float32](random(hidden*in, 1))),
		safetensors.Of("b0", []int{hidden}, convert[float32](random(hidden, 2))),
		safetensors.Of("w1", []int{out, hidden}, convert[float32](random(out*hidden, 3))),
		safetensors.Of("b1", []int{out}, convert[float32](random(out, 4))),
	}))
	x, dst := convert[float32](random(in, 5)), []float32(nil)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = p.AppendLogits(dst[:0], x); err != nil {
			b.Fatal(err)
		}
	}
}
