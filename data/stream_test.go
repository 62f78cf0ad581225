package data_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

// records streams the samples of a set in their order.
func records(set data.Set) func(context.Context, int) iter.Seq2[data.Record, error] {
	return func(context.Context, int) iter.Seq2[data.Record, error] {
		return func(yield func(data.Record, error) bool) {
			for i := range set.Len() {
				read := func(dst data.Sample) error { return set.Read(i, 0, dst) }
				if !yield(data.Record{ID: set.ID(i), Read: read}, nil) {
					return
				}
			}
		}
	}
}

func streamOf(set data.Set, batch int) data.Stream {
	return data.Stream{Each: set.Spec(), Open: records(set), Batch: batch}
}

// Without a buffer, a stream of a set is the set in order.
func TestStreamIsInOrder(t *testing.T) {
	set := must(grid(23).WithIDs(slices.Collect(func(yield func(uint64) bool) {
		for i := range uint64(23) {
			yield(100 - i)
		}
	})))
	for _, batch := range []int{1, 4, 23, 30} {
		want := must(drain(data.Loader{Set: set, Batch: batch, InOrder: true}, 0, 0))
		for _, buffer := range []int{0, 1} {
			s := streamOf(set, batch)
			s.Buffer = buffer
			if diff := cmp.Diff(want, must(drain(s, 5, 0)), denses); diff != "" {
				t.Errorf("batch %d: %s", batch, diff)
			}
		}
	}
	if got, want := streamOf(set, 3).Spec(), set.Spec(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Spec is %+v; want %+v", got, want)
	}
}

// Whatever its buffer, seed and epoch: an epoch is a permutation, its tail is the
// same when it starts there, and neither reading ahead nor helpers change it.
func TestStreamProperties(t *testing.T) {
	set := grid(23)
	shift := func(s data.Set) (data.Set, error) { return data.Shift{}.Of(s) }
	noisy := data.Augment{Name: "noise", Do: noise}.Of
	rapid.Check(t, func(r *rapid.T) {
		s := data.Stream{
			Each: set.Spec(), Open: records(set),
			Through:  rapid.SampledFrom([][]func(data.Set) (data.Set, error){nil, {shift}, {shift, noisy}, {data.Flip{}.Of, data.Crop{Pad: 1}.Of}}).Draw(r, "through"),
			Batch:    rapid.IntRange(1, 30).Draw(r, "batch"),
			Buffer:   rapid.IntRange(0, 40).Draw(r, "buffer"),
			Seed:     rapid.Uint64().Draw(r, "seed"),
			Views:    rapid.IntRange(0, 5).Draw(r, "views"),
			Prefetch: -1,
		}
		all := must(drain(s, 3, 0))
		order := ids(all)
		slices.Sort(order)
		for i, id := range order {
			if uint64(i) != id || len(order) != 23 {
				r.Fatalf("samples are not a permutation: %v", ids(all))
			}
		}
		from := rapid.IntRange(0, len(all)).Draw(r, "from")
		s.Prefetch = rapid.IntRange(0, 4).Draw(r, "prefetch")
		s.Workers = rapid.IntRange(0, 4).Draw(r, "workers")
		if diff := cmp.Diff(all[from:], append([]data.Batch{}, must(drain(s, 3, from))...), denses); diff != "" {
			r.Fatal(diff)
		}
		for _, b := range all {
			checkPadding(r, b)
			checkViews(r, b, s.Spec().Views)
		}
	})
}

func TestStreamShuffles(t *testing.T) {
	s := streamOf(grid(200), 200)
	s.Buffer = 10
	order := func(epoch int) []uint64 { return ids(must(drain(s, epoch, 0))) }
	first := order(0)
	if slices.IsSorted(first) || slices.Equal(first, order(1)) {
		t.Error("epochs are in order, or in one order")
	}
	early := 0
	for i, id := range first {
		if int(id) > i+10 {
			t.Errorf("place %d has record %d, which a buffer of 10 has not seen", i, id)
		}
		if int(id) < i {
			early++
		}
	}
	if early < 50 {
		t.Errorf("%d records of 200 are held back; want more", early)
	}
	s.Seed++
	if slices.Equal(first, order(0)) {
		t.Error("the seed changes nothing")
	}
}

// The views of a stream are those of a loader, and what is passed over is not
// read.
func TestStreamThrough(t *testing.T) {
	set := grid(23)
	norm := must(data.FitNorm(set))
	normalize := func(s data.Set) (data.Set, error) { return data.Normalize(s, norm) }
	reads := 0
	counted := fake{Set: set, read: func(int, data.Sample) error { reads++; return nil }}
	s := streamOf(counted, 5)
	s.Through = []func(data.Set) (data.Set, error){normalize, data.Shift{}.Of}
	s.Seed, s.Prefetch = 3, -1
	l := data.Loader{Set: must(data.Shift{}.Of(must(normalize(set)))), Batch: 5, Seed: 3}
	if got, want := s.Spec(), l.Spec(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Spec is %+v; want %+v", got, want)
	}
	want := map[uint64]string{}
	for _, b := range must(drain(l, 2, 0)) {
		for r, id := range b.ID {
			want[id.Sample] = fmt.Sprint(id.View, data.Row[float32](b.In["x"], r))
		}
	}
	tail := must(drain(s, 2, 3))
	if reads != 8 {
		t.Errorf("%d records were read for the last 8", reads)
	}
	for _, b := range tail {
		for r, id := range b.ID {
			if got := fmt.Sprint(id.View, data.Row[float32](b.In["x"], r)); got != want[id.Sample] {
				t.Errorf("sample %d is %s; want %s", id.Sample, got, want[id.Sample])
			}
		}
	}
	s.Each.Fingerprint = [32]byte{}
	if s.Spec().Fingerprint != ([32]byte{}) {
		t.Error("of unknown records there is a fingerprint")
	}
}

// ending is a stream that yields the samples of grid(9), but for one.
func ending(at int, end func(yield func(data.Record, error) bool) bool) data.Stream {
	set := grid(9)
	s := streamOf(set, 3)
	s.Open = func(ctx context.Context, epoch int) iter.Seq2[data.Record, error] {
		return func(yield func(data.Record, error) bool) {
			n := 0
			for r, err := range records(set)(ctx, epoch) {
				if n++; n-1 == at && !end(yield) || n-1 != at && !yield(r, err) {
					return
				}
			}
		}
	}
	return s
}

func TestStreamTellsErrors(t *testing.T) {
	boom := errors.New("boom")
	bad := func(read func(data.Sample) error) func(func(data.Record, error) bool) bool {
		return func(yield func(data.Record, error) bool) bool { return yield(data.Record{ID: 77, Read: read}, nil) }
	}
	for name, test := range map[string]struct {
		end  func(yield func(data.Record, error) bool) bool
		want string
	}{
		"error":      {func(yield func(data.Record, error) bool) bool { return yield(data.Record{}, boom) }, "data: Stream.Open: epoch 4, record 7: boom"},
		"panic":      {func(func(data.Record, error) bool) bool { panic("oh no") }, "data: Stream.Open: epoch 4, record 7: panic: oh no"},
		"no read":    {bad(nil), "epoch 4, record 7: its Read is nil"},
		"read":       {bad(func(data.Sample) error { return boom }), "data: row 1, sample 77: boom"},
		"read panic": {bad(func(data.Sample) error { panic("oh no") }), "data: row 1, sample 77: panic: oh no"},
		"label": {bad(func(dst data.Sample) error {
			dst.Batch.Label.Ints()[dst.Row] = 9
			return nil
		}), "data: row 1, sample 77: label is 9; want -1 to 3"},
	} {
		for _, prefetch := range []int{-1, 1, 3} {
			t.Run(name, func(t *testing.T) {
				defer goleak.VerifyNone(t)
				s := ending(7, test.end)
				s.Prefetch = prefetch
				batches, err := drain(s, 4, 0)
				wantError(t, err, test.want)
				if len(batches) != 2 {
					t.Errorf("%d batches before the error; want 2", len(batches))
				}
			})
		}
	}
	s := streamOf(grid(3), 3)
	s.Open = func(context.Context, int) iter.Seq2[data.Record, error] { panic("oh no") }
	_, err := drain(s, 0, 0)
	wantError(t, err, "record 0: panic: oh no")
	s.Open = func(context.Context, int) iter.Seq2[data.Record, error] { return nil }
	_, err = drain(s, 0, 0)
	wantError(t, err, "record 0: panic: ")
}

// A stream that waits for its next record is not waited for.
func TestStreamStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	waiting := func(closed *bool) data.Stream {
		s := streamOf(grid(7), 3)
		s.Open = func(ctx context.Context, epoch int) iter.Seq2[data.Record, error] {
			return func(yield func(data.Record, error) bool) {
				defer func() { *closed = true }()
				for r, err := range records(grid(7))(ctx, epoch) {
					if !yield(r, err) {
						return
					}
				}
				<-ctx.Done()
				yield(data.Record{}, ctx.Err())
			}
		}
		return s
	}
	for _, prefetch := range []int{-1, 0, 4} {
		var broken, cancelled, panicked bool
		s := waiting(&broken)
		s.Prefetch = prefetch
		for range s.Batches(ctx, 0, 0) {
			break
		}
		s = waiting(&panicked)
		s.Prefetch = prefetch
		func() {
			defer func() {
				if recover() != "in the loop" {
					t.Error("the panic is lost")
				}
			}()
			for range s.Batches(ctx, 0, 0) {
				panic("in the loop")
			}
		}()
		s = waiting(&cancelled)
		s.Prefetch = prefetch
		ctx, cancel := context.WithCancel(ctx)
		var got []error
		for _, err := range s.Batches(ctx, 0, 0) {
			if got = append(got, err); len(got) == 2 {
				cancel()
			}
		}
		cancel()
		if len(got) != 3 || !errors.Is(got[2], context.Canceled) {
			t.Errorf("yielded %v; want two batches and the error once", got)
		}
		if !broken || !cancelled || !panicked {
			t.Errorf("Prefetch %d: Open has ended: %v, %v, %v; want it always", prefetch, broken, cancelled, panicked)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	ok := streamOf(grid(5), 2)
	for _, test := range []struct {
		change      func(*data.Stream)
		epoch, from int
		want        string
	}{
		{func(s *data.Stream) { s.Open = nil }, 0, 0, "data: Stream.Open is nil; want a function"},
		{func(s *data.Stream) { s.Batch = 0 }, 0, 0, "data: Stream.Batch is 0; want 1 or more"},
		{func(s *data.Stream) { s.Views = -1 }, 0, 0, "data: Stream.Views is -1"},
		{func(s *data.Stream) { s.Workers = -1 }, 0, 0, "data: Stream.Workers is -1"},
		{func(s *data.Stream) { s.Prefetch = -2 }, 0, 0, "data: Stream.Prefetch is -2"},
		{func(s *data.Stream) { s.Prefetch = 1025 }, 0, 0, "data: Stream.Prefetch is 1025; want 1024 at most"},
		{func(s *data.Stream) { s.Buffer = -1 }, 0, 0, "data: Stream.Buffer is -1; want 0 or more"},
		{func(s *data.Stream) { s.Each.Views = 2 }, 0, 0, "data: Stream.Each.Views is 2; want 0 or 1"},
		{func(s *data.Stream) { s.Each.In = nil }, 0, 0, "data: Spec.In is empty"},
		{func(s *data.Stream) { s.Through = []func(data.Set) (data.Set, error){nil} }, 0, 0, "data: Stream.Through[0] is nil"},
		{func(s *data.Stream) {
			s.Through = []func(data.Set) (data.Set, error){data.Flip{}.Of, data.Crop{Pad: 7}.Of}
		}, 0, 0, "data: Stream.Through[1]: data: Crop.Pad is 7"},
		{func(s *data.Stream) { s.Through = []func(data.Set) (data.Set, error){data.Mixup{}.Of} }, 0, 0, "Mixup of a set of 0"},
		{func(s *data.Stream) {
			s.Through = []func(data.Set) (data.Set, error){func(s data.Set) (data.Set, error) { return data.HideLabels(s, func(int) bool { return true }) }}
		}, 0, 0, "HideLabels of an empty set"},
		{func(s *data.Stream) {
			s.Through = []func(data.Set) (data.Set, error){func(data.Set) (data.Set, error) { return grid(3), nil }}
		}, 0, 0, "data: Stream.Through[0] makes a set of its own"},
		{func(*data.Stream) {}, -1, 0, "epoch is -1"},
		{func(*data.Stream) {}, 0, -1, "first batch is -1"},
		{func(*data.Stream) {}, 0, 4, "first batch is 4; want 0 to 3"},
	} {
		s := ok
		test.change(&s)
		batches, err := drain(s, test.epoch, test.from)
		wantError(t, err, test.want)
		if len(batches) > 0 {
			t.Errorf("%d batches before %q", len(batches), test.want)
		}
	}
	if n := len(must(drain(ok, 0, 3))); n != 0 {
		t.Errorf("%d batches after the last", n)
	}
	if s := (data.Stream{Through: []func(data.Set) (data.Set, error){nil}}).Spec(); s.In != nil || s.Label.Dtype != (tensor.Dtype{}) {
		t.Errorf("a stream that is not valid has Spec %+v", s)
	}
}
