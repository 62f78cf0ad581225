package distill

import (
	"cmp"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// JSD is the generalised Jensen-Shannon divergence of the teacher's
// p = softmax(t/T) and the student's q = softmax(s/T), in nats: β·KL(p ‖ m) +
// (1-β)·KL(q ‖ m) with m = βp + (1-β)q (GKD, Agarwal et al. 2024, 2306.13649,
// equation 1). Between 0 and 1 it is at most log 2, and there is no factor T².
//
// By definition it is KL(p ‖ q) at β = 0 and KL(q ‖ p) at β = 1. Near these it is
// about β and 1-β times as much: the scale jumps.
type JSD struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Beta is β, from 0 to 1; nil means 0.5, where the two sides are equal.
	Beta Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m JSD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("JSD", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Beta.or(0.5))}
	return Rows{Value: b.Op(beside.Each("jsd", s, jsd))}
}

func jsd(r *graph.Row) (sum float64) {
	beta := r.Params[0]
	switch beta {
	case 0:
		return skewKL(r, 0)
	case 1:
		return reverseKL(r)
	}
	ofP, ofQ := math.Log(beta), math.Log1p(-beta)
	for c, q := range r.Q {
		m := logAdd(ofP+r.LogP[c], ofQ+r.LogQ[c])
		if p := r.P[c]; p > 0 {
			sum += beta * p * (r.LogP[c] - m)
		}
		if q > 0 {
			d := (1 - beta) * q * (r.LogQ[c] - m)
			sum += d
			r.Grad[c] = d // that of m itself vanishes, for m is a distribution
		}
	}
	return sum
}

func (m JSD) validate(step int) error {
	return cmp.Or(checkT("JSD", step, m.T.at(step, 1)), checkMix("JSD.Beta", step, m.Beta.at(step, 0.5)))
}
