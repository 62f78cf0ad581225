package distill

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// questions are the gauge of yes-or-no questions. The zero value is ready.
type questions struct {
	n                    int     // in a row, 0 before the first one
	labelled, right, nll float64 // sums over the labelled rows
	yes                  decisions
	taught, agreed, kl   float64 // sums over the rows with a teacher

	student, teacher, label []float64 // one row
}

// isYes says whether a logit is a yes.
func isYes(z float64) bool { return z > 0 }

// decisions count what was said to be a yes, and was one. The zero value is
// ready.
type decisions struct {
	both, either float64 // yes of the student and the label, and of one or both
	ranks        ranking // of a single question
}

// add counts a logit, and says whether it is right of a label from 0 to 1.
func (d *decisions) add(z, label, weight float64) bool {
	said, is := isYes(z), label > 0.5
	if said && is {
		d.both += weight
	}
	if said || is {
		d.either += weight
	}
	return said == is
}

// metrics are those of all decisions: TP is both, and TP+FP+FN either.
func (d *decisions) metrics() *Answers {
	return &Answers{F1: 2 * d.both / (d.both + d.either), AUROC: d.ranks.area()}
}

func (m *questions) see(b data.Batch, student, teacher *tensor.Dense) error {
	if err := checkOutputs(student, b.Label); err != nil {
		return err
	}
	m.n = student.Shape()[1]
	for r, weight := range b.Weight.Float32s() {
		if weight == 0 {
			continue
		}
		m.student = rowOf(m.student, student, r)
		if b.Label != nil {
			m.label = labelRow(m.label, b.Label, r, m.n)
			m.measure(float64(weight))
		}
		if teacher != nil && plain(teacher) {
			m.teacher = rowOf(m.teacher, teacher, r)
			m.teach(float64(weight))
		}
	}
	return nil
}

// measure measures the student's row against its label.
func (m *questions) measure(weight float64) {
	m.labelled += weight
	for c, z := range m.student {
		t := m.label[c]
		if m.yes.add(z, t, weight) {
			m.right += weight
		}
		m.nll += weight * (t*softplus(-z) + (1-t)*softplus(z))
		if m.n == 1 {
			m.yes.ranks.add(z, t, weight)
		}
	}
}

// teach measures the student's row against the teacher's.
func (m *questions) teach(weight float64) {
	m.taught += weight
	for c, z := range m.student {
		t := m.teacher[c]
		if isYes(z) == isYes(t) {
			m.agreed += weight
		}
		p := 1 / (1 + math.Exp(-t))
		m.kl += weight * (p*(softplus(-z)-softplus(-t)) + (1-p)*(softplus(z)-softplus(t)))
	}
}

func (m *questions) metrics() Metrics {
	nan, n := math.NaN(), float64(m.n)
	return Metrics{
		Accuracy: m.right / (m.labelled * n), Top5: nan, NLL: m.nll / m.labelled, ECE: nan,
		Agreement: m.agreed / (m.taught * n), TeacherKL: m.kl / m.taught,
		Answers: m.yes.metrics(),
	}
}

// softplus is log(1+exp(x)).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// checkOutputs wants a label, if there are any, for each of the student's numbers
// (R, K).
func checkOutputs(student, label *tensor.Dense) error {
	if label != nil && label.Shape().TotalSize() != student.Shape().TotalSize() {
		return fmt.Errorf("distill: the student's logits are %v, the labels %v; want a label for each", student.Shape(), label.Shape())
	}
	return nil
}

// labelRow is row r of labels (R, ...) that have n numbers each, in dst's memory.
func labelRow(dst []float64, label *tensor.Dense, r, n int) []float64 {
	if label.Dtype() == tensor.Float32 {
		return appendRow(dst[:0], label.Float32s(), r, n)
	}
	return appendRow(dst[:0], label.Float64s(), r, n)
}
