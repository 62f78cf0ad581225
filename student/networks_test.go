package student_test

import (
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
		"resnet8x4": {student.ResNet{Depth: 8, Width: 4, Stem: 32, Out: 100}, 1233540},
		"resnet20":  {student.ResNet{Out: 100}, 278324},
		"resnet56":  {student.ResNet{Depth: 56, Out: 100}, 861620},
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
	_, err := student.New(student.ResNet{Out: 3}, of(12), 1)
	wantError(t, err, "student: the input of ResNet is (3, 12); want (B, C, H, W), or (B, H, W) of one channel")
}
