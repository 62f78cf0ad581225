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
	// Draw says which rows an epoch has, as [Balanced] does. Nil means each
	// once. A row that is drawn again in an epoch has another view, where the
	// set has several.
	Draw Draw
	// DropLast leaves out the rows at the end of an epoch that fill no batch, as
	// a batch norm over (B, C) may want, which cannot do with one row.
	DropLast bool
	// Prefetch is how many batches are read ahead, by a goroutine that lives
	// as long as the range over Batches. 0 means 2; -1 reads each when it is
	// asked for.
	Prefetch int `config:"-"` // no byte of a run depends on it
	// Workers is how many goroutines read the rows of a batch. 0 means as many
	// as there are processors where images are decoded, and else 1.
	Workers int `config:"-"`
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
	if l.InOrder {
		return 1
	}
	return views(l.Views, have)
}

// Len is the number of batches in an epoch. It is 0 without a set or a size of
// the batch.
func (l Loader) Len() int {
	if l.Set == nil || l.Batch < 1 {
		return 0
	}
	n := l.rows() / l.Batch
	if l.rows()%l.Batch > 0 && !l.DropLast {
		n++
	}
	return n
}

// IDs implements [Listed]: they are the set's, in its order.
func (l Loader) IDs() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if l.Set == nil {
			return
		}
		for i := range l.Set.Len() {
			if !yield(l.Set.ID(i)) {
				return
			}
		}
	}
}

// rows is how many an epoch has.
func (l Loader) rows() int {
	if l.Draw != nil {
		return l.Draw.Len()
	}
	return l.Set.Len()
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
	if l.Set == nil {
		return fmt.Errorf("data: Loader.Set is nil; want a Set")
	}
	if err := checkReading("Loader", l.Batch, l.Views, l.Workers, l.Prefetch); err != nil {
		return err
	}
	switch {
	case l.Set.Len() < 1:
		return fmt.Errorf("data: Loader.Set is empty; want 1 sample or more")
	case l.Draw != nil && l.InOrder:
		return fmt.Errorf("data: Loader.InOrder is true, with a Draw; want one of them")
	case l.Draw != nil && (l.Draw.Len() < 1 || l.Draw.Len() > maxElements):
		return fmt.Errorf("data: Loader.Draw has %d rows in an epoch; want 1 to %d", l.Draw.Len(), maxElements)
	}
	if l.Len() < 1 {
		return fmt.Errorf("data: Loader.DropLast leaves nothing of %d rows; want Loader.Batch, which is %d, or more", l.rows(), l.Batch)
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
	f := &filler{set: l.Set, spec: l.Spec(), seed: l.Seed, epoch: epoch, workers: workers(l.Workers, l.Set)}
	wrong := l.deal(f)
	return func(yield func(Batch, error) bool) {
		if wrong != nil {
			yield(Batch{}, wrong)
			return
		}
		for start := from * l.Batch; start < min(l.Len()*l.Batch, len(f.rows)); start += l.Batch {
			b, err := room(f.spec, l.Batch)
			if err == nil {
				err = f.fill(&b, start, min(start+l.Batch, len(f.rows)))
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// deal sets the rows of an epoch, a function of Seed and epoch.
func (l Loader) deal(f *filler) (err error) {
	rng := generator(l.Seed, uint64(f.epoch))
	switch {
	case l.Draw != nil:
		f.rows = l.Draw.Rows(rng)
		f.again, err = l.count(f.rows)
	case l.InOrder:
		f.rows = Range(0, l.Set.Len())
	default:
		f.rows = rng.Perm(l.Set.Len())
	}
	return err
}

// count says of each row that was drawn how often it was before, and what is
// wrong with them, if anything.
func (l Loader) count(order []int) (again []int, err error) {
	if n := l.Draw.Len(); len(order) != n {
		return nil, fmt.Errorf("data: Loader.Draw drew %d rows; its Len is %d", len(order), n)
	}
	drawn := make([]int, l.Set.Len())
	again = make([]int, len(order))
	for i, row := range order {
		if row < 0 || row >= len(drawn) {
			return nil, fmt.Errorf("data: Loader.Draw drew row %d; want 0 to %d", row, len(drawn)-1)
		}
		again[i] = drawn[row]
		drawn[row]++
	}
	return again, nil
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
