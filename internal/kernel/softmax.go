package kernel

import "math"

// LogSumExp is log Σ exp(z·invT), computed in float64 around the largest
// element, so that no finite z overflows. invT is one over the temperature and
// above 0. An element of -Inf counts for nothing; without any other, and for an
// empty z, the result is -Inf.
func LogSumExp[F Float](z []F, invT float64) float64 {
	top, sum := sumExponentials(z, invT)
	if math.IsInf(top, 0) {
		return top
	}
	return top + math.Log(sum)
}

// LogSoftmax writes z·invT - LogSumExp(z, invT) to dst, which may be z: the log
// probabilities of one row of logits. They are NaN when every element of z is
// -Inf, or one is +Inf or NaN. In float32 they are right to 0.51 units in the
// last place and 5e-16 of the largest |z·invT|, which tells where that is large
// and a probability almost 1.
func LogSoftmax[F Float](dst, z []F, invT float64) {
	dst = dst[:len(z)]
	top, sum := sumExponentials(z, invT)
	lse := top + math.Log(sum)
	if logSoftmaxFast(dst, z, invT, lse) {
		return
	}
	for i, v := range z {
		dst[i] = F(float64(float64(v)*invT) - lse)
	}
}

// LogSoftmaxGrad writes dy - softmax·Σdy to dx, which may be dy: the gradient of
// one row of logits whose log probabilities, at temperature 1, are y.
func LogSoftmaxGrad[F Float](dx, y, dy []F) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	sum := sumAbove(dy, 0)
	if logSoftmaxGradFast(dx, y, dy, sum) {
		return
	}
	for i, v := range y {
		dx[i] = F(float64(dy[i]) - float64(sum*math.Exp(float64(v))))
	}
}

// Softmax writes the probabilities of one row of logits at temperature 1/invT
// to dst, which may be z. They are NaN where those of LogSoftmax are. In
// float32 they are right to 0.51 units in the last place, for |z·invT| up to 1e6.
func Softmax[F Float](dst, z []F, invT float64) {
	e := borrow[float64](len(z))
	defer giveBack(e)
	_, sum := exponentials(*e, z, invT)
	probabilities(dst[:len(z)], *e, 1/sum, 0)
}

// probabilities writes k·e - less to dst.
func probabilities[F Float](dst []F, e []float64, k, less float64) {
	if probabilitiesFast(dst, e, k, less) {
		return
	}
	for i, v := range e {
		dst[i] = F(float64(k*v) - less)
	}
}

// exponentials writes exp(z·invT - top) to dst and returns their sum, where top
// is the largest element of z·invT. They are right to 2 units in the last place,
// for float32 with AVX2 to 1; below exp(-708) they may be 0 there.
func exponentials[F Float](dst []float64, z []F, invT float64) (top, sum float64) {
	if top, sum, ok := exponentialsFast(dst, z, invT); ok {
		return top, sum
	}
	top = float64(largest(z) * invT) // rounded, lest it be fused with a difference
	for i, v := range z {
		dst[i] = math.Exp(float64(float64(v)*invT) - top)
		sum += dst[i]
	}
	return top, sum
}

// sumExponentials is exponentials without their being kept.
func sumExponentials[F Float](z []F, invT float64) (top, sum float64) {
	if top, sum, ok := sumExponentialsFast(z, invT); ok {
		return top, sum
	}
	top = float64(largest(z) * invT) // rounded, lest it be fused with a difference
	for _, v := range z {
		sum += math.Exp(float64(float64(v)*invT) - top)
	}
	return top, sum
}

// largest is the largest element of z, NaN if one is NaN.
func largest[F Float](z []F) float64 {
	top := F(math.Inf(-1))
	for _, v := range z {
		top = max(top, v)
	}
	return float64(top)
}

// logarithms writes the natural logarithm of x to y, which may be x, to 1 unit
// in the last place. That of 0 is -Inf, and that of less NaN.
func logarithms(y, x []float64) {
	if logarithmsFast(y, x) {
		return
	}
	for i, v := range x {
		if v < 0x1p-1022 && v > 0 { // which math.Log has wrong on amd64
			y[i] = math.Log(v*0x1p54) - 54*math.Ln2
		} else {
			y[i] = math.Log(v)
		}
	}
}
