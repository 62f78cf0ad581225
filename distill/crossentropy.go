package distill

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// CrossEntropy is that of the student's logits (R, C) with the labels, in nats
// and at T = 1. A row without a label, -1, has weight 0. Labels may be soft: a
// distribution for each row, (R, C).
type CrossEntropy struct {
	// Student is the tap with the logits; "" means "logits".
	Student string
	// Smoothing mixes this much of the uniform distribution into the labels
	// (Szegedy et al. 2016, 1512.00567): 0 or more, below 1.
	Smoothing float64
}

// Loss implements [Loss].
func (c CrossEntropy) Loss(b *student.Builder, l Lesson) Rows {
	label := l.labels("CrossEntropy", data.Classification, "BCE for answers, MSE, L1 or Huber with Label for numbers")
	z := l.Tap(orLogits(c.Student))
	l.several(z, "CrossEntropy", "BCE")
	if label.Dtype() != tensor.Int {
		return Rows{Value: b.Op(graph.SoftCrossEntropy(z, label, c.Smoothing))}
	}
	return Rows{Value: b.Op(graph.CrossEntropy(z, label, c.Smoothing)), Weight: l.labelled()}
}

func (c CrossEntropy) validate(int) error {
	if !(c.Smoothing >= 0 && c.Smoothing < 1) {
		return fmt.Errorf("distill: CrossEntropy.Smoothing is %v; want 0 or more and below 1", c.Smoothing)
	}
	return nil
}
