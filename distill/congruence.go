package distill

import (
	"cmp"
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// CorrelationCongruence makes the kernels of all pairs of the n rows that count
// those of the teacher: ‖K(t) - K(s)‖/n² (Peng et al. 2019, ICCV, section 3;
// the norm is not squared, as in torchdistill, and its gradient is 0 where
// it is). Its weight there is 0.02.
//
// The kernel is the Gaussian one, exp(-Gamma·‖a - b‖²) for rows of norm 1, as its
// Taylor series in a·b up to Order. Rows of other norms are what Unit is for:
// without it a·b is taken as it is, and large features make a large loss.
type CorrelationCongruence struct {
	// Student and Teacher are the tap and the signal, (R, ...) of any two shapes.
	// Both are needed.
	Student, Teacher string
	// Bilinear is the kernel a·b in place of the Gaussian one.
	Bilinear bool
	Gamma    float64 // 0 means 0.4; none with Bilinear
	Order    int     // 0 means 2; 10 at most, none with Bilinear
	// Unit divides rows by their norms first, on both sides. A row of zeros stays
	// one and has no gradient.
	Unit bool
}

// Loss implements [Loss].
func (m CorrelationCongruence) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.features("CorrelationCongruence", m.Student, m.Teacher)
	if m.Unit {
		s, t = b.Op(graph.Normalize(l.matrix(s))), b.Op(graph.Normalize(l.matrix(t)))
	}
	return Rows{Value: b.Op(graph.Congruence(s, t, l.Weight, m.series()))}
}

// series are the factors of (a·b)^p: exp(-2γ)·(2γ)^p/p!.
func (m CorrelationCongruence) series() []float64 {
	if m.Bilinear {
		return []float64{0, 1}
	}
	gamma := cmp.Or(m.Gamma, 0.4)
	all := []float64{math.Exp(-2 * gamma)}
	for p := 1; p <= cmp.Or(m.Order, 2); p++ {
		all = append(all, all[p-1]*2*gamma/float64(p))
	}
	return all
}

// Couples implements [Joint].
func (CorrelationCongruence) Couples() {}

func (m CorrelationCongruence) validate(int) error {
	switch {
	case m.Bilinear && (m.Gamma != 0 || m.Order != 0):
		return fmt.Errorf("distill: CorrelationCongruence.Bilinear is true beside Gamma %v and Order %d; want either", m.Gamma, m.Order)
	case m.Order < 0 || m.Order > 10:
		return fmt.Errorf("distill: CorrelationCongruence.Order is %d; want 1 to 10, or 0, which means 2", m.Order)
	}
	if err := checkFactor("CorrelationCongruence.Gamma", m.Gamma); err != nil {
		return err
	}
	return checkNames("CorrelationCongruence", m.Student, m.Teacher)
}
