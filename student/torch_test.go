package student_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// networks are those that testdata/networks.py computes, by its names.
var networks = map[string]student.Module{
	"cnn":               student.CNN{Channels: []int{4, 6}, Out: 4},
	"cnn normed":        student.CNN{Channels: []int{6, 5, 7}, Hidden: []int{9, 8}, Out: 4, Norm: true},
	"vgg8":              student.VGG{Depth: 8, Channels: 5, Out: 4},
	"vgg11 plain":       student.VGG{Depth: 11, Channels: 3, Out: 4, NoNorm: true},
	"vgg13":             student.VGG{Depth: 13, Channels: 3, Out: 4},
	"vgg16":             student.VGG{Channels: 3, Out: 4},
	"resnet8":           student.ResNet{Depth: 8, Out: 4},
	"resnet20":          student.ResNet{Out: 4},
	"resnet8x2":         student.ResNet{Depth: 8, Width: 2, Stem: 7, Out: 4},
	"wrn-10-2":          student.WideResNet{Depth: 10, Width: 2, Out: 4},
	"wrn-16-1":          student.WideResNet{Out: 4},
	"mobilenetv2":       student.MobileNetV2{Width: 0.35, Expand: 3, Out: 4},
	"mobilenetv2 small": student.MobileNetV2{Width: 0.25, Small: true, Out: 4},
}

// A reference is what PyTorch computes in float64. Of a gradient, or a running
// statistic, it has the norm, the product with a vector, and the first elements.
type reference struct {
	Name         string
	Shape        []int
	Classes      int
	Loss         float64
	Logits, Eval []float64
	Grads        map[string][]float64
	Statistics   map[string][]float64
}

func references(t testing.TB) []reference {
	t.Helper()
	var file struct{ Cases []reference }
	if err := json.Unmarshal(must(os.ReadFile("testdata/networks.json")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != len(networks) {
		t.Fatalf("there are %d cases; want %d", len(file.Cases), len(networks))
	}
	return file.Cases
}

// formula is the function fill of networks.py.
func formula(name string, n int) []float64 {
	v, start := make([]float64, n), crc32.ChecksumIEEE([]byte(name))
	for i := range v {
		h := start + uint32(i)
		for range 3 {
			h = (h ^ h>>16) * 0x45d9f3b
		}
		v[i] = float64(h>>8)/(1<<23) - 1
	}
	return v
}

// parameter is the function of that name in networks.py.
func parameter(name string, shape tensor.Shape) []float64 {
	v := formula(name, shape.TotalSize())
	for i, u := range v {
		switch {
		case len(shape) > 1:
			v[i] = u * math.Sqrt(6/float64(shape[1:].TotalSize()))
		case strings.HasSuffix(name, "running_var"), strings.HasSuffix(name, "weight"):
			v[i] = 1 + u/2
		default:
			v[i] = u / 4
		}
	}
	return v
}

// inputs are those of the case.
func (r reference) inputs(d tensor.Dtype) data.Batch {
	return filled(d, r.Shape, formula("x", tensor.Shape(r.Shape).TotalSize()))
}

// model is the network of the case with its weights.
func (r reference) model(d tensor.Dtype) *student.Model {
	m := model(networks[r.Name], data.Spec{In: map[string]data.Field{"x": {Shape: r.Shape[1:], Dtype: d}}}, 1)
	for p := range m.Params() {
		fill(p.Value, parameter(p.Name, p.Value.Shape()))
		p.Touch()
	}
	return m
}

// cost is the loss of the case: 0.3 cross entropy and 0.7 of Hinton's term.
func (r reference) cost(b *student.Builder, logits *gorgonia.Node) *gorgonia.Node {
	rows := r.Shape[0]
	labels, noise := make([]int, rows), formula("teacher", rows*r.Classes)
	for i := range labels {
		labels[i] = i % r.Classes
	}
	teacher := tensor.New(tensor.Of(b.Dtype()), tensor.WithShape(rows, r.Classes))
	for i, v := range noise {
		noise[i] = 3 * v
	}
	fill(teacher, noise)
	scalar := func(v float64) *gorgonia.Node { return b.Scalar(func(int) float64 { return v }) }
	mean := func(loss *gorgonia.Node) *gorgonia.Node {
		return b.Op(graph.WeightedMean(loss, b.Valid(), scalar(float64(rows))))
	}
	hard := mean(b.Op(graph.CrossEntropy(logits, b.Constant(tensor.New(tensor.WithBacking(labels))), 0)))
	soft := mean(b.Op(graph.KL(logits, b.Constant(teacher), scalar(4))))
	return b.Op(graph.Combine([]*gorgonia.Node{hard, soft}, []*gorgonia.Node{scalar(0.3), scalar(0.7)}))
}

// compare fails t where v differs from what PyTorch has, by more than off in
// units of its size, which is 1 at least for what is no gradient.
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

// summary is the function of that name in networks.py.
func summary(name string, v []float64) []float64 {
	var squares, along float64
	for i, u := range formula("along "+name, len(v)) {
		squares += v[i] * v[i]
		along += v[i] * u
	}
	return append([]float64{math.Sqrt(squares), along}, v[:min(3, len(v))]...)
}

// Each ready-made network is PyTorch's, under PyTorch's names: the logits and the
// loss of a step, every gradient, the running statistics, and the logits in eval
// mode, in float64 to 1e-9 and in float32 to 1e-4, without the gradients.
func TestNetworksMatchPyTorch(t *testing.T) {
	for _, r := range references(t) {
		for d, off := range map[tensor.Dtype]float64{tensor.Float64: 1e-9, tensor.Float32: 1e-4} {
			t.Run(fmt.Sprint(r.Name, d), func(t *testing.T) {
				m := r.model(d)
				var cost, z *gorgonia.Node
				p := must(m.Compile(student.Mode{Rows: r.Shape[0], Training: true}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
					cost, z = r.cost(b, taps["logits"]), taps["logits"]
					return cost, []*gorgonia.Node{z}
				}))
				if err := errors.Join(p.Bind(r.inputs(d)), p.Run(0)); err != nil {
					t.Fatal(err)
				}
				compare(t, "the loss", []float64{p.Scalar(cost)}, []float64{r.Loss}, off, 1)
				compare(t, "logits", widened(p.Value(z)), r.Logits, off, 1)
				compare(t, "eval logits", widened(must(m.Predict(r.inputs(d)))["logits"]), r.Eval, off, 1)
				r.compareStatistics(t, m, off)
				if d == tensor.Float64 {
					r.compareGrads(t, p, off)
				}
			})
		}
	}
}

func (r reference) compareStatistics(t testing.TB, m *student.Model, off float64) {
	found := 0
	for p := range m.Params() {
		if p.Buffer {
			found++
			compare(t, p.Name, summary(p.Name, widened(p.Value)), r.Statistics[p.Name], off, 1)
		}
	}
	if found != len(r.Statistics) {
		t.Errorf("there are %d running statistics; PyTorch has %d", found, len(r.Statistics))
	}
}

// compareGrads compares each gradient in units of its norm. Where a batch norm
// follows, that by a bias is 0 but for what is rounded.
func (r reference) compareGrads(t testing.TB, p *student.Program, off float64) {
	found := 0
	for ps, g := range p.Grads() {
		found++
		want := r.Grads[ps.Name]
		if len(want) == 0 {
			t.Errorf("PyTorch has no %s", ps.Name)
			continue
		}
		compare(t, ps.Name, summary(ps.Name, floats(g)), want, off, max(want[0], 1e-4))
	}
	if found != len(r.Grads) {
		t.Errorf("there are %d gradients; PyTorch has %d", found, len(r.Grads))
	}
}
