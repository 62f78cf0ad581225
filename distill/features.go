package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
)

// checkNames refuses a loss of features that does not say of which.
func checkNames(loss, tap, signal string) error {
	if tap == "" || signal == "" {
		return fmt.Errorf("distill: %s.Student or %[1]s.Teacher is empty; want the names of a tap and a signal", loss)
	}
	return nil
}

// pair are a tap and a signal with a row for each of the lesson's.
func (l Lesson) pair(loss, tap, signal string) (s, t *gorgonia.Node) {
	s, t = l.Tap(tap), l.Dense(signal)
	if n := l.Weight.Shape()[0]; s.Shape()[0] != n || t.Shape()[0] != n {
		l.b.Check(fmt.Errorf("tap %q is %v and signal %q %v; %s wants %d rows of both, as labels and weights have", tap, s.Shape(), signal, t.Shape(), loss, n))
	}
	return s, t
}

// features are a tap and a signal of more than one number a row, (R, ...).
func (l Lesson) features(loss, tap, signal string) (s, t *gorgonia.Node) {
	s, t = l.pair(loss, tap, signal)
	if s.Dims() < 2 || t.Dims() < 2 {
		l.b.Check(fmt.Errorf("tap %q is %v and signal %q %v; %s wants (R, ...) both", tap, s.Shape(), signal, t.Shape(), loss))
	}
	return s, t
}

// maps are a tap and a signal that are images of features, (R, C, H, W).
func (l Lesson) maps(loss, tap, signal string) (s, t *gorgonia.Node) {
	s, t = l.pair(loss, tap, signal)
	if s.Dims() != 4 || t.Dims() != 4 {
		l.b.Check(fmt.Errorf("tap %q is %v and signal %q %v; %s wants maps (R, C, H, W) both", tap, s.Shape(), signal, t.Shape(), loss))
	}
	return s, t
}

// alike pools the larger of two maps, along each axis, to the size of the other.
func (l Lesson) alike(s, t *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node) {
	h, w := min(s.Shape()[2], t.Shape()[2]), min(s.Shape()[3], t.Shape()[3])
	return l.pool(s, h, w), l.pool(t, h, w)
}

// pool is the adaptive mean of maps, which are as they are if they have the size.
func (l Lesson) pool(x *gorgonia.Node, h, w int) *gorgonia.Node {
	if x.Shape()[2] == h && x.Shape()[3] == w {
		return x
	}
	return l.b.Op(graph.AdaptiveAvgPool(x, h, w))
}

// pixels is a tap or a signal as maps: (R, D) has one pixel.
func (l Lesson) pixels(loss, name string, x *gorgonia.Node) *gorgonia.Node {
	switch s := x.Shape(); len(s) {
	case 2:
		return l.b.Reshape(x, s[0], s[1], 1, 1)
	case 4:
		return x
	}
	l.b.Check(fmt.Errorf("%q is %v; %s wants maps (R, C, H, W), or (R, D)", name, x.Shape(), loss))
	return nil
}
