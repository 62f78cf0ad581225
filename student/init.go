package student

import (
	"math"
	"math/rand/v2"
)

// An Init fills a new parameter. fanIn and fanOut are how many elements of the
// input feed one of the output, and the other way round: in and out for a
// weight of shape (out, in).
type Init func(rng *rand.Rand, dst []float64, fanIn, fanOut int)

// Zeros is 0 everywhere.
func Zeros(_ *rand.Rand, dst []float64, _, _ int) { clear(dst) }

// Ones is 1 everywhere.
func Ones(_ *rand.Rand, dst []float64, _, _ int) {
	for i := range dst {
		dst[i] = 1
	}
}

// He draws from a normal distribution of variance 2/fanIn, which keeps the
// variance of activations through ReLU (He et al. 2015, 1502.01852, equation 10).
func He(rng *rand.Rand, dst []float64, fanIn, _ int) {
	sd := math.Sqrt(2 / float64(fanIn))
	for i := range dst {
		dst[i] = sd * rng.NormFloat64()
	}
}

// HeOut is He with fanOut in place of fanIn, which keeps the variance of gradients
// instead (equation 14 there): PyTorch's kaiming_normal_ with mode="fan_out", with
// which residual networks begin.
func HeOut(rng *rand.Rand, dst []float64, _, fanOut int) { He(rng, dst, fanOut, 0) }

// Glorot draws uniformly with variance 2/(fanIn+fanOut) (Glorot and Bengio
// 2010, equation 16).
func Glorot(rng *rand.Rand, dst []float64, fanIn, fanOut int) {
	Uniform(math.Sqrt(6/float64(fanIn+fanOut)))(rng, dst, fanIn, fanOut)
}

// Torch is the default of PyTorch's layers: uniform within 1/√fanIn.
func Torch(rng *rand.Rand, dst []float64, fanIn, fanOut int) {
	Uniform(1/math.Sqrt(float64(fanIn)))(rng, dst, fanIn, fanOut)
}

// Uniform draws from [-bound, bound).
func Uniform(bound float64) Init {
	return func(rng *rand.Rand, dst []float64, _, _ int) {
		for i := range dst {
			dst[i] = bound * (2*rng.Float64() - 1)
		}
	}
}

// Normal draws from a normal distribution with mean 0 and that standard deviation.
func Normal(sd float64) Init {
	return func(rng *rand.Rand, dst []float64, _, _ int) {
		for i := range dst {
			dst[i] = sd * rng.NormFloat64()
		}
	}
}

// fans are those of PyTorch's shapes, (out, in, kernel...), or for a vector
// its length.
func fans(shape []int) (in, out int) {
	if len(shape) == 1 {
		return shape[0], shape[0]
	}
	in, out = shape[1], shape[0]
	for _, d := range shape[2:] {
		in, out = in*d, out*d
	}
	return in, out
}
