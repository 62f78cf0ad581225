package kernel

import (
	"cmp"
	"fmt"
)

// A Pool is the geometry of a pooling of images, plane by plane: a plane is one
// channel of one image. Results tells how large a plane becomes.
type Pool struct {
	Size       [2]int // H and W of a plane
	Window            // Stride 0 means Kernel, and Pad is half of Kernel at most
	ExcludePad bool   // leaves padding out of an average
}

// Explicit is p with what is meant where Stride or Dilation is 0.
func (p Pool) Explicit() Pool {
	for axis := range 2 {
		p.Stride[axis] = cmp.Or(p.Stride[axis], p.Kernel[axis])
	}
	p.Window = p.Window.Explicit()
	return p
}

// Check says what is wrong with p. What it accepts does not overflow, and never
// looks at padding alone.
func (p Pool) Check() error {
	p = p.Explicit()
	if err := p.check(p.Size); err != nil {
		return err
	}
	for axis, pad := range p.Pad {
		switch {
		case pad > p.Kernel[axis]/2:
			return fmt.Errorf("kernel: Window.Pad is %v of a pool; want half of Kernel at most, which is %v", p.Pad, p.Kernel)
		case pad > 0 && p.Dilation[axis] > p.Size[axis]:
			return fmt.Errorf("kernel: Window.Dilation is %v of a pool; want Size at most where there is Pad, which is %v", p.Dilation, p.Size)
		}
	}
	size := p.out(p.Size)
	if !fits(p.Size[0], p.Size[1]) || !fits(size[0], size[1]) {
		return fmt.Errorf("kernel: Pool has planes of %v, which become %v; want %d pixels at most", p.Size, size, mostElements)
	}
	return nil
}

// Results is the size of what a plane becomes, of a p that Check accepts.
func (p Pool) Results() [2]int { return p.Explicit().out(p.Size) }

// MaxPool writes the largest pixel that the window sees at each place to y, for
// a number of planes x. Of equal ones the first wins, in row-major order, and a
// NaN over all others. Where winners is not nil, it gets the place of each in
// its plane.
func MaxPool[F Float](y []F, winners []int32, x []F, p Pool, planes int) {
	p = p.Explicit()
	find := generalMax[F]
	if p.Window == quarters {
		find = quartersMax[F]
	}
	p.each(planes, func(plane, from, to int) {
		var won []int32
		if winners != nil {
			won = winners[from:to]
		}
		find(y[from:to], won, nth(x, plane, p.Size[0]*p.Size[1]), &p)
	})
}

// each calls f for every plane, with what its results are of those of all
// planes: [from, to).
func (p *Pool) each(planes int, f func(plane, from, to int)) {
	size := p.out(p.Size)
	results := size[0] * size[1]
	Rows(planes, costOfTap*p.Kernel[0]*p.Kernel[1]*results, func(first, last int) {
		for plane := first; plane < last; plane++ {
			f(plane, plane*results, (plane+1)*results)
		}
	})
}

// costOfTap is what it costs to look at a pixel, see [Rows].
const costOfTap = 8

func generalMax[F Float](y []F, winners []int32, x []F, p *Pool) {
	width := p.out(p.Size)[1]
	for i := range y {
		v := p.view(i/width, i%width)
		at := v.first
		for r := range v.rows {
			for c := range v.columns {
				if k := v.pixel(r, c); above(x[k], x[at]) {
					at = k
				}
			}
		}
		y[i] = x[at]
		if winners != nil {
			winners[i] = int32(at)
		}
	}
}

// quarters is the window of most networks: half the height and half the width
// are left.
var quarters = Window{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}}

// quartersMax is generalMax for the window quarters.
func quartersMax[F Float](y []F, winners []int32, x []F, p *Pool) {
	if quartersMaxFast(y, winners, x, p) {
		return
	}
	width := p.Size[1]
	half := width / 2
	for row := range p.Size[0] / 2 {
		start := 2 * row * width
		upper, lower := x[start:start+width], x[start+width:start+2*width]
		for i := range half {
			top, at := upper[2*i], 2*i
			if v := upper[2*i+1]; above(v, top) {
				top, at = v, 2*i+1
			}
			if v := lower[2*i]; above(v, top) {
				top, at = v, width+2*i
			}
			if v := lower[2*i+1]; above(v, top) {
				top, at = v, width+2*i+1
			}
			y[row*half+i] = top
			if winners != nil {
				winners[row*half+i] = int32(start + at)
			}
		}
	}
}

// above says that v takes the place of the largest so far.
func above[F Float](v, top F) bool { return v > top || v != v }

// MaxPoolGrad writes the gradient of the planes to dx, given that of the results
// and who won them.
func MaxPoolGrad[F Float](dx, dy []F, winners []int32, p Pool, planes int) {
	p = p.Explicit()
	p.each(planes, func(plane, from, to int) {
		d := nth(dx, plane, p.Size[0]*p.Size[1])
		clear(d)
		for i, at := range winners[from:to] {
			d[at] += dy[from+i]
		}
	})
}

// AvgPool writes the mean of what the window sees at each place to y, for a
// number of planes x. Padding counts as zeros, unless ExcludePad is set. Sums
// are of float64.
func AvgPool[F Float](y, x []F, p Pool, planes int) {
	p = p.Explicit()
	width := p.out(p.Size)[1]
	p.each(planes, func(plane, from, to int) {
		in := nth(x, plane, p.Size[0]*p.Size[1])
		for i := range to - from {
			v, sum := p.view(i/width, i%width), 0.0
			for r := range v.rows {
				for c := range v.columns {
					sum += float64(in[v.pixel(r, c)])
				}
			}
			y[from+i] = F(sum / p.count(v))
		}
	})
}

// AvgPoolGrad writes the gradient of the planes to dx, given that of the
// results.
func AvgPoolGrad[F Float](dx, dy []F, p Pool, planes int) {
	p = p.Explicit()
	width := p.out(p.Size)[1]
	p.each(planes, func(plane, from, to int) {
		d := nth(dx, plane, p.Size[0]*p.Size[1])
		clear(d)
		for i, g := range dy[from:to] {
			v := p.view(i/width, i%width)
			share := F(float64(g) / p.count(v))
			for r := range v.rows {
				for c := range v.columns {
					d[v.pixel(r, c)] += share
				}
			}
		}
	})
}

// count is what a mean is divided by.
func (p *Pool) count(v view) float64 {
	if p.ExcludePad {
		return float64(v.rows * v.columns)
	}
	return float64(p.Kernel[0] * p.Kernel[1])
}

// A view is what a window sees of a plane: rows and columns of taps.
type view struct {
	rows, columns int
	first         int // pixel
	down, across  int // to the next one
}

func (v *view) pixel(row, column int) int { return v.first + row*v.down + column*v.across }

// view is what an explicit p sees at a place.
func (p *Pool) view(i, j int) view {
	top, left := i*p.Stride[0]-p.Pad[0], j*p.Stride[1]-p.Pad[1]
	r, bottom := inside(top, p.Dilation[0], p.Size[0], 0, p.Kernel[0])
	c, right := inside(left, p.Dilation[1], p.Size[1], 0, p.Kernel[1])
	first := (top+r*p.Dilation[0])*p.Size[1] + left + c*p.Dilation[1]
	return view{bottom - r, right - c, first, p.Dilation[0] * p.Size[1], p.Dilation[1]}
}

// GlobalAvgPool writes the mean of each of a number of planes x, of n pixels, to
// y. Sums are of float64.
func GlobalAvgPool[F Float](y, x []F, planes, n int) {
	Rows(planes, n, func(from, to int) {
		for plane := from; plane < to; plane++ {
			y[plane] = F(sum(nth(x, plane, n)) / float64(n))
		}
	})
}

// GlobalAvgPoolGrad writes the gradient of the planes to dx, given that of their
// means.
func GlobalAvgPoolGrad[F Float](dx, dy []F, planes, n int) {
	Rows(planes, n, func(from, to int) {
		for plane := from; plane < to; plane++ {
			share, d := F(float64(dy[plane])/float64(n)), nth(dx, plane, n)
			for i := range d {
				d[i] = share
			}
		}
	})
}

// sum is that of x, in float64.
func sum[F Float](x []F) float64 { return sumAbove(x, 0) }
