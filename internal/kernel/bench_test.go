package kernel

import (
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"testing"
)

// onPaths runs a benchmark on the portable path and with the assembly, if this
// CPU has it, on one thread and on two.
func onPaths(b *testing.B, f func(b *testing.B)) {
	for _, way := range ways {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/threads=%d", way.name, threads), func(b *testing.B) {
				use(b, way.fast)
				useWide(b, way.wide)
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

// BenchmarkLoss are the losses of a few classes, of many, and of a vocabulary.
func BenchmarkLoss(b *testing.B) {
	for _, s := range [][2]int{{128, 10}, {128, 1000}, {64, 32000}} {
		rows, c := s[0], s[1]
		for name, loss := range lossBenchmarks(rows, c) {
			b.Run(fmt.Sprintf("%s/%dx%d", name, rows, c), func(b *testing.B) {
				onPaths(b, func(b *testing.B) {
					for b.Loop() {
						loss()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows*c), "ns/element")
				})
			})
		}
	}
}

// lossBenchmarks by name, sorted.
func lossBenchmarks(rows, c int) iter.Seq2[string, func()] {
	z, t := random[float32](rows*c, 1), random[float32](rows*c, 2)
	grad, value, labels := make([]float32, rows*c), make([]float32, rows), make([]int, rows)
	p := make([]float32, rows*c)
	for r := range rows {
		Softmax(row(p, r, c), row(t, r, c), 1)
	}
	kept := topK(t, rows, 8, 4)
	all := map[string]func(){
		"kl":         func() { KL(value, grad, z, t, 4) },
		"cross":      func() { CrossEntropy(value, grad, z, labels, 0) },
		"smoothed":   func() { CrossEntropy(value, grad, z, labels, 0.1) },
		"soft":       func() { SoftCrossEntropy(value, grad, z, p, 0.1) },
		"topkl":      func() { TopKL(value, grad, z, kept, 4) },
		"mse":        func() { MSE(value, grad, z, t) },
		"scalerows":  func() { ScaleRows(grad, z, p[:rows]) },
		"logsoftmax": func() { perRow(rows, func(r int) { LogSoftmax(row(grad, r, c), row(z, r, c), 1) }) },
		"logsoftmaxgrad": func() {
			perRow(rows, func(r int) { LogSoftmaxGrad(row(grad, r, c), row(z, r, c), row(t, r, c)) })
		},
		"softmax": func() { perRow(rows, func(r int) { Softmax(row(grad, r, c), row(z, r, c), 1) }) },
	}
	return func(yield func(string, func()) bool) {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !yield(name, all[name]) {
				return
			}
		}
	}
}

func perRow(rows int, f func(r int)) {
	for r := range rows {
		f(r)
	}
}

func BenchmarkActivate(b *testing.B) {
	x, y := random[float32](128*800, 1), make([]float32, 128*800)
	for _, act := range allActs[2:] { // after a slope and identity
		b.Run(act.String(), func(b *testing.B) {
			onPaths(b, func(b *testing.B) {
				for b.Loop() {
					Activate(y, x, act)
				}
			})
		})
		b.Run(act.String()+"grad", func(b *testing.B) {
			onPaths(b, func(b *testing.B) {
				for b.Loop() {
					ActivateGrad(y, x, x, act)
				}
			})
		})
	}
}

// BenchmarkNormalize is the four passes of a batch norm with ReLU, of images and
// of the rows of a linear layer.
func BenchmarkNormalize(b *testing.B) {
	for _, s := range [][3]int{{32, 64, 28 * 28}, {128, 800, 1}} {
		rows, channels, size := s[0], s[1], s[2]
		n := rows * channels * size
		x, dy, y := random[float32](n, 1), random[float32](n, 2), make([]float32, n)
		by, slopes := NewChannels(channels, ReLU), NewSlopes(channels)
		mean, variance := make([]float64, channels), make([]float64, channels)
		for i := range by.Scale {
			by.Scale[i], slopes.Dz[i] = 1, 1
		}
		for _, pass := range []struct {
			name  string
			bytes int // read and written
			do    func()
		}{
			{"moments", 4 * n, func() { Moments[float32](mean, variance, x, nil, rows, size) }},
			{"forward", 8 * n, func() { Normalize(y, x, nil, by, rows, size) }},
			{"sums", 8 * n, func() { NormalizeSums(mean, variance, x, dy, nil, by, rows, size) }},
			{"backward", 12 * n, func() { NormalizeGrad(y, x, dy, nil, by, slopes, rows, size) }},
		} {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", pass.name, rows, channels, size), func(b *testing.B) {
				onPaths(b, func(b *testing.B) {
					b.SetBytes(int64(pass.bytes))
					for b.Loop() {
						pass.do()
					}
				})
			})
		}
	}
}
