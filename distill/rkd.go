package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// RKD is relational knowledge distillation: the rows that count lie to each other
// as the teacher's do (Park et al. 2019, 1904.05068). It is Distance times the
// smooth L1 of the difference of all distances, each divided by their mean
// (section 3.2.1), and Angle times that of the cosines at each row between any
// two others (section 3.2.2), as means over n² pairs and n³ triples: a row with
// itself counts, as in the authors' code. It takes n³ numbers' time, so that a
// batch of 64 is eight times as dear as one of 32.
//
// Squares of distances below 1e-12 count as that. Rows at one place have no
// gradient by their distance and direction, and a single row has none at all.
type RKD struct {
	// Student and Teacher are the tap and the signal, (R, ...) of any two shapes.
	// Both are needed.
	Student, Teacher string
	// Distance and Angle are the weights of both parts, 0 or more. Where both are
	// 0, they are the authors' 25 and 50; where one is, that part is left out.
	Distance, Angle float64
}

// Loss implements [Loss].
func (m RKD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.features("RKD", m.Student, m.Teacher)
	if m.Distance == 0 && m.Angle == 0 {
		m.Distance, m.Angle = 25, 50
	}
	var parts blend
	if m.Distance > 0 {
		parts.add(m.Distance, b.Op(graph.Distances(s, t, l.Weight)))
	}
	if m.Angle > 0 {
		parts.add(m.Angle, b.Op(graph.Angles(s, t, l.Weight)))
	}
	return Rows{Value: parts.sum(b)}
}

// Couples implements [Joint].
func (RKD) Couples() {}

func (m RKD) validate(int) error {
	if err := checkFactor("RKD.Distance", m.Distance); err != nil {
		return err
	}
	if err := checkFactor("RKD.Angle", m.Angle); err != nil {
		return err
	}
	return checkNames("RKD", m.Student, m.Teacher)
}
