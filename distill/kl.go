package distill

import (
	"fmt"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// KL is T²·KL(softmax(t/T) ‖ softmax(s/T)) in nats, the soft term of Hinton et al.
// (2015, 1503.02531, section 2): T² keeps its gradient, T(q-p), of one size while T
// changes. With a teacher's top k logits it is the divergence over these
// classes and one bucket for all others, a lower bound.
type KL struct {
	// T is the temperature, above 0; nil means 1. A teacher of top-k logits
	// answers those that were recorded, and a run that would come to another does
	// not begin.
	T Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (k KL) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distribution("KL", k.Student), l.Logits(orLogits(k.Teacher))
	temp := b.Scalar(k.at)
	if t.Dense == nil {
		return Rows{Value: b.Op(graph.TopKL(s, t.Top, t.ID, t.LSE, temp, t.Temps))}
	}
	l.sameClasses("KL", s, t.Dense)
	return Rows{Value: b.Op(graph.KL(s, t.Dense, temp))}
}

func (k KL) at(step int) float64 { return k.T.at(step, 1) }

func (k KL) validate(step int) error { return checkT("KL", step, k.at(step)) }

// answered refuses a temperature that a teacher of top-k logits did not record.
func (k KL) answered(step int, card teacher.Card) error {
	if _, top := card.Signals[orLogits(k.Teacher)+teacher.TopSuffix]; !top {
		return nil
	}
	T := k.at(step)
	for _, t := range card.Temps {
		if float32(t) == float32(T) {
			return nil
		}
	}
	return fmt.Errorf("distill: KL.T is %v at step %d; the top-k logits answer only %v exactly", T, step, card.Temps)
}
