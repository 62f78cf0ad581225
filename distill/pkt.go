package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// PKT is probabilistic knowledge transfer: how likely each row has any other for a
// neighbour, by (cosine + 1)/2, is as the teacher has it, by the mean over all
// pairs of the rows that count of p·log((p+1e-7)/(q+1e-7)) (Passalis and Tefas
// 2018, 1803.10837, section 3; the mean is that of the authors' code).
// A pair's share of it is small, and its weight is 30000. A row of zeros has no
// gradient.
type PKT struct {
	// Student and Teacher are the tap and the signal, (R, ...) of any two shapes.
	// Both are needed.
	Student, Teacher string
}

// Loss implements [Loss].
func (m PKT) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.features("PKT", m.Student, m.Teacher)
	return Rows{Value: b.Op(graph.Neighbours(s, t, l.Weight))}
}

// Couples implements [Joint].
func (PKT) Couples() {}

func (m PKT) validate(int) error { return checkNames("PKT", m.Student, m.Teacher) }
