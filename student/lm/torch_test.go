package lm_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

const batch, positions = 3, 7

// A reference is what PyTorch computes in float64: of a gradient it has the norm,
// the product with a vector, and the first elements.
type reference struct {
	Name                  string
	Config                lm.Config
	Loss                  float64
	Logits, Losses, Final []float64
	Ahead                 [][]float64
	Grads                 map[string][]float64
}

func references(t testing.TB) []reference {
	t.Helper()
	var file struct{ Cases []reference }
	if err := json.Unmarshal(must(os.ReadFile("testdata/lm.json")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bits, formula, parameter and summary are the functions of lm.py.
func bits(name string, n int) []int {
	v, start := make([]int, n), crc32.ChecksumIEEE([]byte(name))
	for i := range v {
		h := start + uint32(i)
		for range 3 {
			h = (h ^ h>>16) * 0x45d9f3b
		}
		v[i] = int(h >> 8)
	}
	return v
}

func formula(name string, n int) []float64 {
	v := make([]float64, n)
	for i, b := range bits(name, n) {
		v[i] = float64(b)/(1<<23) - 1
	}
	return v
}

func parameter(name string, shape tensor.Shape) []float64 {
	v := formula(name, shape.TotalSize())
	for i, u := range v {
		switch {
		case len(shape) > 1 && !strings.Contains(name, "embed"):
			v[i] = u / math.Sqrt(float64(shape[1]))
		case len(shape) > 1:
		case strings.HasSuffix(name, "norm.weight"):
			v[i] = 1 + u/2
		default:
			v[i] = u / 4
		}
	}
	return v
}

func summary(name string, v []float64) []float64 {
	var squares, along float64
	for i, u := range formula("along "+name, len(v)) {
		squares += v[i] * v[i]
		along += v[i] * u
	}
	return append([]float64{math.Sqrt(squares), along}, v[:min(3, len(v))]...)
}

// ids are below n, or with labels from -1 on.
func ids(n int) *tensor.Dense {
	v := bits("ids", batch*positions)
	for i := range v {
		v[i] %= n
	}
	return tensor.New(tensor.WithShape(batch, positions), tensor.WithBacking(v))
}

func labels(n int) *tensor.Dense {
	v := bits("labels", batch*positions)
	for i := range v {
		v[i] = v[i]%(n+1) - 1
	}
	return tensor.New(tensor.WithShape(batch*positions), tensor.WithBacking(v))
}

func inputs(v *tensor.Dense) data.Batch {
	rows := v.Shape()[0]
	return data.Batch{N: rows, ID: make([]data.ID, rows), In: data.Signals{data.Input: v}}
}

// model is that of the case with its weights.
func (r reference) model(d tensor.Dtype) *student.Model {
	m := must(lm.NewOf(r.Config, positions, d, 1))
	for p := range m.Params() {
		fill(p.Value, parameter(p.Name, p.Value.Shape()))
		p.Touch()
	}
	return m
}

func fill(t *tensor.Dense, v []float64) {
	switch dst := t.Data().(type) {
	case []float64:
		copy(dst, v)
	case []float32:
		for i, x := range v {
			dst[i] = float32(x)
		}
	}
}

func widened(t *tensor.Dense) []float64 {
	if v, ok := t.Data().([]float64); ok {
		return v
	}
	var v []float64
	for _, x := range t.Float32s() {
		v = append(v, float64(x))
	}
	return v
}

// A training is a graph with the cost of the case.
type training struct {
	*student.Program
	cost, logits *gorgonia.Node
	ahead        []*gorgonia.Node
}

func (r reference) training(t testing.TB, m *student.Model) (p training) {
	t.Helper()
	p.Program = must(m.Compile(student.Mode{Rows: batch, Training: true}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		p.logits = taps["logits"]
		for k := range r.Ahead {
			p.ahead = append(p.ahead, taps[fmt.Sprint("ahead", k+1)])
		}
		p.cost = r.cost(b, p.logits, p.ahead, taps["balance"])
		return p.cost, append(p.ahead, p.logits)
	}))
	if err := p.Bind(inputs(ids(r.Config.Vocab))); err != nil {
		t.Fatal(err)
	}
	return p
}

// cost is the function loss of lm.py.
func (r reference) cost(b *student.Builder, logits *gorgonia.Node, ahead []*gorgonia.Node, balance *gorgonia.Node) *gorgonia.Node {
	classes, total := labels(r.Config.Vocab), 0.0
	for _, l := range classes.Ints() {
		if l >= 0 {
			total++
		}
	}
	scalar := func(v float64) *gorgonia.Node { return b.Scalar(func(int) float64 { return v }) }
	label, ones := b.Constant(classes), tensor.New(tensor.Of(b.Dtype()), tensor.WithShape(batch*positions))
	fill(ones, slices.Repeat([]float64{1}, batch*positions))
	weight := b.Op(graph.Labelled(b.Constant(ones), label))
	mean := func(rows *gorgonia.Node) *gorgonia.Node {
		return b.Op(graph.WeightedMean(rows, weight, scalar(total)))
	}
	entropy := func(z *gorgonia.Node) *gorgonia.Node {
		return mean(b.Op(graph.CrossEntropy(b.Reshape(z, batch*positions, r.Config.Vocab), label, 0)))
	}
	terms, weights := []*gorgonia.Node{entropy(logits)}, []*gorgonia.Node{scalar(1)}
	for _, z := range ahead {
		terms, weights = append(terms, entropy(z)), append(weights, scalar(0.3))
	}
	if balance != nil {
		terms, weights = append(terms, mean(b.Reshape(balance, batch*positions))), append(weights, scalar(0.1))
	}
	return b.Op(graph.Combine(terms, weights))
}

// compare fails t where v differs from what PyTorch has, by more than off in units
// of its size, which is at least size.
func compare(t testing.TB, name string, got, want []float64, off, size float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements; want %d", name, len(got), len(want))
	}
	for i, v := range got {
		if !(math.Abs(v-want[i]) <= off*max(size, math.Abs(want[i]))) {
			t.Errorf("%s: number %d is %v; PyTorch says %v", name, i, v, want[i])
		}
	}
}

// Each kind of model is PyTorch's, under Hugging Face's names: the logits, the loss
// and every gradient, to 1e-9 in float64 and to 1e-4 in float32.
func TestModelsMatchPyTorch(t *testing.T) {
	for _, r := range references(t) {
		for d, off := range map[tensor.Dtype]float64{tensor.Float64: 1e-9, tensor.Float32: 1e-4} {
			t.Run(fmt.Sprint(r.Name, d), func(t *testing.T) {
				m := r.model(d)
				p := r.training(t, m)
				if err := p.Run(0); err != nil {
					t.Fatal(err)
				}
				compare(t, "the loss", []float64{p.Scalar(p.cost)}, []float64{r.Loss}, off, 1)
				compare(t, "logits", widened(p.Value(p.logits)), r.Logits, off, 1)
				for k, n := range p.ahead {
					compare(t, fmt.Sprint("ahead", k+1), widened(p.Value(n)), r.Ahead[k], off, 1)
				}
				compare(t, "predicted logits", widened(must(m.Predict(inputs(ids(r.Config.Vocab))))["logits"]), r.Logits, off, 1)
				r.compareGrads(t, p, off)
			})
		}
	}
}

func (r reference) compareGrads(t testing.TB, p training, off float64) {
	found := 0
	for ps, g := range p.Grads() {
		found++
		want := r.Grads[ps.Name]
		if len(want) == 0 {
			t.Errorf("PyTorch has no %s", ps.Name)
			continue
		}
		compare(t, ps.Name, summary(ps.Name, widened(g)), want, off, max(want[0], 1e-4))
	}
	if found != len(r.Grads) {
		t.Errorf("there are %d gradients; PyTorch has %d", found, len(r.Grads))
	}
}

// 50 steps of AdamW are PyTorch's to 1e-6, in float64.
func TestTrajectoriesMatchPyTorch(t *testing.T) {
	for _, r := range references(t) {
		t.Run(r.Name, func(t *testing.T) {
			if len(r.Losses) != 50 {
				t.Fatalf("there are %d steps; want 50", len(r.Losses))
			}
			m := r.model(tensor.Float64)
			p := r.training(t, m)
			w := adamW{}
			var losses []float64
			for step := range len(r.Losses) {
				if err := p.Run(step); err != nil {
					t.Fatal(err)
				}
				losses = append(losses, p.Scalar(p.cost))
				w.update(step, p.Program)
			}
			compare(t, "the loss", losses, r.Losses, 1e-6, 1)
			if err := p.Run(0); err != nil {
				t.Fatal(err)
			}
			compare(t, "logits", widened(p.Value(p.logits)), r.Final, 1e-6, 1)
		})
	}
}

// adamW is that of lm.py, with the moments of each parameter.
type adamW map[*student.Param]*[2][]float64

func (a adamW) update(step int, p *student.Program) {
	const rate, b1, b2, eps, decay = 0.01, 0.9, 0.99, 1e-8, 0.1
	c1, c2 := 1-math.Pow(b1, float64(step+1)), 1-math.Pow(b2, float64(step+1))
	for ps, g := range p.Grads() {
		w := ps.Value.Float64s()
		if a[ps] == nil {
			a[ps] = &[2][]float64{make([]float64, len(w)), make([]float64, len(w))}
		}
		m, v := a[ps][0], a[ps][1]
		for i, d := range g.Float64s() {
			w[i] *= 1 - rate*decay
			m[i] = b1*m[i] + (1-b1)*d
			v[i] = b2*v[i] + (1-b2)*d*d
			w[i] -= rate / c1 * m[i] / (math.Sqrt(v[i]/c2) + eps)
		}
		ps.Touch()
	}
}

// A model that was saved and loaded is the same, to the last bit, and so is its
// configuration.
func TestSaveAndLoad(t *testing.T) {
	for _, r := range references(t) {
		for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			dir := t.TempDir() + "/new"
			m := r.model(d)
			if err := lm.Save(dir, m); err != nil {
				t.Fatal(err)
			}
			n, err := lm.Load(dir, positions)
			if err != nil {
				t.Fatal(err)
			}
			if m.Fingerprint() != n.Fingerprint() || m.Dtype() != n.Dtype() {
				t.Errorf("%s: the model is another one", r.Name)
			}
			again := t.TempDir()
			if err := lm.Save(again, n); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"config.json", "model.safetensors"} {
				if string(must(os.ReadFile(dir+"/"+name))) != string(must(os.ReadFile(again+"/"+name))) {
					t.Errorf("%s: %s is another one", r.Name, name)
				}
			}
		}
	}
}
