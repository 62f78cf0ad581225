package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// ulps is how far got is from want, in units of its last place.
func ulps(got float32, want float64) float64 {
	if sameKind(float64(got), want) {
		return 0
	}
	w := float32(want)
	unit := float64(math.Nextafter32(float32(math.Abs(want)), math.MaxFloat32)) - math.Abs(float64(w))
	return math.Abs(float64(got)-want) / max(unit, 0x1p-149)
}

// bothPaths calls f on each path, and compares what becomes of x to the last
// bit.
func bothPaths(t *testing.T, name string, x [][]float32, f func(x [][]float32)) {
	t.Helper()
	results := eachPath(t, uint64(len(x[0])), x, f)
	for i, want := range results[0] {
		for j, v := range results[1][i] {
			if !same([]float32{v}, want[j:j+1]) {
				t.Fatalf("%s of %d: operand %d has %v at %d, want %v", name, len(want), i, v, j, want[j])
			}
		}
	}
}

// What has only products, sums, quotients and roots rounds as the portable code.
func TestPathsRoundAlike(t *testing.T) {
	for _, n := range []int{1, 3, 7, 8, 9, 16, 31, 70, 5001} {
		checkRounding(t, n, uint64(10*n))
	}
}

func checkRounding(t *testing.T, n int, seed uint64) {
	w, g, m := odd(n, seed), odd(n, seed+1), odd(n, seed+2)
	v := random[float32](n, seed+3)
	for i := range v {
		v[i] *= v[i]
	}
	adam := Adam[float32]{0.999, 0.02, 0.1, 0.999, 0.001, 0.003, 0.3, 1e-8}
	bothPaths(t, "adam", [][]float32{w, g, m, v}, func(x [][]float32) { adam.Update(x[0], x[1], x[2], x[3]) })
	for _, o := range []SGD[float32]{{0.1, 0.01, 0, false}, {0.1, 0.01, 0.9, false}, {0.1, 0, 0.9, true}} {
		bothPaths(t, "sgd", [][]float32{w, g, m}, func(x [][]float32) { o.Update(x[0], x[1], x[2]) })
	}
	for _, act := range allActs {
		if act.kind() <= HardSwish {
			bothPaths(t, act.String(), [][]float32{m, w, g}, func(x [][]float32) { ActivateGrad(x[0], x[1], x[2], act) })
		}
	}
	for _, act := range []Act{Identity, ReLU, ReLU6, LeakyReLU, leaky02, ELU, HardSwish} {
		bothPaths(t, act.String(), [][]float32{m, w}, func(x [][]float32) { Activate(x[0], x[1], act) })
	}
	for _, act := range []Act{Identity, ReLU, ReLU6, LeakyReLU} {
		bothPaths(t, "add "+act.String(), [][]float32{m, w, g}, func(x [][]float32) { Add(x[0], x[1], x[2], act) })
	}
	bothPaths(t, "scale", [][]float32{m, w, g[:1]}, func(x [][]float32) { ScaleRows(x[0], x[1], x[2]) })
	for rows := range 4 {
		x := odd(rows*n, seed)
		bothPaths(t, "sums", [][]float32{m, x}, func(x [][]float32) { SumColumns(x[0], x[1], rows, n) })
	}
}

// FuzzVectors is of the optimizers, the activations and the reductions.
func FuzzVectors(f *testing.F) {
	addSizes(f)
	f.Fuzz(func(t *testing.T, seed uint64, size uint16, variant uint8) {
		n := fuzzSize(size)
		checkRounding(t, n, seed)
		x, squares := spread(odd(n, seed), variant), 0.0
		for _, v := range x {
			squares += float64(v) * float64(v)
		}
		results := eachPath(t, seed, [][]float32{x, x}, func(x [][]float32) {
			if v := SumSquares(x[0]); !within(v, squares, 1e-12*squares) {
				t.Errorf("the squares of %d sum to %v, want %v", n, v, squares)
			}
			Activate(x[0], x[0], Tanh)
			Activate(x[1], x[1], Sigmoid)
		})
		for _, y := range results {
			for i, v := range x {
				if want := math.Tanh(float64(v)); !(ulps(y[0][i], want) <= farthest) {
					t.Errorf("tanh(%v) is %v, want %v", v, y[0][i], want)
				}
				if want := 1 / (1 + math.Exp(-float64(v))); !(ulps(y[1][i], want) <= farthest) {
					t.Errorf("sigmoid(%v) is %v, want %v", v, y[1][i], want)
				}
			}
		}
	})
}

// farthest is how far, in units in the last place, tanh and sigmoid may be off,
// and nearest how far what is computed in float64.
const (
	farthest = 2.5
	nearest  = 0.51
)

// manyFloats are of every size, and some where activations bend.
func manyFloats() []float32 {
	n := 300_000
	if testing.Short() {
		n = 10_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	x := odd(1000, 3)
	for range n {
		x = append(x, math.Float32frombits(r.Uint32()), float32(r.NormFloat64()), float32(r.Float64()*220-110))
	}
	return x
}

// What is no mere arithmetic is right almost to the last place, for numbers of
// every size.
func TestActivateIsExact(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := manyFloats()
		for act, atMost := range map[Act]float64{Tanh: farthest, Sigmoid: farthest, ELU: nearest, SiLU: nearest, GELU: nearest, GELUTanh: nearest} {
			f := act.function() // in float64, where it is exact enough
			y, worst, at := make([]float32, len(x)), 0.0, float32(0)
			Activate(y, x, act)
			for i, v := range x {
				if d := ulps(y[i], f(float64(v))); !(d <= worst) {
					worst, at = d, v
				}
			}
			t.Logf("%v: %.3f units at %v", act, worst, at)
			if !(worst <= atMost) {
				t.Errorf("%v(%v) is %v units in the last place off", act, at, worst)
			}
		}
	})
}

// The gradients by the input, too, but for a billionth where they change their
// sign.
func TestActivateGradIsExact(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := manyFloats()
		ones, dx := slices.Repeat([]float32{1}, len(x)), make([]float32, len(x))
		for _, act := range []Act{SiLU, GELU, GELUTanh} {
			ActivateGrad(dx, x, ones, act)
			slope, worst := act.derivative(), 0.0
			for i, v := range x {
				want := slope(float64(v))
				off := math.Abs(float64(dx[i]) - want)
				if off > 1e-9 && ulps(dx[i], want) > worst {
					worst = ulps(dx[i], want)
				}
				if !within(float64(dx[i]), want, 1e-9+nearest*unit[float32](want)) {
					t.Fatalf("the gradient of %v at %v is %v, want %v", act, v, dx[i], want)
				}
			}
			t.Logf("%v: %.3f units", act, worst)
		}
	})
}

// An element comes out the same wherever it stands, and on however many threads.
func TestActivateDoesNotDependOnPlace(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := odd(3000, 4)
		for _, act := range allActs {
			want, grad := make([]float32, len(x)), make([]float32, len(x))
			for i := range x {
				Activate(want[i:i+1], x[i:i+1], act)
				ActivateGrad(grad[i:i+1], x[i:i+1], x[i:i+1], act)
			}
			threaded(func(threads int) {
				for _, from := range []int{0, 1, 3, 2990} {
					y, intact := guarded(x[from:])
					dx, whole := guarded(x[from:])
					Activate(y, y, act)
					ActivateGrad(dx, x[from:], dx, act)
					if !same(y, want[from:]) || !same(dx, grad[from:]) || !intact() || !whole() {
						t.Errorf("%v: other values from %d on %d threads", act, from, threads)
					}
				}
			})
		}
	})
}

func TestExponentials(t *testing.T) {
	paths(t, func(t *testing.T) {
		for n := range 40 {
			z := random[float32](n, uint64(n))
			for i := range z {
				z[i] *= float32(math.Pow(3, float64(i%7)))
			}
			if n > 3 {
				z[2] = float32(math.Inf(-1))
			}
			dst, intact := guarded(make([]float64, n))
			top, sum := exponentials(dst, z, 0.7)
			total := 0.0
			for i, v := range z {
				want := math.Exp(float64(float64(v)*0.7) - top)
				if total += want; math.Abs(dst[i]-want) > 1e-14*want+1e-300 {
					t.Errorf("%d of %d is %v, want %v", i, n, dst[i], want)
				}
			}
			if !intact() || math.Abs(sum-total) > 1e-13*total {
				t.Errorf("the sum of %d is %v, want %v", n, sum, total)
			}
		}
	})
}

func TestLargest(t *testing.T) {
	paths(t, func(t *testing.T) {
		for n := 1; n < 40; n++ {
			for at := range n {
				z := random[float32](n, 1)
				for i := range z {
					z[i] -= 1000
				}
				for _, v := range []float32{-900, 100, float32(math.Inf(1)), float32(math.NaN())} {
					z[at] = v
					e := make([]float64, n)
					top, _ := exponentials(e, z, 1)
					again, _ := sumExponentials(z, 1)
					if want := []float64{float64(v)}; !same([]float64{top}, want) || !same([]float64{again}, want) {
						t.Errorf("with %v at %d of %d: %v and %v", v, at, n, top, again)
					}
				}
			}
		}
		if v, sum := sumExponentials([]float32{}, 1); !math.IsInf(v, -1) || sum != 0 {
			t.Errorf("of nothing: %v, %v", v, sum)
		}
	})
}

func FuzzActivate(f *testing.F) {
	f.Add(float32(0.625), uint8(2))
	f.Add(float32(-88.72), uint8(3))
	f.Add(float32(-103.5), uint8(3))
	f.Add(float32(-13.9), uint8(20))
	f.Add(float32(-1.2784), uint8(18))
	f.Add(float32(-1.5401787), uint8(16))
	f.Fuzz(func(t *testing.T, x float32, act uint8) {
		a := allActs[int(act>>1)%len(allActs)]
		use(t, act&1 == 0)
		fast, want := slices.Repeat([]float32{x}, 11), []float64{float64(x)}
		Activate(fast, fast, a)
		Activate(want, want, a)
		if d := ulps(fast[0], want[0]); !(d <= farthest) || !same(fast, slices.Repeat(fast[:1], 11)) {
			t.Errorf("%v(%v) = %v, want %v", a, x, fast, want)
		}
		dx, grad, one := slices.Repeat([]float32{1}, 11), []float64{float64(x)}, []float64{1}
		ActivateGrad(dx, slices.Repeat([]float32{x}, 11), dx, a)
		ActivateGrad(grad, grad, one, a)
		off := 1e-9 + nearest*unit[float32](grad[0])
		if a.kind() <= HardSwish { // in float32, where 1 - y² and x/3 + 1/2 cancel
			off = 5e-7 * max(1, math.Abs(float64(x)), float64(x)*float64(x))
		}
		if !within(float64(dx[0]), grad[0], off) || !same(dx, slices.Repeat(dx[:1], 11)) {
			t.Errorf("the gradient of %v by %v is %v, want %v", a, x, dx, grad)
		}
	})
}
