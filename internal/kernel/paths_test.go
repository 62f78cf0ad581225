package kernel

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// ways are those in which float32 is computed.
var ways = []struct {
	name       string
	fast, wide bool
}{{"portable", false, false}, {"avx2", true, false}, {"avx512", true, true}}

// paths runs a test on the portable path and with the assembly.
func paths(t *testing.T, f func(t *testing.T)) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			use(t, way.fast)
			useWide(t, way.wide)
			f(t)
		})
	}
}

// threaded calls f with some numbers of threads, which even small work is
// split between.
func threaded(f func(threads int)) {
	defer func(n, w int) {
		runtime.GOMAXPROCS(n)
		worth = w
	}(runtime.GOMAXPROCS(0), worth)
	worth = 1
	for threads := 1; threads <= 4; threads++ {
		runtime.GOMAXPROCS(threads)
		f(threads)
	}
}

// same compares bits, but for those of a NaN.
func same[F Float](x, y []F) bool {
	return slices.EqualFunc(x, y, func(a, b F) bool {
		return a == b && math.Signbit(float64(a)) == math.Signbit(float64(b)) || a != a && b != b
	})
}

// guarded is a copy of x amid canaries, and a check that they live.
func guarded[F Float](x []F) (inner []F, intact func() bool) {
	canaries := slices.Repeat([]F{12345}, 40)
	all := slices.Concat(canaries, x, canaries)
	end := len(canaries) + len(x)
	return all[len(canaries):end:end], func() bool {
		return slices.Equal(all[:len(canaries)], canaries) && slices.Equal(all[end:], canaries)
	}
}

// random is n normal values, the same for one seed.
func random[F Float](n int, seed uint64) []F {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]F, n)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	return x
}

// odd is random, with denormals, infinities and NaN here and there.
func odd(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := random[float32](n, seed)
	special := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-40, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	for range n/20 + 1 {
		if n > 0 {
			x[r.IntN(n)] = special[r.IntN(len(special))]
		}
	}
	return x
}

// eachPath calls f on the portable path and with the assembly, each time with
// copies of x amid canaries, from places that are not aligned, and returns what
// became of them.
func eachPath(t *testing.T, seed uint64, x [][]float32, f func(x [][]float32)) (results [2][][]float32) {
	t.Helper()
	for i, fast := range []bool{false, true} {
		use(t, fast)
		for k, v := range x {
			skip := int(seed+uint64(k)) % 8
			inner, intact := guarded(append(make([]float32, skip), v...))
			results[i] = append(results[i], inner[skip:])
			defer func() {
				if !intact() {
					t.Error("it wrote outside of an operand")
				}
			}()
		}
		f(results[i])
	}
	return results
}

// addSizes are seeds for a fuzz test of vectors.
func addSizes(f *testing.F) {
	for i, size := range []uint16{1, 3, 4, 5, 7, 8, 9, 12, 31, 70, 15, 255} {
		f.Add(uint64(i), size, uint8(i))
		f.Add(uint64(i), size, uint8(128+i))
	}
}

// fuzzSize is 1 to 70, and seldom more.
func fuzzSize(v uint16) int {
	if v%16 == 15 {
		return 1 + int(v)%3000
	}
	return 1 + int(v)%70
}

// spread makes the elements of x larger or smaller.
func spread(x []float32, variant uint8) []float32 {
	for i := range x {
		x[i] *= float32(math.Pow(3, float64(variant>>2%8)-2))
	}
	return x
}

// within says that x is y, or as far from it as may be.
func within(x, y, atMost float64) bool { return math.Abs(x-y) <= atMost || sameKind(x, y) }

// checkClose compares what was rounded to float32 with what was not, but may be
// off by so much, and by such a share of it.
func checkClose(t *testing.T, name string, got []float32, want []float64, atMost, share float64) {
	t.Helper()
	for i, w := range want {
		if !within(float64(got[i]), w, atMost+share*math.Abs(w)+0.51*unit[float32](w)) {
			t.Fatalf("%s: element %d of %d is %v, want %v", name, i, len(want), got[i], w)
		}
	}
}
