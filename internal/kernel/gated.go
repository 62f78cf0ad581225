package kernel

// SwiGLU writes SiLU(gate)·up to y (rows, width), where a row of x (rows, 2·width)
// is that of gate and then that of up (Shazeer 2020, 2002.05202, equation 6). In
// float32 it is off by 3e-6 at most, of its size or of 1.
func SwiGLU[F Float](y, x []F, width int) {
	rows := len(x) / (2 * width)
	if rows*costOfGated*width < worth {
		swigluRows(y, x, width, 0, rows) // without the allocation of a closure
		return
	}
	Rows(rows, costOfGated*width, func(from, to int) { swigluRows(y, x, width, from, to) })
}

func swigluRows[F Float](y, x []F, width, from, to int) {
	for r := from; r < to; r++ {
		gate, up := x[2*r*width:(2*r+1)*width], x[(2*r+1)*width:(2*r+2)*width]
		swiglu(y[r*width:(r+1)*width], gate, up)
	}
}

// SwiGLUGrad writes the gradient of x, given that of y.
func SwiGLUGrad[F Float](dx, x, dy []F, width int) {
	Rows(len(x)/(2*width), 2*costOfGated*width, func(from, to int) {
		for r := from; r < to; r++ {
			low, mid, high := 2*r*width, (2*r+1)*width, (2*r+2)*width
			swigluGrad(dx[low:mid], dx[mid:high], x[low:mid], x[mid:high], dy[r*width:(r+1)*width])
		}
	})
}

// costOfGated is how many products an element costs.
const costOfGated = 16

func swiglu[F Float](y, gate, up []F) {
	done := swigluFast(y, gate, up)
	for i := done; i < len(y); i++ {
		g := float64(gate[i])
		y[i] = F(g * logistic(g) * float64(up[i]))
	}
}

func swigluGrad[F Float](dgate, dup, gate, up, dy []F) {
	done := swigluGradFast(dgate, dup, gate, up, dy)
	for i := done; i < len(dy); i++ {
		g, d := float64(gate[i]), float64(dy[i])
		s := logistic(g)
		dup[i] = F(d * (g * s))
		dgate[i] = F(d * float64(up[i]) * (s + g*s*(1-s)))
	}
}
