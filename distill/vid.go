package distill

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// VID is variational information distillation: what the student knows of the
// teacher's features, by the mean of ½((t - μ(s))²/σ² + log σ²), where μ is learned
// and so is a variance of each channel, log(1 + exp(·)) + 1e-5, which starts at 5
// (Ahn et al. 2019, 1904.05835, section 2, without the constant). It may be
// negative, and is log σ²/2 where μ is the teacher. Its weight is 1.
//
// Of maps, μ is three convolutions of one pixel without bias, as wide as the
// teacher's, with a ReLU after the first two; the larger map is pooled to the size
// of the other, by adaptive means. Of rows it is as many linear layers.
type VID struct {
	// Student and Teacher are the tap and the signal: maps (R, C, H, W) both, or
	// (R, ...), whose rows are made flat. Both are needed.
	Student, Teacher string
}

// Loss implements [Loss].
func (m VID) Loss(b *student.Builder, l Lesson) Rows {
	const variance, eps = 5, 1e-5
	s, t := l.either("VID", m.Student, m.Teacher)
	width := t.Shape()[1]
	for i, act := range []student.Act{student.ReLU, student.ReLU, student.Identity} {
		s = b.Layer(fmt.Sprint("regressor.", i), pointwise(s, width, act), s)
	}
	scale := b.Param("scale", filled(math.Log(math.Expm1(variance-eps))), width)
	return Rows{Value: b.Op(graph.Gaussian(s, t, scale, eps))}
}

func (m VID) validate(int) error { return checkNames("VID", m.Student, m.Teacher) }

// either are a tap and a signal as maps of one size, or both as matrices.
func (l Lesson) either(loss, tap, signal string) (s, t *gorgonia.Node) {
	s, t = l.features(loss, tap, signal)
	if s.Dims() == 4 && t.Dims() == 4 {
		return l.alike(s, t)
	}
	return l.matrix(s), l.matrix(t)
}

// pointwise is a layer without bias that sees one pixel of maps, or one row.
func pointwise(x *gorgonia.Node, out int, act student.Act) student.Layer {
	if x.Dims() == 4 {
		return student.Conv2d{Out: out, Kernel: 1, NoBias: true, Act: act}
	}
	return student.Linear{Out: out, NoBias: true, Act: act}
}

// filled is v everywhere.
func filled(v float64) student.Init {
	return func(_ *rand.Rand, dst []float64, _, _ int) {
		for i := range dst {
			dst[i] = v
		}
	}
}
