// Package kernel is the arithmetic under everything else: matrix products,
// convolutions, pooling, activations, normalisation and softmax over flat,
// row-major, contiguous slices.
//
//	// y (rows, out) = relu(x (rows, in) · wᵀ + b), with w (out, in)
//	kernel.Linear(y, x, w, b, rows, in, out, kernel.ReLU)
//
// A w that stays is packed once, as it is or with fewer bits: [Packed], [Half],
// [Int8].
//
// A row of a result depends on that row of the input alone, to the last bit:
// neither the number of rows nor its place among them matters. Sums over rows are
// in their order. The number of threads does not matter either: large work is
// shared between as many as Go has.
//
// On amd64 with AVX2, FMA and F16C, float32 is done by assembly, which gen writes.
// What is made of products that are summed, exponentials, and the activations
// with one, differ from the portable path in the last places; all else has its
// bits.
//
// The functions may be called from many goroutines, and their scratch is
// pooled. Sizes are the caller's to check: a slice that is too short panics.
// What a slice holds beyond its size is neither read nor written.
package kernel

// Float is what kernels compute with.
type Float interface {
	float32 | float64
}
