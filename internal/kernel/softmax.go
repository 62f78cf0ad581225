package kernel

import "math"

// LogSumExp is log Σ exp(z·invT), computed in float64 around the largest
// element, so that no finite z overflows. invT is one over the temperature and
// above 0. An element of -Inf counts for nothing; without any other, and for an
// empty z, the result is -Inf.
func LogSumExp[F Float](z []F, invT float64) float64 {
	e := borrow[float64](len(z))
	defer giveBack(e)
	top, sum := exponentials(*e, z, invT)
	if math.IsInf(top, 0) {
		return top
	}
	return top + math.Log(sum)
}

// LogSoftmax writes z·invT - LogSumExp(z, invT) to dst, which may be z: the log
// probabilities of one row of logits. They are NaN when every element of z is
// -Inf, or one is +Inf or NaN.
func LogSoftmax[F Float](dst, z []F, invT float64) {
	dst = dst[:len(z)]
	lse := LogSumExp(z, invT)
	for i, v := range z {
		dst[i] = F(float64(v)*invT - lse)
	}
}

// Softmax writes the probabilities of one row of logits at temperature 1/invT
// to dst, which may be z. They are NaN where those of LogSoftmax are.
func Softmax[F Float](dst, z []F, invT float64) {
	dst = dst[:len(z)]
	e := borrow[float64](len(z))
	defer giveBack(e)
	_, sum := exponentials(*e, z, invT)
	for i, v := range *e {
		dst[i] = F(v / sum)
	}
}

// exponentials writes exp(z·invT - top) to dst and returns their sum, where top
// is the largest element of z·invT.
func exponentials[F Float](dst []float64, z []F, invT float64) (top, sum float64) {
	top = float64(largest(z) * invT) // not to be fused with the difference
	if sum, ok := exponentialsFast(dst, z, invT, top); ok {
		return top, sum
	}
	for i, v := range z {
		dst[i] = math.Exp(float64(float64(v)*invT) - top)
		sum += dst[i]
	}
	return top, sum
}

// largest is the largest element of z, NaN if one is NaN.
func largest[F Float](z []F) float64 {
	done, top := largestFast(z)
	for _, v := range z[done:] {
		top = max(top, v)
	}
	return float64(top)
}
