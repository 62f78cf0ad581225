package distill

import (
	"errors"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Hint makes a hidden layer of the student follow one of the teacher's, through
// a learned linear regressor: the mean of (r(student) - teacher)² (FitNets,
// Romero et al. 2015, 1412.6550, equation 3, with the mean for the sum). The
// regressor is trained with the student, and is no part of it.
type Hint struct {
	// Student and Teacher are the tap and the signal, (R, ...) of any two
	// shapes: the regressor works on rows made flat. Both are needed.
	Student, Teacher string
}

// Loss implements [Loss].
func (h Hint) Loss(b *student.Builder, l Lesson) Rows {
	s := student.Flatten{}.Apply(b, l.Tap(h.Student))
	t := student.Flatten{}.Apply(b, l.Dense(h.Teacher))
	r := b.Layer("regressor", student.Linear{Out: t.Shape()[1]}, s)
	return Rows{Value: b.Op(graph.MSE(r, t))}
}

func (h Hint) validate(int) error {
	if h.Student == "" || h.Teacher == "" {
		return errors.New("distill: Hint.Student or Hint.Teacher is empty; want the names of a tap and a signal")
	}
	return nil
}
