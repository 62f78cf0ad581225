package kernel

import "sync"

// A part is what one thread does at a time: a group of some images, in a frame.
type part struct {
	frame
	i, group, first int // its number, its group, and the first of its images

	image   []float32 // in the frame
	sums    []float32 // rows of results, one for each place of the window
	offsets []int32   // of taps
}

var partsAtHand = sync.Pool{New: func() any { return new(part) }}

// parts is in how many parts the work is done, with so many rows of results.
func (g *framing) parts(rows int) int {
	one := g.frame(1)
	return g.split(one.elements()+rows*one.whole()) * g.Groups
}

// each calls f for so many parts, of which threads take a share each.
func (g *framing) each(parts, rows, taps int, f func(p *part)) {
	split(rangerFunc(func(from, to int) {
		most := g.frame(g.chunk)
		image, sums, offsets := borrow[float32](most.elements()), borrow[float32](rows*most.whole()), borrow[int32](taps)
		defer giveBack(image)
		defer giveBack(sums)
		defer giveBack(offsets)
		p := partsAtHand.Get().(*part)
		defer partsAtHand.Put(p)
		for i := from; i < to; i++ {
			first := i / g.Groups * g.chunk
			*p = part{
				frame: g.frame(min(g.chunk, g.images-first)), i: i, group: i % g.Groups, first: first,
				image: *image, sums: *sums, offsets: *offsets,
			}
			f(p)
		}
		*p = part{}
	}), parts, g.work())
}

// convolve32 is ConvolveAdd in frames, or says that it has to be done elsewhere.
func convolve32(y, x, w, bias, plus []float32, c Conv, images int, act Act) bool {
	g := framed(c, images)
	if g == nil {
		return false
	}
	k := g.in * g.taps()
	g.each(g.parts(g.out), g.out, k, func(p *part) {
		g.see(p)
		g.enter(p, x[p.first*g.inputs():])
		multiplyFramed(p.sums, nth(w, p.group, g.out*k), p.image, p.offsets, g.out, p.whole())
		if plus == nil {
			g.leave(p, y[p.first*g.results():], nil, bias, act)
		} else {
			g.leave(p, y[p.first*g.results():], plus[p.first*g.results():], bias, act)
		}
	})
	return true
}

// see sets the offsets of the taps, in bytes: channel by channel, row by row.
func (g *framing) see(p *part) {
	i, dst := 0, p.offsets
	for channel := range g.in {
		for tap := range g.taps() {
			y, x := tap/g.Kernel[1]*g.Dilation[0], tap%g.Kernel[1]*g.Dilation[1]
			place := p.at(channel, y%g.Stride[0], x%g.Stride[1])
			dst[i] = int32(4 * (place + y/g.Stride[0]*p.pitch[1] + x/g.Stride[1]))
			i++
		}
	}
	for ; i < len(dst); i++ { // any will do
		dst[i] = dst[0]
	}
}

// leave copies what taps came to for some images to y (images, Out, ...), and adds
// plus if it is not nil.
func (g *framing) leave(p *part, y, plus, bias []float32, act Act) {
	pixels := g.result[0] * g.result[1]
	p.eachPlane(g.Out, g.out, func(o, image, plane int) {
		to, change := nth(y, plane, pixels), newChange(bias, p.group*g.out+o, act)
		from := p.sums[o*p.whole()+image*p.apart():]
		if plus == nil {
			move(to, from, g.result[0], g.result[1], g.result[1], p.pitch[1], 0, &change)
		} else {
			join(to, nth(plus, plane, pixels), from, g.result[0], g.result[1], g.result[1], p.pitch[1], &change)
		}
		if act > ReLU {
			activate(to, to, act)
		}
	})
}

// convInputGrad32 is ConvInputGrad in frames, or says that it has to be done
// elsewhere.
func convInputGrad32(dx, dy, w []float32, c Conv, images int) bool {
	g := framed(c, images)
	if g == nil {
		return false
	}
	k := g.out * g.taps()
	g.back = true
	g.each(g.parts(g.in), g.in, k, func(p *part) {
		weights := borrow[float32](g.in * k)
		defer giveBack(weights)
		g.enterGrad(p, dy[p.first*g.results():])
		out := dx[p.first*g.inputs():]
		if !g.seesAll(p) {
			g.clear(p, out)
		}
		for phase := range g.Stride[0] * g.Stride[1] {
			y, x := phase/g.Stride[1], phase%g.Stride[1]
			if n := g.turn(p, *weights, nth(w, p.group, g.in*k), y, x); n > 0 {
				multiplyFramed(p.sums, *weights, p.image, p.offsets[:n], g.in, p.whole())
				g.leaveGrad(p, out, y, x)
			}
		}
	})
	return true
}

// enterGrad copies the gradient of the result into its frame.
func (g *framing) enterGrad(p *part, dy []float32) {
	rows, columns := run{first: g.reach(0), n: g.result[0]}, run{first: g.reach(1), n: g.result[1]}
	for o := range g.out {
		p.blank(p.image[p.at(o, 0, 0):][:p.plane], rows, columns)
	}
	pixels := g.result[0] * g.result[1]
	p.eachPlane(g.Out, g.out, func(o, image, plane int) {
		to := p.image[p.at(o, 0, 0)+image*p.apart()+rows.first*p.pitch[1]+columns.first:]
		move(to, nth(dy, plane, pixels), g.result[0], g.result[1], p.pitch[1], g.result[1], p.fill(columns), &unchanged)
	})
}

// seesAll says that taps see every pixel, as with a stride of 1 they may.
func (g *framing) seesAll(p *part) bool {
	return g.Stride == [2]int{1, 1} && g.phase(0, 0, p.windows[0]).n == g.Size[0] && g.phase(1, 0, p.windows[1]).n == g.Size[1]
}

// clear forgets the images of a group, of which taps may not see every pixel.
func (g *framing) clear(p *part, dx []float32) {
	for image := range p.images {
		clear(nth(dx, image*g.Groups+p.group, g.in*g.Size[0]*g.Size[1]))
	}
}

// turn writes what a phase of the gradient of the images is made of: the weights
// (in, n) of the taps that see it, with all channels of the result, and their
// offsets.
func (g *framing) turn(p *part, weights, w []float32, y, x int) (n int) {
	seeing := 0
	for tap := range g.taps() {
		if _, ok := g.sees(tap, y, x); ok {
			seeing++
		}
	}
	n = seeing * g.out
	at := 0
	for tap := range g.taps() {
		ahead, ok := g.sees(tap, y, x)
		if !ok {
			continue
		}
		for o := range g.out {
			p.offsets[at] = int32(4 * (p.at(o, 0, 0) + (g.reach(0)-ahead[0])*p.pitch[1] + g.reach(1) - ahead[1]))
			for channel := range g.in {
				weights[channel*n+at] = w[(o*g.in+channel)*g.taps()+tap]
			}
			at++
		}
	}
	return n
}

// sees is how far ahead the place is at which a tap sees the first pixel of a
// phase, if it ever does.
func (g *framing) sees(tap, y, x int) (ahead [2]int, ok bool) {
	for axis, at := range [2]int{tap/g.Kernel[1]*g.Dilation[0] - y, tap%g.Kernel[1]*g.Dilation[1] - x} {
		if at < 0 || at%g.Stride[axis] != 0 {
			return ahead, false
		}
		ahead[axis] = at / g.Stride[axis]
	}
	return ahead, true
}

// leaveGrad copies a phase to the images that it is of.
func (g *framing) leaveGrad(p *part, dx []float32, y, x int) {
	rows, columns := g.phase(0, y, p.windows[0]), g.phase(1, x, p.windows[1])
	pixels := g.Size[0] * g.Size[1]
	p.eachPlane(g.In, g.in, func(channel, image, plane int) {
		g.leavePhase(nth(dx, plane, pixels), p.sums[channel*p.whole()+image*p.apart():], &p.frame, rows, columns)
	})
}

// convWeightGrad32 is ConvWeightGrad in frames, or says that it has to be done
// elsewhere.
func convWeightGrad32(dw, x, dy []float32, c Conv, images int) bool {
	g := framed(c, images)
	if g == nil {
		return false
	}
	k := g.in * g.taps()
	wide := (k + 3) &^ 3 // as many columns as tiles have
	parts := g.parts(g.out)
	grads := borrow[float32](parts * g.out * wide) // of each part
	defer giveBack(grads)
	g.each(parts, g.out, wide, func(p *part) {
		g.see(p)
		g.enter(p, x[p.first*g.inputs():])
		g.place(p, dy[p.first*g.results():])
		sumFramed(nth(*grads, p.i, g.out*wide), p.sums, p.image, p.offsets, g.out, p.whole())
	})
	for o := range g.Out {
		to := nth(dw, o, k)
		copy(to, nth(*grads, o, wide))
		for chunk := 1; chunk < parts/g.Groups; chunk++ {
			for i, v := range nth(*grads, chunk*g.Out+o, wide)[:k] {
				to[i] += v
			}
		}
	}
	return true
}

// place copies the gradient of the result to the places of the window. Those
// beyond the pitch see zeros alone.
func (g *framing) place(p *part, dy []float32) {
	rows, columns := run{n: min(g.result[0], p.pitch[0])}, run{n: min(g.result[1], p.pitch[1])}
	for o := range g.out {
		p.blank(nth(p.sums, o, p.whole()), rows, columns)
	}
	pixels := g.result[0] * g.result[1]
	p.eachPlane(g.Out, g.out, func(o, image, plane int) {
		to := p.sums[o*p.whole()+image*p.apart():]
		move(to, nth(dy, plane, pixels), rows.n, columns.n, p.pitch[1], g.result[1], p.fill(columns), &unchanged)
	})
}

// multiplyFramed computes c (rows, whole): rows of a times what taps see.
func multiplyFramed(c, a, b []float32, offsets []int32, rows, whole int) {
	k := len(offsets)
	height := 6
	if simd512 {
		height = 8
	}
	for column, panels := 0, 0; column < whole; column += panels * tileColumns {
		panels = panelsAbreast(simd512, (whole-column)/tileColumns)
		eachTile(rows, height, func(row, n int) {
			a, b, c := &a[row*k], &b[column], &c[row*whole+column]
			switch {
			case !simd512:
				window6x16(n, k, a, 4*k, b, &offsets[0], c, 4*whole)
			case panels == 1:
				window8x16(n, k, a, 4*k, b, &offsets[0], c, 4*whole)
			case panels == 2:
				window8x32(n, k, a, 4*k, b, &offsets[0], c, 4*whole)
			default:
				window8x48(n, k, a, 4*k, b, &offsets[0], c, 4*whole)
			}
		})
	}
}

// sumFramed computes c (rows, taps): the sums over all places of rows of a times
// what taps see, of some places at a time, which stay in the first cache.
func sumFramed(c, a, b []float32, offsets []int32, rows, whole int) {
	const some = 1024
	taps := len(offsets)
	height, width := 3, 2
	if simd512 {
		height, width = 4, 4
	}
	for from := 0; from < whole; from += some {
		places, mode := min(some, whole-from), 0
		if from > 0 {
			mode = modeAdd
		}
		eachTile(rows, height, func(row, n int) {
			for tap := 0; tap < taps; tap += width {
				a, c := &a[row*whole+from], &c[row*taps+tap]
				if simd512 {
					dots4x4(n, places, a, 4*whole, &b[from], &offsets[tap], c, 4*taps, mode)
				} else {
					dots3x2(n, places, a, 4*whole, &b[from], &offsets[tap], c, 4*taps, mode)
				}
			}
		})
	}
}

// eachTile cuts rows into tiles of some height.
func eachTile(rows, height int, f func(row, n int)) {
	for row, n := 0, 0; row < rows; row += n {
		n = tileRows(rows-row, height)
		f(row, n)
	}
}
