package distill

import (
	"cmp"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// AlphaDivergence is T²·(1 - Σ_c p_c^α·q_c^(1-α)) / (α(1-α)) in nats, of the
// teacher's p = softmax(t/T) and the student's q = softmax(s/T): all that lies
// between [ReverseKL], its limit at α = 0, and [KL], that at α = 1 (Amari 1985; of
// distillation AlphaNet, Wang et al. 2021, 2102.07954, equation 3, whose α beyond
// these ends are not taken: there it has no bound). In between it is at most
// T²/(α(1-α)), and at α = 0.5 four times T² and the squared Hellinger distance.
//
// Near the teacher it is the same whatever α is: unlike [JSD], α may be a
// schedule from one end to the other that the weight of the term need not follow.
type AlphaDivergence struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Alpha is α, from 0, which seeks the modes of the teacher, to 1, which covers
	// all that it says; nil means 0.5, where the two sides are equal.
	Alpha Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m AlphaDivergence) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("AlphaDivergence", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Alpha.or(0.5))}
	return Rows{Value: b.Op(beside.Each("alpha divergence", s, squareT(alphaDivergence)))}
}

// alphaDivergence sums αp + (1-α)q - p^α·q^(1-α), of which nothing is below 0, by
// the smaller of α and 1-α: what is divided by it then has its precision.
func alphaDivergence(r *graph.Row) (sum float64) {
	alpha := r.Params[0]
	switch alpha {
	case 0:
		return reverseKL(r)
	case 1:
		return skewKL(r, 0)
	}
	for c, q := range r.Q {
		p, d := r.P[c], r.LogP[c]-r.LogQ[c]
		if alpha > 0.5 {
			sum += (1-alpha)*toward(1, q, p, -d) - toward(1-alpha, q, p, -d)
		} else {
			sum += alpha*toward(1, p, q, d) - toward(alpha, p, q, d)
		}
		r.Grad[c] = -toward(alpha, p, q, d) / alpha // with a q/α, which makes no difference
	}
	return sum / (alpha * (1 - alpha))
}

// toward is p^α·q^(1-α) - q, with d = log(p/q), which may be too large for exp.
func toward(alpha, p, q, d float64) float64 {
	if x := alpha * d; x < 1 {
		return q * math.Expm1(x)
	}
	return p*math.Exp((alpha-1)*d) - q
}

func (m AlphaDivergence) validate(step int) error {
	return cmp.Or(checkT("AlphaDivergence", step, m.T.at(step, 1)), checkMix("AlphaDivergence.Alpha", step, m.Alpha.at(step, 0.5)))
}
