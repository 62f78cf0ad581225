package distill

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// gradNorm is the Euclidean norm of all gradients taken as one vector.
func gradNorm(grads []*tensor.Dense) float64 {
	sum := 0.0
	for _, g := range grads {
		if g.Dtype() == tensor.Float32 {
			sum += kernel.SumSquares(floats[float32](g))
		} else {
			sum += kernel.SumSquares(floats[float64](g))
		}
	}
	return math.Sqrt(sum)
}

// clip scales the gradients, whose norm is given, so that it is not above the
// limit: by limit/(norm+1e-6), as torch.nn.utils.clip_grad_norm_ does.
func clip(grads []*tensor.Dense, norm, limit float64) {
	factor := limit / (norm + 1e-6)
	if !(factor < 1) {
		return
	}
	for _, g := range grads {
		if g.Dtype() == tensor.Float32 {
			scale(floats[float32](g), factor)
		} else {
			scale(floats[float64](g), factor)
		}
	}
}

func scale[T floating](x []T, factor float64) {
	f := T(factor)
	for i := range x {
		x[i] *= f
	}
}
