package distill

import (
	"cmp"
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// DIST matches relations and not values (Huang et al. 2022, 2205.10536),
// between the classes of a row and within each class:
//
//	T²·(β·mean_b (1 - ρ(p_b, q_b)) + γ·mean_c (1 - ρ(p_·c, q_·c)))
//
// with Pearson's ρ between the teacher's p = softmax(t/T) and the student's q =
// softmax(s/T) over the classes of each row, and over the rows for each class.
// What does not vary has ρ = 0, and no gradient.
//
// It couples rows, and wants 2 or more that have a weight; row weights are 0 or
// 1.
type DIST struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Beta and Gamma are β, between classes, and γ, within them: 0 or more. Nil
	// means 1.
	Beta, Gamma Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Couples implements [Joint].
func (DIST) Couples() {}

// Loss implements [Loss].
func (m DIST) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("DIST", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1)), Params: scalars(b, m.Beta.or(1), m.Gamma.or(1))}
	return Rows{Value: b.Op(beside.Together("dist", s, l.Weight, new(relations).dist))}
}

// relations is room for the column of a class.
type relations struct{ p, q, grad []float64 }

func (m *relations) dist(rows []*graph.Row) float64 {
	n := len(rows)
	if n < 2 {
		panic(fmt.Sprintf("DIST compares rows, and of this batch %d has a weight; want 2 or more: Loader.DropLast leaves out a short last batch", n))
	}
	first := rows[0]
	square := first.T * first.T
	k := square * first.Params[0] / float64(n)
	value := 0.0
	for _, r := range rows {
		value += k * (1 - pearson(r.P, r.Q, r.Grad, -k))
	}
	k = square * first.Params[1] / float64(len(first.Q))
	for c := range first.Q {
		value += k * (1 - m.within(rows, c, -k))
	}
	for _, r := range rows {
		for c, q := range r.Q {
			r.Grad[c] *= q // by log q
		}
	}
	return value
}

// within is ρ of one class over the rows, of which k times the gradient is added
// to theirs.
func (m *relations) within(rows []*graph.Row, c int, k float64) float64 {
	m.p, m.q, m.grad = m.p[:0], m.q[:0], m.grad[:0]
	for _, r := range rows {
		m.p, m.q, m.grad = append(m.p, r.P[c]), append(m.q, r.Q[c]), append(m.grad, 0)
	}
	rho := pearson(m.p, m.q, m.grad, k)
	for i, r := range rows {
		r.Grad[c] += m.grad[i]
	}
	return rho
}

// pearson is the correlation ρ of p and q, of norms that are least or more. It adds
// k·dρ/dq to grad.
func pearson(p, q, grad []float64, k float64) float64 {
	meanP, meanQ := mean(p), mean(q)
	var pp, qq, pq float64
	for i, v := range p {
		dp, dq := v-meanP, q[i]-meanQ
		pp, qq, pq = pp+dp*dp, qq+dq*dq, pq+dp*dq
	}
	if pp == 0 || qq == 0 {
		return 0
	}
	normP, normQ, along := math.Sqrt(pp), math.Sqrt(qq), pq/qq
	if normQ < least {
		normQ, along = least, 0
	}
	by := max(normP, least) * normQ
	for i, v := range p {
		grad[i] += k / by * (v - meanP - along*(q[i]-meanQ))
	}
	return pq / by
}

// least is the least norm that divides.
const least = 1e-8

// mean is x exactly, if all are x.
func mean(x []float64) (sum float64) {
	for _, v := range x {
		sum += v - x[0]
	}
	return x[0] + sum/float64(len(x))
}

func (m DIST) validate(step int) error {
	return cmp.Or(checkT("DIST", step, m.T.at(step, 1)),
		checkPart("DIST.Beta", step, m.Beta.at(step, 1)), checkPart("DIST.Gamma", step, m.Gamma.at(step, 1)))
}
