package distill

import (
	"cmp"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// Metrics are what was measured on a whole set. Rows count by their weight.
//
// In JSON, where there are no such numbers, NaN is null, and an infinity a
// string.
type Metrics struct {
	// Rows is the number of samples.
	Rows int
	// Loss and Terms are those of the run's terms.
	Loss  float64
	Terms []TermValue
	// Accuracy and Top5 are the shares of labelled rows whose label is the
	// student's first, or among its first five; NLL is the mean negative
	// log-likelihood of the labels in nats, and ECE the expected calibration
	// error over 15 bins of equal width (Guo et al. 2017, 1706.04599). NaN
	// where no row is labelled. Of yes-or-no questions, Accuracy is the share of
	// answers, a yes being a logit above 0 and a label above 0.5, and NLL the sum
	// over the questions of a row.
	Accuracy, Top5, NLL, ECE float64
	// Agreement is the share of rows where student and teacher have the same
	// first class, or of their answers, and TeacherKL the mean of KL(teacher ||
	// student) in nats at T = 1. NaN without a teacher; TeacherKL also with one
	// that answers only its top-k logits.
	Agreement, TeacherKL float64

	// Answers are of yes-or-no questions and of two classes, Numbers of a
	// regression, Pixels of labels (B, H, W): nil elsewhere.
	Answers *Answers
	Numbers *Numbers
	Pixels  *Pixels
}

// Answers are the metrics of yes-or-no questions, and of two classes, of which
// the second is the yes. NaN where no row is labelled.
type Answers struct {
	// F1 is 2TP/(2TP+FP+FN) over all answers, the micro average: NaN if neither
	// labels nor student say yes.
	F1 float64
	// AUROC is the area under the ROC curve of a single question: how likely a yes
	// has the higher logit than a no, where half of a tie counts. NaN where there
	// are several questions, or labels all say one thing. Logits that differ by
	// less than 1 in 2048 are a tie, which bounds memory.
	AUROC float64
}

// Numbers are the metrics of a regression. NaN where no row is labelled.
type Numbers struct {
	// MAE and RMSE are the mean absolute and the root mean squared error, over
	// the numbers of a row and the rows, in the unit of the labels.
	MAE, RMSE float64
	// R2 is 1 - Σ(student-label)²/Σ(label-mean)², the mean over the numbers of a
	// row, without those whose label is the same in all rows.
	R2 float64
	// TeacherRMSE is the RMSE with what the teacher says for labels, NaN without
	// one.
	TeacherRMSE float64
}

// Pixels are the metrics of classes (B, H, W). NaN where no pixel is labelled.
type Pixels struct {
	// IoU is the mean over the classes of intersection over union, without those
	// that neither labels nor student have.
	IoU float64
}

// A Monitor says how good metrics are, for choosing the best epoch: higher is
// better, and NaN worse than any number. Of two equal scores the one with the
// lower NLL is better, then the one with the lower loss. A run ends with an
// error if the first score is NaN: the monitor looks at what there is not.
type Monitor func(Metrics) float64

// ByAccuracy prefers the higher accuracy.
func ByAccuracy(m Metrics) float64 { return m.Accuracy }

// ByNLL prefers the lower negative log-likelihood.
func ByNLL(m Metrics) float64 { return -m.NLL }

// ByLoss prefers the lower loss.
func ByLoss(m Metrics) float64 { return -m.Loss }

// ByAgreement prefers the higher agreement with the teacher.
func ByAgreement(m Metrics) float64 { return m.Agreement }

// ByTeacherKL prefers the lower divergence from the teacher.
func ByTeacherKL(m Metrics) float64 { return -m.TeacherKL }

// ByF1 prefers the higher F1 of [Answers].
func ByF1(m Metrics) float64 {
	if m.Answers == nil {
		return math.NaN()
	}
	return m.Answers.F1
}

// ByRMSE prefers the lower error of [Numbers].
func ByRMSE(m Metrics) float64 {
	if m.Numbers == nil {
		return math.NaN()
	}
	return -m.Numbers.RMSE
}

// ByTeacherRMSE prefers the lower distance of [Numbers] from the teacher's.
func ByTeacherRMSE(m Metrics) float64 {
	if m.Numbers == nil {
		return math.NaN()
	}
	return -m.Numbers.TeacherRMSE
}

// score is the monitor's. The nil monitor looks at the accuracy, or the error of
// numbers, without labels at the distance from the teacher, and with neither at
// the loss.
func (f Monitor) score(m Metrics) float64 {
	if f != nil {
		return f(m)
	}
	for _, by := range []Monitor{ByAccuracy, ByRMSE, ByTeacherKL, ByTeacherRMSE} {
		if v := by(m); !math.IsNaN(v) {
			return v
		}
	}
	return ByLoss(m)
}

// better says that a is better than b.
func (f Monitor) better(a, b Metrics) bool {
	return cmp.Or(
		cmp.Compare(f.score(a), f.score(b)),
		cmp.Compare(ByNLL(a), ByNLL(b)),
		cmp.Compare(ByLoss(a), ByLoss(b)),
	) > 0
}

const bins = 15

// A gauge adds up what a task is measured by, batch after batch.
type gauge interface {
	// see adds a batch, with the student's logits (R, C) and the teacher's: of the
	// same shape, or the classes of its k largest (R, k), or nil.
	see(b data.Batch, student, teacher *tensor.Dense) error
	metrics() Metrics
}

func newGauge(spec data.Spec) gauge {
	switch spec.Task {
	case data.MultiLabel:
		return &questions{}
	case data.Regression:
		return &regression{}
	}
	return &meter{pixels: spec.Label.Dtype == tensor.Int && len(spec.Label.Shape) == 2}
}

// A meter is the gauge of classes. The zero meter is ready.
type meter struct {
	pixels                     bool    // whether rows are those
	classes                    int     // 0 before the first row
	labelled, first, five, nll float64 // sums over the labelled rows
	gaps                       [bins]float64
	overlap                    overlap
	yes                        decisions // of two classes
	taught, agreed, kl         float64   // sums over the rows with a teacher

	student, teacher []float64 // the log-probabilities of one row
}

func (m *meter) see(b data.Batch, student, teacher *tensor.Dense) error {
	return m.add(student, teacher, classes(b), b.Weight.Float32s())
}

// add measures rows: the student's logits (R, C), the teacher's of the same
// shape, the classes of its k largest (R, k) or nil, the R labels or nil, with
// -1 for none, and the R weights, or nil where each is 1. Rows of weight 0 are
// not looked at.
func (m *meter) add(student, teacher *tensor.Dense, labels []int, weights []float32) error {
	if !plain(student) || student.Dims() != 2 || student.Shape()[1] == 0 {
		return fmt.Errorf("distill: the student's logits are %v of %v; want rows of classes, in floats", student.Shape(), student.Dtype())
	}
	rows, classes := student.Shape()[0], max(student.Shape()[1], 2)
	m.classes = classes
	switch {
	case teacher != nil && !isTop(teacher, rows) && (!plain(teacher) || !teacher.Shape().Eq(student.Shape())):
		return fmt.Errorf("distill: the teacher's logits are %v of %v; want the student's %v, in floats", teacher.Shape(), teacher.Dtype(), student.Shape())
	case labels != nil && len(labels) != rows:
		return fmt.Errorf("distill: %d labels; want one for each of %d rows", len(labels), rows)
	case weights != nil && len(weights) != rows:
		return fmt.Errorf("distill: %d weights; want one for each of %d rows", len(weights), rows)
	}
	for r := range rows {
		weight := 1.0
		if weights != nil {
			weight = float64(weights[r])
		}
		if weight == 0 {
			continue
		}
		m.student = logProbabilities(m.student, student, r)
		if labels != nil && labels[r] >= 0 {
			if labels[r] >= classes {
				return fmt.Errorf("distill: the label of row %d is %d; want less than %d", r, labels[r], classes)
			}
			m.label(labels[r], weight)
		}
		switch {
		case teacher == nil:
		case plain(teacher):
			m.teacher = logProbabilities(m.teacher, teacher, r)
			m.teach(weight)
		default:
			first := teacher.Ints()[r*teacher.Shape()[1]]
			if first < 0 || first >= classes {
				return fmt.Errorf("distill: the teacher's first class of row %d is %d; want 0 to %d", r, first, classes-1)
			}
			m.agree(first, weight)
			m.kl = math.NaN()
		}
	}
	return nil
}

// isTop says whether t are the classes of rows, the first one first.
func isTop(t *tensor.Dense, rows int) bool {
	return t.Dtype() == tensor.Int && t.Dims() == 2 && t.Shape()[0] == rows && t.Shape()[1] > 0
}

// label measures the student's row against its label.
func (m *meter) label(label int, weight float64) {
	m.labelled += weight
	m.nll -= weight * m.student[label]
	right := 0.0
	place := rank(m.student, label)
	if place == 0 {
		right = 1
		m.first += weight
	}
	if place < 5 {
		m.five += weight
	}
	choice := argmax(m.student)
	if m.pixels {
		m.overlap.add(label, choice, len(m.student), weight)
	}
	if len(m.student) == 2 {
		z := m.student[1] - m.student[0]
		m.yes.add(z, float64(label), weight)
		m.yes.ranks.add(z, float64(label), weight)
	}
	confidence := math.Exp(m.student[choice])
	bin := min(max(int(math.Ceil(confidence*bins))-1, 0), bins-1)
	m.gaps[bin] += weight * (right - confidence)
}

// teach measures the student's row against the teacher's.
func (m *meter) teach(weight float64) {
	m.agree(argmax(m.teacher), weight)
	for k, p := range m.teacher {
		if !math.IsInf(p, -1) { // 0 log 0 = 0
			m.kl += weight * math.Exp(p) * (p - m.student[k])
		}
	}
}

// agree measures the student's row against the teacher's first class.
func (m *meter) agree(first int, weight float64) {
	m.taught += weight
	if rank(m.student, first) == 0 {
		m.agreed += weight
	}
}

// metrics is what was measured, without Rows, Loss and Terms.
func (m *meter) metrics() Metrics {
	gap := 0.0
	for _, g := range m.gaps {
		gap += math.Abs(g)
	}
	all := Metrics{
		Accuracy:  m.first / m.labelled,
		Top5:      m.five / m.labelled,
		NLL:       m.nll / m.labelled,
		ECE:       gap / m.labelled,
		Agreement: m.agreed / m.taught,
		TeacherKL: m.kl / m.taught,
	}
	if m.classes == 2 {
		all.Answers = m.yes.metrics()
	}
	if m.pixels {
		all.Pixels = &Pixels{IoU: m.overlap.mean()}
	}
	return all
}

// logProbabilities is the log-softmax of row r of the logits, (R, C) or
// (B, T, C), in dst's memory.
func logProbabilities(dst []float64, logits *tensor.Dense, r int) []float64 {
	dst = classRow(dst, logits, r)
	kernel.LogSoftmax(dst, dst, 1)
	return dst
}

// classRow is rowOf with a logit for each class: a single one is that of the
// second class, where the first has 0.
func classRow(dst []float64, logits *tensor.Dense, r int) []float64 {
	dst = rowOf(dst, logits, r)
	if len(dst) == 1 {
		dst = append(dst[:0], 0, dst[0])
	}
	return dst
}

// rowOf is row r of the logits, (R, C) or (B, T, C), in dst's memory.
func rowOf(dst []float64, logits *tensor.Dense, r int) []float64 {
	classes := last(logits.Shape())
	if logits.Dtype() == tensor.Float32 {
		return appendRow(dst[:0], logits.Float32s(), r, classes)
	}
	return appendRow(dst[:0], logits.Float64s(), r, classes)
}

func appendRow[T floating](dst []float64, all []T, r, n int) []float64 {
	for _, v := range all[r*n:][:n] {
		dst = append(dst, float64(v))
	}
	return dst
}

// argmax is the first place that has the largest value.
func argmax(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// rank is how many places come before k, by falling value and then by index.
// NaN is never right: its rank is the last.
func rank(x []float64, k int) int {
	before := 0
	for i, v := range x {
		if i != k && !(x[k] > v || x[k] == v && k < i) {
			before++
		}
	}
	return before
}
