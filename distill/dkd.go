package distill

import (
	"cmp"
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// DKD is decoupled distillation (Zhao et al. 2022, 2203.08679, equation 7):
//
//	T²·(α·KL([p_y, 1-p_y] ‖ [q_y, 1-q_y]) + β·KL(p̂ ‖ q̂))
//
// with the teacher's p = softmax(t/T), the student's q = softmax(s/T), the label
// y, and p̂ and q̂ those of the other classes alone. Of [KL], β is the teacher's
// 1-p_y, which hides what a sure teacher knows of the others. A row without a
// label has weight 0.
//
// Its authors let the weight of the term rise over the first 20 epochs: a
// [Warmup]. With two classes, there is nothing to decouple, and it is refused.
type DKD struct {
	// T is the temperature, above 0; nil means 4.
	T Schedule
	// Alpha and Beta are α, of the label against the rest, and β, of the rest: 0
	// or more. Nil means 1 and 8.
	Alpha, Beta Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m DKD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("DKD", m.Student, m.Teacher)
	if s.Dims() == 2 && s.Shape()[1] < 3 {
		b.Check(fmt.Errorf("the student's logits are %v, of two classes; DKD wants 3 or more: take KL", s.Shape()))
	}
	beside := graph.Beside{Teacher: t, Labels: l.classes("DKD"), T: b.Scalar(m.T.or(4)), Params: scalars(b, m.Alpha.or(1), m.Beta.or(8))}
	return Rows{Value: b.Op(beside.Each("dkd", s, ofLabelled(squareT(dkd)))), Weight: l.labelled()}
}

func dkd(r *graph.Row) float64 {
	y, alpha, beta := r.Label, r.Params[0], r.Params[1]
	otherP, otherQ := logSum(r.LogP, 1, y), logSum(r.LogQ, 1, y) // log(1-p_y) and log(1-q_y)
	p, notP := r.P[y], math.Exp(otherP)
	label, rest := 0.0, 0.0
	if p > 0 {
		label += p * (r.LogP[y] - r.LogQ[y])
	}
	if notP > 0 {
		label += notP * (otherP - otherQ)
	}
	for c := range r.Q {
		if c == y {
			r.Grad[c] = -alpha * p
			continue
		}
		logp, logq := r.LogP[c]-otherP, r.LogQ[c]-otherQ
		p, q := math.Exp(logp), math.Exp(logq)
		if p > 0 {
			rest += p * (logp - logq)
		}
		r.Grad[c] = beta*(q-p) - alpha*notP*q
	}
	return alpha*label + beta*rest
}

func (m DKD) validate(step int) error {
	return cmp.Or(checkT("DKD", step, m.T.at(step, 4)),
		checkPart("DKD.Alpha", step, m.Alpha.at(step, 1)), checkPart("DKD.Beta", step, m.Beta.at(step, 8)))
}
