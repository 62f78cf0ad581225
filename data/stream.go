package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
)

// A Record is one sample of a stream.
type Record struct {
	// ID is the stable name of the sample: the same in every epoch.
	ID uint64
	// Read writes the sample to dst, as the Read of a [Set] does. It is called
	// once, or not at all, after the records that follow may have been made,
	// and beside others.
	Read func(dst Sample) error
}

// A Stream is a [Source] of records that come one after another: from a file
// too large for memory, an archive, a network, a generator. It does not know how
// many there are. The last batch of an epoch is padded to the size of the others.
//
//	stream := data.Stream{
//		Each:   data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{3}, Dtype: tensor.Float32}}},
//		Open:   lines("train.txt"), // func(ctx, epoch) iter.Seq2[data.Record, error]
//		Batch:  64,
//		Buffer: 10_000,
//	}
//
// What it yields depends on its fields, the epoch and the number of the first
// batch alone, if what Open yields does. A batch in the middle of an epoch is
// reached by passing over the records before it, which are not read.
type Stream struct {
	// Each describes the records: inputs, labels, classes, norms. Views is 0
	// or 1. Fingerprint is a hash of all of them, or zero if there is none:
	// then a run that is resumed cannot tell that they are others.
	Each Spec
	// Open yields the records of an epoch, the same ones whenever it is called
	// with that number. It may be called more than once for an epoch, and is
	// stopped before the end by its context or by its yield: it has to return when
	// that says false. An error is the last that it yields; so is a panic, which
	// becomes one.
	Open func(ctx context.Context, epoch int) iter.Seq2[Record, error]
	// Through are decorators of single samples that the records go through, the
	// first one first, such as Shift{}.Of. Those that need the whole set, as
	// Mixup and Subset do, are refused.
	Through []func(Set) (Set, error)
	// Batch is the number of rows in a batch, 1 or more.
	Batch int
	// Buffer is how many records are held back for shuffling: each is dealt
	// from a random place among so many. 0 keeps the order.
	Buffer int
	// Seed is that of the order of each epoch, and of the views in it.
	Seed uint64
	// Views is how many views of each sample are used, of those that Through
	// makes. 0 means all.
	Views int
	// Prefetch is how many batches are read ahead, by a goroutine that lives
	// as long as the range over Batches, 1024 at most. 0 means 2; -1 reads each
	// when it is asked for.
	Prefetch int `config:"-"` // no byte of a run depends on it
	// Workers is how many goroutines read the rows of a batch. 0 means 1.
	Workers int `config:"-"`
}

// maxPrefetch bounds what is read ahead of a stream, which has no length that
// would.
const maxPrefetch = 1024

// Spec implements [Source]. It is zero where Through fails, as [Stream.Validate]
// says.
func (s Stream) Spec() Spec {
	_, spec, err := s.set(&window{})
	if err != nil {
		return Spec{}
	}
	return spec
}

// Batches implements [Source]. From may be as high as the number of batches:
// nothing is left of the epoch then. A cancelled context ends the stream with
// its error.
func (s Stream) Batches(ctx context.Context, epoch, from int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if err := s.check(epoch, from); err != nil {
			yield(Batch{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		n := s.Prefetch
		if n == 0 {
			n = 2
		}
		ahead(max(n, 0), s.read(ctx, epoch, from))(func(b Batch, err error) (more bool) {
			defer func() {
				if !more {
					cancel() // Open may wait for something, and ahead waits for Open
				}
			}()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Batch{}, err)
				return false
			}
			return yield(b, nil)
		})
	}
}

// Validate says what is wrong with the fields, if anything.
func (s Stream) Validate() error {
	if s.Open == nil {
		return errors.New("data: Stream.Open is nil; want a function")
	}
	if err := checkReading("Stream", s.Batch, s.Views, s.Workers, s.Prefetch); err != nil {
		return err
	}
	switch {
	case s.Buffer < 0:
		return fmt.Errorf("data: Stream.Buffer is %d; want 0 or more", s.Buffer)
	case s.Prefetch > maxPrefetch:
		return fmt.Errorf("data: Stream.Prefetch is %d; want %d at most", s.Prefetch, maxPrefetch)
	case s.Each.Views < 0 || s.Each.Views > 1:
		return fmt.Errorf("data: Stream.Each.Views is %d; want 0 or 1, for Through makes the others", s.Each.Views)
	}
	_, spec, err := s.set(&window{})
	if err != nil {
		return err
	}
	return spec.check(s.Batch)
}

func (s Stream) check(epoch, from int) error {
	if err := s.Validate(); err != nil {
		return err
	}
	switch {
	case epoch < 0:
		return fmt.Errorf("data: epoch is %d; want 0 or more", epoch)
	case from < 0:
		return fmt.Errorf("data: first batch is %d; want 0 or more", from)
	}
	return nil
}

// set is the records in a window, gone through the decorators.
func (s Stream) set(w *window) (Set, Spec, error) {
	w.spec = s.Each
	w.spec.Views = 1
	set := Set(w)
	for i, decorate := range s.Through {
		if decorate == nil {
			return nil, Spec{}, fmt.Errorf("data: Stream.Through[%d] is nil; want a function", i)
		}
		next, err := decorate(set)
		if err != nil {
			return nil, Spec{}, fmt.Errorf("data: Stream.Through[%d]: %w", i, err)
		}
		if next == nil || next.Len() != 0 {
			return nil, Spec{}, fmt.Errorf("data: Stream.Through[%d] makes a set of its own; want one of single samples of the set that it is given", i)
		}
		set = next
	}
	spec := set.Spec()
	spec.Views = views(s.Views, spec.Views)
	if s.Each.Fingerprint == [32]byte{} {
		spec.Fingerprint = [32]byte{} // decorated, the unknown is unknown
	}
	return set, spec, nil
}

// A window is the records of one batch as a set. Its length is 0, for there is
// no random access: decorators that need it say that the set is empty.
type window struct {
	spec    Spec
	records []Record
}

func (w *window) Len() int        { return 0 }
func (w *window) Spec() Spec      { return w.spec }
func (w *window) ID(i int) uint64 { return w.records[i].ID }

func (w *window) Read(i int, view uint64, dst Sample) error {
	if view != 0 {
		return fmt.Errorf("view %d of a record with one view", view)
	}
	return w.records[i].Read(dst)
}

// read yields the batches of an epoch, one at a time.
func (s Stream) read(ctx context.Context, epoch, from int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		w := &window{}
		set, spec, err := s.set(w)
		if err != nil {
			yield(Batch{}, err)
			return
		}
		f := &filler{set: set, spec: spec, seed: s.Seed, epoch: epoch, workers: workers(s.Workers, set), rows: Range(0, s.Batch)}
		for records, err := range s.windows(ctx, epoch, from) {
			w.records = records
			var b Batch
			if err == nil {
				b, err = NewBatch(spec, s.Batch)
			}
			if err == nil {
				err = f.fill(&b, 0, len(records))
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// windows yields the records of batch after batch, in a slice that it writes to
// again.
func (s Stream) windows(ctx context.Context, epoch, from int) iter.Seq2[[]Record, error] {
	return func(yield func([]Record, error) bool) {
		var held []Record
		n := 0 // records so far
		rng := generator(s.Seed, uint64(epoch))
		for r, err := range shuffle(rng, s.Buffer, s.records(ctx, epoch)) {
			if err != nil {
				yield(nil, err)
				return
			}
			if n++; (n-1)/s.Batch < from {
				continue
			}
			if held = append(held, r); len(held) < s.Batch {
				continue
			}
			if !yield(held, nil) {
				return
			}
			clear(held) // what a record holds is not held any more
			held = held[:0]
		}
		if all := (n + s.Batch - 1) / s.Batch; from > all {
			yield(nil, fmt.Errorf("data: first batch is %d; want 0 to %d", from, all))
			return
		}
		if len(held) > 0 {
			yield(held, nil)
		}
	}
}

// shuffle yields each value of seq from a random place among n that are held.
func shuffle[T any](rng *rand.Rand, n int, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	if n < 2 {
		return seq
	}
	return func(yield func(T, error) bool) {
		var held []T
		for v, err := range seq {
			if err == nil && len(held) < n {
				held = append(held, v)
				continue
			}
			if err == nil {
				i := rng.IntN(n)
				v, held[i] = held[i], v
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
		rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		for _, v := range held {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// records are those that Open yields. They are pulled, so that a panic in there
// is told from one of whoever the records are for.
func (s Stream) records(ctx context.Context, epoch int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		next, stop := iter.Pull2(func(yield func(Record, error) bool) { s.Open(ctx, epoch)(yield) })
		defer stop()
		for n := 0; ; n++ {
			r, more, err := pull(next)
			if err = cmp.Or(err, ctx.Err()); err == nil && more && r.Read == nil {
				err = errors.New("its Read is nil; want a function")
			}
			if err != nil {
				err = fmt.Errorf("data: Stream.Open: epoch %d, record %d: %w", epoch, n, err)
			}
			if err == nil && !more || !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// pull is next, with an error for a panic.
func pull(next func() (Record, error, bool)) (r Record, more bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	r, err, more = next()
	return r, more, err
}
