package teacher

import (
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// A network that teaches normalises by its running statistics, which do not move:
// it says the same of a sample in any batch, and however often it is asked.
func TestNetworksTeachWithoutMoving(t *testing.T) {
	const pixels = 3 * 9 * 8
	x := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(5, 3, 9, 8))
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i*i%97) / 50
	}
	all := data.Batch{N: 5, ID: make([]data.ID, 5), In: data.Signals{"x": x}}
	last := data.Batch{N: 1, ID: make([]data.ID, 1), In: data.Signals{
		"x": tensor.New(tensor.WithShape(1, 3, 9, 8), tensor.WithBacking(slices.Clone(x.Float32s()[4*pixels:]))),
	}}
	spec := data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{3, 9, 8}, Dtype: tensor.Float32}}}
	for name, net := range map[string]student.Module{
		"cnn":         student.CNN{Channels: []int{4, 3}, Out: 3, Norm: true},
		"vgg":         student.VGG{Depth: 8, Channels: 3, Out: 3},
		"resnet":      student.ResNet{Depth: 8, Out: 3},
		"wideresnet":  student.WideResNet{Depth: 10, Out: 3},
		"mobilenetv2": student.MobileNetV2{Width: 0.25, Small: true, Out: 3},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := student.New(net, spec, 1)
			if err != nil {
				t.Fatal(err)
			}
			statistics := gathered(m)
			print, tr := m.Fingerprint(), Of(m, "pool", "logits")
			first := answer(t, tr, all)
			alone := answer(t, tr, last)
			sameBits(t, answer(t, tr, all), first)
			if m.Fingerprint() != print {
				t.Error("teaching moved the statistics")
			}
			if want := first["logits"].Float32s()[4*3:]; !slices.Equal(alone["logits"].Float32s(), want) {
				t.Errorf("a sample alone is %v; in a batch, %v", alone["logits"].Data(), want)
			}
			statistics[0].Float32s()[0] += 0.5
			if m.Fingerprint() == print {
				t.Error("the fingerprint does not depend on the statistics")
			}
		})
	}
}

// gathered are the running statistics of a model, away from those it began with.
func gathered(m *student.Model) (all []*tensor.Dense) {
	for p := range m.Params() {
		if p.Buffer {
			for i := range p.Value.Float32s() {
				p.Value.Float32s()[i] += float32(i%3+1) / 8
			}
			p.Touch()
			all = append(all, p.Value)
		}
	}
	return all
}
