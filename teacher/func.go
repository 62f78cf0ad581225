package teacher

import (
	"context"
	"errors"

	"github.com/godistill/godistill/data"
)

// A Func is a Teacher made of a card and a function: a rule, a remote service,
// a network of another library.
type Func struct {
	// Says is the card. Its Fingerprint must change whenever Do answers
	// something else; without one the teacher cannot be recorded.
	Says Card
	// Do answers a batch, as Teach.
	Do func(ctx context.Context, b data.Batch) (data.Signals, error)
}

// Card implements [Teacher].
func (f Func) Card() (Card, error) { return f.Says, nil }

// Teach implements [Teacher].
func (f Func) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	if f.Do == nil {
		return nil, errors.New("teacher: Func.Do is nil; want a function")
	}
	return f.Do(ctx, b)
}
