package kernel

import (
	"iter"
	"math"
)

// The losses of rows of logits z (R, C) write the value of each row to value
// (R) and its gradient by the logits to grad (R, C), every element. Those over
// classes take a nil grad for none. They compute in float64 whatever F is: where a student is near its teacher, what
// remains of two probabilities is small. The gradient of equal logits is
// exactly 0.

// costOfLoss is what an element of a loss costs, see [Rows].
const costOfLoss = 50

// columns is the C of x (R, C).
func columns[F Float](x []F, rows int) int { return len(x) / max(1, rows) }

// row is row r of x (R, C).
func row[F Float](x []F, r, c int) []F { return x[r*c : (r+1)*c] }

// rowOr is row r of x (R, C), or spare if x is nil.
func rowOr[F Float](x, spare []F, r, c int) []F {
	if x == nil {
		return spare
	}
	return row(x, r, c)
}

// spare is room for a row of a gradient that nobody wants.
func spare[F Float](grad []F, c int) *[]F {
	if grad != nil {
		c = 0
	}
	return borrow[F](c)
}

// blocks are the rows [from, to), so many at a time that what is computed of
// them stays in the first cache.
func blocks(from, to, c int) iter.Seq2[int, int] {
	few := max(1, 1024/max(1, c))
	return func(yield func(from, to int) bool) {
		for ; from < to && yield(from, min(from+few, to)); from += few {
		}
	}
}

// distributions are softmax(z·invT) of some rows. Their exponentials are yet to
// be divided by their sum. The logarithm of a probability is z·invT - lse.
type distributions struct {
	e, sum, lse []float64
	store       *[]float64
}

func distribute[F Float](z []F, c int, invT float64) distributions {
	rows := len(z) / c
	store := borrow[float64](len(z) + 3*rows)
	e, sum := (*store)[:len(z)], (*store)[len(z):][:rows]
	top, lse := (*store)[len(z)+rows:][:rows], (*store)[len(z)+2*rows:]
	for r := range rows {
		top[r], sum[r] = exponentials(row(e, r, c), row(z, r, c), invT)
	}
	logarithms(lse, sum)
	for r, t := range top {
		lse[r] += t
	}
	return distributions{e, sum, lse, store}
}

func (d *distributions) release() { giveBack(d.store) }

// A distribution is one of them: its probabilities are k·e.
type distribution struct {
	e      []float64
	k, lse float64
}

func (d *distributions) row(r int) distribution {
	return distribution{row(d.e, r, len(d.e)/len(d.sum)), 1 / d.sum[r], d.lse[r]}
}

// CrossEntropy is -Σ_c t_c log softmax(z)_c, where t is the label's one-hot
// vector mixed with the uniform one, (1-ε)·onehot + ε/C. Labels are (R). A row
// with a label below 0 is 0, with gradient 0.
func CrossEntropy[F Float](value, grad, z []F, labels []int, smoothing float64) {
	c := columns(z, len(value))
	Rows(len(value), costOfLoss*c, func(from, to int) {
		none := spare(grad, c)
		defer giveBack(none)
		for from, to := range blocks(from, to, c) {
			q := distribute(z[from*c:to*c], c, 1)
			for r := from; r < to; r++ {
				value[r] = F(crossEntropy(rowOr(grad, *none, r, c), row(z, r, c), q.row(r-from), labels[r], smoothing))
			}
			q.release()
		}
	})
}

func crossEntropy[F Float](grad, z []F, q distribution, label int, smoothing float64) float64 {
	if label < 0 {
		clear(grad)
		return 0
	}
	even := smoothing / float64(len(z))
	loss := (1 - smoothing) * (q.lse - float64(z[label]))
	if smoothing > 0 {
		loss -= even * sumAbove(z, q.lse)
	}
	probabilities(grad, q.e, q.k, even)
	grad[label] = F(float64(q.k*q.e[label]) - even - (1 - smoothing))
	return loss
}

// SoftCrossEntropy is -Σ_c t_c log softmax(z)_c, where t is the target (R, C)
// mixed with the uniform distribution, as in [CrossEntropy].
func SoftCrossEntropy[F Float](value, grad, z, target []F, smoothing float64) {
	c := columns(z, len(value))
	even := smoothing / float64(c)
	Rows(len(value), costOfLoss*c, func(from, to int) {
		none := spare(grad, c)
		defer giveBack(none)
		for from, to := range blocks(from, to, c) {
			q := distribute(z[from*c:to*c], c, 1)
			for r := from; r < to; r++ {
				value[r] = F(softCrossEntropy(rowOr(grad, *none, r, c), row(z, r, c), row(target, r, c), q.row(r-from), 1-smoothing, even))
			}
			q.release()
		}
	})
}

// softCrossEntropy is of one row, with the target t = keep·target + even.
func softCrossEntropy[F Float](grad, z, target []F, q distribution, keep, even float64) float64 {
	loss, sum := soft(z, target, q.lse, keep, even)
	k := sum * q.k
	if softGradFast(grad, target, q.e, k, keep, even) {
		return loss
	}
	for c, e := range q.e {
		grad[c] = F(float64(k*e) - (float64(keep*float64(target[c])) + even))
	}
	return loss
}

// soft is Σ_c t_c (lse - z_c) and Σ_c t_c. What t has no part of counts for
// nothing, even if z is -Inf there.
func soft[F Float](z, target []F, lse, keep, even float64) (loss, sum float64) {
	if loss, sum, ok := softFast(z, target, lse, keep, even); ok {
		return loss, sum
	}
	for c, v := range z {
		if t := float64(keep*float64(target[c])) + even; t != 0 {
			loss += t * (lse - float64(v))
			sum += t
		}
	}
	return loss, sum
}

// KL is T²·KL(p ‖ q) with p = softmax(t/T) and q = softmax(z/T), where t is (R,
// C). Its gradient is T(q-p).
func KL[F Float](value, grad, z, t []F, T float64) {
	c := columns(z, len(value))
	Rows(len(value), 2*costOfLoss*c, func(from, to int) {
		none := spare(grad, c)
		defer giveBack(none)
		for from, to := range blocks(from, to, c) {
			q, p := distribute(z[from*c:to*c], c, 1/T), distribute(t[from*c:to*c], c, 1/T)
			for r := from; r < to; r++ {
				value[r] = F(T * T * kl(rowOr(grad, *none, r, c), row(z, r, c), row(t, r, c), q.row(r-from), p.row(r-from), T))
			}
			q.release()
			p.release()
		}
	})
}

func kl[F Float](grad, z, t []F, q, p distribution, T float64) (sum float64) {
	if sum, ok := klFast(grad, z, t, q, p, T); ok {
		return sum
	}
	invT := 1 / T
	for c, e := range p.e {
		pc := p.k * e
		if pc != 0 {
			logp, logq := float64(float64(t[c])*invT)-p.lse, float64(float64(z[c])*invT)-q.lse
			sum += pc * (logp - logq)
		}
		grad[c] = F(T * (float64(q.k*q.e[c]) - float64(pc)))
	}
	return sum
}

// TopK is what is kept of a teacher's rows: the k largest logits of each.
type TopK[F Float] struct {
	Logits  []F   // (R, k)
	Classes []int // (R, k), all different in a row
	LSE     []F   // (R, temperatures): the log-sum-exp of the whole row at each
	At      int   // which of the temperatures is T
}

// row is row r of n, as of rows of their own.
func (t TopK[F]) row(r, n int) TopK[F] {
	k, temps := len(t.Classes)/n, len(t.LSE)/n
	return TopK[F]{row(t.Logits, r, k), t.Classes[r*k : (r+1)*k], row(t.LSE, r, temps), t.At}
}

// TopKL is T² times the KL divergence of the distributions over the teacher's
// top k classes and one bucket for all others.
func TopKL[F Float](value, grad, z []F, t TopK[F], T float64) {
	rows, c := len(value), columns(z, len(value))
	Rows(rows, 2*costOfLoss*c, func(from, to int) {
		none := spare(grad, c)
		defer giveBack(none)
		for from, to := range blocks(from, to, c) {
			rest := borrow[F]((to - from) * c)
			copy(*rest, z[from*c:to*c])
			for r := from; r < to; r++ {
				t.row(r, rows).remove(row(*rest, r-from, c))
			}
			q, others := distribute(z[from*c:to*c], c, 1/T), distribute(*rest, c, 1/T)
			for r := from; r < to; r++ {
				value[r] = F(T * T * topKL(rowOr(grad, *none, r, c), row(z, r, c), t.row(r, rows), q.row(r-from), others.row(r-from), T))
			}
			q.release()
			others.release()
			giveBack(rest)
		}
	})
}

// remove takes the classes out of a row of logits.
func (t TopK[F]) remove(z []F) {
	for _, c := range t.Classes {
		z[c] = F(math.Inf(-1))
	}
}

// topKL is of one row, where q is the student's distribution, and others that
// over the classes that are not kept.
func topKL[F Float](grad, z []F, t TopK[F], q, others distribution, T float64) float64 {
	sum, mass, invT, p := 0.0, 0.0, 1/T, others.e // which is 0 for the classes
	for i, c := range t.Classes {
		logp := float64(float64(t.Logits[i])*invT) - float64(t.LSE[t.At])
		p[c] = math.Exp(logp)
		if p[c] != 0 {
			sum += p[c] * (logp - (float64(float64(z[c])*invT) - q.lse))
		}
		mass += p[c]
	}
	if tail := 1 - mass; len(t.Classes) < len(z) && tail > 0 {
		sum += tail * (math.Log(tail) - (others.lse - q.lse))
		differences(grad, q.e, others.e, T*q.k, T*tail*others.k)
	} else {
		probabilities(grad, q.e, T*q.k, 0)
	}
	for _, c := range t.Classes {
		grad[c] = F(T * (float64(q.k*q.e[c]) - p[c]))
	}
	return sum
}

// differences writes kx·x - ky·y to dst.
func differences[F Float](dst []F, x, y []float64, kx, ky float64) {
	if differencesFast(dst, x, y, kx, ky) {
		return
	}
	for i, v := range x {
		dst[i] = F(float64(kx*v) - float64(ky*y[i]))
	}
}

// MSE is the mean over C of (a-b)² for each row of a and b (R, C), with the
// gradient by a.
func MSE[F Float](value, grad, a, b []F) {
	c := columns(a, len(value))
	Rows(len(value), costOfLoss*c/4, func(from, to int) {
		for r := from; r < to; r++ {
			value[r] = F(squaresApart(row(grad, r, c), row(a, r, c), row(b, r, c), 2/float64(c)) / float64(c))
		}
	})
}

// squaresApart is Σ(a-b)², and k·(a-b) in grad.
func squaresApart[F Float](grad, a, b []F, k float64) (sum float64) {
	if sum, ok := squaresApartFast(grad, a, b, k); ok {
		return sum
	}
	for c, v := range a {
		d := float64(v) - float64(b[c])
		sum += float64(d * d)
		grad[c] = F(k * d)
	}
	return sum
}

// ScaleRows writes each row of src (R, C) times its factor (R) to dst. A row of
// factor 0 counts for nothing, whatever it holds.
func ScaleRows[F Float](dst, src, factor []F) {
	c := columns(src, len(factor))
	Rows(len(factor), costOfLoss*c/4, func(from, to int) {
		for r := from; r < to; r++ {
			scale(row(dst, r, c), row(src, r, c), factor[r])
		}
	})
}

func scale[F Float](dst, src []F, k F) {
	if k == 0 {
		clear(dst)
		return
	}
	if scaleFast(dst, src, k) {
		return
	}
	for i, v := range src {
		dst[i] = v * k
	}
}

// L1 is the mean over C of |a-b| for each row of a and b (R, C), with the
// gradient by a: 0 where they are equal.
func L1[F Float](value, grad, a, b []F) {
	differ(value, grad, a, b, func(d float64) (float64, float64) {
		switch {
		case d > 0:
			return d, 1
		case d < 0:
			return -d, -1
		}
		return math.Abs(d), d // 0, or NaN
	})
}

// Huber is the mean over C of ½d² where |d| is at most delta, and of
// delta·(|d| - ½delta) elsewhere, d = a-b, for each row of a and b (R, C), with
// the gradient by a.
func Huber[F Float](value, grad, a, b []F, delta float64) {
	differ(value, grad, a, b, func(d float64) (float64, float64) {
		if far := math.Abs(d); far > delta {
			return delta * (far - delta/2), math.Copysign(delta, d)
		}
		return d * d / 2, d
	})
}

// differ is the mean over C of f(a-b), a value and its slope.
func differ[F Float](value, grad, a, b []F, f func(d float64) (v, slope float64)) {
	c := columns(a, len(value))
	Rows(len(value), costOfLoss*c/4, func(from, to int) {
		for r := from; r < to; r++ {
			sum, dst, b := 0.0, row(grad, r, c), row(b, r, c)
			for i, v := range row(a, r, c) {
				v, slope := f(float64(v) - float64(b[i]))
				sum += v
				dst[i] = F(slope / float64(c))
			}
			value[r] = F(sum / float64(c))
		}
	})
}

// Bounded is the mean over C of (z-y)² for each row of z and y (R, C) where that
// and margin are more than what it is of t, and else 0, with the gradient by z.
func Bounded[F Float](value, grad, z, t, y []F, margin float64) {
	c := columns(z, len(value))
	Rows(len(value), costOfLoss*c/2, func(from, to int) {
		for r := from; r < to; r++ {
			dst, y := row(grad, r, c), row(y, r, c)
			bound := squaresApart(dst, row(t, r, c), y, 0) / float64(c)
			sum := squaresApart(dst, row(z, r, c), y, 2/float64(c)) / float64(c)
			if sum+margin <= bound {
				sum = 0
				clear(dst)
			}
			value[r] = F(sum)
		}
	})
}

// BCE is -Σ_c (w_c·t_c log σ(z_c) + (1-t_c) log (1-σ(z_c))) for each row of z and
// the target t (R, C), with the weights w (C) of a yes: nil is 1 each.
func BCE[F Float](value, grad, z, target []F, weight []float64) {
	c := columns(z, len(value))
	Rows(len(value), costOfLoss*c, func(from, to int) {
		for r := from; r < to; r++ {
			value[r] = F(bce(row(grad, r, c), row(z, r, c), row(target, r, c), weight))
		}
	})
}

func bce[F Float](grad, z, target []F, weight []float64) (sum float64) {
	for c, v := range z {
		w, t := 1.0, float64(target[c])
		if weight != nil {
			w = weight[c]
		}
		yes, no := odds(float64(v))
		loss := float64(w*t*softplus(-float64(v))) + float64((1-t)*softplus(float64(v)))
		sum += loss
		grad[c] = F(float64((1-t)*yes) - float64(w*t*no))
	}
	return sum
}

// BinaryKL is T²·Σ_c KL(p_c ‖ q_c) of a yes with p = σ(t/T) and of one with q =
// σ(z/T), for each row of z and t (R, C). Its gradient is T(q-p).
func BinaryKL[F Float](value, grad, z, t []F, T float64) {
	c := columns(z, len(value))
	Rows(len(value), 2*costOfLoss*c, func(from, to int) {
		for r := from; r < to; r++ {
			value[r] = F(T * T * binaryKL(row(grad, r, c), row(z, r, c), row(t, r, c), T))
		}
	})
}

func binaryKL[F Float](grad, z, t []F, T float64) (sum float64) {
	for c, v := range z {
		a, b := float64(t[c])/T, float64(v)/T
		p, notP := odds(a)
		q, _ := odds(b)
		// Two divergences from a sure answer, of which one is often 0.
		sum += float64(p*(softplus(-b)-softplus(-a))) + float64(notP*(softplus(b)-softplus(a)))
		grad[c] = F(T * (q - p))
	}
	return sum
}

// odds are σ(x) and 1-σ(x), each to its own precision.
func odds(x float64) (yes, no float64) {
	e := math.Exp(-math.Abs(x))
	yes, no = 1/(1+e), e/(1+e)
	if x < 0 {
		return no, yes
	}
	return yes, no
}

// softplus is log(1+exp(x)), which does not overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// ChannelsLast writes src (N, C, P) to dst as (N, P, C).
func ChannelsLast[F Float](dst, src []F, n, c, p int) {
	Rows(n, c*p, func(from, to int) {
		for s := from; s < to; s++ {
			dst, src := row(dst, s, c*p), row(src, s, c*p)
			for i := range c {
				for j, v := range row(src, i, p) {
					dst[j*c+i] = v
				}
			}
		}
	})
}
