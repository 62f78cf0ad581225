package distill

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// SimKD teaches a student that answers with its teacher's own last layer: what
// that reads is to be what it reads in the teacher, by the mean squared difference
// (Chen et al. 2022, 2203.14001, section 3). The student is a [student.Graft], and
// needs no other term and no labels:
//
//	small, err := student.Graft{To: student.ResNet{Depth: 8, Out: 10}, Tap: "layer3", Head: "fc"}.From(large, 1)
//	run := distill.Run{
//		Student: small,
//		Teacher: teacher.Of(large, "layer3"),
//		Terms:   []distill.Term{{Name: "simkd", Loss: distill.SimKD{Teacher: "layer3"}}},
//		...
//
// The larger of two maps is pooled to the size of the other, by adaptive means.
type SimKD struct {
	Student string // the tap; "" means "projected", which a Graft has
	Teacher string // the signal that the head reads, before its mean over pixels; needed
}

// Loss implements [Loss].
func (m SimKD) Loss(b *student.Builder, l Lesson) Rows {
	tap := m.tap()
	s, t := l.either("SimKD", tap, m.Teacher)
	if !slices.Equal(s.Shape(), t.Shape()) {
		b.Check(fmt.Errorf("tap %q is %v and signal %q %v; SimKD wants as many channels: take the signal that the head of the Graft reads", tap, s.Shape(), m.Teacher, t.Shape()))
	}
	return Rows{Value: b.Op(graph.MSE(l.matrix(s), l.matrix(t)))}
}

func (m SimKD) validate(int) error { return checkNames("SimKD", m.tap(), m.Teacher) }

func (m SimKD) tap() string { return cmp.Or(m.Student, student.Projected) }
