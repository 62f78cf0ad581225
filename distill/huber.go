package distill

import (
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Huber is ½d² where a number is off by |d| ≤ Delta, and Delta·(|d| - ½Delta)
// where it is off by more, from what the teacher says or, with Label, from the
// labels (Huber 1964): the mean over the numbers of a row and the rows. It is
// PyTorch's HuberLoss; SmoothL1Loss with beta is Huber{Delta: beta} of a weight
// of 1/beta.
type Huber struct {
	// Delta is where the square ends, in the unit of the numbers: above 0, and 0
	// means 1.
	Delta float64
	// Student and Teacher are the tap and the signal; "" means "logits".
	Student, Teacher string
	// Label takes the labels of a regression for the target, and no teacher.
	Label bool
}

// Loss implements [Loss].
func (h Huber) Loss(b *student.Builder, l Lesson) Rows {
	z, target := l.numbers("Huber", h.Student, h.Label, h.Teacher)
	return Rows{Value: b.Op(graph.Huber(z, target, h.delta()))}
}

func (h Huber) delta() float64 {
	if h.Delta == 0 {
		return 1
	}
	return h.Delta
}

func (h Huber) validate(int) error {
	if !(h.Delta >= 0) || math.IsInf(h.Delta, 0) {
		return fmt.Errorf("distill: Huber.Delta is %v; want a finite number above 0, or 0 for 1", h.Delta)
	}
	return oneTarget("Huber", h.Label, h.Teacher)
}
