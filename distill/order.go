package distill

import (
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Order asks that the student put its teacher's most probable classes in the
// order in which the teacher has them. For each two of them, of which the
// teacher's logit of i is above that of j, it is the logistic log(1 + exp(s_j -
// s_i)) of RankNet (Burges et al. 2005, equation 3 with a certain target), or
// the hinge max(0, margin - (s_i - s_j)) of ranking machines (Herbrich et al.
// 2000), and the mean over these pairs. Two that the teacher has equal make no
// pair, and a row without pairs is 0.
type Order struct {
	// Top is how many classes are put in order: 2 or more, at most all; 0 means 5.
	Top int
	// Hinge takes the hinge for the logistic.
	Hinge bool
	// Margin is that of the hinge, 0 or more, in logits; nil means 1.
	Margin Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m Order) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("Order", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(Constant(1)), Params: scalars(b, m.Margin.or(1))}
	return Rows{Value: b.Op(beside.Each("order", s, m.order))}
}

func (m Order) order(r *graph.Row) float64 {
	top := r.RankP()
	top = top[:min(m.top(), len(top))]
	sum, pairs := 0.0, 0.0
	for n, i := range top {
		for _, j := range top[n+1:] {
			if !(r.LogP[i] > r.LogP[j]) {
				continue
			}
			value, slope := m.pair(r.LogQ[i]-r.LogQ[j], r.Params[0])
			sum += value
			pairs++
			r.Grad[i] += slope
			r.Grad[j] -= slope
		}
	}
	if pairs == 0 {
		return 0
	}
	for _, c := range top {
		r.Grad[c] /= pairs
	}
	return sum / pairs
}

// pair is the loss of two classes whose logits are d apart, and its slope.
func (m Order) pair(d, margin float64) (value, slope float64) {
	switch {
	case !m.Hinge:
		return max(-d, 0) + math.Log1p(math.Exp(-math.Abs(d))), -1 / (1 + math.Exp(d))
	case d < margin:
		return margin - d, -1
	}
	return 0, 0
}

func (m Order) top() int {
	if m.Top == 0 {
		return 5
	}
	return m.Top
}

func (m Order) validate(step int) error {
	if m.top() < 2 {
		return fmt.Errorf("distill: Order.Top is %d; want 2 or more, or 0 for 5", m.Top)
	}
	return checkPart("Order.Margin", step, m.Margin.at(step, 1))
}
