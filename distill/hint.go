package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Hint makes a hidden layer of the student follow one of the teacher's, through
// a learned linear regressor: the mean of (r(student) - teacher)² (FitNets,
// Romero et al. 2015, 1412.6550, equation 3, with the mean for the sum; its weight
// is 100 in the published comparisons). The regressor is trained with the student,
// and is no part of it.
//
// Of maps on both sides it is a convolution whose window makes the student's the
// size of the teacher's (section 2.2 there), 1+H-h by 1+W-w: one
// pixel where they are of one size. A student's map that is smaller is refused.
type Hint struct {
	// Student and Teacher are the tap and the signal: maps (R, C, H, W) both, or
	// (R, ...) of any two shapes, whose rows are made flat. Both are needed.
	Student, Teacher string
}

// Loss implements [Loss].
func (h Hint) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.pair("Hint", h.Student, h.Teacher)
	if s.Dims() == 4 && t.Dims() == 4 {
		s = h.convolved(b, s, t)
	} else {
		s, t = student.Flatten{}.Apply(b, s), student.Flatten{}.Apply(b, t)
		s = b.Layer("regressor", student.Linear{Out: t.Shape()[1]}, s)
	}
	return Rows{Value: b.Op(graph.MSE(l.matrix(s), l.matrix(t)))}
}

// convolved is the map s through the regressor, in the shape of t.
func (h Hint) convolved(b *student.Builder, s, t *gorgonia.Node) *gorgonia.Node {
	from, to := s.Shape(), t.Shape()
	if from[2] < to[2] || from[3] < to[3] {
		b.Check(fmt.Errorf("tap %q is %v and signal %q %v; Hint wants a map of the student's that is no smaller: take an earlier tap, or pool the teacher's",
			h.Student, from, h.Teacher, to))
	}
	window := student.Window{Kernel: [2]int{1 + from[2] - to[2], 1 + from[3] - to[3]}}
	return b.Layer("regressor", student.Conv2d{Out: to[1], Window: window}, s)
}

func (h Hint) validate(int) error { return checkNames("Hint", h.Student, h.Teacher) }
