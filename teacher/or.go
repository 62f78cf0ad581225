package teacher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/godistill/godistill/data"
)

// Or is first, with second for the batches that first answers with
// [ErrMissing]: a cache of the rows that a student trains on, and the teacher
// itself for those that it is validated on. Any other error of first is the
// answer, [ErrStale] too: data whose rows have the ids of recorded ones need
// ids of their own (see [data.Memory.WithIDs]).
//
// It refuses teachers that are live, or whose signals, classes, temperatures or
// known fingerprints differ. A cache with Half or TopK is thus no stand-in for
// its teacher. Or does not hide that a cache is of little use: where first has
// a method Covers, as [Cache] has, a run asks it about its training data, and
// more views than were recorded, or views without bound, stay an error.
func Or(first, second Teacher) Teacher { return or{first, second} }

type or struct{ first, second Teacher }

var errNoOr = errors.New("teacher: Or has a nil teacher; want two")

// Card implements [Teacher]. It is that of both; the fingerprint is unknown if
// one of theirs is.
func (o or) Card() (Card, error) {
	if o.first == nil || o.second == nil {
		return Card{}, errNoOr
	}
	a, err := o.first.Card()
	if err != nil {
		return Card{}, err
	}
	b, err := o.second.Card()
	if err != nil {
		return Card{}, err
	}
	what, unknown := a.differs(b), [32]byte{}
	if what == "" && a.Fingerprint != b.Fingerprint && a.Fingerprint != unknown && b.Fingerprint != unknown {
		what = "fingerprints"
	}
	if what != "" {
		return Card{}, fmt.Errorf("teacher: Or has two teachers with different %s; want a cache, and the teacher whose every bit it recorded", what)
	}
	if a.Live || b.Live {
		return Card{}, errors.New("teacher: Or has a live teacher; want two that have stopped learning")
	}
	a.Classes, _ = agree(a.Classes, b.Classes)
	if b.Fingerprint == unknown {
		a.Fingerprint = b.Fingerprint
	}
	return a, nil
}

// differs names what contradicts each other in what c and d answer, "" if
// nothing.
func (c Card) differs(d Card) string {
	same := func(f, g data.Field) bool { return f.Dtype == g.Dtype && slices.Equal(f.Shape, g.Shape) }
	_, agreed := agree(c.Classes, d.Classes)
	switch {
	case !maps.EqualFunc(c.Signals, d.Signals, same):
		return "signals"
	case !agreed:
		return "classes"
	case !slices.Equal(c.Temps, d.Temps):
		return "temperatures"
	}
	return ""
}

// Teach implements [Teacher].
func (o or) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	return o.answer(ctx, b, nil)
}

// answer is Teach in the memory of s, where that fits.
func (o or) answer(ctx context.Context, b data.Batch, s data.Signals) (data.Signals, error) {
	if o.first == nil || o.second == nil {
		return nil, errNoOr
	}
	answer, err := Ask(ctx, o.first, b, s)
	if errors.Is(err, ErrMissing) {
		return Ask(ctx, o.second, b, s)
	}
	return answer, err
}

// Covers is what first says, if it can: see [Cache.Covers].
func (o or) Covers(spec data.Spec) error { return covers(spec, o.first) }
