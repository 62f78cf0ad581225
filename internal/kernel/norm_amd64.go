package kernel

// Each fast does all of the portable function of that name, or nothing.

func momentsFast[F Float](sum, squares, pivot []float64, x []F, size int) bool {
	switch {
	case !vectorized[F]():
		return false
	case size == 1:
		momentsRow(len(pivot), start(x), &pivot[0], &sum[0], &squares[0])
		return true
	}
	for c, p := range pivot {
		s, q := momentsPlane(size, start(x[c*size:]), p)
		sum[c] += s
		squares[c] += q
	}
	return true
}

func normalizeFast[F Float](y, x []F, by Channels, size int, least, most float64) bool {
	switch {
	case !vectorized[F]():
		return false
	case size == 1:
		normalizeRow(len(x), start(y), start(x), &by.Mean[0], &by.Scale[0], &by.Shift[0], least, most)
		return true
	}
	for c, mean := range by.Mean {
		at := c * size
		normalizePlane(size, start(y[at:]), start(x[at:]), mean, by.Scale[c], by.Shift[c], least, most)
	}
	return true
}

func normSumsFast[F Float](sum, dot []float64, x, dy []F, by Channels, size int, least, most float64) bool {
	switch {
	case !vectorized[F]():
		return false
	case size == 1:
		normSumsRow(len(x), start(x), start(dy), &by.Mean[0], &by.Scale[0], &by.Shift[0], least, most, &sum[0], &dot[0])
		return true
	}
	for c, mean := range by.Mean {
		at := c * size
		s, q := normSumsPlane(size, start(x[at:]), start(dy[at:]), mean, by.Scale[c], by.Shift[c], least, most)
		sum[c] += s
		dot[c] += q
	}
	return true
}

func normGradFast[F Float](dx, x, dy []F, by Channels, s Slopes, size int, least, most float64) bool {
	switch {
	case !vectorized[F]():
		return false
	case size == 1:
		normGradRow(len(x), start(dx), start(x), start(dy), &by.Mean[0], &by.Scale[0], &by.Shift[0],
			&s.Dz[0], &s.X[0], &s.Plus[0], least, most)
		return true
	}
	for c, mean := range by.Mean {
		at := c * size
		normGradPlane(size, start(dx[at:]), start(x[at:]), start(dy[at:]), mean, by.Scale[c], by.Shift[c],
			s.Dz[c], s.X[c], s.Plus[c], least, most)
	}
	return true
}
