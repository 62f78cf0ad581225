package kernel

import "math"

// RMSNorm writes the rows of x (rows, width) to y, which may be x, each divided
// by the root of the mean of its squares, times weight (width): x·inverse·weight
// with inverse = 1/√(mean(x²)+eps), which it writes too, unless it is nil (Zhang and
// Sennrich 2019, 1910.07467, equation 4).
func RMSNorm[F Float](y, inverse, x, weight []F, eps float64) {
	width := len(weight)
	rows := len(x) / width
	if rows*costOfNorm*width < worth {
		rmsRows(y, inverse, x, weight, eps, 0, rows) // without the allocation of a closure
		return
	}
	Rows(rows, costOfNorm*width, func(from, to int) { rmsRows(y, inverse, x, weight, eps, from, to) })
}

func rmsRows[F Float](y, inverse, x, weight []F, eps float64, from, to int) {
	width := len(weight)
	for r := from; r < to; r++ {
		x := x[r*width : (r+1)*width]
		k := F(1 / math.Sqrt(sumSquares(x)/float64(width)+eps))
		if inverse != nil {
			inverse[r] = k
		}
		scaleBy(y[r*width:(r+1)*width], x, weight, k)
	}
}

// scaleBy writes x·weight·k to y.
func scaleBy[F Float](y, x, weight []F, k F) {
	done := scaleByFast(y, x, weight, k)
	for i, v := range x[done:] {
		y[done+i] = F(v*k) * weight[done+i]
	}
}

// rmsBlock is how many rows are summed before their sum is added to that of
// others: as many on any number of threads.
const rmsBlock = 128

// RMSNormGrad writes the gradients of x, which may be dy, and of the weight, given
// that of y and what RMSNorm wrote to inverse.
func RMSNormGrad[F Float](dx, dweight, inverse, x, weight, dy []F) {
	width := len(weight)
	rows := len(x) / width
	blocks := (rows + rmsBlock - 1) / rmsBlock
	sums := borrow[F](blocks * width)
	defer giveBack(sums)
	Rows(blocks, 2*costOfNorm*rmsBlock*width, func(from, to int) {
		for b := from; b < to; b++ {
			sum := (*sums)[b*width : (b+1)*width]
			clear(sum)
			for r := b * rmsBlock; r < min((b+1)*rmsBlock, rows); r++ {
				at, end := r*width, (r+1)*width
				rmsGrad(dx[at:end], sum, x[at:end], weight, dy[at:end], inverse[r])
			}
		}
	})
	SumColumns(dweight, *sums, blocks, width)
}

// rmsGrad does a row, and adds what it has of the weight's gradient to sum.
func rmsGrad[F Float](dx, sum, x, weight, dy []F, inverse F) {
	done, dot := rmsDotFast(x, weight, dy)
	for i := done; i < len(x); i++ {
		dot += F(F(dy[i]*weight[i]) * x[i])
	}
	along := F(F(inverse*inverse)*inverse) * dot / F(len(x))
	done = rmsGradFast(dx, sum, x, weight, dy, inverse, along)
	for i := done; i < len(x); i++ {
		d, v := dy[i], x[i]
		sum[i] += F(F(d*v) * inverse)
		dx[i] = F(F(d*weight[i])*inverse) - F(along*v)
	}
}
