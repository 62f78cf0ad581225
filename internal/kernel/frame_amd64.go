package kernel

import (
	"math"
	"unsafe"
)

// A framed convolution needs no patches. Images are copied to where they have
// zeros around them, all images of a channel one after the other: what a tap of
// the window sees of them is then, for all places of the window, the same numbers
// from another place on. So a convolution is a matrix product whose B begins, for
// each k, where a table of offsets says, and whose rows are long.
//
// A stride is undone by splitting the images into as many phases, of which each
// tap sees one. Between rows, and between images, zeros are shared. Places of the
// window that reach over the end of a row are computed like others, and left out
// at the end.

// A frame is the layout of images of some channels, and their phases.
type frame struct {
	images, channels int
	size             [2]int // of a phase, frame included
	windows          [2]int // places on it
	phases           [2]int
	pitch            [2]int // from an image to the next, in rows, and from a row to the next
	plane            int    // elements of a phase of a channel: all images, and what is read beyond them
}

// beyond is what tiles read behind the last place of a window.
const beyond = abreast * tileColumns

// newFrame lays out images. The first and the last few rows and columns of their
// size are zeros in each phase: those of an image, or of a row, are the last ones
// of that before it. Where there are more of them than a window has taps, some
// windows see zeros alone, those of both, and share a place.
func newFrame(images, channels int, size, windows, phases, before, after [2]int) frame {
	f := frame{images: images, channels: channels, size: size, windows: windows, phases: phases}
	for axis := range 2 {
		f.pitch[axis] = size[axis] - min(before[axis], after[axis])
	}
	reach := (size[0]-1)*f.pitch[1] + size[1] // of the window, at most
	f.plane = f.places() + reach + beyond
	return f
}

// places is how many windows there are up to the last one, with those between
// rows and images.
func (f *frame) places() int {
	return (f.images-1)*f.apart() + (f.windows[0]-1)*f.pitch[1] + f.windows[1]
}

// apart is from an image to the next.
func (f *frame) apart() int { return f.pitch[0] * f.pitch[1] }

// whole is places, rounded up to what tiles compute.
func (f *frame) whole() int { return (f.places() + tileColumns - 1) &^ (tileColumns - 1) }

// elements is how many all phases of all channels have.
func (f *frame) elements() int { return f.channels * f.phases[0] * f.phases[1] * f.plane }

// at is where a phase of a channel begins.
func (f *frame) at(channel, y, x int) int {
	return ((channel*f.phases[0]+y)*f.phases[1] + x) * f.plane
}

// A framing is a Conv in frames.
type framing struct {
	Conv           // explicit
	images  int    // of the batch
	in, out int    // channels of a group
	result  [2]int // the size of the result
	chunk   int    // images at once
	back    bool   // frames are those of the gradient of the result
}

// framed is c in frames; nil where the assembly is not used, offsets cannot tell
// the elements of an image apart, or taps are so far apart that a frame is mostly
// zeros.
func framed(c Conv, images int) *framing {
	if !simd || images == 0 {
		return nil
	}
	c.Window = c.Explicit()
	g := &framing{Conv: c, images: images, in: c.In / c.Groups, out: c.Out / c.Groups, result: c.Results()}
	const enough, times = 1 << 22, 16 // elements; what an image and its result have
	most := min(math.MaxInt32/4, max(enough, times*(g.inputs()+g.results())))
	forward, backward := g.forward(1), g.backward(1)
	if max(forward.elements(), g.out*forward.whole(), backward.elements(), g.in*backward.whole()) > most {
		return nil
	}
	return g
}

// split sets how many images are done at once, of so many elements each, and
// returns in how many chunks the batch is done then: by the geometry alone.
func (g *framing) split(each int) (chunks int) {
	const (
		most   = 1 << 18 // elements, which stay in the second cache
		shares = 4       // that threads are to have
	)
	chunks = min(g.images, max(shares, (g.images*each+most-1)/most))
	chunks = min(g.images, (chunks+shares-1)/shares*shares)
	g.chunk = (g.images + chunks - 1) / chunks
	return (g.images + g.chunk - 1) / g.chunk
}

// inputs and results are the elements of an image, and of what becomes of it.
func (g *framing) inputs() int  { return g.In * g.Size[0] * g.Size[1] }
func (g *framing) results() int { return g.Out * g.result[0] * g.result[1] }

// taps are those of a channel.
func (g *framing) taps() int { return g.Kernel[0] * g.Kernel[1] }

// work is the number of products.
func (g *framing) work() int { return g.images * g.results() * g.in * g.taps() }

// frame is that of so many images, or of gradients.
func (g *framing) frame(images int) frame {
	if g.back {
		return g.backward(images)
	}
	return g.forward(images)
}

// forward is the frame of the images: what is phase + stride·i from the first
// pixel of the frame on is element i of that phase.
func (g *framing) forward(images int) frame {
	var size, phases, before, after [2]int
	for axis := range 2 {
		stride := g.Stride[axis]
		for tap := range min(stride, g.Kernel[axis]) { // those that a tap sees
			phases[axis] = max(phases[axis], tap*g.Dilation[axis]%stride+1)
		}
		size[axis] = g.result[axis] + g.reach(axis)
		before[axis] = g.Pad[axis] / stride
		end := g.Pad[axis] + g.Size[axis] // behind the last pixel
		after[axis] = max(0, size[axis]-(end+stride-1)/stride)
	}
	return newFrame(images, g.in, size, g.result, phases, before, after)
}

// reach is how far the taps of a phase see along an axis.
func (g *framing) reach(axis int) int {
	return (g.Kernel[axis] - 1) * g.Dilation[axis] / g.Stride[axis]
}

// backward is the frame of the gradient of the result, for that of the images: a
// phase of it is a convolution of stride 1, of the taps that see the phase, turned
// round.
func (g *framing) backward(images int) frame {
	var size, windows, zeros [2]int
	for axis := range 2 {
		zeros[axis] = g.reach(axis)
		windows[axis] = g.result[axis] + zeros[axis]
		size[axis] = windows[axis] + zeros[axis]
	}
	return newFrame(images, g.out, size, windows, [2]int{1, 1}, zeros, zeros)
}

// A run is what one axis of a phase has of the image: n pixels from pixel on, a
// stride apart, which are from first on in the frame.
type run struct{ first, pixel, n int }

// phase is the run along an axis of so many elements.
func (g *framing) phase(axis, phase, size int) run {
	stride, pad := g.Stride[axis], g.Pad[axis]
	first := max(0, (pad-phase+stride-1)/stride)
	pixel := phase + first*stride - pad
	return run{first, pixel, min(size-first, (g.Size[axis]-pixel+stride-1)/stride)}
}

// enter copies images (images, In, H, W) of a group into their frame.
func (g *framing) enter(p *part, x []float32) {
	pixels := g.Size[0] * g.Size[1]
	for phase := range p.phases[0] * p.phases[1] {
		down, right := phase/p.phases[1], phase%p.phases[1]
		rows, columns := g.phase(0, down, p.size[0]), g.phase(1, right, p.size[1])
		for channel := range g.in {
			p.blank(p.image[p.at(channel, down, right):][:p.plane], rows, columns)
		}
		p.eachPlane(g.In, g.in, func(channel, image, plane int) {
			to := p.image[p.at(channel, down, right)+image*p.apart():]
			g.enterPhase(to, nth(x, plane, pixels), &p.frame, rows, columns)
		})
	}
}

// blank zeroes what is not in some rows and columns of the images of a plane, but
// for gaps between rows, if whoever copies the rows fills those.
func (f *frame) blank(plane []float32, rows, columns run) {
	done := 0
	if rows.n > 0 && columns.n > 0 {
		height := rows.n
		if f.gap(columns) <= lanes {
			height = 1
		}
		for image := range f.images {
			first := image*f.apart() + rows.first*f.pitch[1] + columns.first
			for r := range height {
				clear(plane[done : first+r*f.pitch[1]])
				done = first + r*f.pitch[1] + columns.n
			}
			done = first + (rows.n-1)*f.pitch[1] + columns.n
		}
	}
	clear(plane[done:])
}

// gap is from the end of a row to the beginning of the next.
func (f *frame) gap(columns run) int { return f.pitch[1] - columns.n }

// fill is how many elements are to become 0 between rows that are copied.
func (f *frame) fill(columns run) int {
	if n := f.gap(columns); n <= lanes {
		return n
	}
	return 0
}

// eachPlane calls f for the channels of a group, of which an image has so many in
// all groups: with the number of each plane in x or y.
func (p *part) eachPlane(all, channels int, f func(channel, image, plane int)) {
	for channel := range channels {
		for image := range p.images {
			f(channel, image, image*all+p.group*channels+channel)
		}
	}
}

// enterPhase copies the pixels of a channel of an image that belong to a phase.
func (g *framing) enterPhase(dst, image []float32, f *frame, rows, columns run) {
	if rows.n <= 0 || columns.n <= 0 {
		return
	}
	dst, image = dst[rows.first*f.pitch[1]+columns.first:], image[rows.pixel*g.Size[1]+columns.pixel:]
	switch ldi := g.Stride[0] * g.Size[1]; g.Stride[1] {
	case 1:
		move(dst, image, rows.n, columns.n, f.pitch[1], ldi, f.fill(columns), &unchanged)
		return
	case 2:
		halve(dst, image, rows.n, columns.n, f.pitch[1], ldi, f.fill(columns))
		return
	}
	for r := range rows.n {
		to, from := dst[r*f.pitch[1]:][:columns.n], image[r*g.Stride[0]*g.Size[1]:]
		for i := range to {
			to[i] = from[i*g.Stride[1]]
		}
		if r > 0 {
			clear(dst[r*f.pitch[1]-f.fill(columns) : r*f.pitch[1]])
		}
	}
}

// leavePhase copies what belongs to a phase from its frame to the pixels of a
// channel of an image.
func (g *framing) leavePhase(image, src []float32, f *frame, rows, columns run) {
	if rows.n <= 0 || columns.n <= 0 {
		return
	}
	image, src = image[rows.pixel*g.Size[1]+columns.pixel:], src[rows.first*f.pitch[1]+columns.first:]
	if g.Stride[1] == 1 {
		move(image, src, rows.n, columns.n, g.Stride[0]*g.Size[1], f.pitch[1], 0, &unchanged)
		return
	}
	for r := range rows.n {
		to, from := image[r*g.Stride[0]*g.Size[1]:], src[r*f.pitch[1]:][:columns.n]
		for i, v := range from {
			to[i*g.Stride[1]] = v
		}
	}
}

// join is move that adds rows of more, which are as far apart as those of dst.
func join(dst, more, src []float32, rows, width, ldd, lds int, c *change) {
	last := (rows-1)*ldd + width - 1
	_, _, _ = dst[last], more[last], src[(rows-1)*lds+width-1]
	joinRows(rows, width, &dst[0], 4*ldd, &more[0], &src[0], 4*lds, mask((width-1)%lanes+1), mask(0), (*[3]float32)(unsafe.Pointer(c)))
}

// halve copies every second element of rows, as move copies all.
func halve(dst, src []float32, rows, width, ldd, lds, fill int) {
	_, _ = dst[(rows-1)*ldd+width-1], src[(rows-1)*lds+2*(width-1)]
	tail := (width-1)%lanes + 1
	halveRows(rows, width, &dst[0], 4*ldd, &src[0], 4*lds, mask(2*tail-1), mask(tail), mask(fill))
}

// A change is what moved rows become: max(x + plus, least) + last.
type change struct{ plus, least, last float32 }

// unchanged adds -0, which changes nothing.
var unchanged = change{nothing[0], float32(math.Inf(-1)), nothing[0]}

// newChange adds element i of the bias, if there is one, and applies ReLU.
func newChange(bias []float32, i int, act Act) change {
	c := unchanged
	if bias != nil {
		c.plus = bias[i]
	}
	if act == ReLU {
		c.least, c.last = 0, 0
	}
	return c
}

// move copies rows of some elements, which are ldd and lds apart, and zeroes a few
// between them, fill each time.
func move(dst, src []float32, rows, width, ldd, lds, fill int, c *change) {
	_, _ = dst[(rows-1)*ldd+width-1], src[(rows-1)*lds+width-1]
	moveRows(rows, width, &dst[0], 4*ldd, &src[0], 4*lds, mask((width-1)%lanes+1), mask(fill), (*[3]float32)(unsafe.Pointer(c)))
}
