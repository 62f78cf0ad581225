package kernel

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// convs are geometries, each with something of its own.
var convs = map[string]Conv{
	"plain":      {3, 4, 1, [2]int{5, 6}, Window{Kernel: [2]int{3, 3}}},
	"padded":     {3, 5, 1, [2]int{4, 7}, Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}}},
	"stride":     {4, 3, 1, [2]int{7, 6}, Window{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [2]int{1, 1}}},
	"strides":    {3, 4, 1, [2]int{5, 7}, Window{Kernel: [2]int{3, 3}, Stride: [2]int{1, 2}, Pad: [2]int{0, 1}}},
	"dilated":    {3, 4, 1, [2]int{7, 8}, Window{Kernel: [2]int{3, 3}, Dilation: [2]int{2, 3}, Pad: [2]int{1, 2}}},
	"groups":     {6, 9, 3, [2]int{4, 5}, Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}}},
	"depthwise":  {5, 5, 5, [2]int{6, 4}, Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}}},
	"multiplied": {3, 6, 3, [2]int{4, 5}, Window{Kernel: [2]int{3, 3}, Stride: [2]int{2, 1}}},
	"oblong":     {3, 4, 1, [2]int{6, 5}, Window{Kernel: [2]int{1, 4}, Pad: [2]int{0, 2}}},
	"pointwise":  {7, 9, 1, [2]int{4, 3}, Window{Kernel: [2]int{1, 1}}},
	"all pad":    {3, 4, 1, [2]int{3, 4}, Window{Kernel: [2]int{1, 2}, Pad: [2]int{2, 3}, Stride: [2]int{1, 2}}},
	"one pixel":  {3, 4, 1, [2]int{5, 4}, Window{Kernel: [2]int{5, 4}}},
	"wide pad":   {4, 6, 2, [2]int{3, 4}, Window{Kernel: [2]int{2, 3}, Stride: [2]int{3, 2}, Dilation: [2]int{1, 2}, Pad: [2]int{7, 9}}},
	"one row":    {3, 4, 1, [2]int{1, 6}, Window{Kernel: [2]int{3, 3}, Stride: [2]int{5, 1}, Pad: [2]int{4, 1}}},
	"long steps": {4, 3, 1, [2]int{9, 11}, Window{Kernel: [2]int{1, 2}, Stride: [2]int{4, 5}, Pad: [2]int{0, 3}}},
	"many":       {30, 5, 1, [2]int{5, 7}, Window{Kernel: [2]int{3, 5}, Pad: [2]int{1, 2}}},
}

// operands are what the functions of a convolution are given.
type operands[F Float] struct{ x, w, bias, dy []F }

func operandsOf[F Float](c Conv, images int) operands[F] {
	size := c.Results()
	return operands[F]{
		random[F](images*c.In*c.Size[0]*c.Size[1], 1),
		random[F](c.Out*c.In/c.Groups*c.Kernel[0]*c.Kernel[1], 2),
		random[F](c.Out, 3),
		random[F](images*c.Out*size[0]*size[1], 4),
	}
}

// products calls f for each product of the definition: y[i] += x[j]·w[k].
func products(c Conv, images int, f func(i, j, k int)) {
	size, w := c.Results(), c.Explicit()
	in, out := c.In/c.Groups, c.Out/c.Groups
	for i := range images * c.Out * size[0] * size[1] {
		column, row, channel := i%size[1], i/size[1]%size[0], i/size[1]/size[0]
		image, o := channel/c.Out, channel%c.Out
		for k := range in * w.Kernel[0] * w.Kernel[1] {
			s, r, ch := k%w.Kernel[1], k/w.Kernel[1]%w.Kernel[0], k/w.Kernel[1]/w.Kernel[0]
			y, x := row*w.Stride[0]-w.Pad[0]+r*w.Dilation[0], column*w.Stride[1]-w.Pad[1]+s*w.Dilation[1]
			if y >= 0 && y < c.Size[0] && x >= 0 && x < c.Size[1] {
				f(i, ((image*c.In+o/out*in+ch)*c.Size[0]+y)*c.Size[1]+x, o*in*w.Kernel[0]*w.Kernel[1]+k)
			}
		}
	}
}

func TestConv(t *testing.T) {
	eachConv(t, func(t *testing.T, c Conv) {
		checkConv[float32](t, c, 3)
		checkConv[float64](t, c, 3)
	})
}

// eachConv calls f with the geometries, images in one block and in several, on
// the portable path and with the assembly.
func eachConv(t *testing.T, f func(t *testing.T, c Conv)) {
	paths(t, func(t *testing.T) {
		for name, c := range convs {
			t.Run(name, func(t *testing.T) { f(t, c) })
			t.Run(name+" in blocks", func(t *testing.T) {
				defer func(was int) { unfolded = was }(unfolded)
				u := c.unfold(c.In / c.Groups)
				unfolded = 5 * max(u.k, u.out)
				if u = c.unfold(u.in); u.block != min(5, u.pixels) {
					t.Errorf("a block has %d of %d pixels", u.block, u.pixels)
				}
				f(t, c)
			})
		}
	})
}

// checkConv compares all that is computed of a geometry with the definition.
func checkConv[F Float](t *testing.T, c Conv, images int) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	d := operandsOf[F](c, images)
	y, dx, dw := newSums(d.dy), newSums(d.x), newSums(d.w)
	products(c, images, func(i, j, k int) {
		y.add(i, float64(d.x[j])*float64(d.w[k]))
		dx.add(j, float64(d.dy[i])*float64(d.w[k]))
		dw.add(k, float64(d.dy[i])*float64(d.x[j]))
	})
	pixels, db := len(d.dy)/images/c.Out, newSums(d.bias)
	for i, v := range d.dy {
		db.add(i/pixels%c.Out, float64(v))
	}
	check := func(name string, want sums, f func(got []F)) {
		t.Helper()
		got, intact := guarded(slices.Repeat([]F{F(math.NaN())}, len(want.value)))
		f(got)
		if !intact() {
			t.Fatalf("%s of %+v was written outside", name, c)
		}
		for i := range got {
			if off := math.Abs(float64(got[i]) - want.value[i]); !(off <= 2*epsilon[F]()*want.scale[i]*math.Sqrt(float64(want.count[i]+1))) {
				t.Fatalf("%s of %+v: element %d is %v, want %v", name, c, i, got[i], want.value[i])
			}
		}
	}
	check("y without a bias", y, func(got []F) { Convolve(got, d.x, d.w, nil, c, images, Identity) })
	check("dx", dx, func(got []F) { ConvInputGrad(got, d.dy, d.w, c, images) })
	check("dw", dw, func(got []F) { ConvWeightGrad(got, d.x, d.dy, c, images) })
	check("db", db, func(got []F) { ConvBiasGrad(got, d.dy, c, images) })
	for i := range y.value {
		y.add(i, float64(d.bias[i/pixels%c.Out]))
	}
	check("y", y, func(got []F) { Convolve(got, d.x, d.w, d.bias, c, images, Identity) })
	for i, v := range y.value {
		y.value[i] = max(v, 0)
	}
	check("relu(y)", y, func(got []F) { Convolve(got, d.x, d.w, d.bias, c, images, ReLU) })
}

// sums are elements, with what tells how well they can be computed.
type sums struct {
	value, scale []float64 // the sum, and that of the magnitudes
	count        []int
}

func newSums[F Float](like []F) sums {
	n := len(like)
	return sums{make([]float64, n), make([]float64, n), make([]int, n)}
}

func (s sums) add(i int, v float64) {
	s.value[i] += v
	s.scale[i] += math.Abs(v)
	s.count[i]++
}

// Every image comes out the same, to the last bit, in whatever batch and on
// however many threads; and so does the gradient of the weight.
func TestConvImagesDoNotDependOnOthers(t *testing.T) {
	eachConv(t, func(t *testing.T, c Conv) { checkImages(t, c, 5) })
}

func checkImages(t *testing.T, c Conv, images int) {
	t.Helper()
	d := operandsOf[float32](c, images)
	all := func(from, to int) (y, dx []float32) {
		in, out := len(d.x)/images, len(d.dy)/images
		y, dx = make([]float32, (to-from)*out), make([]float32, (to-from)*in)
		Convolve(y, d.x[from*in:to*in], d.w, d.bias, c, to-from, Tanh)
		ConvInputGrad(dx, d.dy[from*out:to*out], d.w, c, to-from)
		return y, dx
	}
	grads := func() (dw, db []float32) {
		dw, db = make([]float32, len(d.w)), make([]float32, len(d.bias))
		ConvWeightGrad(dw, d.x, d.dy, c, images)
		ConvBiasGrad(db, d.dy, c, images)
		return dw, db
	}
	y, dx := all(0, images)
	dw, db := grads()
	threaded(func(threads int) {
		for from := range images {
			for _, to := range []int{from + 1, images} {
				part, back := all(from, to)
				if !same(part, y[from*len(part)/(to-from):][:len(part)]) || !same(back, dx[from*len(back)/(to-from):][:len(back)]) {
					t.Fatalf("images [%d, %d) differ when computed alone, on %d threads", from, to, threads)
				}
			}
		}
		if w, b := grads(); !same(w, dw) || !same(b, db) {
			t.Fatalf("the gradients of the parameters differ on %d threads", threads)
		}
	})
}

// Taps that are far apart need no more memory than what they see.
func TestConvOfFarTapsIsSmall(t *testing.T) {
	paths(t, func(t *testing.T) {
		far := Window{Kernel: [2]int{3, 2}, Dilation: [2]int{2000, 4000}, Pad: [2]int{2000, 2000}}
		c := Conv{In: 3, Out: 4, Groups: 1, Size: [2]int{5, 6}, Window: far}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		checkConv[float32](t, c, 3)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%d bytes for images of %v pixels", n, c.Size)
		}
	})
}

func FuzzConv(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, variant uint8) {
		use(t, variant&1 == 0)
		useWide(t, able512 && variant&2 == 0)
		r := rand.New(rand.NewPCG(seed, 3))
		c := Conv{Groups: 1 + r.IntN(3)}
		c.In, c.Out = c.Groups*(1+r.IntN(9)), c.Groups*(1+r.IntN(9))
		c.Window, c.Size = anyWindow(r)
		checkConv[float32](t, c, 1+r.IntN(3))
		checkConv[float64](t, c, 1+r.IntN(3))
	})
}

// A step of a layer as small networks have it.
func BenchmarkConv(b *testing.B) {
	const images = 32
	c := Conv{In: 32, Out: 64, Groups: 1, Size: [2]int{16, 16}, Window: Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}}}
	d := operandsOf[float32](c, images)
	y, dx, dw := slices.Clone(d.dy), slices.Clone(d.x), slices.Clone(d.w)
	for name, f := range map[string]func(){
		"forward": func() { Convolve(y, d.x, d.w, d.bias, c, images, ReLU) },
		"dx":      func() { ConvInputGrad(dx, d.dy, d.w, c, images) },
		"dw":      func() { ConvWeightGrad(dw, d.x, d.dy, c, images) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			products := float64(len(d.dy)) * float64(len(d.w)/c.Out)
			b.ReportMetric(2*products*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// AVX-512 computes the bits of AVX2, in gradients too.
func TestConvWidthsAgree(t *testing.T) {
	use(t, true)
	for name, c := range convs {
		const images = 5
		d := operandsOf[float32](c, images)
		var results [2][]float32
		for i, wide := range []bool{false, true} {
			useWide(t, wide)
			y, dx, dw := make([]float32, len(d.dy)), make([]float32, len(d.x)), make([]float32, len(d.w))
			Convolve(y, d.x, d.w, d.bias, c, images, Tanh)
			ConvInputGrad(dx, d.dy, d.w, c, images)
			ConvWeightGrad(dw, d.x, d.dy, c, images)
			results[i] = slices.Concat(y, dx, dw)
		}
		if !same(results[0], results[1]) {
			t.Errorf("%s: AVX-512 has other bits than AVX2", name)
		}
	}
}

// What is added to a convolution is added before the activation, also where y is
// what is added.
func TestConvolveAdd(t *testing.T) {
	eachConv(t, func(t *testing.T, c Conv) {
		const images = 3
		d := operandsOf[float32](c, images)
		plus := random[float32](len(d.dy), 9)
		for _, act := range []Act{Identity, ReLU, SiLU} {
			want := make([]float32, len(d.dy))
			Convolve(want, d.x, d.w, d.bias, c, images, Identity)
			Add(want, want, plus, act)
			got, intact := guarded(plus)
			ConvolveAdd(got, d.x, d.w, d.bias, got, c, images, act)
			if !intact() {
				t.Fatal("it wrote outside of y")
			}
			for i, w := range want {
				if !(math.Abs(float64(got[i]-w)) <= 1e-5*(1+math.Abs(float64(w)))) {
					t.Fatalf("%v: element %d is %v; want %v", act, i, got[i], w)
				}
			}
		}
	})
}
