package kernel

import "math"

// The losses of one row return its value and write the gradient by its logits
// z to grad, every element. They compute in float64 whatever F is: where a
// student is near its teacher, what remains of two probabilities is small. The
// gradient of equal logits is exactly 0.

// A distribution is softmax(z·invT). The logarithm of p[c] is z[c]·invT - lse.
type distribution struct {
	p     []float64
	lse   float64
	store *[]float64
}

func distribute[F Float](z []F, invT float64) distribution {
	store := borrow[float64](len(z))
	p := *store
	top, sum := exponentials(p, z, invT)
	inv := 1 / sum
	for c := range p {
		p[c] *= inv
	}
	return distribution{p, top + math.Log(sum), store}
}

func (d *distribution) release() { giveBack(d.store) }

// CrossEntropy is -Σ_c t_c log softmax(z)_c, where t is the label's one-hot
// vector mixed with the uniform one, (1-ε)·onehot + ε/C.
func CrossEntropy[F Float](grad, z []F, label int, smoothing float64) float64 {
	q := distribute(z, 1)
	defer q.release()
	even := smoothing / float64(len(z))
	loss := (1 - smoothing) * (q.lse - float64(z[label]))
	if smoothing > 0 {
		for _, v := range z {
			loss -= even * (float64(v) - q.lse)
		}
	}
	for c, p := range q.p {
		grad[c] = F(p - even)
	}
	grad[label] = F(q.p[label] - even - (1 - smoothing))
	return loss
}

// SoftCrossEntropy is -Σ_c t_c log softmax(z)_c, where t is the target mixed
// with the uniform distribution, as in [CrossEntropy].
func SoftCrossEntropy[F Float](grad, z, target []F, smoothing float64) float64 {
	q := distribute(z, 1)
	defer q.release()
	loss, total := 0.0, 0.0
	smooth := func(c int) float64 {
		return (1-smoothing)*float64(target[c]) + smoothing/float64(len(z))
	}
	for c, v := range z {
		if t := smooth(c); t != 0 {
			loss -= t * (float64(v) - q.lse)
			total += t
		}
	}
	for c, p := range q.p {
		grad[c] = F(total*p - smooth(c))
	}
	return loss
}

// KL is T²·KL(p ‖ q) with p = softmax(t/T) and q = softmax(z/T). Its gradient
// is T(q-p).
func KL[F Float](grad, z, t []F, T float64) float64 {
	q, p := distribute(z, 1/T), distribute(t, 1/T)
	defer q.release()
	defer p.release()
	sum, invT := 0.0, 1/T
	for c, pc := range p.p {
		if pc > 0 {
			logq, logp := float64(z[c])*invT-q.lse, float64(t[c])*invT-p.lse
			sum += pc * (logp - logq)
		}
		grad[c] = F(T * (q.p[c] - pc))
	}
	return T * T * sum
}
