package distill

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/teacher"
)

// A Preflight is what was found out before the first step. What makes the run
// pointless is an error instead.
type Preflight struct {
	// TeacherAccuracy is that of a teacher that is not live on the labelled
	// rows of Run.Valid, NaN if it was not measured.
	TeacherAccuracy float64
	// TeacherR2 is that of such a teacher where labels are no classes: 1 less the
	// square of what it is off by over that of what labels are off their mean by.
	// Of yes-or-no questions it is that of the probabilities of a yes.
	TeacherR2 float64
	// Gradients are how much each term pulls at the student: in Value, the norm of
	// its gradient by all parameters of the student that are trained, on the first
	// batch, and its Weight at step 0. That is one measure for terms that look at
	// different taps. Terms of weight 0, or without a gradient there, are left out.
	Gradients []TermValue
	// OneHot and Uniform are the shares of the teacher's soft targets, on the
	// first batch and at the temperature of step 0, whose largest probability is
	// above 0.999, or within 0.001 of 1/C: they say no more than a label, or
	// nothing. NaN where no term is a KL.
	OneHot, Uniform float64
	// Warnings are for people.
	Warnings []string
}

func (p *Preflight) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// preflight looks at what the run is about to do.
func (s *session) preflight(ctx context.Context, first taught) (*Preflight, error) {
	p := &Preflight{TeacherAccuracy: math.NaN(), TeacherR2: math.NaN(), OneHot: math.NaN(), Uniform: math.NaN()}
	if err := s.checkTeacher(ctx, p); err != nil {
		return nil, err
	}
	if print := s.Train.Spec().Fingerprint; s.Valid != nil && print != [32]byte{} && print == s.Valid.Spec().Fingerprint {
		p.warn("Run.Valid is the data of Run.Train: it says nothing about other data, and the best epoch is not the best")
	}
	if s.state.Step == 0 {
		if err := s.tryTerms(first, p); err != nil {
			return nil, err
		}
	}
	for _, w := range p.Warnings {
		s.log().Warn(w)
	}
	return p, nil
}

// checkTeacher refuses a frozen teacher that does not know the task.
func (s *session) checkTeacher(ctx context.Context, p *Preflight) error {
	switch {
	case s.Teacher == nil || s.card.Live || s.Valid == nil:
		return nil
	case s.valid.spec.Task != data.Classification:
		return s.checkSkill(ctx, p)
	}
	right, labelled := 0.0, 0.0
	for t, err := range s.valid.all(ctx) {
		if err != nil {
			return fmt.Errorf("distill: Run.Valid: %w", err)
		}
		b := t.Batch
		first := firstChoices(t.signals, s.valid.spec.Label)
		labels, weights := classes(b), b.Weight.Float32s()
		if len(first) == 0 || len(labels)/b.Weight.Shape()[0]*b.N != len(first) {
			return nil // not one choice for each label
		}
		for r, choice := range first {
			if labels[r] >= 0 && weights[r] > 0 {
				labelled++
				if choice == labels[r] {
					right++
				}
			}
		}
	}
	if labelled == 0 {
		return nil
	}
	p.TeacherAccuracy = right / labelled
	chance := 1 / float64(max(s.valid.classes, 2))
	limit := chance + min(3*math.Sqrt(chance*(1-chance)/labelled), (1-chance)/2)
	if p.TeacherAccuracy > limit {
		return nil
	}
	if s.AnyTeacher {
		p.warn("the teacher is right on %.1f%% of Run.Valid, which is chance", 100*p.TeacherAccuracy)
		return nil
	}
	return fmt.Errorf("distill: the teacher is right on %.1f%% of the %v labelled rows of Run.Valid; want more than chance, %.1f%% "+
		"(are its weights, its classes and its preprocessing right? Run.AnyTeacher allows it)",
		100*p.TeacherAccuracy, labelled, 100*limit)
}

// checkSkill refuses a frozen teacher that says less of the labels than their
// mean does.
func (s *session) checkSkill(ctx context.Context, p *Preflight) error {
	var skill regression
	for t, err := range s.valid.all(ctx) {
		if err != nil {
			return fmt.Errorf("distill: Run.Valid: %w", err)
		}
		says := outputs(t.signals[teacher.Logits], s.valid.spec.Task)
		label := head(t.Label, t.N)
		if says == nil || label == nil || label.Shape().TotalSize() != says.Shape().TotalSize() {
			return nil // not a number for each label
		}
		if err := skill.see(data.Batch{Label: label, Weight: head(t.Weight, t.N)}, says, nil); err != nil {
			return err
		}
	}
	p.TeacherR2 = skill.explained()
	switch {
	case !(p.TeacherR2 <= 0): // or there is nothing to explain
		return nil
	case s.AnyTeacher:
		p.warn("the teacher's R² on Run.Valid is %.3g: the mean of the labels says as much", p.TeacherR2)
		return nil
	}
	return fmt.Errorf("distill: the teacher's R² on Run.Valid is %.3g; want more than 0, which the mean of the labels has "+
		"(are its weights, the unit of its answers and its preprocessing right? Run.AnyTeacher allows it)", p.TeacherR2)
}

// outputs are a teacher's logits as rows of what labels are: numbers, or how
// likely a yes is. Nil if it has none.
func outputs(logits *tensor.Dense, task data.Task) *tensor.Dense {
	if logits == nil || !plain(logits) {
		return nil
	}
	var all []float64
	each(logits, func(_ int, z float64) {
		if task == data.MultiLabel {
			z = 1 / (1 + math.Exp(-z))
		}
		all = append(all, z)
	})
	n := logits.Shape()[0]
	return tensor.New(tensor.WithShape(n, len(all)/n), tensor.WithBacking(all))
}

// firstChoices are the classes that a teacher puts first, nil if it has no
// logits. Labels are of the field.
func firstChoices(s data.Signals, label data.Field) (first []int) {
	if ids := s[teacher.Logits+teacher.IDSuffix]; ids != nil {
		k := last(ids.Shape())
		all := ids.Ints()
		for r := 0; r < len(all); r += k {
			first = append(first, all[r])
		}
		return first
	}
	logits := s[teacher.Logits]
	if logits == nil || !plain(logits) {
		return nil
	}
	logits = classesLast(logits, label.Shape)
	var row []float64
	for r := range logits.Shape().TotalSize() / last(logits.Shape()) {
		row = classRow(row, logits, r)
		first = append(first, argmax(row))
	}
	return first
}

// classesLast is logits (N, ..., C) for labels of the given shape, whatever way
// the teacher has them.
func classesLast(logits *tensor.Dense, axes tensor.Shape) *tensor.Dense {
	s := logits.Shape()
	switch {
	case slices.Equal(s[1:], axes): // a single logit for each label
		return reshaped(logits, append(s.Clone(), 1))
	case channelsFirst(s[1:], axes):
		var all []float64
		each(logits, func(_ int, z float64) { all = append(all, z) })
		dst := make([]float64, len(all))
		kernel.ChannelsLast(dst, all, s[0], s[1], axes.TotalSize())
		return tensor.New(tensor.WithShape(s[0], s[2], s[3], s[1]), tensor.WithBacking(dst))
	}
	return logits
}
