package distill

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// ReviewKD makes each layer of the student, together with all that are deeper,
// follow one of the teacher's (Chen et al. 2021, 2104.09044). From the deepest
// layer up, a layer's map is fused with what was made of the deeper ones, by two
// learned gates of each pixel (attention based fusion, figure 3a), and a 3x3
// convolution of it is compared with the teacher's map, at its own size and pooled
// to 4, 2 and 1 pixels a side where that is smaller, with weights 1, 1/2, 1/4 and
// 1/8, divided by their sum (hierarchical context loss, figure 3b). What is due of
// all layers is added up. Its authors let its weight rise over the first 20 epochs,
// as Linear does.
//
// Convolutions have batch norms, by which what a row comes to depends on the others,
// and maps change size to the nearest pixel, as in the authors' code. Its parameters
// are no part of the student.
type ReviewKD struct {
	// Student and Teacher are the taps and the signals, as many, from the first
	// layer to the last: maps (R, C, H, W), or (R, D), which are maps of one pixel.
	Student, Teacher []string
	Width            int // channels of what is fused; 0 means those of the last tap, 512 at most
}

// Loss implements [Loss].
func (m ReviewKD) Loss(b *student.Builder, l Lesson) Rows {
	b.Check(m.validate(0))
	var deeper *gorgonia.Node
	var parts blend
	for i, tap := range slices.Backward(m.Student) {
		s, t := l.pair("ReviewKD", tap, m.Teacher[i])
		s, t = l.pixels("ReviewKD", tap, s), l.pixels("ReviewKD", m.Teacher[i], t)
		if m.Width == 0 {
			m.Width = min(s.Shape()[1], 512)
		}
		at := b.Scope(fmt.Sprint("layer", i+1))
		deeper = m.fuse(at, s, deeper, t)
		review := normed(at, "conv2", student.Conv2d{Out: t.Shape()[1], Kernel: 3, Pad: 1}, deeper)
		l.context(&parts, review, t)
	}
	return Rows{Value: parts.sum(b)}
}

// fuse is the map of a layer with what was made of deeper ones, nil for none, in
// the size of t.
func (m ReviewKD) fuse(b *student.Builder, s, deeper, t *gorgonia.Node) *gorgonia.Node {
	x := normed(b, "conv1", student.Conv2d{Out: m.Width, Kernel: 1}, s)
	if deeper != nil {
		deeper = nearest(b, deeper, x)
		both := b.Op(graph.Channels(x, deeper))
		gates := b.Layer("att_conv", student.Conv2d{Out: 2, Kernel: 1, Act: student.Sigmoid}, both)
		x = b.Op(graph.Gate(x, deeper, gates))
	}
	return nearest(b, x, t)
}

// nearest is x in the height and width of another map.
func nearest(b *student.Builder, x, as *gorgonia.Node) *gorgonia.Node {
	h, w := as.Shape()[2], as.Shape()[3]
	if x.Shape()[2] == h && x.Shape()[3] == w {
		return x
	}
	return b.Op(graph.Nearest(x, h, w))
}

// normed is a convolution without bias and its batch norm.
func normed(b *student.Builder, name string, conv student.Conv2d, x *gorgonia.Node) *gorgonia.Node {
	conv.NoBias, conv.Init = true, kaiming
	return b.Layer(name+".1", student.BatchNorm{}, b.Layer(name+".0", conv, x))
}

// kaiming is PyTorch's kaiming_uniform_ with a = 1.
func kaiming(rng *rand.Rand, dst []float64, fanIn, fanOut int) {
	student.Uniform(math.Sqrt(3/float64(fanIn)))(rng, dst, fanIn, fanOut)
}

// context adds the mean squared differences of two maps at all sizes.
func (l Lesson) context(parts *blend, s, t *gorgonia.Node) {
	sizes := []int{0} // their own
	for _, n := range []int{4, 2, 1} {
		if n < min(s.Shape()[2], s.Shape()[3]) {
			sizes = append(sizes, n)
		}
	}
	total := 2 - math.Ldexp(1, 1-len(sizes)) // 1 + 1/2 + ...
	for i, n := range sizes {
		a, b := s, t
		if n > 0 {
			a, b = l.pool(s, n, n), l.pool(t, n, n)
		}
		parts.add(math.Ldexp(1, -i)/total, l.b.Op(graph.MSE(l.matrix(a), l.matrix(b))))
	}
}

// Couples implements [Joint].
func (ReviewKD) Couples() {}

func (m ReviewKD) validate(int) error {
	switch {
	case len(m.Student) == 0 || len(m.Student) != len(m.Teacher):
		return fmt.Errorf("distill: ReviewKD has %d taps in Student and %d signals in Teacher; want as many, and 1 or more", len(m.Student), len(m.Teacher))
	case slices.Contains(m.Student, "") || slices.Contains(m.Teacher, ""):
		return errors.New("distill: ReviewKD.Student or ReviewKD.Teacher has an empty name; want the names of taps and signals")
	case m.Width < 0:
		return fmt.Errorf("distill: ReviewKD.Width is %d; want 1 or more, or 0, which means that of the last tap", m.Width)
	}
	return nil
}
