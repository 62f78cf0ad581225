package kernel

import "unsafe"

// Each fast does all of the portable function of that name, or says that it did
// nothing.

// start64 is where the elements of x are.
func start64(x []float64) *float64 { return unsafe.SliceData(x) }

func exponentialsFast[F Float](dst []float64, z []F, invT float64) (top, sum float64, ok bool) {
	if !vectorized[F]() {
		return 0, 0, false
	}
	top, sum = weigh(len(z), start64(dst), start(z), invT)
	return top, sum, true
}

func sumExponentialsFast[F Float](z []F, invT float64) (top, sum float64, ok bool) {
	if !vectorized[F]() {
		return 0, 0, false
	}
	top, sum = sumWeights(len(z), start(z), invT)
	return top, sum, true
}

func logarithmsFast(y, x []float64) bool {
	if simd {
		logs(len(x), start64(y), start64(x))
	}
	return simd
}

func logSoftmaxFast[F Float](dst, z []F, invT, lse float64) bool {
	if !vectorized[F]() {
		return false
	}
	logProbabilities(len(z), start(dst), start(z), invT, lse)
	return true
}

func logSoftmaxGradFast[F Float](dx, y, dy []F, sum float64) bool {
	if !vectorized[F]() {
		return false
	}
	logProbabilitiesGrad(len(y), start(dx), start(y), start(dy), sum)
	return true
}

func probabilitiesFast[F Float](dst []F, e []float64, k, less float64) bool {
	if !vectorized[F]() {
		return false
	}
	narrow(len(e), start(dst), start64(e), k, less)
	return true
}

func differencesFast[F Float](dst []F, x, y []float64, kx, ky float64) bool {
	if !vectorized[F]() {
		return false
	}
	difference(len(x), start(dst), start64(x), start64(y), kx, ky)
	return true
}

func softFast[F Float](z, target []F, lse, keep, even float64) (loss, sum float64, ok bool) {
	if !vectorized[F]() {
		return 0, 0, false
	}
	loss, sum = smoothed(len(z), start(z), start(target), lse, keep, even)
	return loss, sum, true
}

func softGradFast[F Float](grad, target []F, e []float64, k, keep, even float64) bool {
	if !vectorized[F]() {
		return false
	}
	smoothedGrad(len(e), start(grad), start(target), start64(e), k, keep, even)
	return true
}

func klFast[F Float](grad, z, t []F, q, p distribution, T float64) (sum float64, ok bool) {
	if !vectorized[F]() {
		return 0, false
	}
	c := [...]float64{T, 1 / T, q.lse, p.lse, q.k, p.k}
	return divergence(len(z), start(grad), start(z), start(t), start64(q.e), start64(p.e), &c), true
}

func squaresApartFast[F Float](grad, a, b []F, k float64) (sum float64, ok bool) {
	if !vectorized[F]() {
		return 0, false
	}
	return squaredDifferences(len(a), start(grad), start(a), start(b), k), true
}

func sumAboveFast[F Float](x []F, level float64) (sum float64, ok bool) {
	if !vectorized[F]() {
		return 0, false
	}
	return excess(len(x), start(x), level), true
}

func scaleFast[F Float](dst, src []F, k F) bool {
	if !vectorized[F]() {
		return false
	}
	multiply(len(src), start(dst), start(src), float32(k))
	return true
}
