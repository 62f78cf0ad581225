package kernel

import "testing"

// BenchmarkVersus are the products that examples/versus compares: x (m, k) by
// the transpose of w (n, k), as in a linear layer.
func BenchmarkVersus(b *testing.B) {
	b.Run("gemm_128_784_1200", func(b *testing.B) { benchGemm[float32](b, false, true, 128, 1200, 784) })
	b.Run("gemm_512", func(b *testing.B) { benchGemm[float32](b, false, true, 512, 512, 512) })
}
