package kernel

// Each fast does all of the portable function of that name, or nothing, and
// says how many elements it did.

func scaleByFast[F Float](y, x, weight []F, k F) int {
	if !vectorized[F]() {
		return 0
	}
	scaleBy8(len(x), start(y), start(x), start(weight), float32(k))
	return len(x)
}

func rmsDotFast[F Float](x, weight, dy []F) (done int, dot F) {
	if !vectorized[F]() {
		return 0, 0
	}
	return len(x), F(rmsDot(len(x), start(x), start(weight), start(dy)))
}

func rmsGradFast[F Float](dx, sum, x, weight, dy []F, inverse, along F) int {
	if !vectorized[F]() {
		return 0
	}
	rmsGrad8(len(x), start(dx), start(sum), start(x), start(weight), start(dy), float32(inverse), float32(along))
	return len(x)
}

func swigluFast[F Float](y, gate, up []F) int {
	if !vectorized[F]() {
		return 0
	}
	swiglu8(len(y), start(y), start(gate), start(up))
	return len(y)
}

func swigluGradFast[F Float](dgate, dup, gate, up, dy []F) int {
	if !vectorized[F]() {
		return 0
	}
	swigluGrad8(len(dy), start(dgate), start(dup), start(gate), start(up), start(dy))
	return len(dy)
}

func turnFast[F Float](y, x matrix[F], rows, half int, cos, sin []F) bool {
	if !vectorized[F]() || half%lanes != 0 {
		return false
	}
	turnRows(rows, half, start(y.data), 4*y.apart, start(x.data), 4*x.apart, start(cos), start(sin))
	return true
}

func attendFast[F Float](x []F, by F) (top, sum F, ok bool) {
	if !vectorized[F]() {
		return 0, 0, false
	}
	t, s := attend8(len(x), start(x), float32(by))
	return F(t), F(s), true
}

func attendGradFast[F Float](x, dp []F, by, lse F) bool {
	if !vectorized[F]() {
		return false
	}
	attendGrad8(len(x), start(x), start(dp), float32(by), float32(lse))
	return true
}
