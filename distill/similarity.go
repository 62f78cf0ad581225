package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// SimilarityPreserving makes rows that are alike to the teacher alike to the
// student: (1/n²)·‖Ĝ(t) - Ĝ(s)‖², where Ĝ are the dot products of all pairs of
// the n rows that count, with each row of them divided by its norm (Tung and Mori
// 2019, 1907.09682, equation 4). Its authors give it a weight of 3000, with
// batches of 128: it changes with the size of the batch. A row of zeros has no
// gradient.
type SimilarityPreserving struct {
	// Student and Teacher are the tap and the signal, (R, ...) of any two shapes.
	// Both are needed.
	Student, Teacher string
}

// Loss implements [Loss].
func (m SimilarityPreserving) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.features("SimilarityPreserving", m.Student, m.Teacher)
	return Rows{Value: b.Op(graph.Similarity(s, t, l.Weight))}
}

// Couples implements [Joint].
func (SimilarityPreserving) Couples() {}

func (m SimilarityPreserving) validate(int) error {
	return checkNames("SimilarityPreserving", m.Student, m.Teacher)
}
