package data_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoaderPadsTheLastBatch(t *testing.T) {
	batches := must(drain(data.Loader{Set: grid(4), Batch: 3, InOrder: true}, 0, 1))
	x := make([]float32, 45)
	copy(x, count[float32](60)[45:])
	want := []data.Batch{{
		N:      1,
		ID:     []data.ID{{Sample: 3}},
		In:     data.Signals{"x": dense(x, 3, 3, 5)},
		Label:  dense([]int{3, -1, -1}, 3),
		Weight: dense([]float32{1, 0, 0}, 3),
	}}
	if diff := cmp.Diff(want, batches, denses); diff != "" {
		t.Error(diff)
	}
}

func TestLoaderPadsTokens(t *testing.T) {
	m := must(data.NewMemory(data.Signals{"x": dense(count[int](12), 4, 3)}, dense(count[int](12), 4, 3), nil))
	b := must(drain(data.Loader{Set: m, Batch: 3, InOrder: true}, 0, 1))[0]
	want := data.Batch{
		N:      1,
		ID:     []data.ID{{Sample: 3}},
		In:     data.Signals{"x": dense([]int{10, 11, 12, 0, 0, 0, 0, 0, 0}, 3, 3)},
		Label:  dense([]int{10, 11, 12, -1, -1, -1, -1, -1, -1}, 3, 3),
		Weight: dense([]float32{1, 1, 1, 0, 0, 0, 0, 0, 0}, 3, 3),
	}
	if diff := cmp.Diff(want, b, denses); diff != "" {
		t.Error(diff)
	}
}

// Whatever its size, seed and epoch: an epoch is a permutation, its tail is the
// same when it starts there, and reading ahead changes nothing.
func TestLoaderProperties(t *testing.T) {
	set := must(data.Augment{Name: "noise", Do: noise}.Of(must(data.Shift{}.Of(grid(23)))))
	rapid.Check(t, func(r *rapid.T) {
		l := data.Loader{
			Set:      set,
			Batch:    rapid.IntRange(1, 30).Draw(r, "batch"),
			Seed:     rapid.Uint64().Draw(r, "seed"),
			Views:    rapid.IntRange(0, 5).Draw(r, "views"),
			InOrder:  rapid.Bool().Draw(r, "in order"),
			Prefetch: -1,
		}
		epoch, from := rapid.IntRange(0, 99).Draw(r, "epoch"), rapid.IntRange(0, l.Len()).Draw(r, "from")
		all := must(drain(l, epoch, 0))
		if len(all) != l.Len() {
			r.Fatalf("%d batches; Len is %d", len(all), l.Len())
		}
		order := ids(all)
		slices.Sort(order)
		for i, id := range order {
			if uint64(i) != id || len(order) != 23 {
				r.Fatalf("samples are not a permutation: %v", ids(all))
			}
		}
		l.Prefetch = rapid.IntRange(0, 4).Draw(r, "prefetch")
		tail := must(drain(l, epoch, from))
		if diff := cmp.Diff(all[from:], append([]data.Batch{}, tail...), denses); diff != "" {
			r.Fatal(diff)
		}
		for _, b := range all {
			checkPadding(r, b)
			checkViews(r, b, l.Spec().Views)
		}
	})
}

func checkPadding(r *rapid.T, b data.Batch) {
	for row := range b.Weight.Shape()[0] {
		x, weight, label := data.Row[float32](b.In["x"], row), data.Row[float32](b.Weight, row)[0], data.Row[int](b.Label, row)[0]
		if row < b.N && weight != 1 {
			r.Fatalf("row %d has weight %v", row, weight)
		}
		if row >= b.N && (weight != 0 || label != data.Unlabelled || slices.ContainsFunc(x, func(v float32) bool { return v != 0 })) {
			r.Fatalf("padding %d has weight %v, label %d, input %v", row, weight, label, x)
		}
	}
}

func checkViews(r *rapid.T, b data.Batch, views int) {
	if len(b.ID) != b.N {
		r.Fatalf("%d ids for %d samples", len(b.ID), b.N)
	}
	for _, id := range b.ID {
		if views > 0 && id.View >= uint64(views) {
			r.Fatalf("view %d of %d", id.View, views)
		}
	}
}

func TestLoaderShuffles(t *testing.T) {
	l := data.Loader{Set: grid(40), Batch: 7, Seed: 1}
	first := ids(must(drain(l, 0, 0)))
	if slices.IsSorted(first) {
		t.Error("epoch 0 is in order")
	}
	if slices.Equal(first, ids(must(drain(l, 1, 0)))) {
		t.Error("epochs 0 and 1 have one order")
	}
	l.Seed = 2
	if slices.Equal(first, ids(must(drain(l, 0, 0)))) {
		t.Error("seeds 1 and 2 have one order")
	}
	// The order is part of what a resumed run relies on.
	if want := []uint64{9, 12, 15, 16, 11}; !slices.Equal(first[:5], want) {
		t.Errorf("seed 1, epoch 0 starts with %v; want %v", first[:5], want)
	}
}

func TestLoaderViews(t *testing.T) {
	shift := must(data.Shift{}.Of(grid(30)))
	free := must(data.Augment{Name: "noise", Do: noise}.Of(grid(30)))
	for _, test := range []struct {
		name      string
		loader    data.Loader
		views     int
		different int // at least so many, in two epochs
	}{
		{"plain", data.Loader{Set: grid(30)}, 1, 1},
		{"plain, many", data.Loader{Set: grid(30), Views: 4}, 1, 1},
		{"all", data.Loader{Set: shift}, 9, 9},
		{"some", data.Loader{Set: shift, Views: 3}, 3, 3},
		{"one", data.Loader{Set: shift, Views: 1}, 1, 1},
		{"too many", data.Loader{Set: shift, Views: 99}, 9, 9},
		{"in order", data.Loader{Set: shift, InOrder: true}, 1, 1},
		{"unbounded", data.Loader{Set: free}, 0, 60},
		{"bounded", data.Loader{Set: free, Views: 3}, 3, 3},
		{"unbounded, in order", data.Loader{Set: free, InOrder: true}, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.loader.Batch = 8
			if got := test.loader.Spec().Views; got != test.views {
				t.Errorf("Spec().Views is %d; want %d", got, test.views)
			}
			seen := make(map[uint64]bool)
			for epoch := range 2 {
				for _, b := range must(drain(test.loader, epoch, 0)) {
					for _, id := range b.ID {
						seen[id.View] = true
					}
				}
			}
			if len(seen) != test.different {
				t.Errorf("%d different views; want %d", len(seen), test.different)
			}
		})
	}
}

// A subset sees the views that the whole set sees.
func TestLoaderViewsFollowIDs(t *testing.T) {
	set := must(data.Shift{}.Of(grid(20)))
	views := func(s data.Set) map[uint64]uint64 {
		m := make(map[uint64]uint64)
		for _, b := range must(drain(data.Loader{Set: s, Batch: 6, Seed: 5}, 2, 0)) {
			for _, id := range b.ID {
				m[id.Sample] = id.View
			}
		}
		return m
	}
	whole := views(set)
	for id, view := range views(must(data.Subset(set, []int{3, 19, 8, 0}))) {
		if whole[id] != view {
			t.Errorf("sample %d has view %d in the subset, %d in the set", id, view, whole[id])
		}
	}
}

func TestLoaderRefuses(t *testing.T) {
	empty := fakeLen{grid(3), 0}
	ok := data.Loader{Set: grid(5), Batch: 2}
	for _, test := range []struct {
		name        string
		loader      data.Loader
		epoch, from int
		want        string
	}{
		{"set", data.Loader{Batch: 2}, 0, 0, "data: Loader.Set is nil; want a Set"},
		{"empty", data.Loader{Set: empty, Batch: 2}, 0, 0, "Loader.Set is empty"},
		{"batch", data.Loader{Set: grid(3)}, 0, 0, "data: Loader.Batch is 0; want 1 or more"},
		{"huge batch", data.Loader{Set: grid(3), Batch: math.MaxInt}, 0, 0, "batch of 9223372036854775807 rows"},
		{"large batch", data.Loader{Set: grid(3), Batch: math.MaxInt32}, 0, 0, "elements in 2147483647 rows"},
		{"views", data.Loader{Set: grid(3), Batch: 2, Views: -1}, 0, 0, "Loader.Views is -1"},
		{"prefetch", data.Loader{Set: grid(3), Batch: 2, Prefetch: -2}, 0, 0, "Loader.Prefetch is -2"},
		{"epoch", ok, -1, 0, "epoch is -1"},
		{"from", ok, 0, -1, "first batch is -1; want 0 to 3"},
		{"from past the end", ok, 0, 4, "first batch is 4; want 0 to 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			batches, err := drain(test.loader, test.epoch, test.from)
			wantError(t, err, test.want)
			if len(batches) > 0 {
				t.Errorf("%d batches before the error", len(batches))
			}
		})
	}
	wantError(t, data.Loader{Batch: 3}.Validate(), "data: Loader.Set is nil; want a Set")
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
	if n := len(must(drain(ok, 0, 3))); n != 0 {
		t.Errorf("%d batches after the last", n)
	}
	if n := (data.Loader{}).Len(); n != 0 {
		t.Errorf("the zero Loader has Len %d", n)
	}
	if views := (data.Loader{}).Spec().Views; views != 0 {
		t.Errorf("the zero Loader has %d views", views)
	}
	ok.Prefetch = math.MaxInt
	must(drain(ok, 0, 0))
}

type fakeLen struct {
	data.Set
	n int
}

func (f fakeLen) Len() int { return f.n }

func TestLoaderChecksRows(t *testing.T) {
	boom := errors.New("boom")
	base := must(grid(9).WithIDs([]uint64{10, 11, 12, 13, 14, 15, 16, 17, 18}))
	at := func(row int, do func(dst data.Sample) error) func(int, data.Sample) error {
		return func(i int, dst data.Sample) error {
			if i != row {
				return nil
			}
			return do(dst)
		}
	}
	for _, test := range []struct {
		name string
		set  fake
		want string
	}{
		{"error", fake{read: at(6, func(data.Sample) error { return boom })}, "row 6, sample 16: boom"},
		{"panic", fake{read: at(6, func(data.Sample) error { panic("oh no") })}, "row 6, sample 16: panic: oh no"},
		{"id", fake{id: func(i int) uint64 { return []uint64{1, 2, 3}[i] }}, "row 3, sample 0: panic: runtime error: index out of range"},
		{"nan", fake{read: at(6, func(dst data.Sample) error {
			data.Row[float32](dst.Batch.In["x"], dst.Row)[4] = float32(math.NaN())
			return nil
		})}, `sample 16: input "x" is not finite at element 4`},
		{"label", fake{read: at(6, func(dst data.Sample) error {
			data.Row[int](dst.Batch.Label, dst.Row)[0] = 4
			return nil
		})}, "sample 16: label is 4; want -1 to 3"},
		{"weight", fake{read: at(6, func(dst data.Sample) error {
			data.Row[float32](dst.Batch.Weight, dst.Row)[0] = float32(math.Inf(1))
			return nil
		})}, "sample 16: weight is +Inf"},
	} {
		for _, prefetch := range []int{-1, 2} {
			t.Run(test.name, func(t *testing.T) {
				defer goleak.VerifyNone(t)
				test.set.Set = base
				batches, err := drain(data.Loader{Set: test.set, Batch: 3, InOrder: true, Prefetch: prefetch}, 0, 0)
				wantError(t, err, test.want)
				if test.name == "error" && !errors.Is(err, boom) {
					t.Error("the set's error is lost")
				}
				if len(batches) > 2 {
					t.Errorf("%d batches before the error; want 2", len(batches))
				}
			})
		}
	}
}

func TestLoaderStopsOnBreak(t *testing.T) {
	for n := range 4 {
		for b, err := range (data.Loader{Set: grid(50), Batch: 3}).Batches(ctx, 0, n) {
			if err != nil || b.N != 3 {
				t.Fatal(b.N, err)
			}
			break
		}
		goleak.VerifyNone(t)
	}
}

func TestLoaderStopsOnCancel(t *testing.T) {
	for _, prefetch := range []int{-1, 0, 5} {
		ctx, cancel := context.WithCancel(ctx)
		var got []error
		for _, err := range (data.Loader{Set: grid(50), Batch: 3, Prefetch: prefetch}).Batches(ctx, 0, 0) {
			if got = append(got, err); len(got) == 2 {
				cancel()
			}
		}
		cancel()
		if len(got) != 3 || got[1] != nil || got[2] != context.Canceled {
			t.Errorf("yielded %v; want two batches and the error once", got)
		}
		goleak.VerifyNone(t)
	}
}

func TestLoaderStopsOnPanicInTheLoop(t *testing.T) {
	defer goleak.VerifyNone(t)
	defer func() {
		if recover() == nil {
			t.Error("the panic is lost")
		}
	}()
	for range (data.Loader{Set: grid(50), Batch: 3}).Batches(ctx, 0, 0) {
		panic("in the loop")
	}
}

// A set is read by several loaders at a time.
func TestLoadersShareASet(t *testing.T) {
	set := must(data.Shift{}.Of(must(data.Normalize(grid(60), must(data.FitNorm(grid(60)))))))
	l := data.Loader{Set: set, Batch: 7, Seed: 1}
	want := must(drain(l, 0, 0))
	done := make(chan string)
	for range 3 {
		go func() { done <- cmp.Diff(want, must(drain(l, 0, 0)), denses) }()
	}
	for range 3 {
		if diff := <-done; diff != "" {
			t.Error(diff)
		}
	}
}

func BenchmarkLoader(b *testing.B) {
	digits := must(data.Digits()).Train
	x := make([]uint8, 5000*784)
	for i := range x {
		x[i] = uint8(i)
	}
	wide := must(data.NewMemory(data.Signals{"x": dense(x, 5000, 28, 28)}, nil, nil))
	norm := must(data.Normalize(wide, must(data.FitNorm(wide))))
	for _, bench := range []struct {
		name string
		set  data.Set
	}{
		{"digits", digits},
		{"784", wide},
		{"784 normalized", norm},
		{"784 normalized and shifted", must(data.Shift{Pixels: 2}.Of(norm))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			l := data.Loader{Set: bench.set, Batch: 64, Seed: 1}
			rows := 0
			for epoch := 0; b.Loop(); epoch++ {
				for batch, err := range l.Batches(ctx, epoch, 0) {
					if err != nil {
						b.Fatal(err)
					}
					rows += batch.N
				}
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// Without its last batch an epoch has the others as they are, and may have none.
func TestLoaderDropsLast(t *testing.T) {
	for _, n := range []int{9, 10, 11, 12} {
		all := must(drain(data.Loader{Set: grid(n), Batch: 3, Seed: 5}, 1, 0))
		some := data.Loader{Set: grid(n), Batch: 3, Seed: 5, DropLast: true}
		got := must(drain(some, 1, 0))
		if len(got) != n/3 || some.Len() != n/3 {
			t.Fatalf("%d rows make %d batches, and Len says %d; want %d", n, len(got), some.Len(), n/3)
		}
		for i, b := range got {
			if b.N != 3 || !slices.Equal(b.ID, all[i].ID) {
				t.Errorf("%d rows: batch %d has the rows %v; want %v", n, i, b.ID, all[i].ID)
			}
		}
	}
	err := data.Loader{Set: grid(2), Batch: 3, DropLast: true}.Validate()
	if want := "data: Loader.DropLast leaves nothing of 2 rows; want Loader.Batch, which is 3, or more"; err == nil || err.Error() != want {
		t.Errorf("the error is %v; want %s", err, want)
	}
}
