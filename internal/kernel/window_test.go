package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// anyWindow draws a window and a size that it fits.
func anyWindow(r *rand.Rand) (w Window, size [2]int) {
	for axis := range 2 {
		w.Kernel[axis] = 1 + r.IntN(4)
		w.Stride[axis] = r.IntN(4)
		w.Dilation[axis] = r.IntN(4)
		w.Pad[axis] = r.IntN(w.Kernel[axis]/2 + 1)
	}
	for axis := range 2 {
		size[axis] = max(1, w.Explicit().span(axis)-2*w.Pad[axis]) + r.IntN(8)
	}
	return w, size
}

// A window's places are those where it lies in the padded image.
func TestResults(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		w, size := anyWindow(r)
		got, e := Conv{In: 1, Out: 1, Groups: 1, Size: size, Window: w}.Results(), w.Explicit()
		for axis := range 2 {
			want := 0
			for at := -w.Pad[axis]; at+(w.Kernel[axis]-1)*e.Dilation[axis] < size[axis]+w.Pad[axis]; at += e.Stride[axis] {
				want++
			}
			if got[axis] != want {
				t.Fatalf("%+v on %v has %v places; want %d along axis %d", w, size, got, want, axis)
			}
		}
	}
}

func TestInside(t *testing.T) {
	for first := -7; first < 7; first++ {
		for step := 1; step < 4; step++ {
			for n := 1; n < 6; n++ {
				for from := range 3 {
					for to := from; to < 8; to++ {
						low, high := inside(first, step, n, from, to)
						for i := from; i < to; i++ {
							if at := first + i*step; (i >= low && i < high) != (at >= 0 && at < n) {
								t.Fatalf("inside(%d, %d, %d, %d, %d) is [%d, %d)", first, step, n, from, to, low, high)
							}
						}
						if low < from || high > to {
							t.Fatalf("inside(%d, %d, %d, %d, %d) is [%d, %d)", first, step, n, from, to, low, high)
						}
					}
				}
			}
		}
	}
}

func TestConvCheck(t *testing.T) {
	good := Conv{In: 6, Out: 9, Groups: 3, Size: [2]int{5, 7}, Window: Window{Kernel: [2]int{3, 4}, Pad: [2]int{9, 0}}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	const huge = math.MaxInt
	for _, test := range []struct {
		spoil func(c *Conv)
		want  string
	}{
		{func(c *Conv) { c.In = 0 }, "Conv.In is 0 and Conv.Out 9; want 1 or more"},
		{func(c *Conv) { c.Out = -9 }, "Conv.Out -9"},
		{func(c *Conv) { c.Groups = 0 }, "Conv.Groups is 0; want a divisor of In and Out, which are 6 and 9"},
		{func(c *Conv) { c.Groups = -3 }, "Conv.Groups is -3"},
		{func(c *Conv) { c.Groups = 2 }, "Conv.Groups is 2"},
		{func(c *Conv) { c.Groups = 9 }, "Conv.Groups is 9"},
		{func(c *Conv) { c.Kernel[0] = 0 }, "Window.Kernel is [0 4]; want 1 to 16384 on each axis"},
		{func(c *Conv) { c.Kernel[1] = huge }, "Window.Kernel is [3 "},
		{func(c *Conv) { c.Stride[1] = -1 }, "Window.Stride is [1 -1]; want 1 to 16384"},
		{func(c *Conv) { c.Stride[1] = huge }, "Window.Stride"},
		{func(c *Conv) { c.Pad[0] = -1 }, "Window.Pad is [-1 0]; want 0 to 16384"},
		{func(c *Conv) { c.Pad[0] = huge }, "Window.Pad"},
		{func(c *Conv) { c.Dilation[0] = -2 }, "Window.Dilation is [-2 1]"},
		{func(c *Conv) { c.Dilation[1] = huge }, "Window.Dilation"},
		{func(c *Conv) { c.Size[1] = 0 }, "Size is [5 0]; want 1 to 268435456 on each axis"},
		{func(c *Conv) { c.Size[0] = huge }, "Size is"},
		{func(c *Conv) { c.Size[1] = 3 }, "Window spans 4 pixels along axis 1 of an image of [5 3]; want 3 at most, Pad included"},
		{func(c *Conv) { c.Pad[0] = 0; c.Dilation[0] = 3 }, "Window spans 7 pixels along axis 0 of an image of [5 7]; want 5 at most"},
		{func(c *Conv) { c.Size = [2]int{1 << 16, 1 << 16} }, "want 2147483647 elements of each at most"},
		{func(c *Conv) { c.Pad = [2]int{1 << 14, 1 << 14} }, "want 2147483647 elements of each at most"},
		{func(c *Conv) { c.In, c.Out, c.Groups = 3, 1<<30, 1 }, "want 2147483647 elements of each at most"},
		{func(c *Conv) { c.Kernel, c.Pad = [2]int{1 << 14, 1 << 14}, [2]int{1 << 13, 1 << 13} }, "want 2147483647 elements of each at most"},
	} {
		c := good
		test.spoil(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), "kernel: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v; want one with %q", c, err, test.want)
		}
	}
}

func TestPoolCheck(t *testing.T) {
	good := Pool{Size: [2]int{5, 7}, Window: Window{Kernel: [2]int{2, 3}, Pad: [2]int{1, 1}, Dilation: [2]int{5, 2}}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		spoil func(p *Pool)
		want  string
	}{
		{func(p *Pool) { p.Kernel[0] = 0 }, "Window.Kernel is [0 3]"},
		{func(p *Pool) { p.Stride[0] = -1 }, "Window.Stride is [-1 3]"},
		{func(p *Pool) { p.Pad[0] = 2 }, "Window.Pad is [2 1] of a pool; want half of Kernel at most, which is [2 3]"},
		{func(p *Pool) { p.Dilation[0] = 6 }, "Window.Dilation is [6 2] of a pool; want Size at most where there is Pad, which is [5 7]"},
		{func(p *Pool) { p.Size[1] = 2 }, "Window spans 5 pixels along axis 1"},
		{func(p *Pool) { p.Size = [2]int{1 << 16, 1 << 16} }, "want 2147483647 pixels at most"},
	} {
		p := good
		test.spoil(&p)
		if err := p.Check(); err == nil || !strings.HasPrefix(err.Error(), "kernel: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v; want one with %q", p, err, test.want)
		}
	}
}

// What Check accepts sees a pixel at each place, however its taps are spread.
func TestPoolSeesPixels(t *testing.T) {
	for kernel := 1; kernel < 6; kernel++ {
		for pad := range kernel + 1 {
			for dilation := 1; dilation < 9; dilation++ {
				for size := 1; size < 12; size++ {
					p := Pool{Size: [2]int{size, 3}, Window: Window{Kernel: [2]int{kernel, 1}, Stride: [2]int{1, 1}, Pad: [2]int{pad, 0}, Dilation: [2]int{dilation, 1}}}
					if p.Check() != nil {
						continue
					}
					for i := range p.Results()[0] {
						if v := p.view(i, 0); v.rows < 1 || v.first < 0 || v.pixel(v.rows-1, 0) >= 3*size {
							t.Fatalf("%+v sees %+v at %d", p, v, i)
						}
					}
				}
			}
		}
	}
}

func ExampleConv() {
	c := Conv{In: 1, Out: 1, Groups: 1, Size: [2]int{2, 3}, Window: Window{Kernel: [2]int{2, 2}}}
	fmt.Println(c.Check(), c.Results())
	y := make([]float32, 2)
	Convolve(y, []float32{1, 2, 3, 4, 5, 6}, []float32{1, 0, 0, -1}, []float32{10}, c, 1, Identity)
	fmt.Println(y)
	// Output:
	// <nil> [1 2]
	// [6 6]
}
