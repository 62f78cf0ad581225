package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// integers are what quantize makes of rows of x, by definition.
func integers(x []float32, rows, n int) (q []int, scales []float32) {
	for r := range rows {
		row, top := x[r*n:(r+1)*n], float32(0)
		for _, v := range row {
			top = max(top, float32(math.Abs(float64(v))))
		}
		scale := top / 127
		for _, v := range row {
			i := 0
			if scale > 0 {
				i = int(math.RoundToEven(float64(v * (127 / top))))
			}
			q = append(q, i)
		}
		scales = append(scales, scale)
	}
	return q, scales
}

// The sums of products are those of integers, exactly, on both paths, for every
// number of rows and of columns beside full panels.
func TestInt8IsExact(t *testing.T) {
	paths(t, func(t *testing.T) {
		for rows := range 10 {
			for _, out := range []int{1, 3, 15, 16, 17, 63, 64, 65, 83} {
				for _, in := range []int{1, 3, 7, 8, 9, 31, 53} {
					checkInt8(t, random[float32](rows*in, 1), random[float32](out*in, 2), random[float32](out, 3), rows, in, out)
				}
			}
		}
		const in = 5000
		checkInt8(t, extreme(3*in, 1), extreme(19*in, 2), nil, 3, in, 19)
	})
}

// extreme is all ±1, which becomes ±127: the sums are as large as can be.
func extreme(n int, seed uint64) []float32 {
	r, x := rand.New(rand.NewPCG(seed, 2)), make([]float32, n)
	for i := range x {
		x[i] = 1
		if r.IntN(8) == 0 {
			x[i] = -1
		}
	}
	return x
}

func checkInt8(t *testing.T, x, w, bias []float32, rows, in, out int) {
	t.Helper()
	y, intact := guarded(make([]float32, rows*out))
	PackInt8(w, in, out).Linear(y, x, bias, rows, Identity)
	if !intact() {
		t.Fatalf("%dx%dx%d: it wrote outside of y", rows, in, out)
	}
	xq, xs := integers(x, rows, in)
	wq, ws := integers(w, out, in)
	for i, got := range y {
		r, j := i/out, i%out
		sum := 0
		for k := range in {
			sum += xq[r*in+k] * wq[j*in+k]
		}
		want := float32(float32(sum) * float32(xs[r]*ws[j]))
		if bias != nil {
			want += bias[j]
		}
		if got != want {
			t.Fatalf("%dx%dx%d: element %d is %v, want %v", rows, in, out, i, got, want)
		}
	}
}

// What rounding costs is no more than half a step of each x and each w.
func TestInt8Error(t *testing.T) {
	const rows, in, out = 5, 300, 21
	x, w := random[float32](rows*in, 1), random[float32](out*in, 2)
	paths(t, func(t *testing.T) {
		y := make([]float32, rows*out)
		PackInt8(w, in, out).Linear(y, x, nil, rows, Identity)
		_, xs := integers(x, rows, in)
		_, ws := integers(w, out, in)
		for i, got := range y {
			r, j := i/out, i%out
			want, bound := 0.0, 0.0
			for k := range in {
				a, b := float64(x[r*in+k]), float64(w[j*in+k])
				da, db := float64(xs[r])/2, float64(ws[j])/2
				want += a * b
				bound += math.Abs(a)*db + math.Abs(b)*da + da*db
			}
			bound *= 1 + 1e-5 // float32 rounds too
			if d := math.Abs(float64(got) - want); !(d <= bound) || d == 0 {
				t.Fatalf("element %d is off by %v; want at most %v, and not 0", i, d, bound)
			}
		}
	})
}

func TestInt8RowsDoNotDependOnOthers(t *testing.T) {
	const m, n, k = 11, 150, 53
	x, bias := random[float32](m*k, 1), random[float32](n, 3)
	w := PackInt8(random[float32](n*k, 2), k, n)
	for _, act := range []Act{ReLU, Tanh} {
		paths(t, func(t *testing.T) {
			whole := make([]float32, m*n)
			w.Linear(whole, x, bias, m, act)
			threaded(func(threads int) {
				for from := range m {
					for to := from + 1; to <= m; to++ {
						part := make([]float32, (to-from)*n)
						w.Linear(part, x[from*k:], bias, to-from, act)
						if !same(part, whole[from*n:to*n]) {
							t.Fatalf("%v: rows [%d, %d) differ when computed alone, on %d threads", act, from, to, threads)
						}
					}
				}
			})
		})
	}
}

// Rows of zeros, of next to nothing, and of what is not finite.
func TestInt8OddRows(t *testing.T) {
	const in, out = 9, 3
	w := PackInt8([]float32{
		1, 1, 1, 1, 1, 1, 1, 1, 1,
		0, 0, 0, 0, 0, 0, 0, 0, 0,
		1e-42, 0, 0, 0, 0, 0, 0, 0, 1e-45,
	}, in, out)
	bias := []float32{10, 20, 30}
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	paths(t, func(t *testing.T) {
		for _, test := range []struct {
			x    float32
			want []float32
		}{
			{0, bias}, {1e-40, bias}, {1, []float32{11, 20, 30}}, {-1, []float32{9, 20, 30}},
			{inf, []float32{nan, nan, nan}}, {nan, []float32{nan, nan, nan}},
		} {
			for _, at := range []int{0, in - 1} {
				x, y := make([]float32, 2*in), make([]float32, 2*out)
				x[in+at] = test.x
				w.Linear(y, x, bias, 2, Identity)
				if !same(y[:out], bias) || !same(y[out:], test.want) {
					t.Errorf("%v: got %v, want %v behind %v", test.x, y, test.want, bias)
				}
			}
		}
	})
}

// The most inputs, all of the largest: their sum is the largest int32 but a few.
func TestInt8MostInputs(t *testing.T) {
	const in, out = MaxInt8Inputs, 3
	x, w := make([]float32, in), make([]float32, out*in)
	for i := range x {
		x[i], w[i], w[in+i], w[2*in+i] = 1, 1, -1, float32(1-i%2*2)
	}
	paths(t, func(t *testing.T) {
		checkInt8(t, x, w, nil, 1, in, out)
	})
}

func FuzzInt8(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(64), uint8(8), false)
	f.Add(uint64(2), uint8(5), uint8(17), uint8(33), true)
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint8, bias bool) {
		rows, out, in := int(m)%21, int(n)+1, int(k)+1
		x, w, b := odd(rows*in, seed), random[float32](out*in, seed+1), []float32(nil)
		if bias {
			b = odd(out, seed+2)
		}
		on := func(fast bool) []float32 {
			use(t, fast)
			y, intact := guarded(make([]float32, rows*out))
			PackInt8(w, in, out).Linear(y, x, b, rows, ReLU)
			if !intact() {
				t.Fatal("it wrote outside of y")
			}
			return y
		}
		if portable := on(false); !same(on(true), portable) {
			t.Fatal("the assembly and the portable path differ")
		}
	})
}

func BenchmarkInt8(b *testing.B) {
	for _, s := range [][3]int{{1, 784, 800}, {3, 784, 800}, {64, 784, 800}, {64, 800, 10}, {1, 32, 64}} {
		m, k, n := s[0], s[1], s[2]
		x, y, w := random[float32](m*k, 1), make([]float32, m*n), random[float32](n*k, 2)
		for name, p := range map[string]interface {
			Linear(y, x, bias []float32, rows int, act Act)
		}{"int8": PackInt8(w, k, n), "half": PackHalf(w, k, n), "float32": Pack(w, k, n)} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, k, n, name), func(b *testing.B) {
				onPaths(b, func(b *testing.B) {
					for b.Loop() {
						p.Linear(y, x, nil, m, Identity)
					}
				})
			})
		}
	}
}
