package distill

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/teacher"
)

// checkTeacher refuses a frozen teacher that does not know the task.
func (s *session) checkTeacher(ctx context.Context, p *Preflight) error {
	switch {
	case s.Teacher == nil || s.card.Live || s.Valid == nil:
		return nil
	case s.valid.spec.Task != data.Classification:
		return s.checkSkill(ctx, p)
	}
	var seen tally
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
		seen.add(first, labels, weights, tokensOf(s.valid.spec))
	}
	if seen.labelled == 0 {
		return nil
	}
	return s.judge(seen, p)
}

// judge refuses first choices that are no better than chance.
func (s *session) judge(seen tally, p *Preflight) error {
	p.TeacherAccuracy = seen.right / seen.labelled
	shift := seen.shift()
	if shift != "" {
		p.warn("%s", shift)
	}
	chance := 1 / float64(max(s.valid.classes, 2))
	limit := chance + min(3*math.Sqrt(chance*(1-chance)/seen.labelled), (1-chance)/2)
	if p.TeacherAccuracy > limit {
		return nil
	}
	if s.AnyTeacher {
		p.warn("the teacher is right on %.1f%% of Run.Valid, which is chance", 100*p.TeacherAccuracy)
		return nil
	}
	return fmt.Errorf("distill: the teacher is right on %.1f%% of the %v labelled rows of Run.Valid; want more than chance, %.1f%% "+
		"(%s Run.AnyTeacher allows it)",
		100*p.TeacherAccuracy, seen.labelled, 100*limit, cmp.Or(shift, "are its weights, its classes and its preprocessing right?"))
}

// A tally counts how often a teacher's first choice is the label, and how often
// only the choice for the token before it or after it is.
type tally struct {
	right, labelled float64
	before, after   duel
}

// A duel counts the labels that one choice alone gets right: a neighbour's, or
// their own.
type duel struct{ other, own float64 }

// add counts the choices of a batch, samples of so many tokens.
func (a *tally) add(choices, labels []int, weights []float32, tokens int) {
	for r, choice := range choices {
		y := labels[r]
		if y < 0 || !(weights[r] > 0) {
			continue
		}
		a.labelled++
		if choice == y {
			a.right++
		}
		if at := r % tokens; at > 0 && at < tokens-1 { // the first is often a guess
			a.before.add(choices[r-1] == y, choice == y)
			a.after.add(choices[r+1] == y, choice == y)
		}
	}
}

func (d *duel) add(other, own bool) {
	switch {
	case other && !own:
		d.other++
	case own && !other:
		d.own++
	}
}

// lost says whether a neighbour's choices are better than their own, by more than
// chance: three standard deviations of what would be a toss each (McNemar 1947).
func (d duel) lost() bool { return d.other-d.own > 3*math.Sqrt(d.other+d.own) }

// shift says which other tokens the choices are about, "" if they are about their
// own. A sequence that is shifted by one against its labels fits in every shape.
func (a *tally) shift() string {
	where, by := "before", a.before
	if a.after.lost() {
		where, by = "after", a.after
	}
	if !by.lost() {
		return ""
	}
	return fmt.Sprintf("%v labels of Run.Valid are the teacher's choice for the token %s theirs and not for their own, and %v the other way round: "+
		"are its answers shifted by one?", by.other, where, by.own)
}

// tokensOf is how many labels (T) a sample has, else 1.
func tokensOf(spec data.Spec) int {
	if len(spec.Label.Shape) == 1 {
		return spec.Label.Shape[0]
	}
	return 1
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
