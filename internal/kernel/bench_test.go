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
		for threads := 1; threads <= 2; threads++ {
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
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			use(b, true)
			b.ReportMetric(measurePeak(threads, b.N), "GFLOP/s")
		})
	}
}

// BenchmarkSweep is how fast as many bytes as 784-800-800-10 has weights, of 1, 2
// and 4 bytes, can be read over and over.
func BenchmarkSweep(b *testing.B) {
	const weights = 784*800 + 800*800 + 800*10
	for _, size := range []int{1, 2, 4} {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("bytes=%d/threads=%d", size*weights, threads), func(b *testing.B) {
				use(b, true)
				b.ReportMetric(measureSweep(threads, size*weights, b.N), "GB/s")
			})
		}
	}
}

// BenchmarkGemm tells the share of the peak that a product reaches, which is
// measured right after it: other work on the machine slows both.
func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		ta, tb, packed bool
		m, n, k        int
	}{
		{false, true, false, 128, 1200, 784},
		{false, true, true, 128, 1200, 784},
		{false, true, false, 128, 1200, 1200},
		{false, true, false, 512, 512, 512},
		{false, false, false, 512, 512, 512},
		{true, false, false, 512, 512, 512},
		{false, false, false, 128, 784, 800},
		{true, false, false, 800, 784, 128},
		{false, true, true, 32, 1200, 1200},
		{false, true, false, 32, 800, 784},
		{false, false, false, 32, 784, 800},
		{true, false, false, 800, 784, 32},
		{false, true, false, 128, 10, 800},
		{false, true, false, 64, 64, 64},
		{true, false, false, 64, 64, 20000},
		{false, true, false, 1, 800, 784},
		{false, true, true, 1, 800, 784},
		{false, true, true, 1, 32, 64},
	} {
		x, y, z := random[float32](s.m*s.k, 1), random[float32](s.k*s.n, 2), make([]float32, s.m*s.n)
		b.Run(fmt.Sprintf("%dx%dx%d/ta=%t/tb=%t/packed=%t", s.m, s.k, s.n, s.ta, s.tb, s.packed), func(b *testing.B) {
			onPaths(b, func(b *testing.B) {
				multiply := func() { Gemm(s.ta, s.tb, s.m, s.n, s.k, x, y, z, false) }
				if s.packed {
					packed := Pack(y, s.k, s.n)
					multiply = func() { packed.Linear(z, x, nil, s.m, Identity) }
				}
				for b.Loop() {
					multiply()
				}
				reportSpeed(b, 2*float64(s.m*s.n*s.k))
			})
		})
	}
}

// reportSpeed tells how fast so many operations were each time.
func reportSpeed(b *testing.B, operations float64) {
	speed := operations * float64(b.N) / float64(b.Elapsed().Nanoseconds())
	b.ReportMetric(speed, "GFLOP/s")
	if peak := measurePeak(runtime.GOMAXPROCS(0), 1000); peak > 0 {
		b.ReportMetric(100*speed/peak, "%peak")
	}
}

func BenchmarkAdam(b *testing.B) {
	const n = 1_280_000
	w, g, m, v := random[float32](n, 1), random[float32](n, 2), random[float32](n, 3), make([]float32, n)
	step := Adam[float32]{1, 0, 0.1, 0.999, 0.001, 0.003, 0.3, 1e-8}
	onPaths(b, func(b *testing.B) {
		b.SetBytes(7 * 4 * n) // four are read and three written
		for b.Loop() {
			step.Update(w, g, m, v)
		}
	})
}

func BenchmarkKL(b *testing.B) {
	for _, classes := range []int{10, 1000} {
		const rows = 128
		z, t, grad := random[float32](rows*classes, 1), random[float32](rows*classes, 2), make([]float32, rows*classes)
		b.Run(fmt.Sprintf("%dx%d", rows, classes), func(b *testing.B) {
			onPaths(b, func(b *testing.B) {
				for b.Loop() {
					Rows(rows, 100*classes, func(from, to int) {
						for r := from; r < to; r++ {
							i, j := r*classes, (r+1)*classes
							KL(grad[i:j], z[i:j], t[i:j], 4)
						}
					})
				}
			})
		})
	}
}

func BenchmarkActivate(b *testing.B) {
	x, y := random[float32](128*800, 1), make([]float32, 128*800)
	for act := ReLU; act <= Sigmoid; act++ {
		b.Run(act.String(), func(b *testing.B) {
			onPaths(b, func(b *testing.B) {
				for b.Loop() {
					Activate(y, x, act)
				}
			})
		})
	}
}
