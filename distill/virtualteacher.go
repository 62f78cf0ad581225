package distill

import (
	"cmp"
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// VirtualTeacher is [KL] without a teacher, Tf-KD_reg (Yuan et al. 2020,
// 1909.11723): T²·KL(p ‖ softmax(s/T)) where the distribution
// that gives a to the label and (1-a)/(C-1) to each other class is made as soft
// by T as a teacher's would be, p_c ∝ a_c^(1/T). A row without a label has weight
// 0.
//
// The code of its authors differs from the paper: it takes the softmax of a_c/T,
// as if probabilities were logits, and leaves the student at T = 1. At T = 1 it is
// label smoothing, less a constant: CrossEntropy.Smoothing of (1-a)·C/(C-1).
type VirtualTeacher struct {
	// T is the temperature, above 0; nil means 20.
	T Schedule
	// Sure is a, what the label has at T = 1: above 0, at most 1. Nil means 0.99.
	Sure Schedule
	// Student is the tap with the logits; "" means "logits".
	Student string
}

// Loss implements [Loss].
func (m VirtualTeacher) Loss(b *student.Builder, l Lesson) Rows {
	s := l.distribution("VirtualTeacher", m.Student)
	beside := graph.Beside{Labels: l.classes("VirtualTeacher"), T: b.Scalar(m.T.or(20)), Params: scalars(b, m.Sure.or(0.99))}
	return Rows{Value: b.Op(beside.Each("virtual teacher", s, ofLabelled(squareT(virtualTeacher)))), Weight: l.labelled()}
}

func virtualTeacher(r *graph.Row) (sum float64) {
	others := float64(len(r.Q) - 1)
	yes, no := math.Log(r.Params[0])/r.T, (math.Log1p(-r.Params[0])-math.Log(others))/r.T
	all := logAdd(yes, no+math.Log(others))
	for c := range r.Q {
		logp := no - all
		if c == r.Label {
			logp = yes - all
		}
		if p := math.Exp(logp); p > 0 {
			sum += p * (logp - r.LogQ[c])
			r.Grad[c] = -p
		}
	}
	return sum
}

func (m VirtualTeacher) validate(step int) error {
	var err error
	if v := m.Sure.at(step, 0.99); !(v > 0 && v <= 1) {
		err = fmt.Errorf("distill: VirtualTeacher.Sure is %v at step %d; want above 0, and at most 1", v, step)
	}
	return cmp.Or(checkT("VirtualTeacher", step, m.T.at(step, 20)), err)
}
