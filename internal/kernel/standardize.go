package kernel

import "math"

// beneathSD is added to a standard deviation before it divides.
const beneathSD = 1e-7

// StandardizeRow writes (z - mean)/(sd + 1e-7) to dst, which may be z, where sd is
// the square root of Σ(z - mean)²/(n-1): one row of n logits, of which the
// temperature is gone.
func StandardizeRow[F Float](dst, z []F) {
	mean, sd := meanAndSD(z)
	for c, v := range z {
		dst[c] = F((float64(v) - mean) / (sd + beneathSD))
	}
}

// StandardizeRowGrad writes the gradient by z to dx, which may be dy. That of equal
// logits, which has no bound, is taken for 0.
func StandardizeRowGrad[F Float](dx, z, dy []F) {
	mean, sd := meanAndSD(z)
	if sd == 0 {
		clear(dx)
		return
	}
	k, sum, along := 1/(sd+beneathSD), 0.0, 0.0
	for c, d := range dy {
		sum += float64(d)
		along += float64(d) * ((float64(z[c]) - mean) * k)
	}
	even, turn := sum/float64(len(z)), along/(sd*float64(len(z)-1))
	for c, d := range dy {
		y := (float64(z[c]) - mean) * k
		dx[c] = F(float64((float64(d)-even)*k) - float64(y*turn))
	}
}

// meanAndSD is of two elements or more.
func meanAndSD[F Float](z []F) (mean, sd float64) {
	first := float64(z[0]) // from which on the mean of equal elements is exact
	for _, v := range z {
		mean += float64(v) - first
	}
	mean = first + mean/float64(len(z))
	for _, v := range z {
		d := float64(v) - mean
		sd += float64(d * d)
	}
	return mean, math.Sqrt(sd / float64(len(z)-1))
}
