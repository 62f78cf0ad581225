package distill

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A regression is the gauge of numbers. The zero value is ready.
type regression struct {
	labelled, absolute float64 // sums over the labelled rows
	outputs            []output
	taught, apart      float64 // sums over the rows with a teacher

	student, other []float64 // one row
}

// An output is one number of a row: how it varies in the labels, added up as
// Welford (1962) does, and how far the student is off.
type output struct{ weight, mean, varies, off float64 }

func (o *output) add(z, y, weight float64) {
	o.weight += weight
	step := y - o.mean
	o.mean += step * weight / o.weight
	o.varies += weight * step * (y - o.mean)
	o.off += weight * (z - y) * (z - y)
}

func (m *regression) see(b data.Batch, student, teacher *tensor.Dense) error {
	if err := checkOutputs(student, b.Label); err != nil {
		return err
	}
	n := student.Shape()[1]
	if m.outputs == nil {
		m.outputs = make([]output, n)
	}
	for r, weight := range b.Weight.Float32s() {
		if weight == 0 {
			continue
		}
		m.student = rowOf(m.student, student, r)
		if b.Label != nil {
			m.other = labelRow(m.other, b.Label, r, n)
			m.measure(float64(weight))
		}
		if teacher != nil && plain(teacher) {
			m.other = rowOf(m.other, teacher, r)
			m.teach(float64(weight))
		}
	}
	return nil
}

// measure measures the student's row against its label.
func (m *regression) measure(weight float64) {
	m.labelled += weight
	for k, z := range m.student {
		m.absolute += weight * math.Abs(z-m.other[k])
		m.outputs[k].add(z, m.other[k], weight)
	}
}

// teach measures the student's row against the teacher's.
func (m *regression) teach(weight float64) {
	m.taught += weight
	for k, z := range m.student {
		m.apart += weight * (z - m.other[k]) * (z - m.other[k])
	}
}

// explained is R² of all numbers together, NaN where labels do not vary.
func (m *regression) explained() float64 {
	off, vary := 0.0, 0.0
	for _, o := range m.outputs {
		off, vary = off+o.off, vary+o.varies
	}
	if vary == 0 {
		return math.NaN()
	}
	return 1 - off/vary
}

func (m *regression) metrics() Metrics {
	off, r2, vary := 0.0, 0.0, 0.0
	for _, o := range m.outputs {
		off += o.off
		if o.varies > 0 {
			r2 += 1 - o.off/o.varies
			vary++
		}
	}
	nan, n := math.NaN(), float64(len(m.outputs))
	return Metrics{
		Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: nan, TeacherKL: nan,
		Numbers: &Numbers{
			MAE: m.absolute / (m.labelled * n), RMSE: math.Sqrt(off / (m.labelled * n)), R2: r2 / vary,
			TeacherRMSE: math.Sqrt(m.apart / (m.taught * n)),
		},
	}
}
