package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// BCE is binary cross-entropy with logits, in nats: the negative log-likelihood
// of the yes or no to each question, summed over the questions of a row and
// averaged over rows. PyTorch's BCEWithLogitsLoss averages over questions too:
// it is this over their number.
//
// Labels are those of a MultiLabel set. Soft labels are taken as well, each
// class as a question of its own, and so are classes 0 and 1 where the student
// has a single logit for a row, that of class 1; a row of label -1 has weight 0.
type BCE struct {
	// Student is the tap with the logits; "" means "logits".
	Student string
	// Yes is how much a yes counts, a weight above 0 for each question: PyTorch's
	// pos_weight. Nil means 1 each.
	Yes []float64
}

// Loss implements [Loss].
func (m BCE) Loss(b *student.Builder, l Lesson) Rows {
	z := l.Tap(orLogits(m.Student))
	if l.Label != nil && l.Label.Dtype() == tensor.Int {
		return m.ofClasses(b, l, l.matrix(z))
	}
	label := l.Label
	if l.Task != data.Classification || label == nil {
		label = l.labels("BCE", data.MultiLabel, "MSE, L1 or Huber with Label")
	}
	z, label = l.matrices(z, label)
	return Rows{Value: b.Op(graph.BCE(z, label, m.Yes))}
}

// ofClasses is the loss of a single logit for each row, z (R, 1).
func (m BCE) ofClasses(b *student.Builder, l Lesson, z *gorgonia.Node) Rows {
	if n := z.Shape()[1]; n != 1 {
		b.Check(fmt.Errorf("the labels are classes, and the student has %d logits for a row; BCE wants a single one, or labels of data.NewMultiLabel: take CrossEntropy", n))
	}
	return Rows{Value: b.Op(graph.BCE(z, l.Label, m.Yes)), Weight: l.labelled()}
}

func (m BCE) validate(int) error {
	for i, w := range m.Yes {
		if !(w > 0) || w-w != 0 {
			return fmt.Errorf("distill: BCE.Yes[%d] is %v; want a finite number above 0", i, w)
		}
	}
	return nil
}
