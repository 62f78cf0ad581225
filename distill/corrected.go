package distill

import (
	"cmp"
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Corrected is [KL] with a teacher that is put right by the labels: where the
// label does not lead the other classes by a margin in p = softmax(t/T), just so
// much of it is mixed in that it does,
//
//	T²·KL(keep·p + (1-keep)·onehot(y) ‖ q),  keep = (1-margin)/(1 - (p_y - max_{i≠y} p_i))
//
// (label revision, Lan et al. 2024, 2404.03693, whose η is 1-margin, and who do
// so where the teacher is wrong). What it knows of other classes stays, in
// proportion. Rows without a label are those of KL.
type Corrected struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Margin is by how much the label's probability leads: 0 or more, below 1. Nil
	// means 0.2.
	Margin Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m Corrected) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("Corrected", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, Labels: l.classes("Corrected"), T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Margin.or(0.2))}
	return Rows{Value: b.Op(beside.Each("corrected kl", s, squareT(corrected)))}
}

func corrected(r *graph.Row) float64 {
	if keep := kept(r); keep < 1 {
		less := math.Log(keep)
		for c := range r.P {
			r.P[c] *= keep
			r.LogP[c] += less
		}
		r.P[r.Label] += 1 - keep
		r.LogP[r.Label] = math.Log(r.P[r.Label])
	}
	return skewKL(r, 0)
}

// kept is how much stays of the teacher.
func kept(r *graph.Row) float64 {
	if r.Label < 0 {
		return 1
	}
	rival := 0.0
	for c, p := range r.P {
		if c != r.Label {
			rival = max(rival, p)
		}
	}
	return min(1, (1-r.Params[0])/(1-(r.P[r.Label]-rival)))
}

func (m Corrected) validate(step int) error {
	var err error
	if v := m.Margin.at(step, 0.2); !(v >= 0 && v < 1) {
		err = fmt.Errorf("distill: Corrected.Margin is %v at step %d; want 0 or more and below 1", v, step)
	}
	return cmp.Or(checkT("Corrected", step, m.T.at(step, 1)), err)
}
