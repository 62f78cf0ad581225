package teacher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// A Select makes a classifier answer for other classes than it learned, which
// are found by name: some of them, in another order, or several taken for one.
//
//	t, err := teacher.Select{
//		Classes: []string{"cat", "dog"},
//		From:    map[string][]string{"dog": {"beagle", "poodle"}},
//	}.Of(big)
//
// The classes that are left out have no part in the probabilities: those of the
// rest are the teacher's, given that it is one of them. Of a sample that is none
// of them they say little: leave it out of the data, or give it no weight.
type Select struct {
	// Classes are what the student tells apart, in its order.
	Classes []string
	// From are the teacher's names for a class that it calls otherwise, or has
	// several of. The logit of several is the log-sum-exp of theirs, which adds
	// their probabilities at temperature 1. At another the sum is tempered, which
	// is not the sum of what is tempered.
	From map[string][]string
}

// Of is the teacher t for these classes. Its logits are (N, C), (N, T, C), or
// (N, C, H, W) or (N, H, W, C) as t's are, dense, and in the dtype of t's; other
// signals are as t says them. Without merging they are t's to the bit. It refuses
// a teacher that does not name its classes, lacks some of those that are wanted,
// or says the largest logits only: of the sum of all, nobody knows how much is
// that of classes which are left out.
func (s Select) Of(t Teacher) (Teacher, error) {
	if t == nil {
		return nil, errors.New("teacher: Select of a nil teacher; want a Teacher")
	}
	card, err := t.Card()
	if err != nil {
		return nil, fmt.Errorf("teacher: Select: %w", err)
	}
	f, err := denseLogits(card)
	if err != nil {
		return nil, fmt.Errorf("teacher: Select: %w", err)
	}
	axis, err := classAxis(f.Shape, len(card.Classes))
	if err != nil {
		return nil, fmt.Errorf("teacher: Select: %w", err)
	}
	picks, err := s.picks(card.Classes)
	if err != nil {
		return nil, err
	}
	return selected{t, slices.Clone(s.Classes), picks, f, axis}, nil
}

// denseLogits is the field of the logits on a card.
func denseLogits(c Card) (data.Field, error) {
	f, ok := c.Signals[Logits]
	if _, top := c.Signals[Logits+TopSuffix]; !ok && top {
		return f, fmt.Errorf("the teacher says the largest logits of each row (%q), and of the others their sum, of which the part that is left out is unknown; "+
			"want dense logits, of which the selection can be recorded with TopK", Logits+TopSuffix)
	}
	if !ok {
		return f, fmt.Errorf("the teacher has no signal %q; want dense logits", Logits)
	}
	if len(f.Shape) < 1 || len(f.Shape) > 3 || f.Dtype == tensor.Int {
		return f, fmt.Errorf("signal %q has shape %v and dtype %s; want (C), (T, C), (C, H, W) or (H, W, C) of a float type", Logits, f.Shape, dtypeName(f.Dtype))
	}
	return f, checkField("signal", Logits, f)
}

// classAxis is the axis of n classes in the logits of a sample: the last, or of
// pixels the first.
func classAxis(shape tensor.Shape, n int) (int, error) {
	last := len(shape) - 1
	first := len(shape) == 3 && shape[0] == n
	switch {
	case first && shape[last] == n:
		return 0, fmt.Errorf("logits of shape %v have the %d classes first or last, which nobody can tell; want another size of the images", shape, n)
	case first:
		return 0, nil
	case shape[last] == n:
		return last, nil
	}
	return 0, fmt.Errorf("the teacher names %d classes and has logits of shape %v; want a name for each", n, shape)
}

// picks are the indices of the teacher's classes for each class.
func (s Select) picks(theirs []string) ([][]int, error) {
	if len(s.Classes) == 0 {
		return nil, errors.New("teacher: Select.Classes is empty; want 1 or more")
	}
	for _, name := range slices.Sorted(maps.Keys(s.From)) {
		if !slices.Contains(s.Classes, name) {
			return nil, fmt.Errorf("teacher: Select.From has %q, which is none of Select.Classes", name)
		}
	}
	var missing []string
	taken := map[string]string{}
	picks := make([][]int, len(s.Classes))
	for i, class := range s.Classes {
		from, ok := s.From[class]
		if !ok {
			from = []string{class}
		}
		if len(from) == 0 {
			return nil, fmt.Errorf("teacher: Select.From[%q] is empty; want 1 class of the teacher or more", class)
		}
		for _, name := range from {
			if by, ok := taken[name]; ok {
				return nil, fmt.Errorf("teacher: Select takes the teacher's %q for %q and for %q; want it once", name, by, class)
			}
			taken[name] = class
			at := slices.Index(theirs, name)
			if at < 0 {
				missing = append(missing, name)
			}
			picks[i] = append(picks[i], at)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("teacher: Select: the teacher does not know %q; it knows %s (Select.From says what else it calls them)", missing, some(theirs))
	}
	return picks, nil
}

// some are the first of many names.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%q and %d more", names[:most], len(names)-most)
	}
	return fmt.Sprintf("%q", names)
}

type selected struct {
	Teacher
	classes []string
	picks   [][]int
	theirs  data.Field
	axis    int // of the classes
}

// Card implements [Teacher].
func (s selected) Card() (Card, error) {
	card, err := s.Teacher.Card()
	if err != nil {
		return Card{}, fmt.Errorf("teacher: Select: %w", err)
	}
	card.Signals = maps.Clone(card.Signals)
	card.Signals[Logits] = s.field()
	card.Classes = s.classes
	card.Fingerprint = join(fmt.Sprintf("select %q %v", s.classes, s.picks), card.Fingerprint)
	return card, nil
}

// field is that of the logits for the classes that were selected.
func (s selected) field() data.Field {
	f := data.Field{Shape: s.theirs.Shape.Clone(), Dtype: s.theirs.Dtype}
	f.Shape[s.axis] = len(s.classes)
	return f
}

// Teach implements [Teacher].
func (s selected) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	signals, err := s.Teacher.Teach(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := Check(Card{Signals: map[string]data.Field{Logits: s.theirs}}, b, signals); err != nil {
		return nil, fmt.Errorf("teacher: Select: %w", err)
	}
	signals = maps.Clone(signals) // they may be those of another too
	signals[Logits] = dense(s.field(), b.N, s.choose(floats(signals[Logits])))
	return signals, nil
}

// choose is what the teacher's logits come to for each class. Behind each axis of
// classes are so many places, which are pixels or one.
func (s selected) choose(logits []float64) (all []float64) {
	places := s.theirs.Shape[s.axis+1:].TotalSize()
	rows := s.theirs.Shape[s.axis] * places
	for ; len(logits) > 0; logits = logits[rows:] {
		for _, from := range s.picks {
			for place := range places {
				all = append(all, merged(logits[place:], from, places))
			}
		}
	}
	return all
}

// merged is the logit of some classes taken for one, whose logits lie so far apart.
func merged(logits []float64, classes []int, apart int) float64 {
	if len(classes) == 1 {
		return logits[classes[0]*apart]
	}
	several := make([]float64, len(classes))
	for i, c := range classes {
		several[i] = logits[c*apart]
	}
	return kernel.LogSumExp(several, 1)
}

// Covers is what the teacher says, if it can: see [Cache.Covers].
func (s selected) Covers(spec data.Spec) error { return covers(spec, s.Teacher) }
