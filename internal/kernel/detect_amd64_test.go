package kernel

import (
	"sync"
	"testing"
	"time"
)

// use makes a test run with the assembly, or without it.
func use(t testing.TB, fast bool) {
	t.Helper()
	if fast && !simd {
		t.Skip("this CPU lacks AVX2, FMA or F16C")
	}
	before := simd
	simd = fast
	t.Cleanup(func() { simd = before })
}

// measurePeak is the GFLOP/s of fused products and sums, n thousand of them on
// each thread.
func measurePeak(threads, n int) float64 {
	const operations = 1000 * 12 * 8 * 2
	var all sync.WaitGroup
	start := time.Now()
	for range threads {
		all.Go(func() {
			for range n {
				peak(1000)
			}
		})
	}
	all.Wait()
	return operations * float64(threads*n) / float64(time.Since(start).Nanoseconds())
}
