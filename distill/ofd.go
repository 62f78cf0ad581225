package distill

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// OFD is the overhaul of feature distillation: before a ReLU, the student follows
// what of the teacher's features the ReLU lets through, and is else only kept
// below (Heo et al. 2019, 1904.01866, section 3). It is the sum over a
// row's elements of (c(s) - max(t, margin))², where c is a learned convolution of
// one pixel with a batch norm, and nothing is due where c(s) ≤ t ≤ 0. Its weight is
// 1e-3, and half of that for each layer before the last: a term for each.
//
// A larger map of the teacher's is pooled to the size of the student's, by adaptive
// means; a smaller one is refused. By the norm, what a row comes to depends on the
// others.
type OFD struct {
	// Student and Teacher are the tap and the signal before their ReLU, maps (R, C,
	// H, W). Both are needed.
	Student, Teacher string
	// Margin is that of each of the teacher's channels, 0 or less: see [OFDMargins].
	Margin []float64
}

// Loss implements [Loss].
func (m OFD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.maps("OFD", m.Student, m.Teacher)
	size, channels := s.Shape()[2:], t.Shape()[1]
	switch {
	case size[0] > t.Shape()[2] || size[1] > t.Shape()[3]:
		b.Check(fmt.Errorf("tap %q is %v and signal %q %v; OFD wants a map of the teacher's that is no smaller", m.Student, s.Shape(), m.Teacher, t.Shape()))
	case len(m.Margin) != channels:
		b.Check(fmt.Errorf("OFD.Margin has %d numbers and signal %q %d channels; want one each", len(m.Margin), m.Teacher, channels))
	}
	s = b.Layer("connector.0", student.Conv2d{Out: channels, Kernel: 1, NoBias: true, Init: student.HeOut}, s)
	s = b.Layer("connector.1", student.BatchNorm{}, s)
	return Rows{Value: b.Op(graph.Partial(s, l.pool(t, size[0], size[1]), m.Margin))}
}

// Couples implements [Joint].
func (OFD) Couples() {}

func (m OFD) validate(int) error {
	for i, v := range m.Margin {
		if !(v <= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("distill: OFD.Margin[%d] is %v; want a finite number, 0 or less", i, v)
		}
	}
	return checkNames("OFD", m.Student, m.Teacher)
}

// OFDMargins are the margins of the channels that a batch norm of the teacher's
// makes, under the name of its layer: the mean of what is below 0 of a normal
// distribution with the norm's bias for its mean and its weight for its standard
// deviation (section 3.2 there), and -3 deviations where less than a thousandth is.
// It fails where there is no such norm with a weight and a bias.
func OFDMargins(teacher *student.Model, norm string) ([]float64, error) {
	if teacher == nil {
		return nil, errors.New("distill: OFDMargins has no teacher; want a student.Model")
	}
	var weight, bias *tensor.Dense
	for p := range teacher.Params() {
		switch p.Name {
		case norm + ".weight":
			weight = p.Value
		case norm + ".bias":
			bias = p.Value
		}
	}
	if weight == nil || bias == nil || weight.Dims() != 1 || !weight.Shape().Eq(bias.Shape()) {
		return nil, fmt.Errorf("distill: the teacher has no batch norm %q with a weight and a bias", norm)
	}
	margins := make([]float64, weight.Shape()[0])
	each(weight, func(i int, v float64) { margins[i] = math.Abs(v) })
	each(bias, func(i int, mean float64) { margins[i] = negativeMean(mean, margins[i]) })
	return margins, nil
}

// negativeMean is the mean of what is below 0 of a normal distribution.
func negativeMean(mean, sd float64) float64 {
	below := 0.5 * math.Erfc(mean/sd/math.Sqrt2)
	if !(below > 0.001) {
		return -3 * sd
	}
	return mean - sd*math.Exp(-mean*mean/(2*sd*sd))/math.Sqrt(2*math.Pi)/below
}
