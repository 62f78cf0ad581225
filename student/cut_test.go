package student_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// imagesOf are samples (3, 12, 11) of a dtype.
func imagesOf(d tensor.Dtype) data.Spec {
	return data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{3, 12, 11}, Dtype: d}}}
}

// scatter sets every parameter to a formula.
func scatter(m *student.Model) *student.Model {
	for p := range m.Params() {
		fill(p.Value, parameter(p.Name, p.Value.Shape()))
		p.Touch()
	}
	return m
}

// widen writes the parameters of a small network to a wide one, as the last
// channels of each axis. The others are 0.
func widen(wide, small *student.Model) {
	from := map[string]*student.Param{}
	for p := range small.Params() {
		from[p.Name] = p
	}
	for p := range wide.Params() {
		src := widened(from[p.Name].Value)
		dst := make([]float64, p.Value.Shape().TotalSize())
		for i := range src {
			at, rest, stride := 0, i, 1
			for axis := p.Value.Dims() - 1; axis >= 0; axis-- {
				few, many := from[p.Name].Value.Shape()[axis], p.Value.Shape()[axis]
				at += (rest%few + many - few) * stride
				rest, stride = rest/few, stride*many
			}
			dst[at] = src[i]
		}
		fill(p.Value, dst)
		p.Touch()
	}
}

// narrowed are networks, and the same ones with more channels.
var narrowed = map[string][2]student.Module{
	"cnn":         {student.CNN{Channels: []int{4, 3}, Hidden: []int{5}, Out: 3}, student.CNN{Channels: []int{6, 3}, Hidden: []int{8}, Out: 3}},
	"flattened":   {student.CNN{Channels: []int{4, 3}, Out: 3, Norm: true}, student.CNN{Channels: []int{4, 7}, Out: 3, Norm: true}},
	"vgg":         {student.VGG{Depth: 11, Channels: 3, Out: 3}, student.VGG{Depth: 11, Channels: 5, Out: 3}},
	"resnet":      {student.ResNet{Depth: 8, Out: 3}, student.ResNet{Depth: 8, Width: 2, Out: 3}},
	"stem":        {student.ResNet{Depth: 8, Width: 2, Stem: 7, Out: 3}, student.ResNet{Depth: 8, Width: 2, Stem: 9, Out: 3}},
	"wideresnet":  {student.WideResNet{Depth: 10, Width: 2, Out: 3}, student.WideResNet{Depth: 10, Width: 3, Out: 3}},
	"mobilenetv2": {student.MobileNetV2{Width: 0.5, Expand: 2, Small: true, Out: 3}, student.MobileNetV2{Expand: 2, Small: true, Out: 3}},
	"tokens":      {tokens(5), tokens(7)},
}

// tokens is a network of (3, 12, 11) as tokens of 11 numbers each.
func tokens(width int) student.Module {
	return logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		x = b.Layer("in", student.Linear{Out: width}, b.Reshape(x, b.Rows(), 36, 11))
		h := b.Layer("up", student.Linear{Out: 4 * width, Act: student.GELU}, x)
		h = b.Add(b.Layer("down", student.Linear{Out: width}, h), x, student.Identity)
		return b.Layer("out", student.Linear{Out: 3}, b.Activate(h, student.Tanh))
	})
}

// A network that is hidden among channels that are 0 is what is cut out of it, to
// the last bit, and it computes the same.
func TestCutFindsTheLargestChannels(t *testing.T) {
	for name, nets := range narrowed {
		for d, off := range map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.Float64: 1e-12} {
			t.Run(fmt.Sprint(name, d), func(t *testing.T) {
				want, teacher := scatter(model(nets[0], imagesOf(d), 1)), model(nets[1], imagesOf(d), 2)
				widen(teacher, want)
				print := teacher.Fingerprint()
				got := must(student.Cut{To: nets[0]}.From(teacher, 3))
				if got.Fingerprint() != want.Fingerprint() {
					t.Error("the student is not what is hidden in its teacher")
				}
				if teacher.Fingerprint() != print {
					t.Error("the cut changed the teacher")
				}
				b := filled(d, []int{5, 3, 12, 11}, formula("x", 5*3*12*11))
				ours, theirs := must(got.Predict(b))["logits"], must(teacher.Predict(b))["logits"]
				compare(t, "logits", widened(ours), widened(theirs), off, 1)
			})
		}
	}
}

func TestCutTakesTheFirstChannels(t *testing.T) {
	for name, nets := range narrowed {
		t.Run(name, func(t *testing.T) {
			teacher := scatter(model(nets[1], imagesOf(tensor.Float64), 1))
			from := map[string]*student.Param{}
			for p := range teacher.Params() {
				from[p.Name] = p
			}
			for p := range must(student.Cut{To: nets[0], First: true}.From(teacher, 2)).Params() {
				var ranges []tensor.Slice
				for _, n := range p.Value.Shape() {
					ranges = append(ranges, gorgonia.S(0, n))
				}
				corner := must(from[p.Name].Value.Slice(ranges...)).Materialize().(*tensor.Dense)
				if !slices.Equal(p.Value.Float64s(), corner.Float64s()) {
					t.Errorf("%s is not the first elements of the teacher's", p.Name)
				}
			}
		})
	}
}

// Blocks whose residual is 0 are not missed.
func TestCutLeavesBlocksOut(t *testing.T) {
	teacher := scatter(model(student.ResNet{Depth: 26, Out: 3}, imagesOf(tensor.Float64), 1))
	for p := range teacher.Params() {
		if parts := strings.Split(p.Name, "."); len(parts) == 4 && (parts[1] == "1" || parts[1] == "2") && parts[2] == "bn2" {
			p.Value.Zero() // of 4 blocks in a stage
			if parts[3] == "running_var" {
				must(p.Value.AddScalar(1.0, true, tensor.UseUnsafe()))
			}
		}
	}
	small := must(student.Cut{To: student.ResNet{Depth: 14, Out: 3}}.From(teacher, 1))
	b := filled(tensor.Float64, []int{5, 3, 12, 11}, formula("x", 5*3*12*11))
	for _, tap := range []string{"layer1", "layer2", "layer3", "logits"} {
		ours, theirs := must(small.Predict(b, tap))[tap], must(teacher.Predict(b, tap))[tap]
		compare(t, tap, floats(ours), floats(theirs), 1e-12, 1)
	}
}

// stack is a network of n blocks of one weight.
func stack(n int) student.Module {
	return logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		x = b.Layer("flatten", student.Flatten{}, x)
		for i := range n {
			x = b.Layer(fmt.Sprint("blocks.", i, ".fc"), student.Linear{Out: 6, NoBias: true}, x)
		}
		return b.Layer("head", student.Linear{Out: 3}, x)
	})
}

func TestCutSpreadsBlocks(t *testing.T) {
	for few, want := range map[int]string{
		1: "[0]", 2: "[0 11]", 3: "[0 6 11]", 6: "[0 2 4 7 9 11]", 11: "[0 1 2 3 4 6 7 8 9 10 11]", 12: "[0 1 2 3 4 5 6 7 8 9 10 11]",
	} {
		teacher := must(student.New(stack(12), of(6), 1))
		layer := map[float64]int{}
		for p := range teacher.Params() {
			layer[p.Value.Float64s()[0]] = len(layer)
		}
		var got []int
		for p := range must(student.Cut{To: stack(few)}.From(teacher, 2)).Params() {
			if strings.HasPrefix(p.Name, "blocks.") {
				got = append(got, layer[p.Value.Float64s()[0]])
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%d blocks of 12 are %v; want %s", few, got, want)
		}
	}
}

// A rule names other blocks, and a new head begins from the seed.
func TestCutByRules(t *testing.T) {
	teacher := must(student.New(stack(5), of(6), 1))
	taken := map[float64]string{}
	for p := range teacher.Params() {
		taken[p.Value.Float64s()[0]] = p.Name
	}
	cut := student.Cut{To: stack(2), Rules: []student.Rule{{`\.1\.`, ".9."}, {`\.9\.`, ".3."}}, Keep: []string{"head.*"}}
	fresh := must(student.New(stack(2), of(6), 7))
	head := map[string][]float64{}
	for p := range fresh.Params() {
		head[p.Name] = floats(p.Value)
	}
	var got []string
	for p := range must(cut.From(teacher, 7)).Params() {
		if name, ok := taken[p.Value.Float64s()[0]]; ok {
			got = append(got, name)
		} else if !slices.Equal(floats(p.Value), head[p.Name]) {
			t.Errorf("%s is neither the teacher's nor the seed's", p.Name)
		}
	}
	if want := "[blocks.0.fc.weight blocks.3.fc.weight]"; fmt.Sprint(got) != want {
		t.Errorf("of the teacher, there are %v; want %s", got, want)
	}
}

// What is computed by a group norm, a grouped convolution or a way that cannot be
// followed keeps its channels.
func TestCutRefuses(t *testing.T) {
	resnet := model(student.ResNet{Depth: 8, Out: 4}, imagesOf(tensor.Float64), 1)
	layers := func(l student.Layer, width int) student.Module {
		return student.Sequence{
			{"in", student.Conv2d{Out: width, Kernel: 3}}, {"mid", l},
			{"flatten", student.Flatten{}}, {"out", student.Linear{Out: 3}},
		}
	}
	wide := func(l student.Layer) *student.Model { return model(layers(l, 8), imagesOf(tensor.Float64), 1) }
	swapped := func(width int) student.Module {
		return logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			x = b.Layer("in", student.Conv2d{Out: width, Kernel: 3}, x)
			return b.Layer("out", student.Linear{Out: 3}, b.Reshape(x, b.Rows(), 9*10, width))
		})
	}
	opaque := func(width int) student.Module {
		return logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			x = b.Op(gorgonia.Square(b.Layer("in", student.Conv2d{Out: width, Kernel: 3}, x)))
			return b.Layer("out", student.Linear{Out: 3}, b.GlobalAvgPool2d(x))
		})
	}
	for want, test := range map[string]struct {
		cut     student.Cut
		teacher *student.Model
	}{
		"student: Cut.To is nil; want a module":                                                               {student.Cut{}, resnet},
		"student: Cut.From has no teacher; want a model that New made":                                        {student.Cut{To: stack(2)}, nil},
		"student: Cut.Rules[0].From is \"(\"; want a regular expression":                                      {student.Cut{To: stack(2), Rules: []student.Rule{{"(", ""}}}, resnet},
		"student: Cut.Keep[0] is \"[\"; want a pattern of path.Match":                                         {student.Cut{To: stack(2), Keep: []string{"["}}, resnet},
		"student: ResNet.Depth is 9; want 6n+2":                                                               {student.Cut{To: student.ResNet{Depth: 9, Out: 4}}, resnet},
		"\tthe teacher has no layer1.1.conv1.weight; want a name of its":                                      {student.Cut{To: student.ResNet{Depth: 14, Out: 4}}, resnet},
		"fc.weight is (3, 64), and (4, 64) in the teacher; want as many on axis 0, which is not free":         {student.Cut{To: student.ResNet{Depth: 8, Out: 3}}, resnet},
		"conv1.weight is (32, 3, 3, 3), and (16, 3, 3, 3) in the teacher; want 16 channels at most on axis 0": {student.Cut{To: student.ResNet{Depth: 8, Width: 2, Out: 4}}, resnet},
		"fc.weight → conv1.weight is (4, 64), and (16, 3, 3, 3) in the teacher; want as many axes":            {student.Cut{To: student.ResNet{Depth: 8, Out: 4}, Rules: []student.Rule{{"^fc.w", "conv1.w"}}}, resnet},
		"in.weight is (4, 3, 3, 3), and (8, 3, 3, 3) in the teacher; want as many on axis 0, which is not free": {
			student.Cut{To: layers(student.GroupNorm{Groups: 4}, 4)}, wide(student.GroupNorm{Groups: 4})},
		"mid.weight is (8, 3, 1, 1), and (8, 4, 1, 1) in the teacher; want as many on axis 1, which is not free": {
			student.Cut{To: layers(student.Conv2d{Out: 8, Kernel: 1, Groups: 2}, 6)}, wide(student.Conv2d{Out: 8, Kernel: 1, Groups: 2})},
		"out.weight is (3, 5), and (3, 8) in the teacher; want as many on axis 1, which is not free": {
			student.Cut{To: swapped(5)}, model(swapped(8), imagesOf(tensor.Float64), 1)},
		"the channels of the student cannot be followed: ": {student.Cut{To: opaque(5)}, model(opaque(8), imagesOf(tensor.Float64), 1)},
		"out.weight is (3, 36), and (3, 720) in the teacher; want 4 and 8 channels on axis 1, as in in.weight": {
			student.Cut{To: layers(student.AvgPool2d{Kernel: 3, Stride: 4, Pad: 1}, 4)}, wide(student.AvgPool2d{Kernel: 1})},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := test.cut.From(test.teacher, 1)
			wantError(t, err, want)
		})
	}
}

// Of blocks that are added up, the channels that are largest together stay.
func TestCutSumsNorms(t *testing.T) {
	net := func(width int) student.Module {
		return logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			x = b.Layer("flatten", student.Flatten{}, x)
			h := b.Layer("a", student.Linear{Out: width}, x)
			h = b.Add(h, b.Layer("b", student.Linear{Out: width}, x), student.Identity)
			return b.Layer("head", student.Linear{Out: 3}, h)
		})
	}
	teacher := must(student.New(net(4), of(1), 1))
	values := map[string][]float64{
		"a.weight": {-5, 1, 4, 2}, "a.bias": {0, 90, 0, 0},
		"b.weight": {1, 1, -4, 5}, "b.bias": {1, 2, 3, 4},
		"head.weight": {99, 99, 5, 6, 99, 99, 7, 8, 99, 99, 9, 10}, // which read and do not make
	}
	for p := range teacher.Params() {
		if v := values[p.Name]; v != nil {
			fill(p.Value, v)
		}
	}
	want := map[string][]float64{"a.weight": {4, 2}, "a.bias": {0, 0}, "b.weight": {-4, 5}, "b.bias": {3, 4},
		"head.weight": {5, 6, 7, 8, 9, 10}}
	for p := range must(student.Cut{To: net(2)}.From(teacher, 1)).Params() {
		if v := want[p.Name]; v != nil && !slices.Equal(floats(p.Value), v) {
			t.Errorf("%s is %v; want %v", p.Name, floats(p.Value), v)
		}
	}
}
