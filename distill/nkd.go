package distill

import (
	"cmp"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// NKD is normalised distillation (Yang et al. 2023, 2303.13005):
//
//	-p_y·log q_y - γT²·Σ_{i≠y} p̂_i·log q̂_i
//
// with the teacher's p and the student's q at T = 1, the label y, and p̂ and q̂
// those of the other classes alone, at T. It is a cross-entropy: a student that
// is its teacher has the teacher's entropies left, and a gradient that leads on
// to the label. A row without a label has weight 0.
type NKD struct {
	// T is the temperature of the other classes, above 0; nil means 1.
	T Schedule
	// Gamma is γ, 0 or more; nil means 1.5.
	Gamma Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m NKD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("NKD", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, Labels: l.classes("NKD"), T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Gamma.or(1.5))}
	return Rows{Value: b.Op(beside.Each("nkd", s, ofLabelled(nkd))), Weight: l.labelled()}
}

func nkd(r *graph.Row) float64 {
	y, T, gamma := r.Label, r.T, r.Params[0]*r.T*r.T
	lseP, lseQ := logSum(r.LogP, T, -1), logSum(r.LogQ, T, -1) // at T = 1
	otherP, otherQ := logSum(r.LogP, 1, y), logSum(r.LogQ, 1, y)
	p, logq := math.Exp(T*r.LogP[y]-lseP), T*r.LogQ[y]-lseQ
	value := -p * logq
	for c := range r.Q {
		r.Grad[c] = T * p * math.Exp(T*r.LogQ[c]-lseQ)
		if c == y {
			r.Grad[c] -= T * p
			continue
		}
		p, logq := math.Exp(r.LogP[c]-otherP), r.LogQ[c]-otherQ
		if p > 0 {
			value -= gamma * p * logq
		}
		r.Grad[c] += gamma * (math.Exp(logq) - p)
	}
	return value
}

func (m NKD) validate(step int) error {
	return cmp.Or(checkT("NKD", step, m.T.at(step, 1)), checkPart("NKD.Gamma", step, m.Gamma.at(step, 1.5)))
}
