package teacher

import (
	"context"
	"errors"

	"github.com/godistill/godistill/data"
)

// Live is t with a card that says it may change while a student learns from
// it, as a peer or a moving average of the student does. A run asks it in its
// turn, after the step before was delivered.
func Live(t Teacher) Teacher { return live{t} }

type live struct{ Teacher }

var errNoLive = errors.New("teacher: Live has a nil teacher; want one")

func (l live) Card() (Card, error) {
	if l.Teacher == nil {
		return Card{}, errNoLive
	}
	card, err := l.Teacher.Card()
	card.Live = true
	return card, err
}

func (l live) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	if l.Teacher == nil {
		return nil, errNoLive
	}
	return l.Teacher.Teach(ctx, b)
}

// Covers is what the teacher says, if it can: see [Cache.Covers].
func (l live) Covers(spec data.Spec) error { return covers(spec, l.Teacher) }
