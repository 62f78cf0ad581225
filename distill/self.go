package distill

import (
	"errors"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/student"
)

// Self is another loss whose teacher is the student itself: what it calls signals
// are taps of the student, and no gradient passes through them. Deeper layers
// teach those before them so (Be Your Own Teacher, Zhang et al. 2019, 1905.08094),
// by what they say and by what they see:
//
//	distill.Self{Of: distill.KL{T: distill.Constant(3), Student: "exit1", Teacher: "logits"}}
//	distill.Self{Of: distill.Hint{Student: "layer1", Teacher: "layer3"}}
//
// Each exit has a hard term too, and the paper weighs hard and soft ones 1-α and
// α. A run needs no teacher for it.
type Self struct {
	// Of is any loss. It names a tap and a signal that are not the same.
	Of Loss
}

// Loss implements [Loss].
func (s Self) Loss(b *student.Builder, l Lesson) Rows {
	l.Teacher, l.temps = student.Taps{}, nil
	for _, name := range slices.Sorted(maps.Keys(l.Student)) {
		n := l.Student[name]
		if n.Dtype() != tensor.Int { // else it has no gradient
			n = b.Detach(n)
		}
		l.Teacher[name] = n
	}
	return s.Of.Loss(b, l)
}

func (s Self) validate(step int) error {
	if s.Of == nil {
		return errors.New("distill: Self.Of is nil; want a loss, such as KL{Student: \"exit\"}")
	}
	return Term{Loss: s.Of}.validate(step)
}
