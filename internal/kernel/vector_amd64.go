package kernel

import "unsafe"

// lanes is how many float32 are done at once.
const lanes = 8

// vectorized says that the assembly does all of a loop of losses and of what
// they need.
func vectorized[F Float]() bool { return simd && unsafe.Sizeof(F(0)) == 4 }

// vectors is how many of n elements the assembly does: none, or all but those
// that fill no vector.
func vectors[F Float](n int) int {
	if !vectorized[F]() {
		return 0
	}
	return n &^ (lanes - 1)
}

// start is where the elements of x are, which are float32.
func start[F Float](x []F) *float32 { return (*float32)(unsafe.Pointer(unsafe.SliceData(x))) }

// Each fast is the beginning of the portable function of that name, and says
// how many elements it did.

func (o *Adam[F]) fast(w, g, m, v []F) int {
	n := vectors[F](len(w))
	if n > 0 {
		c := [...]float32{
			float32(o.Keep), float32(o.Decay), float32(o.B1), float32(o.B2),
			float32(o.C2), float32(o.Rate), float32(o.Scale), float32(o.Epsilon),
		}
		adam(n, start(w), start(g), start(m), start(v), &c)
	}
	return n
}

func (o *SGD[F]) fast(w, g, v []F) int {
	n := vectors[F](len(w))
	if n == 0 {
		return 0
	}
	c := [...]float32{float32(o.Rate), float32(o.Decay), float32(o.Momentum)}
	switch {
	case o.Momentum == 0:
		sgd(n, start(w), start(g), &c)
	case o.Nesterov:
		nesterov(n, start(w), start(g), start(v), &c)
	default:
		momentum(n, start(w), start(g), start(v), &c)
	}
	return n
}

func widenFast(dst []float32, src []uint16) int {
	n := vectors[float32](len(src))
	if n > 0 {
		widen(n, &dst[:n][0], &src[0])
	}
	return n
}

func (a Act) fast(y, x *float32, n int) {
	switch a.kind() {
	case ReLU:
		relu(n, y, x)
	case Tanh:
		tanh(n, y, x)
	case Sigmoid:
		sigmoid(n, y, x)
	case ReLU6:
		relu6(n, y, x)
	case LeakyReLU:
		leaky(n, y, x, x, float32(a.slope()))
	case HardSwish:
		hardSwish(n, y, x)
	}
}

// activateFast does all elements or none. The last few are copied to a vector
// of their own: in every place, an element comes out the same.
func activateFast[F Float](y, x []F, act Act) int {
	if !vectorized[F]() || act == Identity || act == ELU {
		return 0
	}
	if act >= SiLU {
		return gate(y, x, act)
	}
	n := vectors[F](len(x))
	if n > 0 {
		act.fast(start(y), start(x), n)
	}
	if n < len(x) {
		var rest [lanes]F
		copy(rest[:], x[n:])
		act.fast(start(rest[:]), start(rest[:]), lanes)
		copy(y[n:], rest[:])
	}
	return len(x)
}

// gate is an activation x·s(x).
func gate[F Float](y, x []F, act Act) int {
	switch act {
	case SiLU:
		silu(len(x), start(y), start(x))
	case GELU:
		gelu(len(x), start(y), start(x))
	case GELUTanh:
		geluTanh(len(x), start(y), start(x))
	default:
		return 0
	}
	return len(x)
}

func gateGrad[F Float](dx, x, dy []F, act Act) int {
	switch act {
	case SiLU:
		siluGrad(len(x), start(dx), start(x), start(dy))
	case GELU:
		geluGrad(len(x), start(dx), start(x), start(dy))
	case GELUTanh:
		geluTanhGrad(len(x), start(dx), start(x), start(dy))
	default:
		return 0
	}
	return len(x)
}

func activateGradFast[F Float](dx, by, dy []F, act Act) int {
	if vectorized[F]() && act >= SiLU {
		return gateGrad(dx, by, dy, act)
	}
	n := vectors[F](len(by))
	if n == 0 {
		return 0
	}
	switch act.kind() {
	case ReLU:
		reluGrad(n, start(dx), start(by), start(dy))
	case Tanh:
		tanhGrad(n, start(dx), start(by), start(dy))
	case Sigmoid:
		sigmoidGrad(n, start(dx), start(by), start(dy))
	case ReLU6:
		relu6Grad(n, start(dx), start(by), start(dy))
	case LeakyReLU:
		leaky(n, start(dx), start(by), start(dy), float32(act.slope()))
	case HardSwish:
		hardSwishGrad(n, start(dx), start(by), start(dy))
	default:
		return 0
	}
	return n
}

func addFast[F Float](y, a, b []F, act Act) int {
	n := vectors[F](len(y))
	switch {
	case n == 0:
	case act == ReLU:
		plusRelu(n, start(y), start(a), start(b))
	default:
		plus(n, start(y), start(a), start(b))
	}
	return n
}

func sumColumnsFast[F Float](dst, x []F, rows, cols int) int {
	n := vectors[F](len(dst))
	if rows == 0 {
		return 0
	}
	for j := 0; j < n; {
		if n-j >= 4*lanes {
			sumColumns32(start(dst[j:]), start(x[j:]), 4*cols, rows)
			j += 4 * lanes
		} else {
			sumColumns8(start(dst[j:]), start(x[j:]), 4*cols, rows)
			j += lanes
		}
	}
	return n
}

func sumSquaresFast[F Float](x []F) (done int, sum float64) {
	n := vectors[F](len(x))
	if n > 0 {
		sum = squares(n, start(x))
	}
	return n, sum
}
