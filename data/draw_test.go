package data_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

// skewed is 4 classes with 7, 3, 0 and 1 samples, and 2 without a label.
func skewed() *data.Memory {
	label := []int{0, 1, 0, -1, 0, 0, 1, 3, 0, -1, 0, 1, 0}
	return must(data.NewMemory(data.Signals{"x": dense(count[float32](156), 13, 3, 4)}, dense(label, 13), classes))
}

// dealt is how often each class and each sample is in an epoch.
func dealt(src data.Source, epoch int) (class map[int]int, sample map[uint64]int) {
	class, sample = map[int]int{}, map[uint64]int{}
	for _, b := range must(drain(src, epoch, 0)) {
		for r, id := range b.ID {
			class[b.Label.Ints()[r]]++
			sample[id.Sample]++
		}
	}
	return class, sample
}

func TestBalance(t *testing.T) {
	set := skewed()
	for _, test := range []struct{ each, want, low, high int }{{0, 7, 1, 7}, {2, 2, 0, 2}, {10, 10, 1, 10}} {
		b := must(data.Balance(set))
		b.Each = test.each
		l := data.Loader{Set: set, Batch: 4, Seed: 3, Draw: b}
		class, sample := dealt(l, 2)
		if diff := cmp.Diff(map[int]int{0: test.want, 1: test.want, 3: test.want}, class); diff != "" {
			t.Errorf("Each %d: %s", test.each, diff)
		}
		// Of one class, a sample is drawn at most once more than another.
		for _, rows := range [][]uint64{{0, 2, 4, 5, 8, 10, 12}, {1, 6, 11}} {
			all := make([]int, len(rows))
			for i, id := range rows {
				all[i] = sample[id]
			}
			if slices.Max(all)-slices.Min(all) > 1 {
				t.Errorf("Each %d: samples are drawn %v times", test.each, all)
			}
		}
		if sample[7] != test.want || sample[3]+sample[9] != 0 {
			t.Errorf("Each %d: the only sample of its class is drawn %d times, those without %d", test.each, sample[7], sample[3]+sample[9])
		}
		if n := len(must(drain(l, 2, 0))); n != l.Len() {
			t.Errorf("Each %d: %d batches; Len is %d", test.each, n, l.Len())
		}
	}
}

// A balanced epoch is a function of the seed and the epoch, from any batch on,
// and shuffled.
func TestBalanceIsPure(t *testing.T) {
	set := must(data.Augment{Name: "noise", Do: noise}.Of(skewed()))
	l := data.Loader{Set: set, Batch: 4, Seed: 3, Draw: must(data.Balance(set))}
	all := must(drain(l, 1, 0))
	if diff := cmp.Diff(all[2:], must(drain(l, 1, 2)), denses); diff != "" {
		t.Error(diff)
	}
	order := ids(all)
	if slices.Equal(order, ids(must(drain(l, 2, 0)))) {
		t.Error("epochs 1 and 2 have one order")
	}
	l.Seed++
	if slices.Equal(order, ids(must(drain(l, 1, 0)))) {
		t.Error("seeds 3 and 4 have one order")
	}
	first := map[int]bool{}
	for _, y := range all[0].Label.Ints() {
		first[y] = true
	}
	if len(first) < 2 {
		t.Errorf("the first batch is all of one class: %v", order)
	}
}

// Drawn again, a sample has another view where there are more, and the first
// view is that of a plain epoch.
func TestDrawnAgainIsAnotherView(t *testing.T) {
	set := must(data.Augment{Name: "noise", Do: noise}.Of(skewed()))
	views := map[uint64]bool{}
	plain := map[data.ID]bool{}
	for _, b := range must(drain(data.Loader{Set: set, Batch: 4, Seed: 3}, 1, 0)) {
		for _, id := range b.ID {
			plain[id] = true
		}
	}
	known := 0
	for _, b := range must(drain(data.Loader{Set: set, Batch: 4, Seed: 3, Draw: must(data.Balance(set))}, 1, 0)) {
		for _, id := range b.ID {
			if id.Sample == 7 {
				views[id.View] = true
			}
			if plain[id] {
				known++
			}
		}
	}
	if len(views) != 7 || known != 11 {
		t.Errorf("sample 7 has %d views of 7, and %d views of 11 are those of a plain epoch", len(views), known)
	}
	l := data.Loader{Set: must(data.Shift{}.Of(skewed())), Batch: 4, Views: 3, Draw: must(data.Balance(set))}
	for _, b := range must(drain(l, 1, 0)) {
		for _, id := range b.ID {
			if id.View > 2 {
				t.Errorf("view %d of 3", id.View)
			}
		}
	}
}

func TestBalanceOfDecoratedSets(t *testing.T) {
	set := skewed()
	needy := fake{Set: set, read: func(_ int, dst data.Sample) error {
		dst.Batch.In["x"].Float32s()[0] = 1 // panics where there is no input
		return nil
	}}
	part := must(data.Subset(set, []int{7, 1, 6, 0}))
	few := must(data.HideLabels(set, func(i int) bool { return i > 4 }))
	for name, test := range map[string]struct {
		set  data.Set
		want map[int]int
	}{
		"normalized": {must(data.Normalize(set, must(data.FitNorm(set)))), map[int]int{0: 7, 1: 7, 3: 7}},
		"needy":      {needy, map[int]int{0: 7, 1: 7, 3: 7}},
		"subset":     {part, map[int]int{0: 2, 1: 2, 3: 2}},
		"hidden":     {few, map[int]int{0: 4, 1: 4, 3: 4}},
	} {
		got, _ := dealt(data.Loader{Set: test.set, Batch: 5, Draw: must(data.Balance(test.set))}, 0)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestBalanceRefuses(t *testing.T) {
	x := data.Signals{"x": dense(count[float32](9), 3, 3)}
	unlabelled := must(data.NewMemory(x, nil, nil))
	soft := must(data.NewMemory(x, dense([]float32{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, 3, 4), nil))
	tokens := must(data.NewMemory(x, dense(count[int](15), 3, 5), nil))
	none := must(data.NewMemory(x, dense([]int{-1, -1, -1}, 3), nil))
	broken := fake{Set: skewed(), read: func(i int, _ data.Sample) error {
		if i == 5 {
			return errors.New("boom")
		}
		return nil
	}}
	for _, test := range []struct {
		set  data.Set
		want string
	}{
		{nil, "nil"},
		{unlabelled, "without classes as labels"},
		{soft, "without classes as labels"},
		{tokens, "without classes as labels"},
		{none, "data: Balance of a set without a label"},
		{broken, "row 5, sample 5: boom"},
	} {
		_, err := data.Balance(test.set)
		wantError(t, err, test.want)
	}
}

// A listed draw is the same in every epoch.
type listed struct {
	n    int
	rows []int
}

func (l listed) Len() int              { return l.n }
func (l listed) Rows(*rand.Rand) []int { return l.rows }

func TestLoaderRefusesDraws(t *testing.T) {
	huge := must(data.Balance(skewed()))
	huge.Each = math.MaxInt
	negative := huge
	negative.Each = -1
	for _, test := range []struct {
		loader data.Loader
		want   string
	}{
		{data.Loader{Draw: data.Balanced{}}, "data: Loader.Draw has 0 rows in an epoch; want 1 to 2147483647"},
		{data.Loader{Draw: huge}, "Loader.Draw has 2147483649 rows"},
		{data.Loader{Draw: negative}, "Loader.Draw has -3 rows"},
		{data.Loader{Draw: listed{3, []int{0, 1}}}, "data: Loader.Draw drew 2 rows; its Len is 3"},
		{data.Loader{Draw: listed{2, []int{0, 13}}}, "data: Loader.Draw drew row 13; want 0 to 12"},
		{data.Loader{Draw: listed{2, []int{-1, 3}}}, "drew row -1"},
		{data.Loader{Draw: listed{1, []int{1}}, InOrder: true}, "data: Loader.InOrder is true, with a Draw"},
		{data.Loader{Workers: -1}, "data: Loader.Workers is -1; want 0 or more"},
	} {
		test.loader.Set, test.loader.Batch = skewed(), 3
		batches, err := drain(test.loader, 0, 0)
		wantError(t, err, test.want)
		if len(batches) > 0 {
			t.Errorf("%d batches before %q", len(batches), test.want)
		}
	}
}

// However many goroutines read the rows, they are the same.
func TestWorkersChangeNothing(t *testing.T) {
	set := must(data.Augment{Name: "noise", Do: noise}.Of(must(data.Shift{}.Of(grid(23)))))
	rapid.Check(t, func(r *rapid.T) {
		l := data.Loader{Set: set, Batch: rapid.IntRange(1, 9).Draw(r, "batch"), Seed: rapid.Uint64().Draw(r, "seed")}
		want := must(drain(l, 1, 0))
		l.Workers = rapid.IntRange(2, 12).Draw(r, "workers")
		if diff := cmp.Diff(want, must(drain(l, 1, 0)), denses); diff != "" {
			r.Fatal(diff)
		}
		lender := &data.Lender{Loader: l}
		for range 2 {
			for i := 0; i < len(want); i++ {
				for b, err := range lender.Batches(ctx, 1, i) {
					if diff := cmp.Diff(want[i], b, denses); err != nil || diff != "" {
						r.Fatal(diff, err)
					}
					lender.TakeBack(b)
					break
				}
			}
		}
	})
}

// Of several rows that fail, the first one is told, and reading soon ends.
func TestWorkersTellTheFirstError(t *testing.T) {
	var reads atomic.Int64
	set := fake{Set: grid(500), read: func(i int, _ data.Sample) error {
		reads.Add(1)
		if i >= 5 {
			return fmt.Errorf("boom %d", i)
		}
		for range 100 * (6 - i) {
			runtime.Gosched() // later rows are faster
		}
		return nil
	}}
	for range 20 {
		reads.Store(0)
		_, err := drain(data.Loader{Set: set, Batch: 500, InOrder: true, Workers: 4}, 0, 0)
		wantError(t, err, "row 5, sample 5: boom 5")
		if n := reads.Load(); n > 20 {
			t.Errorf("%d rows were read after an error in row 5", n)
		}
	}
}
