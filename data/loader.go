package data

import (
	"context"
	"fmt"
	"iter"
)

// A Loader deals out a set in batches. It is a [Counted] source, and what it
// yields depends on its fields, the epoch and the number of the first batch
// alone. The last batch of an epoch is padded to the size of the others.
//
// Each row is checked, as [Batch.Append] does.
type Loader struct {
	// Set is what is read.
	Set Set
	// Batch is the number of rows in a batch, 1 or more.
	Batch int
	// Seed is that of the order of each epoch, and of the views in it.
	Seed uint64
	// Views is how many views of each sample are used, of those that the set
	// has. 0 means all.
	Views int
	// InOrder reads the set from first to last, view 0 of each sample: for
	// evaluation.
	InOrder bool
	// Prefetch is how many batches are read ahead, by a goroutine that lives
	// as long as the range over Batches. 0 means 2; -1 reads each when it is
	// asked for.
	Prefetch int `config:"-"` // no byte of a run depends on it
}

// Spec implements [Source]: it is the set's, with the number of views that are
// used. Without a set it is zero.
func (l Loader) Spec() Spec {
	if l.Set == nil {
		return Spec{}
	}
	s := l.Set.Spec()
	s.Views = l.views(s.Views)
	return s
}

func (l Loader) views(have int) int {
	switch {
	case l.InOrder:
		return 1
	case l.Views == 0:
		return have
	case have == 0:
		return l.Views
	}
	return min(have, l.Views)
}

// Len is the number of batches in an epoch. It is 0 without a set or a size of
// the batch.
func (l Loader) Len() int {
	if l.Set == nil || l.Batch < 1 {
		return 0
	}
	n := l.Set.Len() / l.Batch
	if l.Set.Len()%l.Batch > 0 {
		n++
	}
	return n
}

// Batches implements [Source]. From may be as high as Len: nothing is left of
// the epoch then. A cancelled context ends the stream with its error.
func (l Loader) Batches(ctx context.Context, epoch, from int) iter.Seq2[Batch, error] {
	return l.batches(ctx, epoch, from, NewBatch)
}

// batches is Batches, reading into what room makes.
func (l Loader) batches(ctx context.Context, epoch, from int, room func(Spec, int) (Batch, error)) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if err := l.check(epoch, from); err != nil {
			yield(Batch{}, err)
			return
		}
		for b, err := range ahead(l.prefetch(), l.read(epoch, from, room)) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Validate says what is wrong with the fields, if anything.
func (l Loader) Validate() error {
	switch {
	case l.Set == nil:
		return fmt.Errorf("data: Loader.Set is nil; want a Set")
	case l.Batch < 1:
		return fmt.Errorf("data: Loader.Batch is %d; want 1 or more", l.Batch)
	case l.Views < 0:
		return fmt.Errorf("data: Loader.Views is %d; want 0 or more", l.Views)
	case l.Prefetch < -1:
		return fmt.Errorf("data: Loader.Prefetch is %d; want -1 or more", l.Prefetch)
	case l.Set.Len() < 1:
		return fmt.Errorf("data: Loader.Set is empty; want 1 sample or more")
	}
	return nil
}

func (l Loader) check(epoch, from int) error {
	if err := l.Validate(); err != nil {
		return err
	}
	switch {
	case epoch < 0:
		return fmt.Errorf("data: epoch is %d; want 0 or more", epoch)
	case from < 0 || from > l.Len():
		return fmt.Errorf("data: first batch is %d; want 0 to %d", from, l.Len())
	}
	return nil
}

func (l Loader) prefetch() int {
	if l.Prefetch == 0 {
		return 2
	}
	return min(max(l.Prefetch, 0), l.Len())
}

// read yields the batches of an epoch, one at a time. Whatever calls the set
// outside of the iterator does so on the caller's goroutine.
func (l Loader) read(epoch, from int, room func(Spec, int) (Batch, error)) iter.Seq2[Batch, error] {
	spec, order := l.Spec(), l.order(epoch)
	return func(yield func(Batch, error) bool) {
		for start := from * l.Batch; start < len(order); start += l.Batch {
			rows := order[start:min(start+l.Batch, len(order))]
			b, err := room(spec, l.Batch)
			if err == nil {
				err = l.fill(&b, spec, epoch, rows)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// order is the rows of an epoch, a function of Seed and epoch.
func (l Loader) order(epoch int) []int {
	if !l.InOrder {
		return generator(l.Seed, uint64(epoch)).Perm(l.Set.Len())
	}
	order := make([]int, l.Set.Len())
	for i := range order {
		order[i] = i
	}
	return order
}

// fill reads the rows into an empty batch.
func (l Loader) fill(b *Batch, spec Spec, epoch int, rows []int) error {
	view := func(id uint64) uint64 { return l.view(spec.Views, epoch, id) }
	for _, i := range rows {
		if err := b.read(l.Set, i, view, spec); err != nil {
			return err
		}
	}
	return nil
}

// view is drawn from the sample's id rather than its place, so that a subset
// sees the views that the whole set sees.
func (l Loader) view(views, epoch int, id uint64) uint64 {
	switch views {
	case 0:
		return mix(l.Seed, uint64(epoch), id)
	case 1:
		return 0
	}
	return mix(l.Seed, uint64(epoch), id) % uint64(views)
}

// ahead is seq, of which up to n values are made before they are asked for, by
// a goroutine that has ended when the range over ahead has.
func ahead[T any](n int, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	if n == 0 {
		return seq
	}
	type item struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		items := make(chan item, n-1) // one more waits to be sent
		quit := make(chan struct{})
		go func() {
			defer close(items)
			for v, err := range seq {
				select {
				case items <- item{v, err}:
				case <-quit:
					return
				}
			}
		}()
		defer func() {
			close(quit)
			for range items {
			}
		}()
		for it := range items {
			if !yield(it.value, it.err) {
				return
			}
		}
	}
}
