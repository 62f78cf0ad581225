package main

import (
	"fmt"
	"maps"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// A net is a convolutional network for images (H, W) whose stages halve them: a
// convolution of 3 by 3 pixels, a batch norm, ReLU, and a maximum over 2 by 2
// pixels. A mean over what is left of them and a linear layer follow. It shows
// losses all that they may look at: "bn1", "bn2", ..., which are before their ReLU,
// "stage1", "stage2", ..., and "pool", the mean (B, C).
type net struct {
	Channels []int // of the stages
	Out      int   // number of logits
}

// Forward implements [student.Module].
func (n net) Forward(b *student.Builder, in student.Taps) student.Taps {
	x := in[data.Input]
	s := x.Shape()
	x = b.Reshape(x, s[0], 1, s[1], s[2])
	t := student.Taps{}
	for i, channels := range n.Channels {
		x = b.Layer(fmt.Sprint("conv", i+1), student.Conv2d{Out: channels, Kernel: 3, Pad: 1, NoBias: true}, x)
		x = b.Layer(fmt.Sprint("bn", i+1), student.BatchNorm{}, x)
		t[fmt.Sprint("bn", i+1)] = x
		x = b.MaxPool2d(b.Activate(x, student.ReLU), student.Window{Kernel: [2]int{2, 2}})
		t[fmt.Sprint("stage", i+1)] = x
	}
	t["pool"] = b.GlobalAvgPool2d(x)
	t["logits"] = b.Layer("fc", student.Linear{Out: n.Out}, t["pool"])
	return t
}

// A widened loss sees maps of the student through convolutions of one pixel, which
// are learned with it: for losses that want as many channels as the teacher has.
type widened struct {
	Of    distill.Loss
	Taps  []string
	Width []int // of each
}

// Loss implements [distill.Loss].
func (w widened) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	l.Student = maps.Clone(l.Student)
	for i, tap := range w.Taps {
		l.Student[tap] = b.Layer("embed_"+tap, student.Conv2d{Out: w.Width[i], Kernel: 1, NoBias: true}, l.Tap(tap))
	}
	return w.Of.Loss(b, l)
}
