package distill

import (
	"fmt"
	"math"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// KL is T²·KL(softmax(t/T) ‖ softmax(s/T)) in nats, the soft term of Hinton et al.
// (2015, 1503.02531): T² keeps its gradient, T(q-p), of one size while T
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
	s, t := l.Tap(orLogits(k.Student)), l.Logits(orLogits(k.Teacher))
	l.several(s, "KL", "BinaryKL")
	if l.Task != data.Classification && orLogits(k.Student) == "logits" {
		b.Check(fmt.Errorf("the logits are those of %v; KL wants a distribution over classes: take BinaryKL for answers, MSE for numbers", l.Task))
	}
	temp := b.Scalar(k.at)
	if t.Dense == nil {
		return Rows{Value: b.Op(graph.TopKL(s, t.Top, t.ID, t.LSE, temp, t.Temps))}
	}
	return Rows{Value: b.Op(graph.KL(s, t.Dense, temp))}
}

func (k KL) at(step int) float64 {
	if k.T == nil {
		return 1
	}
	return k.T(step)
}

func (k KL) validate(step int) error {
	if T := k.at(step); !(T > 0) || math.IsInf(T, 0) {
		return fmt.Errorf("distill: KL.T is %v at step %d; want a finite number above 0", T, step)
	}
	return nil
}

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
