package kernel

import (
	"math"
	"testing"
)

// A rowLoss is a loss of logits z by a target t, of any precision.
type rowLoss[F Float] func(grad, z, t []F) float64

func rowLosses[F Float]() map[string]rowLoss[F] {
	return map[string]rowLoss[F]{
		"cross-entropy": func(grad, z, t []F) float64 { return CrossEntropy(grad, z, len(z)/2, 0) },
		"smoothed":      func(grad, z, t []F) float64 { return CrossEntropy(grad, z, 0, 0.1) },
		"kl":            func(grad, z, t []F) float64 { return KL(grad, z, t, 3) },
		"soft": func(grad, z, t []F) float64 {
			p := make([]F, len(t))
			Softmax(p, t, 1)
			return SoftCrossEntropy(grad, z, p, 0.1)
		},
	}
}

// In float32 the losses are those of float64, a student that is near its
// teacher or sure of its label included.
func TestLossesInFloat32(t *testing.T) {
	wide := rowLosses[float64]()
	paths(t, func(t *testing.T) {
		for name, loss := range rowLosses[float32]() {
			for _, n := range []int{1, 3, 10, 37, 1000} {
				for _, apart := range []float64{0, 1e-4, 1, 30} {
					target := random[float32](n, 1)
					z := random[float32](n, 2)
					for i := range z {
						z[i] = target[i] + float32(apart)*z[i]
					}
					grad, intact := guarded(z)
					got := loss(grad, z, target)
					grad64, z64, t64 := make([]float64, n), widened(z), widened(target)
					want := wide[name](grad64, z64, t64)
					if !intact() || math.Abs(got-want) > 1e-6*(math.Abs(want)+1e-6) {
						t.Errorf("%s of %d classes, %v apart: %v, want %v", name, n, apart, got, want)
					}
					checkGradient(t, name, grad, grad64)
				}
			}
		}
	})
}

func checkGradient(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	largest, off := 0.0, 0.0
	for i, w := range want {
		largest, off = max(largest, math.Abs(w)), max(off, math.Abs(float64(got[i])-w))
	}
	// A target that was rounded to float32 moves the gradient of what is soft.
	if tol := 1e-6*largest + 1e-7; off > tol || name != "soft" && off > 1e-6*largest+1e-12 {
		t.Errorf("%s of %d classes: the gradient is %v off; its largest element is %v", name, len(got), off, largest)
	}
}

func TestKLOfEqualLogits(t *testing.T) {
	paths(t, func(t *testing.T) {
		for n := 1; n < 40; n++ {
			z := random[float32](n, uint64(n))
			grad := random[float32](n, 1)
			if v := KL(grad, z, z, 4); v != 0 || !same(grad, make([]float32, n)) {
				t.Errorf("%d classes: value %v, gradient %v; want 0", n, v, grad)
			}
		}
	})
}

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
