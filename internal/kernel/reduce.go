package kernel

// SumSquares is the sum of the squares of x, in float64. It is added up in
// blocks of one size, and so is the same on any number of threads.
func SumSquares[F Float](x []F) float64 {
	const block = 4096
	if len(x) <= block {
		return sumSquares(x) // without the allocation of a closure
	}
	sums := borrow[float64]((len(x) + block - 1) / block)
	defer giveBack(sums)
	Rows(len(*sums), 8*block, func(from, to int) {
		for i := from; i < to; i++ {
			(*sums)[i] = sumSquares(x[i*block : min((i+1)*block, len(x))])
		}
	})
	total := 0.0
	for _, s := range *sums {
		total += s
	}
	return total
}

func sumSquares[F Float](x []F) float64 {
	done, sum := sumSquaresFast(x)
	for _, v := range x[done:] {
		sum += float64(v) * float64(v)
	}
	return sum
}

// SumColumns writes the sum over the rows of x (rows, cols) to dst (cols): the
// gradient of a bias.
func SumColumns[F Float](dst, x []F, rows, cols int) {
	dst, x = dst[:cols], x[:rows*cols]
	done := sumColumnsFast(dst, x, rows, cols)
	dst = dst[done:]
	clear(dst)
	for i := range rows {
		for j, v := range x[i*cols+done : (i+1)*cols] {
			dst[j] += v
		}
	}
}

// sumAbove is the sum of x - level, in float64.
func sumAbove[F Float](x []F, level float64) (sum float64) {
	if sum, ok := sumAboveFast(x, level); ok {
		return sum
	}
	for _, v := range x {
		sum += float64(v) - level
	}
	return sum
}
