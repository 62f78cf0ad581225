package kernel

import "math"

// Channels are what becomes of the elements of each channel: act of
// (x - Mean)·Scale + Shift, where act is Identity, ReLU or ReLU6. All three are
// of one length, the number of channels.
//
// They are in float64, as is all arithmetic with them, which is rounded once.
type Channels struct {
	Mean, Scale, Shift []float64
	Act                Act
}

// NewChannels is room for n channels.
func NewChannels(n int, act Act) Channels {
	return Channels{make([]float64, n), make([]float64, n), make([]float64, n), act}
}

// Fused says that Channels know the activation.
func (a Act) Fused() bool { return a == Identity || a == ReLU || a == ReLU6 }

// Given sets mean and inverse to statistics of F: inverse is 1/√(variance+eps).
func Given[F Float](mean, inverse []float64, m, variance []F, eps float64) {
	for i, v := range variance {
		mean[i], inverse[i] = float64(m[i]), 1/math.Sqrt(float64(v)+eps)
	}
}

// Affine sets by to (x - mean)·inverse·weight + bias. Each mean is that of as
// many channels, side by side, as there are channels to one mean. Where there are
// more channels than weights, these begin anew; nil ones are 1, and nil biases 0.
func Affine[F Float](by Channels, mean, inverse []float64, weight, bias []F) {
	for i := range by.Scale {
		g := i * len(mean) / len(by.Scale)
		by.Mean[i], by.Scale[i], by.Shift[i] = mean[g], inverse[g], 0
		if weight != nil {
			by.Scale[i] *= float64(weight[i%len(weight)])
		}
		if bias != nil {
			by.Shift[i] += float64(bias[i%len(bias)]) // which makes no -0
		}
	}
}

// limits are what the activation cuts off.
func (c Channels) limits() (least, most float64) {
	switch c.Act {
	case Identity:
		return math.Inf(-1), math.Inf(1)
	case ReLU:
		return 0, math.Inf(1)
	case ReLU6:
		return 0, 6
	}
	panic("kernel: channels do not know the activation " + c.Act.String())
}

// part is some of the channels.
func (c Channels) part(from, to int) Channels {
	return Channels{c.Mean[from:to], c.Scale[from:to], c.Shift[from:to], c.Act}
}

// costOfNorm is how many products an element of one of these functions costs.
const costOfNorm = 4

// Moments writes the mean of each channel of x (rows, channels, size) and the
// mean of its squared distances, over the rows whose mask (rows) is not 0: a nil
// mask has all rows. It returns over how many elements; without one the result
// is NaN.
func Moments[F Float](mean, variance []float64, x, mask []F, rows, size int) (n int) {
	channels, cost := len(mean), costOfNorm*rows*size
	if channels*cost < worth {
		return momentsOf(mean, variance, x, mask, rows, size, 0, channels) // without the allocation of a closure
	}
	Rows(channels, cost, func(from, to int) { momentsOf(mean, variance, x, mask, rows, size, from, to) })
	_, n = counted(mask, rows)
	return n * size
}

// momentsOf does some channels.
func momentsOf[F Float](mean, variance []float64, x, mask []F, rows, size, from, to int) int {
	channels := len(mean)
	first, n := counted(mask, rows)
	n *= size
	// The sums are of distances from an element: those of x itself would cancel
	// where the mean is large.
	pivot := borrow[float64](to - from)
	defer giveBack(pivot)
	sum, squares := mean[from:to], variance[from:to]
	clear(sum)
	clear(squares)
	for c := range *pivot {
		(*pivot)[c] = float64(x[(max(first, 0)*channels+from+c)*size])
	}
	for r := range rows {
		if mask == nil || mask[r] != 0 {
			moments(sum, squares, *pivot, x[(r*channels+from)*size:(r*channels+to)*size], size)
		}
	}
	for c, d := range sum {
		d /= float64(n)
		squares[c] = max(0, squares[c]/float64(n)-float64(d*d))
		sum[c] = (*pivot)[c] + d
	}
	return n
}

// counted are the rows that count: the first, and how many.
func counted[F Float](mask []F, rows int) (first, n int) {
	if mask == nil {
		return 0, rows
	}
	first = -1
	for r, m := range mask[:rows] {
		if m != 0 {
			if first < 0 {
				first = r
			}
			n++
		}
	}
	return first, n
}

// moments adds the distances from pivot, and their squares, of a row.
func moments[F Float](sum, squares, pivot []float64, x []F, size int) {
	if momentsFast(sum, squares, pivot, x, size) {
		return
	}
	for c, p := range pivot {
		s, q := 0.0, 0.0
		for _, v := range x[c*size : (c+1)*size] {
			d := float64(v) - p
			s += d
			q += float64(d * d)
		}
		sum[c] += s
		squares[c] += q
	}
}

// Normalize writes what becomes of x (rows, channels, size) to y, which may be
// x. Rows whose mask (rows) is 0 become 0; a nil mask has none.
func Normalize[F Float](y, x, mask []F, by Channels, rows, size int) {
	planes := rows * len(by.Mean)
	if planes*costOfNorm*size < worth {
		normalizePlanes(y, x, mask, by, size, 0, planes) // without the allocation of a closure
		return
	}
	Rows(planes, costOfNorm*size, func(from, to int) { normalizePlanes(y, x, mask, by, size, from, to) })
}

// normalizePlanes does some channels of rows, which are counted through.
func normalizePlanes[F Float](y, x, mask []F, by Channels, size, from, to int) {
	least, most := by.limits()
	channels := len(by.Mean)
	eachBand(channels, from, to, func(r, c, end int) {
		at, behind := (r*channels+c)*size, (r*channels+end)*size
		if mask != nil && mask[r] == 0 {
			clear(y[at:behind])
			return
		}
		normalize(y[at:behind], x[at:behind], by.part(c, end), size, least, most)
	})
}

// eachBand calls f for each row's share of the planes: its channels from c to
// end.
func eachBand(channels, from, to int, f func(r, c, end int)) {
	for from < to {
		r, c := from/channels, from%channels
		n := min(channels-c, to-from)
		f(r, c, c+n)
		from += n
	}
}

func normalize[F Float](y, x []F, by Channels, size int, least, most float64) {
	if normalizeFast(y, x, by, size, least, most) {
		return
	}
	for c, mean := range by.Mean {
		for i := c * size; i < (c+1)*size; i++ {
			v := float64((float64(x[i])-mean)*by.Scale[c]) + by.Shift[c]
			y[i] = F(min(max(v, least), most))
		}
	}
}

// NormalizeSums writes Σ dz and Σ dz·(x - Mean) of each channel to sum and dot,
// given the gradient dy of what Normalize writes: dz is dy where the activation
// cuts nothing off, and elsewhere 0. They are the gradients of Shift and Scale.
func NormalizeSums[F Float](sum, dot []float64, x, dy, mask []F, by Channels, rows, size int) {
	least, most := by.limits()
	channels := len(by.Mean)
	Rows(channels, costOfNorm*rows*size, func(from, to int) {
		clear(sum[from:to])
		clear(dot[from:to])
		for r := range rows {
			if mask == nil || mask[r] != 0 {
				at, end := (r*channels+from)*size, (r*channels+to)*size
				normSums(sum[from:to], dot[from:to], x[at:end], dy[at:end], by.part(from, to), size, least, most)
			}
		}
	})
}

func normSums[F Float](sum, dot []float64, x, dy []F, by Channels, size int, least, most float64) {
	if normSumsFast(sum, dot, x, dy, by, size, least, most) {
		return
	}
	for c, mean := range by.Mean {
		s, q := 0.0, 0.0
		for i := c * size; i < (c+1)*size; i++ {
			d, dz := float64(x[i])-mean, float64(dy[i])
			if v := float64(d*by.Scale[c]) + by.Shift[c]; v <= least || v >= most {
				dz = 0
			}
			s += dz
			q += float64(dz * d)
		}
		sum[c] += s
		dot[c] += q
	}
}

// Slopes are how the gradient of x is made of that of y, in each channel: as
// Dz·dz + X·(x - Mean) + Plus, with the dz of NormalizeSums.
type Slopes struct{ Dz, X, Plus []float64 }

// NewSlopes is room for n channels.
func NewSlopes(n int) Slopes {
	return Slopes{make([]float64, n), make([]float64, n), make([]float64, n)}
}

func (s Slopes) part(from, to int) Slopes {
	return Slopes{s.Dz[from:to], s.X[from:to], s.Plus[from:to]}
}

// Center sets s for channels that were normalised by the mean and variance of
// their own n elements, which depend on x too. sum and dot are those of
// NormalizeSums; the rest is as in Affine, and each mean that of its channels
// together.
func Center[F Float](s Slopes, sum, dot, inverse []float64, weight []F, n int) {
	wide := len(sum) / len(inverse)
	of := func(i int) float64 {
		if weight == nil {
			return 1
		}
		return float64(weight[i%len(weight)])
	}
	for g, inv := range inverse {
		total, along := 0.0, 0.0
		for i := g * wide; i < (g+1)*wide; i++ {
			total += of(i) * sum[i]
			along += of(i) * dot[i]
		}
		for i := g * wide; i < (g+1)*wide; i++ {
			s.Dz[i] = of(i) * inv
			s.X[i] = -inv * inv * inv * along / float64(n)
			s.Plus[i] = -inv * total / float64(n)
		}
	}
}

// NormalizeGrad writes the gradient of x to dx, which may be dy. Rows whose mask
// is 0 have none.
func NormalizeGrad[F Float](dx, x, dy, mask []F, by Channels, s Slopes, rows, size int) {
	least, most := by.limits()
	channels := len(by.Mean)
	Rows(rows*channels, costOfNorm*size, func(from, to int) {
		eachBand(channels, from, to, func(r, c, end int) {
			at, behind := (r*channels+c)*size, (r*channels+end)*size
			if mask != nil && mask[r] == 0 {
				clear(dx[at:behind])
				return
			}
			normGrad(dx[at:behind], x[at:behind], dy[at:behind], by.part(c, end), s.part(c, end), size, least, most)
		})
	})
}

func normGrad[F Float](dx, x, dy []F, by Channels, s Slopes, size int, least, most float64) {
	if normGradFast(dx, x, dy, by, s, size, least, most) {
		return
	}
	for c, mean := range by.Mean {
		for i := c * size; i < (c+1)*size; i++ {
			d, dz := float64(x[i])-mean, float64(dy[i])
			if v := float64(d*by.Scale[c]) + by.Shift[c]; v <= least || v >= most {
				dz = 0
			}
			dx[i] = F(float64(s.Dz[c]*dz) + float64(s.X[c]*d) + s.Plus[c])
		}
	}
}

// Standardize writes the mean of each row of x (rows, width), and the inverse of
// its standard deviation, 1/√(variance+eps), to mean and inverse (rows).
func Standardize[F Float](mean, inverse []float64, x []F, width int, eps float64) {
	Moments(mean, inverse, x, nil, 1, width)
	Given(mean, inverse, mean, inverse, eps)
}

// GroupNorm writes x (rows, channels, size) to y, which may be x, after each
// group of channels of a row has mean 0 and variance 1: times weight plus bias,
// both (channels), or nil for 1 and 0. eps is added to the variance.
func GroupNorm[F Float](y, x, weight, bias []F, channels, groups, size int, eps float64) {
	planes := len(x) / size
	all := borrow[float64](3*planes + 2*planes/channels*groups)
	defer giveBack(all)
	moments := (*all)[3*planes:]
	mean, inverse := moments[:len(moments)/2], moments[len(moments)/2:]
	by := Channels{(*all)[:planes], (*all)[planes : 2*planes], (*all)[2*planes : 3*planes], Identity}
	Standardize(mean, inverse, x, channels/groups*size, eps)
	Affine(by, mean, inverse, weight, bias)
	Normalize(y, x, nil, by, 1, size)
}

// LayerNorm writes the rows of x (rows, width) to y, which may be x, after each
// has mean 0 and variance 1: times weight plus bias, both (width), or nil for 1
// and 0. eps is added to the variance.
func LayerNorm[F Float](y, x, weight, bias []F, width int, eps float64) {
	rows := len(x) / width
	all := borrow[float64](2 * rows)
	defer giveBack(all)
	Standardize((*all)[:rows], (*all)[rows:], x, width, eps)
	LayerNormBy(y, x, weight, bias, (*all)[:rows], (*all)[rows:], width)
}

// LayerNormBy is LayerNorm by what Standardize says of each row.
func LayerNormBy[F Float](y, x, weight, bias []F, mean, inverse []float64, width int) {
	if rows := len(mean); rows*costOfNorm*width < worth {
		layerNormRows(y, x, weight, bias, mean, inverse, width, 0, rows) // without the allocation of a closure
		return
	}
	Rows(len(mean), costOfNorm*width, func(from, to int) { layerNormRows(y, x, weight, bias, mean, inverse, width, from, to) })
}

// layerNormRows does some rows.
func layerNormRows[F Float](y, x, weight, bias []F, mean, inverse []float64, width, from, to int) {
	for r := from; r < to; r++ {
		y, x := y[r*width:(r+1)*width], x[r*width:(r+1)*width]
		for j, v := range x {
			z := (float64(v) - mean[r]) * inverse[r]
			if weight != nil {
				z *= float64(weight[j])
			}
			if bias != nil {
				z += float64(bias[j])
			}
			y[j] = F(z)
		}
	}
}

// LayerNormGrad writes the gradient of x to dx, which may be dy, given that of
// y and what Standardize says of each row.
func LayerNormGrad[F Float](dx, x, dy, weight []F, mean, inverse []float64, width int) {
	Rows(len(mean), 2*costOfNorm*width, func(from, to int) {
		for r := from; r < to; r++ {
			at, end := r*width, (r+1)*width
			layerGrad(dx[at:end], x[at:end], dy[at:end], weight, mean[r], inverse[r])
		}
	})
}

func layerGrad[F Float](dx, x, dy, weight []F, mean, inverse float64) {
	weighed := func(j int) float64 {
		if weight == nil {
			return float64(dy[j])
		}
		return float64(dy[j]) * float64(weight[j])
	}
	sum, dot := 0.0, 0.0
	for j, v := range x {
		g := weighed(j)
		sum += g
		dot += g * (float64(v) - mean)
	}
	n := float64(len(x))
	sum, dot = sum/n, dot*inverse*inverse/n
	for j, v := range x {
		dx[j] = F(inverse * (weighed(j) - sum - (float64(v)-mean)*dot))
	}
}

// LayerNormSums writes the gradients of weight and bias, each (width), given that
// of y.
func LayerNormSums[F Float](dweight, dbias, x, dy []F, mean, inverse []float64, width int) {
	Rows(width, costOfNorm*len(mean), func(from, to int) {
		sums := borrow[float64](2 * (to - from))
		defer giveBack(sums)
		clear(*sums)
		dot, sum := (*sums)[:to-from], (*sums)[to-from:]
		for r := range mean {
			x := x[r*width+from : r*width+to]
			for j, g := range dy[r*width+from : r*width+to] {
				dot[j] += float64(g) * ((float64(x[j]) - mean[r]) * inverse[r])
				sum[j] += float64(g)
			}
		}
		for j := range dot {
			dweight[from+j], dbias[from+j] = F(dot[j]), F(sum[j])
		}
	})
}

// Fold returns the weight and bias of a linear layer or convolution that does in
// eval mode what one with weight w (out, ...) and this bias does with a batch norm
// behind it: of gamma, beta, mean and variance (out) each, with eps added to the
// variance. A nil bias or beta is 0, a nil gamma 1. What it is given stays as it
// is.
func Fold[F Float](w, bias, gamma, beta, mean, variance []F, eps float64) (folded, shift []F) {
	out := len(mean)
	c := NewChannels(out, Identity)
	Given(c.Mean, c.Scale, mean, variance, eps)
	Affine(c, c.Mean, c.Scale, gamma, beta)
	folded, shift = make([]F, len(w)), make([]F, out)
	width := len(w) / out
	for o := range out {
		for i := o * width; i < (o+1)*width; i++ {
			folded[i] = F(float64(w[i]) * c.Scale[o])
		}
		b := -c.Mean[o]
		if bias != nil {
			b += float64(bias[o])
		}
		shift[o] = F(b*c.Scale[o] + c.Shift[o])
	}
	return folded, shift
}
