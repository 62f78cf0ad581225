package distill

import (
	"cmp"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// CRD is contrastive representation distillation: student and teacher say of a
// sample what they say of no other (Tian et al. 2020, 1910.10699, section 3). Both
// sides are embedded, by a learned linear layer, in Width numbers of norm 1, and
// each embedding v is compared with what a memory has of the other side, m at the
// row's own sample and m_k at Negatives other ones:
//
//	-log(p/(p + c)) - Σ_k log(c/(p_k + c)),    p = exp(v·m/T)/norm
//
// where c is Negatives over the number of samples. The seed of the run, the step
// and the sample say which others, each as likely as any. Its weight is 0.8.
//
// After each step the memories move towards the embeddings of its rows. They are
// buffers, which the run saves, and so is the norm, which makes the mean of p in
// the first step that of chance. By both, what a row comes to depends on how rows
// make a step, so that no step is split. The training data lists its samples
// ([data.Listed], as a Loader does), and a row is a sample. On validation data, of
// which there is no memory, nothing counts.
type CRD struct {
	// Student and Teacher are the tap and the signal, (R, ...) of any two shapes,
	// whose rows are made flat. Both are needed.
	Student, Teacher string
	Negatives        int     // 1 or more; 0 means 16384
	Width            int     // 1 or more; 0 means 128
	T                float64 // temperature, 0.01 or more; 0 means 0.07
	Momentum         float64 // how much of a memory stays, below 1; 0 means 0.5
}

// Couples implements [Joint].
func (CRD) Couples() {}

// Loss implements [Loss].
func (m CRD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.features("CRD", m.Student, m.Teacher)
	if !b.Training() {
		none := b.Op(graph.Blend([]*gorgonia.Node{l.Weight}, []float64{0}))
		return Rows{Value: none, Weight: none}
	}
	ours := m.remembered(b.Scope("student"), l, l.matrix(s))
	theirs := m.remembered(b.Scope("teacher"), l, l.matrix(t))
	var parts blend
	parts.add(1, ours.among(theirs))
	parts.add(1, theirs.among(ours))
	return Rows{Value: parts.sum(b)}
}

// A memory is one side of CRD: its embeddings, and what is remembered of them.
type memory struct {
	CRD
	b      *student.Builder
	l      Lesson
	embeds *gorgonia.Node
	value  *student.Param
	node   *gorgonia.Node
}

// remembered embeds one side.
func (m CRD) remembered(b *student.Builder, l Lesson, x *gorgonia.Node) memory {
	width := cmp.Or(m.Width, 128)
	_, samples := l.Samples()
	if samples < 2 {
		b.Check(fmt.Errorf("the training data lists %d samples; CRD wants 2 or more", samples))
	}
	x = b.Op(graph.Normalize(b.Layer("embed", student.Linear{Out: width}, x)))
	value, node := b.Buffer("memory", student.Uniform(math.Sqrt(3/float64(width))), samples, width)
	return memory{m, b, l, x, value, node}
}

// among compares the embeddings of a side with what is remembered of the other.
func (m memory) among(other memory) *gorgonia.Node {
	places, _ := m.l.Samples()
	norm, node := m.b.Buffer("norm", student.Zeros, 1)
	step := m.b.Scalar(func(step int) float64 { return float64(step) })
	c := &graph.Contrast{Negatives: cmp.Or(m.Negatives, 16384), T: cmp.Or(m.T, 0.07), Seed: m.b.Seed()}
	value := m.b.Op(c.Losses(m.embeds, places, m.l.Weight, other.node, node, step))
	m.b.After(value, func() {
		c.Remember(m.value.Value, cmp.Or(m.Momentum, 0.5))
		m.value.Touch()
		c.Settle(norm.Value)
		norm.Touch()
	})
	return value
}

func (m CRD) validate(int) error {
	switch {
	case m.Negatives < 0 || m.Negatives > 1<<24:
		return fmt.Errorf("distill: CRD.Negatives is %d; want 1 to %d, or 0, which means 16384", m.Negatives, 1<<24)
	case m.Width < 0:
		return fmt.Errorf("distill: CRD.Width is %d; want 1 or more, or 0, which means 128", m.Width)
	case m.T != 0 && !(m.T >= 0.01) || math.IsInf(m.T, 0):
		return fmt.Errorf("distill: CRD.T is %v; want a finite number, 0.01 or more, or 0, which means 0.07", m.T)
	}
	if err := checkShare("CRD.Momentum", m.Momentum); err != nil {
		return err
	}
	return checkNames("CRD", m.Student, m.Teacher)
}
