package distill

import (
	"cmp"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// AttentionTransfer makes the student look where the teacher looks: the mean
// squared difference of their attention maps, mean_c |F|^Power of each pixel,
// divided by their norm over the pixels (Zagoruyko and Komodakis 2017, 1612.03928,
// equation 2, with the mean over channels and over pixels of the authors' code).
// Its weight there is 1000. The larger map is pooled to the size of the other, by
// adaptive means; channels may differ. A map of zeros has no gradient.
type AttentionTransfer struct {
	// Student and Teacher are the tap and the signal, maps (R, C, H, W). Both are
	// needed.
	Student, Teacher string
	Power            float64 // 1 or more; 0 means 2
}

// Loss implements [Loss].
func (m AttentionTransfer) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.alike(l.maps("AttentionTransfer", m.Student, m.Teacher))
	return Rows{Value: b.Op(graph.MSE(m.attention(b, s), m.attention(b, t)))}
}

func (m AttentionTransfer) attention(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.Op(graph.Normalize(b.Op(graph.Energy(x, cmp.Or(m.Power, 2)))))
}

func (m AttentionTransfer) validate(int) error {
	if m.Power != 0 && !(m.Power >= 1) || math.IsInf(m.Power, 0) {
		return fmt.Errorf("distill: AttentionTransfer.Power is %v; want a finite number, 1 or more, or 0, which means 2", m.Power)
	}
	return checkNames("AttentionTransfer", m.Student, m.Teacher)
}
