package kernel

import (
	"fmt"
	"testing"
)

func BenchmarkGemm(b *testing.B) {
	sizes := []struct {
		ta, tb  bool
		m, n, k int
	}{
		{false, true, 64, 256, 256},
		{false, false, 64, 256, 256},
		{true, false, 256, 256, 64},
		{false, true, 1, 256, 256},
		{false, true, 3, 256, 256},
		{false, true, 8, 256, 256},
		{false, true, 1, 32, 64},
		{false, false, 64, 64, 9},
		{false, true, 512, 1024, 1024},
		{true, false, 64, 64, 20000},
	}
	for _, s := range sizes {
		name := fmt.Sprintf("ta=%t/tb=%t/%dx%dx%d", s.ta, s.tb, s.m, s.n, s.k)
		b.Run("float32/"+name, func(b *testing.B) { benchGemm[float32](b, s.ta, s.tb, s.m, s.n, s.k) })
		b.Run("float64/"+name, func(b *testing.B) { benchGemm[float64](b, s.ta, s.tb, s.m, s.n, s.k) })
	}
}

func benchGemm[F Float](b *testing.B, ta, tb bool, m, n, k int) {
	x, y, z := random[F](m*k, 1), random[F](k*n, 2), make([]F, m*n)
	b.ReportAllocs()
	for b.Loop() {
		Gemm(ta, tb, m, n, k, x, y, z, false)
	}
	b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
