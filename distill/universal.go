package distill

import (
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// UniversalLogit compares a student and a teacher of different classes, as with
// two vocabularies: Σ_i |p_(i) - q_(i)|, where p_(1) ≥ p_(2) ≥ ... are the
// teacher's probabilities softmax(t/T) in their order, q_(i) the student's, and
// the shorter row ends in zeros (ULD, Boizard et al. 2024, 2402.12030, in its
// closed form). It is from 0 to 2, knows nothing of which class is which, and so
// stands beside a hard term. There is no factor T². Where two of a rank are equal,
// its gradient by them is 0.
type UniversalLogit struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Student and Teacher are the tap (R, C) and the signal (R, K) with the logits;
	// "" means "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m UniversalLogit) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distribution("UniversalLogit", m.Student), l.Dense(orLogits(m.Teacher))
	l.sameRows("UniversalLogit", s, t)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1))}
	return Rows{Value: b.Op(beside.Each("universal logit", s, universalLogit))}
}

func universalLogit(r *graph.Row) (sum float64) {
	byP, byQ := r.RankP(), r.RankQ()
	for i, c := range byQ {
		d := r.Q[c]
		if i < len(byP) {
			d -= r.P[byP[i]]
		}
		sum += math.Abs(d)
		r.Grad[c] = r.Q[c] * sign(d)
	}
	for _, c := range byP[min(len(byP), len(byQ)):] {
		sum += r.P[c]
	}
	return sum
}

func (m UniversalLogit) validate(step int) error {
	return checkT("UniversalLogit", step, m.T.at(step, 1))
}
