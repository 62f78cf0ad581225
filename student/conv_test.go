package student_test

import (
	"bytes"
	"fmt"
	"log"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
)

// cnn is a small network that has all layers on images.
var cnn = student.Sequence{
	{"stem", student.Conv2d{Out: 6, Kernel: 3, Pad: 1, Act: student.Tanh}},
	{"halve", student.MaxPool2d{Kernel: 2}},
	{"depthwise", student.Conv2d{Out: 6, Kernel: 3, Pad: 1, Groups: 6, NoBias: true}},
	{"pointwise", student.Conv2d{Out: 5, Kernel: 1, Act: student.Sigmoid, Init: student.He}},
	{"smooth", student.AvgPool2d{Kernel: 3, Stride: 1, Pad: 1, ExcludePad: true}},
	{"oblong", student.Conv2d{Out: 4, Window: student.Window{Kernel: [2]int{1, 3}, Stride: [2]int{1, 2}, Pad: [2]int{0, 1}}, Act: student.ReLU}},
	{"mean", student.GlobalAvgPool2d{}},
	{"head", student.Linear{Out: 3}},
}

func TestConvGradients(t *testing.T) {
	m := must(student.New(cnn, of(3, 8, 6), 1))
	p, cost := step(t, m, sample(1, 4, 4, 3, 8, 6), "logits")
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
		if grads[ps.Name] == nil {
			t.Errorf("there is no gradient by %s", ps.Name)
			continue
		}
		gradcheck.Compare(t, ps.Name, value, ps.Value.Float64s(), grads[ps.Name])
	}
}

func TestConvShapes(t *testing.T) {
	m := must(student.New(cnn, of(3, 8, 6), 1))
	for tap, want := range map[string]tensor.Shape{
		"stem": {4, 6, 8, 6}, "halve": {4, 6, 4, 3}, "depthwise": {4, 6, 4, 3}, "pointwise": {4, 5, 4, 3},
		"smooth": {4, 5, 4, 3}, "oblong": {4, 4, 4, 2}, "mean": {4, 4}, "logits": {4, 3},
	} {
		if got := must(m.Predict(sample(1, 4, 4, 3, 8, 6), tap))[tap]; !got.Shape().Eq(want) {
			t.Errorf("%s is %v; want %v", tap, got.Shape(), want)
		}
	}
	want := map[string]tensor.Shape{
		"stem.weight": {6, 3, 3, 3}, "stem.bias": {6}, "depthwise.weight": {6, 1, 3, 3},
		"pointwise.weight": {5, 6, 1, 1}, "pointwise.bias": {5}, "oblong.weight": {4, 5, 1, 3}, "oblong.bias": {4},
		"head.weight": {3, 4}, "head.bias": {3},
	}
	for p := range m.Params() {
		if !p.Value.Shape().Eq(want[p.Name]) {
			t.Errorf("%s is %v; want %v", p.Name, p.Value.Shape(), want[p.Name])
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("there is no %v", want)
	}
}

// Images without an axis of channels have one channel.
func TestOneChannel(t *testing.T) {
	net := student.Sequence{{"a", student.Conv2d{Out: 4, Kernel: 3}}, {"b", student.Flatten{}}}
	flat, whole := must(student.New(net, of(5, 6), 1)), must(student.New(net, of(1, 5, 6), 1))
	a, b := must(flat.Predict(sample(1, 3, 3, 5, 6)))["logits"], must(whole.Predict(sample(1, 3, 3, 1, 5, 6)))["logits"]
	if !a.Shape().Eq(tensor.Shape{3, 48}) || !slices.Equal(a.Float64s(), b.Float64s()) {
		t.Errorf("(B, H, W) gives %v; (B, 1, H, W) gives %v", a, b)
	}
	pools := student.Sequence{{"a", student.MaxPool2d{Kernel: 2}}}
	if got := must(must(student.New(pools, of(5, 6), 1)).Predict(sample(1, 3, 3, 5, 6)))["logits"].Shape(); !got.Eq(tensor.Shape{3, 1, 2, 3}) {
		t.Errorf("a pool gives %v", got)
	}
}

// The fields of squares say what a Window says, for each layer.
func TestWindowIsTheFields(t *testing.T) {
	w := student.Window{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [2]int{1, 1}, Dilation: [2]int{2, 2}}
	plain := student.Window{Kernel: w.Kernel, Stride: w.Stride, Pad: w.Pad}
	for name, pair := range map[string][2]student.Layer{
		"conv": {student.Conv2d{Out: 4, Kernel: 3, Stride: 2, Pad: 1, Dilation: 2}, student.Conv2d{Out: 4, Window: w}},
		"max":  {student.MaxPool2d{Kernel: 3, Stride: 2, Pad: 1, Dilation: 2}, student.MaxPool2d{Window: w}},
		"avg":  {student.AvgPool2d{Kernel: 3, Stride: 2, Pad: 1}, student.AvgPool2d{Window: plain}},
	} {
		var out [2]*tensor.Dense
		for i, l := range pair {
			m := must(student.New(student.Sequence{{"a", l}}, of(3, 7, 8), 1))
			out[i] = must(m.Predict(sample(1, 3, 3, 3, 7, 8)))["logits"]
		}
		if !out[0].Shape().Eq(out[1].Shape()) || !slices.Equal(out[0].Float64s(), out[1].Float64s()) {
			t.Errorf("%s: %v and %v", name, out[0], out[1])
		}
	}
}

// PyTorch draws both weight and bias within 1/√fanIn; with an Init, there is no
// bias at first.
func TestConvInit(t *testing.T) {
	largest := func(l student.Conv2d, name string) float64 {
		m := must(student.New(student.Sequence{{"a", l}}, of(6, 5, 5), 1))
		for p := range m.Params() {
			if p.Name == name {
				v := floats(p.Value)
				return max(slices.Max(v), -slices.Min(v))
			}
		}
		t.Fatalf("there is no %s", name)
		return 0
	}
	wide := student.Conv2d{Out: 600, Groups: 3, Window: student.Window{Kernel: [2]int{3, 4}}}
	bound := 1 / math.Sqrt(2*3*4)
	for _, name := range []string{"a.weight", "a.bias"} {
		if top := largest(wide, name); top > bound || top < 0.98*bound {
			t.Errorf("%s is within %v; want %v", name, top, bound)
		}
	}
	wide.Init = student.Uniform(9)
	if w, b := largest(wide, "a.weight"), largest(wide, "a.bias"); w < 8.9 || w > 9 || b != 0 {
		t.Errorf("weight and bias are within %v and %v; want 9 and 0", w, b)
	}
}

func TestConvRefuses(t *testing.T) {
	one := func(l student.Layer) student.Module { return student.Sequence{{"a", l}} }
	wide := student.Window{Kernel: [2]int{3, 2}}
	tests := map[string]struct {
		net  student.Module
		spec data.Spec
		want string
	}{
		"no channels":    {one(student.Conv2d{Kernel: 3}), of(3, 5, 6), "student: a: Conv2d.Out is 0; want 1 or more"},
		"no kernel":      {one(student.Conv2d{Out: 4}), of(3, 5, 6), "student: a: Conv2d.Kernel is [0 0]; want 1 or more"},
		"half a kernel":  {one(student.Conv2d{Out: 4, Window: student.Window{Kernel: [2]int{3, 0}}}), of(3, 5, 6), "student: a: Conv2d.Kernel is [3 0]; want 1 or more"},
		"both":           {one(student.Conv2d{Out: 4, Pad: 1, Window: wide}), of(3, 5, 6), "student: a: Conv2d.Window is {[3 2] [0 0] [0 0] [0 0]} beside Kernel, Stride, Pad or Dilation; want either"},
		"groups":         {one(student.Conv2d{Out: 4, Kernel: 3, Groups: 2}), of(3, 5, 6), "student: a: Conv2d.Groups is 2; want a divisor of the channels, 3, and of Out, 4"},
		"below 0 groups": {one(student.Conv2d{Out: 4, Kernel: 3, Groups: -1}), of(3, 5, 6), "student: a: Conv2d.Groups is -1"},
		"stride":         {one(student.Conv2d{Out: 4, Kernel: 3, Stride: -1}), of(3, 5, 6), "student: a: kernel: Window.Stride is [-1 -1]"},
		"large":          {one(student.Conv2d{Out: 4, Kernel: 9000}), of(3, 5, 6), "student: a: kernel: Window spans 9000 pixels along axis 0 of an image of [5 6]; want 5 at most"},
		"rows":           {one(student.Conv2d{Out: 4, Kernel: 3}), of(5), "student: a: the input of Conv2d is (3, 5); want (B, C, H, W), or (B, H, W) of one channel"},
		"activation":     {one(student.Conv2d{Out: 4, Kernel: 3, Act: 17}), of(3, 5, 6), `student: a: graph: conv2d: kernel: activation is "Act(17)"`},
		"max of rows":    {one(student.MaxPool2d{Kernel: 2}), of(5), "student: a: the input of MaxPool2d is (3, 5)"},
		"max of nothing": {one(student.MaxPool2d{}), of(3, 5, 6), "student: a: MaxPool2d.Kernel is [0 0]; want 1 or more"},
		"max, padded":    {one(student.MaxPool2d{Kernel: 3, Pad: 2}), of(3, 5, 6), "student: a: graph: max-pool: kernel: Window.Pad is [2 2] of a pool"},
		"avg of rows":    {one(student.AvgPool2d{Kernel: 2}), of(5), "student: a: the input of AvgPool2d is (3, 5)"},
		"avg of both":    {one(student.AvgPool2d{Kernel: 2, Window: wide}), of(3, 5, 6), "student: a: AvgPool2d.Window is"},
		"avg, wide":      {one(student.AvgPool2d{Kernel: 6}), of(3, 5, 6), "student: a: graph: avg-pool: kernel: Window spans 6 pixels along axis 0"},
		"global of rows": {one(student.GlobalAvgPool2d{}), of(5), "student: a: the input of GlobalAvgPool2d is (3, 5)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := student.New(test.net, test.spec, 1)
			wantError(t, err, test.want)
		})
	}
}

// A saved student with convolutions runs without this program, to the last bit.
func TestInferAgreesOnImages(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, n := range []int{1, 7, 70} { // infer computes 64 at once
			t.Run(fmt.Sprint(d, n), func(t *testing.T) {
				agrees(t, cnn, noise(d, n, map[string][]int{"x": {3, 8, 6}}))
			})
		}
	}
}

func TestInferAgreesOnAnyConv(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func(name string, least, most int) [2]int {
			n := rapid.IntRange(least, most)
			return [2]int{n.Draw(r, name), n.Draw(r, name)}
		}
		w := student.Window{Kernel: draw("kernel", 1, 3), Stride: draw("stride", 0, 3), Pad: draw("pad", 0, 2), Dilation: draw("dilation", 0, 2)}
		groups := rapid.IntRange(1, 3).Draw(r, "groups")
		pool := student.Window{Kernel: draw("pool", 1, 2), Stride: draw("pool stride", 0, 2)}
		for axis := range 2 {
			pool.Pad[axis] = rapid.IntRange(0, pool.Kernel[axis]/2).Draw(r, "pool pad")
		}
		net := student.Sequence{
			{"conv", student.Conv2d{
				Out:    groups * rapid.IntRange(1, 4).Draw(r, "out"),
				Window: w, Groups: groups,
				Act:    student.Act(rapid.IntRange(0, 3).Draw(r, "act")),
				NoBias: rapid.Bool().Draw(r, "no bias"),
			}},
			{"max", student.MaxPool2d{Window: pool}},
			{"avg", student.AvgPool2d{Window: pool, ExcludePad: rapid.Bool().Draw(r, "exclude")}},
		}
		d := rapid.SampledFrom([]tensor.Dtype{tensor.Float32, tensor.Float64}).Draw(r, "dtype")
		size := draw("size", 20, 26) // enough for every window above
		shape := []int{groups * rapid.IntRange(1, 3).Draw(r, "channels"), size[0], size[1]}
		agrees(t, net, noise(d, rapid.IntRange(1, 5).Draw(r, "rows"), map[string][]int{"x": shape}))
	})
}

// With weights of fewer bits, convolutions stay what they are.
func TestPrecisionOfConvolutions(t *testing.T) {
	raw := noise(tensor.Float32, 5, map[string][]int{"x": {3, 8, 6}})
	m := model(cnn, raw.Spec(), 1)
	x := narrow(batch(t, raw).In["x"], raw.Len())
	want := must(must(infer.Load(bytes.NewReader(saved(t, m)))).Run(map[string][]float32{"x": x}))
	for _, precision := range []infer.Precision{infer.Float16, infer.Int8} {
		got := must(must(precision.Load(bytes.NewReader(saved(t, m)))).Run(map[string][]float32{"x": x}))
		if !sameBits(got["mean"], want["mean"]) || sameBits(got["logits"], want["logits"]) {
			t.Errorf("%v: features %v and logits %v; want the features %v, and other logits than %v", precision, got["mean"], got["logits"], want["mean"], want["logits"])
		}
	}
}

// A network for images of one channel.
func ExampleConv2d() {
	net := student.Sequence{
		{"conv1", student.Conv2d{Out: 8, Kernel: 3, Pad: 1, Act: student.ReLU}},
		{"pool1", student.MaxPool2d{Kernel: 2}},
		{"conv2", student.Conv2d{Out: 16, Kernel: 3, Pad: 1, Act: student.ReLU}},
		{"mean", student.GlobalAvgPool2d{}},
		{"head", student.Linear{Out: 10}},
	}
	m, err := student.New(net, images, 1)
	if err != nil {
		log.Fatal(err)
	}
	batch := data.Batch{N: 2, ID: make([]data.ID, 2), In: data.Signals{
		data.Input: tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 8, 8)),
	}}
	out, err := m.Predict(batch, "pool1", "conv2", "logits")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Size(), out["pool1"].Shape(), out["conv2"].Shape(), out["logits"].Shape())
	// Output: 1418 (2, 8, 4, 4) (2, 16, 4, 4) (2, 10)
}

// A separable convolution, of a window that is wider than high.
func ExampleBuilder_Conv2d() {
	separable := func(b *student.Builder, in student.Taps) student.Taps {
		x := b.Reshape(in["x"], b.Rows(), 4, 2, 8) // strips of two rows
		wide := student.Window{Kernel: [2]int{1, 5}, Pad: [2]int{0, 2}}
		x = b.Conv2d(x, b.Param("each", student.He, 4, 1, 1, 5), nil, wide, 4, student.Identity)
		x = b.Conv2d(x, b.Param("across", student.He, 3, 4, 1, 1), nil, student.Window{}, 1, student.ReLU)
		return student.Taps{"features": x, "logits": b.GlobalAvgPool2d(x)}
	}
	m, err := student.New(student.ModuleFunc(separable), images, 1)
	if err != nil {
		log.Fatal(err)
	}
	var taps student.Taps
	if _, err := m.Compile(student.Mode{Rows: 5}, func(_ *student.Builder, t student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		taps = t
		return nil, nil
	}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(taps["features"].Shape(), taps["logits"].Shape())
	// Output: (5, 3, 2, 8) (5, 3)
}
