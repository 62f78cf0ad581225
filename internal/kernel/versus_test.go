package kernel

import "testing"

// BenchmarkVersus are the products that examples/versus compares: x (m, k) by
// the transpose of w (n, k), as in a linear layer.
func BenchmarkVersus(b *testing.B) {
	for name, s := range map[string]struct{ m, n, k int }{
		"gemm_128_784_1200": {128, 1200, 784},
		"gemm_512":          {512, 512, 512},
	} {
		b.Run(name, func(b *testing.B) {
			x, w, y := random[float32](s.m*s.k, 1), random[float32](s.n*s.k, 2), make([]float32, s.m*s.n)
			b.ReportAllocs()
			multiply := func() { Gemm(false, true, s.m, s.n, s.k, x, w, y, false) }
			multiply() // a call that is not timed, as of the other side
			for b.Loop() {
				multiply()
			}
		})
	}
}
