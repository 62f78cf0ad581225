package teacher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// Of is the teacher t for these classes. Its logits are (N, C) or (N, T, C),
// dense, and in the dtype of t's; other signals are as t says them. Without
// merging they are t's to the bit. It refuses a teacher that does not name its
// classes, or lacks some of those that are wanted.
func (s Select) Of(t Teacher) (Teacher, error) {
	if t == nil {
		return nil, errors.New("teacher: Select of a nil teacher; want a Teacher")
	}
	card, err := t.Card()
	if err != nil {
		return nil, fmt.Errorf("teacher: Select: %w", err)
	}
	f, ok := card.Signals[Logits]
	if !ok {
		return nil, fmt.Errorf("teacher: Select: the teacher has no signal %q; want dense logits", Logits)
	}
	if err := checkLogits(Logits, f); err != nil {
		return nil, fmt.Errorf("teacher: Select: %w", err)
	}
	if n := f.Shape[len(f.Shape)-1]; len(card.Classes) != n {
		return nil, fmt.Errorf("teacher: Select: the teacher names %d classes and has logits of %d; want a name for each", len(card.Classes), n)
	}
	picks, err := s.picks(card.Classes)
	if err != nil {
		return nil, err
	}
	return selected{t, slices.Clone(s.Classes), picks, f}, nil
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
	f.Shape[len(f.Shape)-1] = len(s.classes)
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
	logits, theirs := floats(signals[Logits]), s.theirs.Shape[len(s.theirs.Shape)-1]
	all := make([]float64, 0, len(logits)/theirs*len(s.classes))
	for at := 0; at < len(logits); at += theirs {
		all = s.appendRow(all, logits[at:at+theirs])
	}
	signals = maps.Clone(signals) // they may be those of another too
	signals[Logits] = dense(s.field(), b.N, all)
	return signals, nil
}

// appendRow adds what the teacher's logits come to for each class.
func (s selected) appendRow(dst, logits []float64) []float64 {
	var several []float64
	for _, from := range s.picks {
		z := logits[from[0]]
		if len(from) > 1 {
			several = several[:0]
			for _, c := range from {
				several = append(several, logits[c])
			}
			z = kernel.LogSumExp(several, 1)
		}
		dst = append(dst, z)
	}
	return dst
}

// Covers is what the teacher says, if it can: see [Cache.Covers].
func (s selected) Covers(spec data.Spec) error { return covers(spec, s.Teacher) }
