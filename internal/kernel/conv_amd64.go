package kernel

// convolve32 is ConvolveAdd in frames, or says that it has to be done elsewhere.
func convolve32(y, x, w, bias, plus []float32, c Conv, images int, act Act) bool {
	g := framed(c, images)
	if g == nil {
		return false
	}
	one := g.forward(1)
	chunks := g.split(one.elements() + g.out*one.whole())
	k := g.in * g.taps()
	split(rangerFunc(func(from, to int) {
		f := g.forward(g.chunk)
		frame, sums, offsets := borrow[float32](f.elements()), borrow[float32](g.out*f.whole()), borrow[int32](k)
		defer giveBack(frame)
		defer giveBack(sums)
		defer giveBack(offsets)
		for i := from; i < to; i++ {
			group, first, images := g.part(i)
			f := g.forward(images)
			g.offsets(*offsets, &f)
			g.enter(*frame, x[first*g.inputs():], &f, group)
			multiplyFramed(*sums, nth(w, group, g.out*k), *frame, *offsets, g.out, f.whole())
			to, more := y[first*g.results():], plus
			if plus != nil {
				more = plus[first*g.results():]
			}
			g.leave(to, more, *sums, bias, &f, group, act)
		}
	}), chunks*g.Groups, g.work())
	return true
}

// offsets are those of the taps, in bytes: channel by channel, row by row.
func (g *framing) offsets(dst []int32, f *frame) {
	i := 0
	for channel := range g.in {
		for tap := range g.taps() {
			y, x := tap/g.Kernel[1]*g.Dilation[0], tap%g.Kernel[1]*g.Dilation[1]
			place := f.at(channel, y%g.Stride[0], x%g.Stride[1])
			dst[i] = int32(4 * (place + y/g.Stride[0]*f.pitch[1] + x/g.Stride[1]))
			i++
		}
	}
	for ; i < len(dst); i++ { // any will do
		dst[i] = dst[0]
	}
}

// leave copies what taps came to for some images to y (images, Out, ...), and adds
// plus if it is not nil.
func (g *framing) leave(y, plus, sums, bias []float32, f *frame, group int, act Act) {
	pixels := g.result[0] * g.result[1]
	g.eachPlane(f.images, g.Out, group*g.out, g.out, func(o, image, plane int) {
		to, change := nth(y, plane, pixels), newChange(bias, group*g.out+o, act)
		from := sums[o*f.whole()+image*f.image():]
		if plus == nil {
			move(to, from, g.result[0], g.result[1], g.result[1], f.pitch[1], 0, &change)
		} else {
			join(to, nth(plus, plane, pixels), from, g.result[0], g.result[1], g.result[1], f.pitch[1], &change)
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
	one := g.backward(1)
	chunks := g.split(one.elements() + g.in*one.whole())
	k := g.out * g.taps()
	split(rangerFunc(func(from, to int) {
		f := g.backward(g.chunk)
		frame, sums := borrow[float32](f.elements()), borrow[float32](g.in*f.whole())
		weights, offsets := borrow[float32](g.in*k), borrow[int32](k)
		defer giveBack(frame)
		defer giveBack(sums)
		defer giveBack(weights)
		defer giveBack(offsets)
		for i := from; i < to; i++ {
			group, first, images := g.part(i)
			f := g.backward(images)
			g.enterGrad(*frame, dy[first*g.results():], &f, group)
			out := dx[first*g.inputs():]
			g.clear(out, images, group)
			for phase := range g.Stride[0] * g.Stride[1] {
				y, x := phase/g.Stride[1], phase%g.Stride[1]
				if n := g.turn(*weights, *offsets, nth(w, group, g.in*k), &f, y, x); n > 0 {
					multiplyFramed(*sums, *weights, *frame, (*offsets)[:n], g.in, f.whole())
					g.leaveGrad(out, *sums, &f, group, y, x)
				}
			}
		}
	}), chunks*g.Groups, g.work())
	return true
}

// enterGrad copies the gradient of the result into its frame.
func (g *framing) enterGrad(dst, dy []float32, f *frame, group int) {
	rows, columns := run{first: g.reach(0), n: g.result[0]}, run{first: g.reach(1), n: g.result[1]}
	for o := range g.out {
		f.blank(dst[f.at(o, 0, 0):][:f.plane], rows, columns)
	}
	pixels := g.result[0] * g.result[1]
	g.eachPlane(f.images, g.Out, group*g.out, g.out, func(o, image, plane int) {
		to := dst[f.at(o, 0, 0)+image*f.image()+rows.first*f.pitch[1]+columns.first:]
		move(to, nth(dy, plane, pixels), g.result[0], g.result[1], f.pitch[1], g.result[1], f.fill(columns), &unchanged)
	})
}

// clear forgets the images of a group: some pixels may be seen by no tap.
func (g *framing) clear(dx []float32, images, group int) {
	for image := range images {
		clear(nth(dx, image*g.Groups+group, g.in*g.Size[0]*g.Size[1]))
	}
}

// turn writes what a phase of the gradient of the images is made of: the weights
// (in, n) of the taps that see it, with all channels of the result, and their
// offsets.
func (g *framing) turn(weights []float32, offsets []int32, w []float32, f *frame, y, x int) (n int) {
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
			offsets[at] = int32(4 * (f.at(o, 0, 0) + (g.reach(0)-ahead[0])*f.pitch[1] + g.reach(1) - ahead[1]))
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
func (g *framing) leaveGrad(dx, sums []float32, f *frame, group, y, x int) {
	rows, columns := g.phase(0, y, f.windows[0]), g.phase(1, x, f.windows[1])
	pixels := g.Size[0] * g.Size[1]
	g.eachPlane(f.images, g.In, group*g.in, g.in, func(channel, image, plane int) {
		g.leavePhase(nth(dx, plane, pixels), sums[channel*f.whole()+image*f.image():], f, rows, columns)
	})
}

// convWeightGrad32 is ConvWeightGrad in frames, or says that it has to be done
// elsewhere.
func convWeightGrad32(dw, x, dy []float32, c Conv, images int) bool {
	g := framed(c, images)
	if g == nil {
		return false
	}
	one := g.forward(1)
	chunks := g.split(one.elements() + g.out*one.whole())
	k := g.in * g.taps()
	wide := (k + 3) &^ 3 // as many columns as tiles have
	parts := borrow[float32](chunks * g.Out * wide)
	defer giveBack(parts)
	split(rangerFunc(func(from, to int) {
		f := g.forward(g.chunk)
		frame, grads, offsets := borrow[float32](f.elements()), borrow[float32](g.out*f.whole()), borrow[int32](wide)
		defer giveBack(frame)
		defer giveBack(grads)
		defer giveBack(offsets)
		for i := from; i < to; i++ {
			group, first, images := g.part(i)
			f := g.forward(images)
			g.offsets(*offsets, &f)
			g.enter(*frame, x[first*g.inputs():], &f, group)
			g.place(*grads, dy[first*g.results():], &f, group)
			sumFramed(nth(*parts, i, g.out*wide), *grads, *frame, *offsets, g.out, f.whole())
		}
	}), chunks*g.Groups, g.work())
	for o := range g.Out {
		to := nth(dw, o, k)
		copy(to, nth(*parts, o, wide))
		for chunk := 1; chunk < chunks; chunk++ {
			for i, v := range nth(*parts, chunk*g.Out+o, wide)[:k] {
				to[i] += v
			}
		}
	}
	return true
}

// place copies the gradient of the result to the places of the window. Those
// beyond the pitch see zeros alone.
func (g *framing) place(dst, dy []float32, f *frame, group int) {
	pixels := g.result[0] * g.result[1]
	rows, columns := min(g.result[0], f.pitch[0]), min(g.result[1], f.pitch[1])
	for o := range g.out {
		f.blank(nth(dst, o, f.whole()), run{n: rows}, run{n: columns})
	}
	fill := f.fill(run{n: columns})
	g.eachPlane(f.images, g.Out, group*g.out, g.out, func(o, image, plane int) {
		to := dst[o*f.whole()+image*f.image():]
		move(to, nth(dy, plane, pixels), rows, columns, f.pitch[1], g.result[1], fill, &unchanged)
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

// eachTile cuts rows into tiles of some height. The last two share what is left.
func eachTile(rows, height int, f func(row, n int)) {
	for row, n := 0, 0; row < rows; row += n {
		n = min(height, rows-row)
		if left := rows - row; left > height && left < 2*height {
			n = (left + 1) / 2
		}
		f(row, n)
	}
}
