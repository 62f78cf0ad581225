package data

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"gorgonia.org/tensor"
)

// A Lender is a Loader that takes batches back, and reads others into their
// memory: a loop over it makes no garbage. It yields what the Loader does. It
// may be used from many goroutines.
//
//	lender := &data.Lender{Loader: loader}
//	for batch, err := range lender.Batches(ctx, epoch, 0) {
//		...
//		lender.TakeBack(batch)
//	}
type Lender struct {
	Loader

	mu    sync.Mutex
	spare []Batch
}

// Batches implements [Source]. A batch is the reader's to keep until it gives
// it back.
func (l *Lender) Batches(ctx context.Context, epoch, from int) iter.Seq2[Batch, error] {
	return l.batches(ctx, epoch, from, l.room)
}

// TakeBack ends the use of a batch that Batches has yielded: nobody may read or
// write it any more. It is called once for a batch, or not at all.
func (l *Lender) TakeBack(b Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = append(l.spare, b)
}

// room is NewBatch in the memory of a batch that was taken back.
func (l *Lender) room(s Spec, rows int) (Batch, error) {
	for {
		b, ok := l.pop()
		switch {
		case !ok:
			return NewBatch(s, rows)
		case b.fits(s, rows):
			b.empty()
			return b, nil
		}
	}
}

func (l *Lender) pop() (b Batch, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.spare) - 1
	if n < 0 {
		return b, false
	}
	b, l.spare = l.spare[n], l.spare[:n]
	return b, true
}

// fits says whether the tensors are those of a batch that NewBatch makes.
func (b *Batch) fits(s Spec, rows int) bool {
	weight := Field{Dtype: tensor.Float32}
	if s.Label.Dtype == tensor.Int {
		weight.Shape = s.Label.Shape
	}
	return s.labelled() == (b.Label != nil) && (b.Label == nil || s.Label.holds(b.Label, rows)) &&
		weight.holds(b.Weight, rows) &&
		maps.EqualFunc(b.In, s.In, func(t *tensor.Dense, f Field) bool { return f.holds(t, rows) })
}

// holds says whether t is n rows of the field, and nothing else.
func (f Field) holds(t *tensor.Dense, n int) bool {
	return t != nil && t.Dtype() == f.Dtype && len(t.Shape()) == 1+len(f.Shape) && t.Shape()[0] == n &&
		slices.Equal(t.Shape()[1:], f.Shape) && !t.RequiresIterator() && t.DataOrder().IsRowMajor()
}

// empty makes b what NewBatch made it.
func (b *Batch) empty() {
	b.N, b.ID = 0, b.ID[:0]
	for _, t := range b.In {
		t.Zero()
	}
	b.Weight.Zero()
	if b.Label != nil {
		b.Label.Zero()
	}
	if b.Label != nil && b.Label.Dtype() == tensor.Int {
		fill(b.Label.Ints(), Unlabelled)
	}
}
