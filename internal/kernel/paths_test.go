package kernel

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// paths runs a test on the portable path and with the assembly.
func paths(t *testing.T, f func(t *testing.T)) {
	for name, fast := range map[string]bool{"portable": false, "avx2": true} {
		t.Run(name, func(t *testing.T) {
			use(t, fast)
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
