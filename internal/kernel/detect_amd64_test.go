package kernel

import (
	"sync"
	"testing"
	"time"
)

// able and able512 say what this CPU runs, whatever a test makes of it.
var able, able512 = simd, simd512

// use makes a test run with the assembly, or without it.
func use(t testing.TB, fast bool) {
	t.Helper()
	if fast && !able {
		t.Skip("this CPU lacks AVX2, FMA or F16C")
	}
	before := simd
	simd = fast
	t.Cleanup(func() { simd = before })
}

// useWide makes a test run with AVX-512, or without it.
func useWide(t testing.TB, wide bool) {
	t.Helper()
	if wide && !able512 {
		t.Skip("this CPU lacks AVX-512")
	}
	before := simd512
	simd512 = wide
	t.Cleanup(func() { simd512 = before })
}

// measurePeak is the GFLOP/s of fused products and sums, n thousand of them on
// each thread.
func measurePeak(threads, n int) float64 {
	const operations = 1000 * 12 * 8 * 2
	if simd512 {
		return perNanosecond(threads, n, 2*operations, func(int) { widePeak(1000) })
	}
	return perNanosecond(threads, n, operations, func(int) { peak(1000) })
}

// measureSweep is the GB/s of reading so many bytes n times, by threads that
// have a part each.
func measureSweep(threads, bytes, n int) float64 {
	part := bytes / threads &^ 255
	x := make([]byte, threads*part)
	return perNanosecond(threads, n, part, func(thread int) { sweep(part, &x[thread*part]) })
}

// perNanosecond is how much is done by threads that call f n times each, which
// does so much.
func perNanosecond(threads, n, each int, f func(thread int)) float64 {
	var all sync.WaitGroup
	start := time.Now()
	for thread := range threads {
		all.Go(func() {
			for range n {
				f(thread)
			}
		})
	}
	all.Wait()
	return float64(threads) * float64(n) * float64(each) / float64(time.Since(start).Nanoseconds())
}
