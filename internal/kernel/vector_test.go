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
	for _, act := range []Act{Identity, ReLU, Tanh, Sigmoid} {
		bothPaths(t, act.String(), [][]float32{m, w, g}, func(x [][]float32) { ActivateGrad(x[0], x[1], x[2], act) })
	}
	bothPaths(t, "relu", [][]float32{m, w}, func(x [][]float32) { Activate(x[0], x[1], ReLU) })
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

// farthest is how far, in units in the last place, tanh and sigmoid may be off.
const farthest = 2.5

// Tanh and sigmoid are right almost to the last place, for numbers of every
// size.
func TestActivateIsExact(t *testing.T) {
	paths(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		x := odd(1000, 3)
		for range 300_000 {
			x = append(x, math.Float32frombits(r.Uint32()), float32(r.NormFloat64()), float32(r.Float64()*220-110))
		}
		for act, f := range map[Act]func(float64) float64{
			Tanh:    math.Tanh,
			Sigmoid: func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		} {
			y, worst, at := make([]float32, len(x)), 0.0, float32(0)
			Activate(y, x, act)
			for i, v := range x {
				if d := ulps(y[i], f(float64(v))); !(d <= worst) {
					worst, at = d, v
				}
			}
			t.Logf("%v: %.2f units at %v", act, worst, at)
			if !(worst <= farthest) {
				t.Errorf("%v(%v) is %v units in the last place off", act, at, worst)
			}
		}
	})
}

// An element comes out the same wherever it stands, and on however many threads.
func TestActivateDoesNotDependOnPlace(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := odd(3000, 4)
		want := make([]float32, len(x))
		for i := range x {
			Activate(want[i:i+1], x[i:i+1], Tanh)
		}
		threaded(func(threads int) {
			for _, from := range []int{0, 1, 3, 2990} {
				y, intact := guarded(x[from:])
				if Activate(y, y, Tanh); !same(y, want[from:]) || !intact() {
					t.Errorf("other values from %d on %d threads", from, threads)
				}
			}
		})
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
	f.Fuzz(func(t *testing.T, x float32, act uint8) {
		a := Act(act % 4)
		use(t, act&4 == 0)
		fast, want := slices.Repeat([]float32{x}, 11), []float64{float64(x)}
		Activate(fast, fast, a)
		Activate(want, want, a)
		if d := ulps(fast[0], want[0]); !(d <= farthest) || !same(fast, slices.Repeat(fast[:1], 11)) {
			t.Errorf("%v(%v) = %v, want %v", a, x, fast, want)
		}
	})
}
