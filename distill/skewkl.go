package distill

import (
	"cmp"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// SkewKL is T²·KL(p ‖ λp + (1-λ)q) in nats, of the teacher's p = softmax(t/T)
// and the student's q = softmax(s/T): a [KL] that stays below -T²·log λ however
// wrong the student is (the skew KLD of DistiLLM, Ko et al. 2024, 2402.03898).
type SkewKL struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Lambda is λ, from 0, which is [KL], to 1, which is nothing; nil means 0.1.
	Lambda Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m SkewKL) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("SkewKL", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Lambda.or(0.1))}
	skew := func(r *graph.Row) float64 { return skewKL(r, r.Params[0]) }
	return Rows{Value: b.Op(beside.Each("skew kl", s, squareT(skew)))}
}

func skewKL(r *graph.Row, lambda float64) (sum float64) {
	ofP, ofQ := math.Log(lambda), math.Log1p(-lambda)
	for c, p := range r.P {
		if p > 0 {
			m := logAdd(ofP+r.LogP[c], ofQ+r.LogQ[c])
			sum += p * (r.LogP[c] - m)
			r.Grad[c] = -p * math.Exp(ofQ+r.LogQ[c]-m)
		}
	}
	return sum
}

func (m SkewKL) validate(step int) error {
	return cmp.Or(checkT("SkewKL", step, m.T.at(step, 1)), checkMix("SkewKL.Lambda", step, m.Lambda.at(step, 0.1)))
}

// SkewReverseKL is T²·KL(q ‖ (1-λ)p + λq) in nats, of the student's q =
// softmax(s/T) and the teacher's p = softmax(t/T): a [ReverseKL] that stays below
// -T²·log λ (the skew RKLD of DistiLLM, 2402.03898).
type SkewReverseKL struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Lambda is λ, from 0, which is [ReverseKL], to 1, which is nothing; nil means
	// 0.1.
	Lambda Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m SkewReverseKL) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("SkewReverseKL", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Lambda.or(0.1))}
	return Rows{Value: b.Op(beside.Each("skew reverse kl", s, squareT(skewReverseKL)))}
}

func skewReverseKL(r *graph.Row) (sum float64) {
	ofQ, ofP := math.Log(r.Params[0]), math.Log1p(-r.Params[0])
	for c, q := range r.Q {
		if q > 0 {
			m := logAdd(ofQ+r.LogQ[c], ofP+r.LogP[c])
			d := q * (r.LogQ[c] - m)
			sum += d
			r.Grad[c] = d - q*math.Exp(ofQ+r.LogQ[c]-m)
		}
	}
	return sum
}

func (m SkewReverseKL) validate(step int) error {
	return cmp.Or(checkT("SkewReverseKL", step, m.T.at(step, 1)), checkMix("SkewReverseKL.Lambda", step, m.Lambda.at(step, 0.1)))
}
