package distill

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// FSP makes the student solve as the teacher solves: between two layers, what one
// makes of the other, F₁·F₂ᵀ/(H·W) with the pixels of maps flat, is as the
// teacher's, by the mean squared difference (Yim et al. 2017, CVPR, equations 1 and
// 2, with the mean for the sum over channels). Its weight is 50, in the code that
// the published comparisons use.
//
// The larger map of a pair is pooled to the size of the other, by adaptive means.
// A network's channels at the first layer, and at the second, are as many as the
// other's.
type FSP struct {
	// Student and Teacher are two taps and two signals each, maps (R, C, H, W), in
	// the same order. All are needed.
	Student, Teacher [2]string
}

// Loss implements [Loss].
func (m FSP) Loss(b *student.Builder, l Lesson) Rows {
	s1, t1 := l.maps("FSP", m.Student[0], m.Teacher[0])
	s2, t2 := l.maps("FSP", m.Student[1], m.Teacher[1])
	s, t := l.flow(s1, s2), l.flow(t1, t2)
	if !slices.Equal(s.Shape(), t.Shape()) {
		b.Check(fmt.Errorf("taps %q have %v channels and signals %q %v; FSP wants as many, or an embedding of the student's",
			m.Student, s.Shape()[1:], m.Teacher, t.Shape()[1:]))
	}
	return Rows{Value: b.Op(graph.MSE(l.matrix(s), l.matrix(t)))}
}

// flow is what one map makes of another, (R, C, D).
func (l Lesson) flow(first, second *gorgonia.Node) *gorgonia.Node {
	first, second = l.alike(first, second)
	pixels := first.Shape()[2] * first.Shape()[3]
	return l.b.Op(graph.Products(first, second, 1/float64(pixels)))
}

func (m FSP) validate(int) error {
	if slices.Contains(append(m.Student[:], m.Teacher[:]...), "") {
		return errors.New("distill: FSP.Student or FSP.Teacher has an empty name; want two taps and two signals")
	}
	return nil
}
