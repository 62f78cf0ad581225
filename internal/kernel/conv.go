package kernel

import "fmt"

// A Conv is the geometry of a convolution over images x (images, In, H, W) by a
// weight w (Out, In/Groups, Kernel...), as torch.nn.Conv2d has it. The result y
// is (images, Out, size...), with the size that Results tells.
type Conv struct {
	In, Out int    // channels
	Groups  int    // parts of the channels that know nothing of each other; In for a depthwise convolution
	Size    [2]int // H and W of the images
	Window
}

// Check says what is wrong with c. What it accepts does not overflow.
func (c Conv) Check() error {
	switch {
	case c.In < 1 || c.Out < 1:
		return fmt.Errorf("kernel: Conv.In is %d and Conv.Out %d; want 1 or more", c.In, c.Out)
	case c.Groups < 1 || c.In%c.Groups != 0 || c.Out%c.Groups != 0:
		return fmt.Errorf("kernel: Conv.Groups is %d; want a divisor of In and Out, which are %d and %d", c.Groups, c.In, c.Out)
	}
	w := c.Explicit()
	if err := w.check(c.Size); err != nil {
		return err
	}
	size := w.out(c.Size)
	if !fits(c.In, c.Size[0], c.Size[1]) || !fits(c.Out, size[0], size[1]) || !fits(c.Out, c.In/c.Groups, w.Kernel[0], w.Kernel[1]) {
		return fmt.Errorf("kernel: Conv has %d channels of %v pixels, %d of %v and taps of %v; want %d elements of each at most",
			c.In, c.Size, c.Out, size, w.Kernel, mostElements)
	}
	return nil
}

// Results is the size of the result, of a c that Check accepts.
func (c Conv) Results() [2]int { return c.Explicit().out(c.Size) }

// Convolve computes y = act(x ∗ w + bias), the cross-correlation of PyTorch, of
// a number of images. bias is (Out), or nil for none. y must not overlap the
// operands. An image of y depends on that of x alone, to the last bit.
func Convolve[F Float](y, x, w, bias []F, c Conv, images int, act Act) {
	ConvolveAdd(y, x, w, bias, nil, c, images, act)
}

// ConvolveAdd is [Convolve] of which plus, like y, is a term: y = act(x ∗ w + bias
// + plus), as where a block of layers ends and what went into it is added. plus
// is nil for none, and may be y.
func ConvolveAdd[F Float](y, x, w, bias, plus []F, c Conv, images int, act Act) {
	if yf, ok := any(y).([]float32); ok && convolve32(yf, floats32(x), floats32(w), floats32(bias), floats32(plus), c, images, act) {
		return
	}
	u := c.unfold(c.In / c.Groups)
	blocks := u.blocks()
	Rows(images*c.Groups*blocks, u.out*u.k*u.block, func(from, to int) {
		patches, sums := borrow[F](u.k*u.block), borrow[F](u.out*u.block)
		defer giveBack(patches)
		defer giveBack(sums)
		for i := from; i < to; i++ {
			part, group := i/blocks, i/blocks%c.Groups
			first, last := u.pixelsOf(i % blocks)
			gather(*patches, nth(x, part, u.in*u.plane), &u, first, last)
			Gemm(false, false, u.out, last-first, u.k, nth(w, group, u.out*u.k), *patches, *sums, false)
			if bias != nil {
				addBias(*sums, nth(bias, group, u.out), last-first)
			}
			for o := range u.out {
				z := nth(*sums, o, last-first)
				if plus != nil {
					addBlocks(z, z, nth(plus, part*u.out+o, u.pixels)[first:last], Identity)
				}
				activate(nth(y, part*u.out+o, u.pixels)[first:last], z, act)
			}
		}
	})
}

// addBias adds an element of the bias to each n of x.
func addBias[F Float](x, bias []F, n int) {
	for o, b := range bias {
		row := nth(x, o, n)
		for i := range row {
			row[i] += b
		}
	}
}

// ConvInputGrad writes the gradient of the images to dx, given that of the
// result before its activation.
func ConvInputGrad[F Float](dx, dy, w []F, c Conv, images int) {
	if g, ok := any(dx).([]float32); ok && convInputGrad32(g, floats32(dy), floats32(w), c, images) {
		return
	}
	u := c.unfold(c.In / c.Groups)
	Rows(images*c.Groups, u.out*u.k*u.pixels, func(from, to int) {
		patches, grads := borrow[F](u.k*u.block), borrow[F](u.out*u.block)
		defer giveBack(patches)
		defer giveBack(grads)
		for part := from; part < to; part++ {
			image := nth(dx, part, u.in*u.plane)
			clear(image)
			for block := range u.blocks() {
				first, last := u.pixelsOf(block)
				cut(*grads, nth(dy, part, u.out*u.pixels), &u, first, last)
				Gemm(true, false, u.k, last-first, u.out, nth(w, part%c.Groups, u.out*u.k), *grads, *patches, false)
				scatter(image, *patches, &u, first, last)
			}
		}
	})
}

// ConvWeightGrad writes the gradient of the weight to dw, given the images and
// the gradient of the result before its activation: the sum over all images, in
// their order, on any number of threads.
func ConvWeightGrad[F Float](dw, x, dy []F, c Conv, images int) {
	if g, ok := any(dw).([]float32); ok && convWeightGrad32(g, floats32(x), floats32(dy), c, images) {
		return
	}
	const enough = 64 // columns of a product
	in, out, taps := c.In/c.Groups, c.Out/c.Groups, c.Kernel[0]*c.Kernel[1]
	share := min(in, max(1, enough/taps)) // channels at once
	shares := (in + share - 1) / share
	size := c.Results()
	Rows(c.Groups*shares, images*out*share*taps*size[0]*size[1], func(from, to int) {
		for i := from; i < to; i++ {
			group, channel := i/shares, i%shares*share
			u := c.unfold(min(share, in-channel))
			sums := borrow[F](out * u.k)
			clear(*sums)
			for image := range images {
				part := image*c.Groups + group
				addWeightGrad(*sums, x[(part*in+channel)*u.plane:], nth(dy, part, out*u.pixels), &u)
			}
			for o := range out {
				copy(dw[((group*out+o)*in+channel)*taps:], nth(*sums, o, u.k))
			}
			giveBack(sums)
		}
	})
}

// addWeightGrad adds what one image gives to sums (out, k).
func addWeightGrad[F Float](sums, image, dy []F, u *unfolding) {
	patches, grads := borrow[F](u.k*u.block), borrow[F](u.out*u.block)
	defer giveBack(patches)
	defer giveBack(grads)
	for block := range u.blocks() {
		first, last := u.pixelsOf(block)
		gather(*patches, image, u, first, last)
		cut(*grads, dy, u, first, last)
		Gemm(false, true, u.out, u.k, last-first, *grads, *patches, sums, true)
	}
}

// ConvBiasGrad writes the gradient of the bias to db, given that of the result
// before its activation: the sum over images and pixels.
func ConvBiasGrad[F Float](db, dy []F, c Conv, images int) {
	size := c.Results()
	pixels := size[0] * size[1]
	Rows(c.Out, images*pixels, func(from, to int) {
		for o := from; o < to; o++ {
			total := 0.0
			for image := range images {
				total += sum(nth(dy, image*c.Out+o, pixels))
			}
			db[o] = F(total)
		}
	})
}

// floats32 is x, which is of float32.
func floats32[F Float](x []F) []float32 { return any(x).([]float32) }

// nth is the i-th part of x, of n elements each.
func nth[F Float](x []F, i, n int) []F { return x[i*n : (i+1)*n] }

// An unfolding is how the images of a Conv are cut up. With w (out, k), the weight
// of one group, and patches (k, pixels), what each pixel of the result is made
// of, the result of a group is w·patches. Patches are gathered for a block of
// pixels at a time. All of it depends on the geometry alone.
type unfolding struct {
	Window
	in, out      int    // channels of a group
	size, result [2]int // of the image, and of what becomes of it
	plane        int    // pixels of the image
	pixels       int    // of the result
	k            int    // products that are summed for a pixel
	block        int    // pixels of the result at once
}

// unfolded is how many elements the patches of a block have, at most, so that
// they stay in the second cache. Tests change it.
var unfolded = 1 << 18

// unfold is the unfolding for so many channels of a group.
func (c Conv) unfold(in int) unfolding {
	u := unfolding{Window: c.Explicit(), in: in, out: c.Out / c.Groups, size: c.Size, result: c.Results()}
	u.plane, u.pixels, u.k = u.size[0]*u.size[1], u.result[0]*u.result[1], in*u.Kernel[0]*u.Kernel[1]
	u.block = min(u.pixels, max(1, unfolded/max(u.k, u.out)))
	return u
}

func (u *unfolding) blocks() int { return (u.pixels + u.block - 1) / u.block }

func (u *unfolding) pixelsOf(block int) (first, last int) {
	return block * u.block, min((block+1)*u.block, u.pixels)
}

// runs calls f for what of patches (k, last-first) is in the image: n elements
// from patch on are pixels of the image from pixel on, Stride[1] apart.
func (u *unfolding) runs(first, last int, f func(patch, pixel, n int)) {
	patch := 0
	for channel := range u.in {
		for i := range u.Kernel[0] {
			for j := range u.Kernel[1] {
				u.runsOfTap(i, j, first, last, func(at, pixel, n int) { f(patch+at, channel*u.plane+pixel, n) })
				patch += last - first
			}
		}
	}
}

// runsOfTap is runs for one row of patches.
func (u *unfolding) runsOfTap(i, j, first, last int, f func(at, pixel, n int)) {
	width := u.result[1]
	for p := first; p < last; {
		row, from := p/width, p%width
		to := min(width, from+last-p)
		y := u.at(0, i) + row*u.Stride[0]
		if low, high := inside(u.at(1, j), u.Stride[1], u.size[1], from, to); low < high && y >= 0 && y < u.size[0] {
			f(p-first+low-from, y*u.size[1]+u.at(1, j)+low*u.Stride[1], high-low)
		}
		p += to - from
	}
}

// gather writes the patches of the pixels [first, last) to dst.
func gather[F Float](dst, image []F, u *unfolding, first, last int) {
	clear(dst[:u.k*(last-first)])
	step := u.Stride[1]
	u.runs(first, last, func(patch, pixel, n int) {
		to := dst[patch : patch+n]
		if step == 1 {
			copy(to, image[pixel:])
			return
		}
		for i := range to {
			to[i] = image[pixel+i*step]
		}
	})
}

// scatter adds patches to the pixels that they are of.
func scatter[F Float](image, patches []F, u *unfolding, first, last int) {
	step := u.Stride[1]
	u.runs(first, last, func(patch, pixel, n int) {
		for i, v := range patches[patch : patch+n] {
			image[pixel+i*step] += v
		}
	})
}

// cut copies the pixels [first, last) of each channel of dy to dst.
func cut[F Float](dst, dy []F, u *unfolding, first, last int) {
	for o := range u.out {
		copy(nth(dst, o, last-first), nth(dy, o, u.pixels)[first:last])
	}
}
