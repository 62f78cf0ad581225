package teacher

import (
	"context"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A panel is several teachers of the same logits.
type panel struct {
	name     string // of the type that has them, for errors
	teachers []Teacher
	check    func(data.Field) error // what their logits have to be
}

// members refuses a list of no teachers, or of one that is nil.
func members(name string, teachers []Teacher) error {
	if len(teachers) == 0 {
		return fmt.Errorf("teacher: %s.Teachers is empty; want 1 or more", name)
	}
	if i := slices.Index(teachers, nil); i >= 0 {
		return fmt.Errorf("teacher: %s.Teachers[%d] is nil; want a Teacher", name, i)
	}
	return nil
}

// card is that of the logits, of teachers that are taken together in some way.
func (p panel) card(way string) (Card, error) {
	var all Card
	var prints [][32]byte
	for i, t := range p.teachers {
		card, err := t.Card()
		if err != nil {
			return Card{}, fmt.Errorf("teacher: %s.Teachers[%d]: %w", p.name, i, err)
		}
		if err := p.add(&all, i, card); err != nil {
			return Card{}, err
		}
		prints = append(prints, card.Fingerprint)
	}
	all.Fingerprint = join(way, prints...)
	return all, nil
}

// add makes all the card of a panel that has teacher i as well.
func (p panel) add(all *Card, i int, card Card) error {
	f, ok := card.Signals[Logits]
	if !ok {
		return fmt.Errorf("teacher: %s.Teachers[%d] has no signal %q; want dense logits", p.name, i, Logits)
	}
	if i == 0 {
		if err := p.check(f); err != nil {
			return err
		}
		all.Signals = map[string]data.Field{Logits: f}
	}
	if want := all.Signals[Logits]; f.Dtype != want.Dtype || !slices.Equal(f.Shape, want.Shape) {
		return fmt.Errorf("teacher: %s.Teachers[%d] has logits of shape %v and dtype %s; want %v and %s, as the first",
			p.name, i, f.Shape, dtypeName(f.Dtype), want.Shape, want.Dtype)
	}
	if all.Classes, ok = agree(all.Classes, card.Classes); !ok {
		return fmt.Errorf("teacher: %s.Teachers[%d] has other classes than the teachers before it; want the same, in the same order", p.name, i)
	}
	all.Live = all.Live || card.Live
	return nil
}

// ask is what each of them says of a batch, in copies, and of what field.
func (p panel) ask(ctx context.Context, b data.Batch) (f data.Field, logits [][]float64, err error) {
	for i, t := range p.teachers {
		s, err := t.Teach(ctx, b)
		if err != nil {
			return f, nil, fmt.Errorf("teacher: %s.Teachers[%d]: %w", p.name, i, err)
		}
		if i == 0 {
			f = fieldOf(s[Logits])
		}
		if err := Check(Card{Signals: map[string]data.Field{Logits: f}}, b, s); err != nil {
			return f, nil, fmt.Errorf("teacher: %s.Teachers[%d]: %w", p.name, i, err)
		}
		if err := p.check(f); err != nil {
			return f, nil, err
		}
		logits = append(logits, floats(s[Logits]))
	}
	return f, logits, nil
}

// fieldOf is the field of the samples of t, none of nil.
func fieldOf(t *tensor.Dense) data.Field {
	if t == nil {
		return data.Field{}
	}
	if t.Dims() == 0 {
		return data.Field{Dtype: t.Dtype()}
	}
	return data.Field{Shape: t.Shape()[1:].Clone(), Dtype: t.Dtype()}
}

// A guard is a teacher that can tell beforehand that it cannot answer some data.
type guard interface{ Covers(data.Spec) error }

// covers is the first thing that one of several teachers says against some data.
func covers(spec data.Spec, teachers ...Teacher) error {
	for _, t := range teachers {
		if g, ok := t.(guard); ok {
			if err := g.Covers(spec); err != nil {
				return err
			}
		}
	}
	return nil
}
