package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A normCase is x (rows, channels, size) with a mask, and channels with what
// they are normalised by.
type normCase struct {
	rows, size      int
	x, dy, mask     []float32
	by              Channels
	slopes          Slopes
	mean, variance  []float64 // by definition, and so are the sums
	sum, dot        []float64
	sumSize, dotMag []float64 // what the sums are made of, without signs
	n               int       // elements of a channel
}

func newNormCase(seed uint64, rows, channels, size int, act Act) *normCase {
	r := rand.New(rand.NewPCG(seed, 9))
	c := &normCase{
		rows: rows, size: size, by: NewChannels(channels, act), slopes: NewSlopes(channels),
		x: random[float32](rows*channels*size, seed), dy: random[float32](rows*channels*size, seed+1), mask: make([]float32, rows),
	}
	for i := range c.mask {
		c.mask[i] = float32(min(r.IntN(4), 1))
	}
	c.mask[r.IntN(rows)] = 1
	for i := range channels {
		c.by.Mean[i], c.by.Scale[i], c.by.Shift[i] = r.NormFloat64(), r.NormFloat64(), r.NormFloat64()
		c.slopes.Dz[i], c.slopes.X[i], c.slopes.Plus[i] = r.NormFloat64(), r.NormFloat64(), r.NormFloat64()
		far := float32(math.Pow(10, float64(r.IntN(6)-2)))
		c.each(func(_, ch, at int) {
			if ch == i {
				c.x[at] += far
			}
		})
	}
	c.define()
	return c
}

// each calls f for the elements of the rows that count.
func (c *normCase) each(f func(row, channel, at int)) {
	channels := len(c.by.Mean)
	for at := range c.x {
		if row := at / (channels * c.size); c.mask[row] != 0 {
			f(row, at/c.size%channels, at)
		}
	}
}

// passes is dz, of an element.
func (c *normCase) passes(ch, at int) float64 {
	least, most := c.by.limits()
	if v := (float64(c.x[at])-c.by.Mean[ch])*c.by.Scale[ch] + c.by.Shift[ch]; v <= least || v >= most {
		return 0
	}
	return float64(c.dy[at])
}

func (c *normCase) define() {
	n := len(c.by.Mean)
	for _, s := range []*[]float64{&c.mean, &c.variance, &c.sum, &c.dot, &c.sumSize, &c.dotMag} {
		*s = make([]float64, n)
	}
	for _, m := range c.mask {
		c.n += int(m) * c.size
	}
	c.each(func(_, ch, at int) { c.mean[ch] += float64(c.x[at]) / float64(c.n) })
	c.each(func(_, ch, at int) {
		d := float64(c.x[at]) - c.mean[ch]
		c.variance[ch] += d * d / float64(c.n)
		dz, far := c.passes(ch, at), float64(c.x[at])-c.by.Mean[ch]
		c.sum[ch] += dz
		c.dot[ch] += dz * far
		c.sumSize[ch] += math.Abs(dz)
		c.dotMag[ch] += math.Abs(dz * far)
	})
}

// check runs all kernels of norms on both paths.
func (c *normCase) check(t *testing.T, seed uint64) {
	t.Helper()
	channels := len(c.by.Mean)
	results := eachPath(t, seed, [][]float32{c.x, c.dy, c.mask, make([]float32, len(c.x)), make([]float32, len(c.x))}, func(v [][]float32) {
		x, dy, mask, y, dx := v[0], v[1], v[2], v[3], v[4]
		mean, intact1 := guarded(make([]float64, channels))
		variance, intact2 := guarded(make([]float64, channels))
		sum, intact3 := guarded(make([]float64, channels))
		dot, intact4 := guarded(make([]float64, channels))
		n := Moments(mean, variance, x, mask, c.rows, c.size)
		Normalize(y, x, mask, c.by, c.rows, c.size)
		NormalizeSums(sum, dot, x, dy, mask, c.by, c.rows, c.size)
		NormalizeGrad(dx, x, dy, mask, c.by, c.slopes, c.rows, c.size)
		if n != c.n || !intact1() || !intact2() || !intact3() || !intact4() {
			t.Errorf("%d elements, want %d; canaries live: %v, %v, %v, %v", n, c.n, intact1(), intact2(), intact3(), intact4())
		}
		for i := range mean {
			span := math.Abs(c.mean[i]) + math.Sqrt(c.variance[i])
			if !within(mean[i], c.mean[i], 1e-13*span) || !within(variance[i], c.variance[i], 1e-11*c.variance[i]+1e-15*span*span) {
				t.Errorf("channel %d: mean %v and variance %v, want %v and %v", i, mean[i], variance[i], c.mean[i], c.variance[i])
			}
			if !within(sum[i], c.sum[i], 1e-13*c.sumSize[i]) || !within(dot[i], c.dot[i], 1e-13*c.dotMag[i]) {
				t.Errorf("channel %d: sums %v and %v, want %v and %v", i, sum[i], dot[i], c.sum[i], c.dot[i])
			}
		}
	})
	for k, name := range map[int]string{3: "y", 4: "dx"} {
		if !same(results[0][k], results[1][k]) {
			t.Errorf("%s is not of one rounding on both paths", name)
		}
	}
	c.compare(t, results[1][3], results[1][4])
}

// compare checks y and dx against the definition.
func (c *normCase) compare(t *testing.T, y, dx []float32) {
	t.Helper()
	wantY, wantDx := make([]float64, len(y)), make([]float64, len(y))
	least, most := c.by.limits()
	c.each(func(_, ch, at int) {
		d := float64(c.x[at]) - c.by.Mean[ch]
		wantY[at] = min(max(d*c.by.Scale[ch]+c.by.Shift[ch], least), most)
		wantDx[at] = c.slopes.Dz[ch]*c.passes(ch, at) + c.slopes.X[ch]*d + c.slopes.Plus[ch]
	})
	checkClose(t, "y", y, wantY, 1e-10, 0)
	checkClose(t, "dx", dx, wantDx, 1e-10, 0)
}

func TestNormalize(t *testing.T) {
	for _, act := range []Act{Identity, ReLU, ReLU6} {
		for i, shape := range [][3]int{{5, 3, 7}, {3, 5, 16}, {7, 11, 1}, {4, 3, 33}, {3, 70, 1}, {1, 3, 5}} {
			t.Run(fmt.Sprint(act, shape), func(t *testing.T) {
				newNormCase(uint64(i), shape[0], shape[1], shape[2], act).check(t, uint64(i))
			})
		}
	}
}

func FuzzNormalize(f *testing.F) {
	addSizes(f)
	f.Fuzz(func(t *testing.T, seed uint64, size uint16, variant uint8) {
		shape := [3]int{1 + int(variant>>2)%5, 1 + int(variant>>5)*3, fuzzSize(size) % 300}
		if shape[2] == 0 || variant&1 == 0 {
			shape[1], shape[2] = shape[1]+shape[2], 1
		}
		act := []Act{Identity, ReLU, ReLU6}[seed%3]
		newNormCase(seed, shape[0], shape[1], shape[2], act).check(t, seed)
	})
}

// What is computed is the same to the last bit on any number of threads, and in
// place.
func TestNormalizeOnThreads(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, size := range []int{1, 37} {
			c := newNormCase(3, 6, 41, size, ReLU)
			run := func() []float32 {
				mean, variance, all := make([]float64, 41), make([]float64, 41), make([]float32, 2*len(c.x))
				Moments(mean, variance, c.x, c.mask, c.rows, size)
				y, dx := all[:len(c.x)], all[len(c.x):]
				copy(y, c.x)
				copy(dx, c.dy)
				Normalize(y, y, c.mask, c.by, c.rows, size)
				NormalizeGrad(dx, c.x, dx, c.mask, c.by, c.slopes, c.rows, size)
				for i := range mean {
					all = append(all, float32(mean[i]), float32(variance[i]))
				}
				NormalizeSums(mean, variance, c.x, c.dy, c.mask, c.by, c.rows, size)
				for i := range mean {
					all = append(all, float32(mean[i]), float32(variance[i]))
				}
				return all
			}
			want := run()
			threaded(func(threads int) {
				if !same(run(), want) {
					t.Errorf("size %d: other values on %d threads", size, threads)
				}
			})
		}
	})
}

// A NaN stays one, and what is infinite is cut off or becomes one.
func TestNormalizeOfNaN(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	paths(t, func(t *testing.T) {
		for _, act := range []Act{Identity, ReLU, ReLU6} {
			for _, size := range []int{1, 6} {
				c := newNormCase(1, 3, 6/size, size, act)
				for i := range c.mask {
					c.mask[i] = 1
				}
				c.x[4], c.x[9], c.dy[13] = nan, inf, nan
				y, dx, sum, dot := make([]float32, len(c.x)), make([]float32, len(c.x)), make([]float64, len(c.by.Mean)), make([]float64, len(c.by.Mean))
				Normalize(y, c.x, c.mask, c.by, c.rows, size)
				NormalizeGrad(dx, c.x, c.dy, c.mask, c.by, c.slopes, c.rows, size)
				NormalizeSums(sum, dot, c.x, c.dy, c.mask, c.by, c.rows, size)
				if y[4] == y[4] || dx[4] == dx[4] || dot[4/size%len(dot)] == dot[4/size%len(dot)] {
					t.Errorf("%v, size %d: a NaN became %v, with gradient %v and sums %v", act, size, y[4], dx[4], dot)
				}
				Moments(sum, dot, c.x, c.mask, c.rows, size)
				if sum[4/size] == sum[4/size] || dot[4/size] == dot[4/size] {
					t.Errorf("size %d: the moments are %v and %v", size, sum, dot)
				}
			}
		}
	})
}

// What runs a student makes no garbage where there is little to do.
func TestNormsDoNotAllocate(t *testing.T) {
	const channels, size = 6, 4
	x, y, w := random[float32](5*channels*size, 1), make([]float32, 5*channels*size), random[float32](channels*size, 2)
	by := NewChannels(channels, ReLU)
	n := testing.AllocsPerRun(100, func() {
		Normalize(y, x, nil, by, 5, size)
		GroupNorm(y, x, w[:channels], w[:channels], channels, 3, size, 1e-5)
		LayerNorm(y, x, w, w, channels*size, 1e-5)
		Add(y, y, x, GELU)
	})
	if n != 0 && !testing.Short() { // the race detector makes some
		t.Errorf("there are %v allocations", n)
	}
}

// The mean is far, the elements close together: sums of squares would have no
// digit of the variance left.
func TestMomentsDoNotCancel(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := []float32{1e6 + 1, 1e6 + 2, 1e6 + 3, 1e6 + 4, 1e6 + 5, 1e6 + 6, 1e6 + 7}
		mean, variance := []float64{0}, []float64{0}
		if n := Moments(mean, variance, x, nil, 1, len(x)); n != 7 || mean[0] != 1e6+4 || math.Abs(variance[0]-4) > 1e-14 {
			t.Errorf("the mean of %d is %v, the variance %v", n, mean, variance)
		}
		if n := Moments(mean, variance, x, []float32{0, 0, 0, 0, 0, 0, 0}, 7, 1); n != 0 || mean[0] == mean[0] {
			t.Errorf("the mean of %d is %v", n, mean)
		}
	})
}

func TestLayerNorm(t *testing.T) {
	const rows, width, eps = 5, 37, 1e-5
	x, w, b := random[float32](rows*width, 1), random[float32](width, 2), random[float32](width, 3)
	paths(t, func(t *testing.T) {
		for _, affine := range []bool{true, false} {
			weight, bias := w, b
			if !affine {
				weight, bias = nil, nil
			}
			mean, inverse := make([]float64, rows), make([]float64, rows)
			Standardize(mean, inverse, x, width, eps)
			want := make([]float64, len(x))
			for r := range rows {
				m, v := 0.0, 0.0
				for _, e := range x[r*width : (r+1)*width] {
					m += float64(e) / width
				}
				for _, e := range x[r*width : (r+1)*width] {
					v += (float64(e) - m) * (float64(e) - m) / width
				}
				for j := range width {
					want[r*width+j] = (float64(x[r*width+j]) - m) / math.Sqrt(v+eps)
					if affine {
						want[r*width+j] = want[r*width+j]*float64(w[j]) + float64(b[j])
					}
				}
			}
			var first []float32
			threaded(func(threads int) {
				y, intact := guarded(x)
				LayerNorm(y, y, weight, bias, width, eps)
				checkClose(t, "y", y, want, 1e-12, 0)
				dx, whole := guarded(x)
				LayerNormGrad(dx, x, dx, weight, mean, inverse, width)
				dw, db := make([]float32, width), make([]float32, width)
				LayerNormSums(dw, db, x, x, mean, inverse, width)
				all := append(append(append(append([]float32{}, y...), dx...), dw...), db...)
				if first == nil {
					first = all
				}
				if !same(all, first) || !intact() || !whole() {
					t.Errorf("other values on %d threads", threads)
				}
			})
		}
	})
}

// A group norm of one group is a layer norm but for the weights, and of as many
// as there are channels that of each plane.
func TestGroupNorm(t *testing.T) {
	const rows, channels, size, eps = 4, 6, 7, 1e-5
	x, w, b := random[float32](rows*channels*size, 1), random[float32](channels, 2), random[float32](channels, 3)
	paths(t, func(t *testing.T) {
		for _, groups := range []int{1, 2, 3, 6} {
			width := channels / groups * size
			want := make([]float32, len(x))
			LayerNorm(want, x, nil, nil, width, eps)
			plain, y := make([]float32, len(x)), make([]float32, len(x))
			GroupNorm(plain, x, nil, nil, channels, groups, size, eps)
			GroupNorm(y, x, w, b, channels, groups, size, eps)
			affine := make([]float64, len(x))
			for i, v := range want {
				c := i / size % channels
				affine[i] = float64(v)*float64(w[c]) + float64(b[c])
			}
			if !same(plain, want) {
				t.Errorf("%d groups without weights are no layer norm", groups)
			}
			checkClose(t, "y", y, affine, 1e-6, 0)
		}
	})
}

// A folded layer is the layer and its batch norm.
func TestFold(t *testing.T) {
	const in, out, eps = 7, 5, 1e-3
	w, x := random[float64](out*in, 1), random[float64](in, 2)
	bias, gamma, beta, mean, variance := random[float64](out, 3), random[float64](out, 4), random[float64](out, 5), random[float64](out, 6), random[float64](out, 7)
	for i := range variance {
		variance[i] *= variance[i]
	}
	for _, given := range [][]bool{{true, true, true}, {false, true, true}, {true, false, true}, {true, true, false}, {false, false, false}} {
		some := [][]float64{bias, gamma, beta}
		for i, is := range given {
			if !is {
				some[i] = nil
			}
		}
		by := NewChannels(out, Identity)
		Given(by.Mean, by.Scale, mean, variance, eps)
		Affine(by, by.Mean, by.Scale, some[1], some[2])
		want, got := make([]float64, out), make([]float64, out)
		Linear(want, x, w, some[0], 1, in, out, Identity)
		Normalize(want, want, nil, by, 1, 1)
		folded, shift := Fold(w, some[0], some[1], some[2], mean, variance, eps)
		Linear(got, x, folded, shift, 1, in, out, Identity)
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-12*max(1, math.Abs(want[i])) {
				t.Errorf("with %v, output %d is %v, want %v", given, i, got[i], want[i])
			}
		}
	}
}
