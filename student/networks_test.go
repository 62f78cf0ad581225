package student_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
)

// The sizes are those of the literature on distillation: its networks, of 100
// classes and 32 by 32 pixels in three colours.
func TestNetworkSizes(t *testing.T) {
	for name, test := range map[string]struct {
		net  student.Module
		size int
	}{
		"resnet8x4":    {student.ResNet{Depth: 8, Width: 4, Stem: 32, Out: 100}, 1233540},
		"resnet20":     {student.ResNet{Out: 100}, 278324},
		"vgg8":         {student.VGG{Depth: 8, Out: 100}, 3965028},
		"vgg13":        {student.VGG{Depth: 13, Out: 100}, 9462180},
		"wrn_16_2":     {student.WideResNet{Width: 2, Out: 100}, 703284},
		"wrn_40_1":     {student.WideResNet{Depth: 40, Out: 100}, 569780},
		"mobilenet_v2": {student.MobileNetV2{Out: 1000}, 3504872},
		"resnet56":     {student.ResNet{Depth: 56, Out: 100}, 861620},
	} {
		t.Run(name, func(t *testing.T) {
			if m := must(student.New(test.net, of(3, 32, 32), 1)); m.Size() != test.size {
				t.Errorf("there are %d parameters; want %d", m.Size(), test.size)
			}
		})
	}
}

func TestNetworksRefuse(t *testing.T) {
	for want, net := range map[string]student.Module{
		"student: ResNet.Depth is 21; want 6n+2, such as 8 or 20":            student.ResNet{Depth: 21, Out: 3},
		"student: ResNet.Depth is 2; want 6n+2, such as 8 or 20":             student.ResNet{Depth: 2, Out: 3},
		"student: ResNet.Depth is 60002; want 10000 at most":                 student.ResNet{Depth: 60002, Out: 3},
		"student: ResNet.Width is 1152921504606846976; want 1048576 at most": student.ResNet{Width: 1 << 60, Out: 3},
		"student: CNN.Channels has 0 stages":                                 student.CNN{Channels: []int{}, Out: 3},
		"student: ResNet.Out is 0; want 1 or more":                           student.ResNet{},
		"student: ResNet.Width is -1; want 0 or more":                        student.ResNet{Width: -1, Out: 3},
		"student: ResNet.Stem is -1; want 0 or more":                         student.ResNet{Stem: -1, Out: 3},
		"student: VGG.Depth is 12; want 8, 11, 13, 16 or 19, 0 meaning 16":   student.VGG{Depth: 12, Out: 3},
		"student: VGG.Out is -3; want 1 or more":                             student.VGG{Out: -3},
		"student: VGG.Channels is -1; want 0 or more":                        student.VGG{Channels: -1, Out: 3},
		"student: WideResNet.Depth is 17; want 6n+4, such as 10 or 22":       student.WideResNet{Depth: 17, Out: 3},
		"student: WideResNet.Width is -1; want 0 or more":                    student.WideResNet{Width: -1, Out: 3},
		"student: WideResNet.Out is 0; want 1 or more":                       student.WideResNet{},
		"student: block1.layer.0.dropout: the dropout rate is 1; want":       student.WideResNet{Out: 3, Dropout: 1},
		"student: MobileNetV2.Out is 0; want 1 or more":                      student.MobileNetV2{},
		"student: MobileNetV2.Expand is -6; want 0 or more":                  student.MobileNetV2{Expand: -6, Out: 3},
		"student: MobileNetV2.Width is NaN; want 0 to 16, 0 meaning 1":       student.MobileNetV2{Width: math.NaN(), Out: 3},
		"student: MobileNetV2.Width is 17; want 0 to 16, 0 meaning 1":        student.MobileNetV2{Width: 17, Out: 3},
		"student: CNN.Out is 0; want 1 or more":                              student.CNN{},
		"student: CNN.Channels[1] is 0; want 1 or more":                      student.CNN{Channels: []int{4, 0}, Out: 3},
		"student: CNN.Hidden[0] is -2; want 1 or more":                       student.CNN{Channels: []int{4}, Hidden: []int{-2}, Out: 3},
		"student: CNN.Channels has 4 stages for images of 12 by 11 pixels; want 1 or more, but fewer than leave no pixel, for each halves them": student.CNN{Channels: []int{3, 4, 5, 6}, Out: 3},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := student.New(net, of(3, 12, 11), 1)
			wantError(t, err, want)
		})
	}
	_, err := student.New(student.VGG{Out: 3}, of(3, 12, 7), 1)
	wantError(t, err, "student: the images of VGG have a side of 7 pixels; want 8 or more, for it halves them three times")
	_, err = student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.ResNet{Out: 3}.Forward(b, nil)
	}), of(3, 12, 11), 1)
	wantError(t, err, `student: ResNet wants the input "x"`)
	_, err = student.New(student.ResNet{Out: 3}, of(12), 1)
	wantError(t, err, "student: the input of ResNet is (3, 12); want (B, C, H, W), or (B, H, W) of one channel")
}

// What no field says has a meaning that works, for images of one channel as well.
func TestNetworksOfDigits(t *testing.T) {
	for _, test := range []struct {
		net   student.Module
		first string
	}{
		{student.CNN{Out: 10}, "conv1.weight (16, 1, 3, 3)"},
		{student.VGG{Out: 10}, "block0.0.weight (64, 1, 3, 3)"},
		{student.ResNet{Out: 10}, "conv1.weight (16, 1, 3, 3)"},
		{student.WideResNet{Out: 10}, "conv1.weight (16, 1, 3, 3)"},
		{student.MobileNetV2{Out: 10}, "features.0.0.weight (32, 1, 3, 3)"},
	} {
		m := must(student.New(test.net, of(8, 9), 1))
		for p := range m.Params() {
			if got := fmt.Sprint(p.Name, " ", p.Value.Shape()); got != test.first {
				t.Errorf("%T begins with %s; want %s", test.net, got, test.first)
			}
			break
		}
		if taps := m.Taps(); !taps["logits"].Shape.Eq(tensor.Shape{10}) || taps["pool"].Shape.Dims() != 1 {
			t.Errorf("%T has the taps %v", test.net, taps)
		}
	}
}

// tiny are one network of each kind, small enough to be looked at number by number.
var tiny = map[string]student.Module{
	"cnn":         student.CNN{Channels: []int{4, 3}, Hidden: []int{5}, Out: 3},
	"cnn normed":  student.CNN{Channels: []int{4, 3}, Out: 3, Norm: true},
	"vgg":         student.VGG{Depth: 8, Channels: 3, Out: 3},
	"vgg plain":   student.VGG{Depth: 8, Channels: 3, Out: 3, NoNorm: true},
	"resnet":      student.ResNet{Depth: 8, Stem: 3, Out: 3},
	"wideresnet":  student.WideResNet{Depth: 10, Out: 3, Dropout: 0.3},
	"mobilenetv2": student.MobileNetV2{Width: 0.1, Expand: 2, Small: true, Out: 3, Dropout: 0.2},
}

// The gradient by the first element of every parameter that is trained; of all
// elements, there would be hundreds of thousands. A step of one of MobileNetV2's
// early weights takes some element over a kink of one of 35 ReLU6, unless its norms
// keep them between 0 and 6.
func TestNetworkGradients(t *testing.T) {
	for name, net := range tiny {
		t.Run(name, func(t *testing.T) {
			m := must(student.New(net, of(3, 9, 8), 1))
			for p := range m.Params() {
				if scope, ok := strings.CutSuffix(p.Name, ".running_mean"); ok && name == "mobilenetv2" {
					level(m, scope)
				}
			}
			p, cost := step(t, m, sample(1, 6, 6, 3, 9, 8), "logits")
			look := must(p.Only(cost))
			value := func() float64 {
				if err := look.Run(0); err != nil {
					t.Fatal(err)
				}
				return look.Scalar(cost)
			}
			if left := p.Unused(); len(left) > 0 {
				t.Errorf("there is no gradient by %s", left[0].Name)
			}
			var all []*student.Param
			var grads [][]float64
			for ps, g := range p.Grads() {
				all, grads = append(all, ps), append(grads, floats(g)[:1])
			}
			each := 1
			if testing.Short() {
				each = 9
			}
			for i := 0; i < len(all); i += each {
				gradcheck.Compare(t, all[i].Name, value, all[i].Value.Float64s()[:1], grads[i])
			}
		})
	}
}

// level makes a norm one of mean 3 and deviation 0.4.
func level(m *student.Model, scope string) {
	for p := range m.Params() {
		for i := range p.Value.Shape().TotalSize() {
			switch p.Name {
			case scope + ".weight":
				p.Value.Float64s()[i] = 0.4
			case scope + ".bias":
				p.Value.Float64s()[i] = 3
			}
		}
	}
}

// Saved, loaded and run without Gorgonia, where batch norms are folded into
// convolutions, a trained network is the eval graph, at every tap.
func TestNetworksAreLowered(t *testing.T) {
	for name, net := range tiny {
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			t.Run(fmt.Sprint(name, d), func(t *testing.T) {
				set := noise(d, 4, map[string][]int{"x": {3, 9, 8}})
				m, b := model(net, set.Spec(), 1), batch(t, set)
				train(t, m, b, 2) // so that there are statistics
				taps := slices.Sorted(maps.Keys(m.Taps()))
				want := must(m.Predict(b, taps...))
				got := must(must(infer.Load(bytes.NewReader(saved(t, m)))).Run(map[string][]float32{"x": narrow(b.In["x"], b.N)}))
				if len(got) != len(taps) {
					t.Errorf("infer has %d taps; want %d", len(got), len(taps))
				}
				for _, tap := range taps {
					want := narrow(want[tap], b.N)
					size := float64(max(1, slices.Max(want), -slices.Min(want)))
					for i, v := range got[tap] {
						if !(math.Abs(float64(v-want[i])) <= 1e-5*size) {
							t.Fatalf("%s: number %d is %v; the graph says %v", tap, i, v, want[i])
						}
					}
				}
			})
		}
	}
}

// Rows of padding change nothing: neither what the samples come to, nor the
// gradients, nor the statistics that training gathers.
func TestNetworksIgnorePadding(t *testing.T) {
	for name, net := range tiny {
		t.Run(name, func(t *testing.T) {
			var want []float64
			for _, rows := range []int{5, 8} {
				m := must(student.New(net, of(3, 9, 8), 1))
				var z *gorgonia.Node
				p := must(m.Compile(student.Mode{Rows: rows, Training: true}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
					z = taps["logits"]
					return b.Op(graph.WeightedMean(b.Op(graph.MSE(z, b.Detach(b.Activate(z, student.Tanh)))), b.Valid(), b.Scalar(func(int) float64 { return 5 }))), []*gorgonia.Node{z}
				}))
				b := sample(1, 5, rows, 3, 9, 8)
				copy(b.In["x"].Float64s(), sample(1, 5, 5, 3, 9, 8).In["x"].Float64s())
				if err := errors.Join(p.Bind(b), p.Run(0)); err != nil {
					t.Fatal(err)
				}
				got := slices.Concat(floats(p.Value(z))[:5*3], statistics(m))
				for _, g := range p.Grads() {
					got = append(got, floats(g)...)
				}
				if want == nil {
					want = got
				}
				compare(t, "the padded step", got, want, 1e-12, 1)
			}
		})
	}
}

// Whoever chooses layers to compare sees them in order, with what a student of
// the first of them would cost.
func TestDescribeNetwork(t *testing.T) {
	m := must(student.New(student.ResNet{Depth: 14, Out: 5}, of(3, 12, 11), 1))
	_, got, _ := strings.Cut(m.Describe(), "\n\n")
	const want = `tap       shape of a sample  parameters  up to here
stem      (16, 12, 11)                   464
layer1.0  (16, 12, 11)       4672        5136
layer1.1  (16, 12, 11)       4672        9808
layer1    (16, 12, 11)       9344        9808
layer2.0  (32, 6, 6)         14528       24336
layer2.1  (32, 6, 6)         18560       42896
layer2    (32, 6, 6)         33088       42896
layer3.0  (64, 3, 3)         57728       100624
layer3.1  (64, 3, 3)         73984       174608
layer3    (64, 3, 3)         131712      174608
pool      (64)                           174608
logits    (5)                            174933
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the taps (-want +got):\n%s", diff)
	}
}
