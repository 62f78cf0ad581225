package kernel

import (
	"cmp"
	"fmt"
	"math"
)

// A Window is what slides over an image: each element of a result is computed
// from what it sees. Height comes first, then width.
type Window struct {
	Kernel   [2]int `json:"kernel"`            // its taps along each axis
	Stride   [2]int `json:"stride,omitzero"`   // how far it moves; 0 means 1, in a [Pool] Kernel
	Pad      [2]int `json:"pad,omitzero"`      // pixels around the image, on both sides
	Dilation [2]int `json:"dilation,omitzero"` // how far its taps are apart; 0 means 1
}

// Explicit is w with 1 where Stride or Dilation is 0.
func (w Window) Explicit() Window {
	for axis := range 2 {
		w.Stride[axis] = cmp.Or(w.Stride[axis], 1)
		w.Dilation[axis] = cmp.Or(w.Dilation[axis], 1)
	}
	return w
}

const (
	// mostTaps bounds what a window says, mostPixels an axis of an image: sums
	// and products of them fit an int of 32 bits.
	mostTaps, mostPixels = 1 << 14, 1 << 28
	// mostElements bounds an image with its channels, and a weight.
	mostElements = math.MaxInt32
)

// check refuses an explicit window that does not fit an image of the size.
func (w Window) check(size [2]int) error {
	for _, field := range []struct {
		name  string
		value [2]int
		least int
	}{{"Kernel", w.Kernel, 1}, {"Stride", w.Stride, 1}, {"Pad", w.Pad, 0}, {"Dilation", w.Dilation, 1}} {
		if min(field.value[0], field.value[1]) < field.least || max(field.value[0], field.value[1]) > mostTaps {
			return fmt.Errorf("kernel: Window.%s is %v; want %d to %d on each axis", field.name, field.value, field.least, mostTaps)
		}
	}
	if min(size[0], size[1]) < 1 || max(size[0], size[1]) > mostPixels {
		return fmt.Errorf("kernel: Size is %v; want 1 to %d on each axis", size, mostPixels)
	}
	for axis, n := range size {
		if whole := n + 2*w.Pad[axis]; w.span(axis) > whole {
			return fmt.Errorf("kernel: Window spans %d pixels along axis %d of an image of %v; want %d at most, Pad included", w.span(axis), axis, size, whole)
		}
	}
	return nil
}

// span is from the first tap of an explicit window to the last.
func (w Window) span(axis int) int { return w.Dilation[axis]*(w.Kernel[axis]-1) + 1 }

// out is how many places along each axis an explicit window has on an image of
// the size: ⌊(size + 2·Pad - span) / Stride⌋ + 1, as in PyTorch.
func (w Window) out(size [2]int) (n [2]int) {
	for axis := range n {
		n[axis] = (size[axis]+2*w.Pad[axis]-w.span(axis))/w.Stride[axis] + 1
	}
	return n
}

// at is the pixel that a tap sees when the window is at its first place.
func (w Window) at(axis, tap int) int { return tap*w.Dilation[axis] - w.Pad[axis] }

// inside is what of [from, to) is an i such that first + i·step is one of n
// pixels: [low, high).
func inside(first, step, n, from, to int) (low, high int) {
	if first < 0 {
		from = max(from, (step-1-first)/step)
	}
	if first >= n {
		return from, from
	}
	return from, min(to, (n-1-first)/step+1)
}

// fits says that so many elements are not too many.
func fits(sizes ...int) bool {
	total := 1
	for _, n := range sizes {
		if n > mostElements/total {
			return false
		}
		total *= n
	}
	return true
}
