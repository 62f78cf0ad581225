package kernel

import (
	"fmt"
	"runtime"
	"testing"
)

// onPaths runs a benchmark on the portable path and with the assembly, if this
// CPU has it, on one thread and on two.
func onPaths(b *testing.B, f func(b *testing.B)) {
	for _, fast := range []bool{false, true} {
		for _, threads := range []int{1, 2} {
			name := map[bool]string{false: "portable", true: "avx2"}[fast]
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				use(b, fast)
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
				b.ReportAllocs()
				f(b)
			})
		}
	}
}

// BenchmarkPeak is as many fused products and sums as the CPU can do.
func BenchmarkPeak(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			use(b, true)
			b.ReportMetric(measurePeak(threads, b.N), "GFLOP/s")
		})
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		ta, tb  bool
		m, n, k int
	}{
		{false, true, 128, 1200, 784},
		{false, true, 128, 1200, 1200},
		{false, true, 512, 512, 512},
		{false, false, 512, 512, 512},
		{true, false, 512, 512, 512},
		{false, false, 128, 800, 784},
		{true, false, 800, 784, 128},
		{false, true, 128, 10, 800},
		{false, true, 64, 64, 64},
		{true, false, 64, 64, 20000},
		{false, true, 8, 256, 256},
		{false, true, 1, 800, 784},
		{false, true, 1, 32, 64},
	} {
		name := fmt.Sprintf("%dx%dx%d/ta=%t/tb=%t", s.m, s.k, s.n, s.ta, s.tb)
		x, y, z := random[float32](s.m*s.k, 1), random[float32](s.k*s.n, 2), make([]float32, s.m*s.n)
		b.Run(name, func(b *testing.B) {
			onPaths(b, func(b *testing.B) {
				for b.Loop() {
					Gemm(s.ta, s.tb, s.m, s.n, s.k, x, y, z, false)
				}
				reportSpeed(b, 2*float64(s.m*s.n*s.k))
			})
		})
	}
}

// reportSpeed tells how fast so many operations were each time, and what share
// that is of the peak of these threads.
func reportSpeed(b *testing.B, operations float64) {
	speed := operations * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(speed, "GFLOP/s")
}
