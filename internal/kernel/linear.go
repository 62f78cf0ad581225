package kernel

// Linear computes y = act(x·wᵀ + bias): x is (rows, in), w (out, in) as in
// PyTorch, bias (out) or nil for none, and y (rows, out). y must not overlap
// the operands.
func Linear[F Float](y, x, w, bias []F, rows, in, out int, act Act) {
	y = y[:rows*out]
	if bias != nil {
		bias = bias[:out]
		for i := range rows {
			copy(y[i*out:], bias)
		}
	}
	Gemm(false, true, rows, out, in, x, w, y, bias != nil)
	if act != Identity {
		Activate(y, y, act)
	}
}

// SumColumns writes the sum over the rows of x (rows, cols) to dst (cols): the
// gradient of a bias.
func SumColumns[F Float](dst, x []F, rows, cols int) {
	dst = dst[:cols]
	clear(dst)
	for i := range rows {
		for j, v := range x[i*cols:][:cols] {
			dst[j] += v
		}
	}
}
