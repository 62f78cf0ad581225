package student_test

import (
	"math"
	"testing"

	"github.com/godistill/godistill/student"
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
		"student: ResNet.Depth is 21; want 6n+2, such as 8 or 20":                                            student.ResNet{Depth: 21, Out: 3},
		"student: ResNet.Depth is 2; want 6n+2, such as 8 or 20":                                             student.ResNet{Depth: 2, Out: 3},
		"student: ResNet.Out is 0; want 1 or more":                                                           student.ResNet{},
		"student: ResNet.Width is -1; want 0 or more":                                                        student.ResNet{Width: -1, Out: 3},
		"student: ResNet.Stem is -1; want 0 or more":                                                         student.ResNet{Stem: -1, Out: 3},
		"student: VGG.Depth is 12; want 8, 11, 13, 16 or 19, 0 meaning 16":                                   student.VGG{Depth: 12, Out: 3},
		"student: VGG.Out is -3; want 1 or more":                                                             student.VGG{Out: -3},
		"student: VGG.Channels is -1; want 0 or more":                                                        student.VGG{Channels: -1, Out: 3},
		"student: WideResNet.Depth is 17; want 6n+4, such as 10 or 22":                                       student.WideResNet{Depth: 17, Out: 3},
		"student: WideResNet.Width is -1; want 0 or more":                                                    student.WideResNet{Width: -1, Out: 3},
		"student: WideResNet.Out is 0; want 1 or more":                                                       student.WideResNet{},
		"student: block1.layer.0.dropout: the dropout rate is 1; want":                                       student.WideResNet{Out: 3, Dropout: 1},
		"student: MobileNetV2.Out is 0; want 1 or more":                                                      student.MobileNetV2{},
		"student: MobileNetV2.Expand is -6; want 0 or more":                                                  student.MobileNetV2{Expand: -6, Out: 3},
		"student: MobileNetV2.Width is NaN; want 0 to 16, 0 meaning 1":                                       student.MobileNetV2{Width: math.NaN(), Out: 3},
		"student: MobileNetV2.Width is 17; want 0 to 16, 0 meaning 1":                                        student.MobileNetV2{Width: 17, Out: 3},
		"student: CNN.Out is 0; want 1 or more":                                                              student.CNN{Channels: []int{3}},
		"student: CNN.Channels is empty; want the channels of":                                               student.CNN{Out: 3},
		"student: CNN.Channels[1] is 0; want 1 or more":                                                      student.CNN{Channels: []int{4, 0}, Out: 3},
		"student: CNN.Hidden[0] is -2; want 1 or more":                                                       student.CNN{Channels: []int{4}, Hidden: []int{-2}, Out: 3},
		"student: CNN.Channels has 4 stages for images of 12 by 11 pixels; want fewer, for each halves them": student.CNN{Channels: []int{3, 4, 5, 6}, Out: 3},
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
