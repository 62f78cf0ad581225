package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// NST is neuron selectivity transfer: the maps of the student's channels are
// distributed as those of the teacher's, by the squared maximum mean discrepancy
// with the kernel (a·b)², where each channel's map is divided by its norm (Huang and
// Wang 2017, 1707.01219, section 4). Its weight is 50, in the code that the
// published comparisons use. The larger map is pooled to the size of the other, by
// adaptive means; channels may differ. A channel of zeros has no gradient.
type NST struct {
	// Student and Teacher are the tap and the signal, maps (R, C, H, W). Both are
	// needed.
	Student, Teacher string
}

// Loss implements [Loss].
func (m NST) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.alike(l.maps("NST", m.Student, m.Teacher))
	s, t = channels(b, s), channels(b, t)
	kernel := func(x, y *gorgonia.Node) *gorgonia.Node {
		return b.Op(graph.MeanSquare(b.Op(graph.Products(x, y, 1))))
	}
	var parts blend
	parts.add(1, kernel(t, t))
	parts.add(1, kernel(s, s))
	parts.add(-2, kernel(s, t))
	return Rows{Value: parts.sum(b)}
}

// channels are maps (R, C, H, W) as (R, C, H·W), each row of norm 1.
func channels(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
	s := x.Shape()
	return b.Op(graph.Normalize(b.Reshape(x, s[0], s[1], s[2]*s[3])))
}

func (m NST) validate(int) error { return checkNames("NST", m.Student, m.Teacher) }
