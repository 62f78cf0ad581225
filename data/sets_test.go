package data_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestSubset(t *testing.T) {
	rows := []int{6, 0, 3}
	s := must(data.Subset(grid(7), rows))
	rows[0] = 1 // the set has its own
	if s.Len() != 3 || s.ID(0) != 6 || s.ID(2) != 3 {
		t.Errorf("Len %d, ids %d and %d; want 3, 6 and 3", s.Len(), s.ID(0), s.ID(2))
	}
	if got := pixels(t, s, 2, 0)[0]; got != 46 {
		t.Errorf("row 2 starts with %v; want 46", got)
	}
	for _, test := range []struct {
		rows []int
		want string
	}{
		{nil, "has no rows"},
		{[]int{1, 7}, "row 1 is 7; want 0 to 6"},
		{[]int{-1}, "row 0 is -1"},
		{[]int{4, 2, 4}, "row 4 twice"},
	} {
		_, err := data.Subset(grid(7), test.rows)
		wantError(t, err, test.want)
	}
	_, err := data.Subset(nil, rows)
	wantError(t, err, "nil")
}

func TestRange(t *testing.T) {
	for _, test := range []struct {
		first, end int
		want       []int
	}{
		{0, 3, []int{0, 1, 2}}, {5, 9, []int{5, 6, 7, 8}}, {-1, 1, []int{-1, 0}}, {4, 4, nil}, {4, -4, nil},
	} {
		if got := data.Range(test.first, test.end); !slices.Equal(got, test.want) {
			t.Errorf("from %d to %d: %v; want %v", test.first, test.end, got, test.want)
		}
	}
}

func TestHideLabels(t *testing.T) {
	odd := func(i int) bool { return i%2 == 1 }
	hard := must(data.HideLabels(grid(5), odd))
	var got []int
	for i := range hard.Len() {
		got = append(got, data.Row[int](read(t, hard, i, 0).Label, 0)...)
	}
	if want := []int{-1, 1, -1, 3, -1}; !slices.Equal(got, want) {
		t.Errorf("labels are %v; want %v", got, want)
	}
	x := data.Signals{"x": dense(count[float32](3), 3)}
	label := dense([]float32{0, 1, 0, 0, 0.5, 0, 0.5, 0, 0, 0, 0.25, 0.75}, 3, 4)
	soft := must(data.HideLabels(must(data.NewMemory(x, label, nil)), odd))
	if diff := cmp.Diff(dense(make([]float32, 4), 1, 4), read(t, soft, 2, 0).Label, denses); diff != "" {
		t.Error(diff)
	}
	_, err := data.HideLabels(must(data.NewMemory(x, nil, nil)), odd)
	wantError(t, err, "without labels")
	_, err = data.HideLabels(grid(3), nil)
	wantError(t, err, "keep is nil")
	_, err = data.HideLabels(nil, odd)
	wantError(t, err, "nil")
}

func TestRepeat(t *testing.T) {
	base := grid(4)
	s := must(data.Repeat(base, 11))
	var got []uint64
	for i := range s.Len() {
		got = append(got, s.ID(i))
		if !slices.Equal(pixels(t, s, i, 0), pixels(t, base, i%4, 0)) {
			t.Errorf("row %d is not row %d of the set", i, i%4)
		}
	}
	if want := []uint64{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("ids are %v; want %v", got, want)
	}
	if n := must(data.Repeat(base, 3)).Len(); n != 3 {
		t.Errorf("Len is %d; want 3", n)
	}
	_, err := data.Repeat(base, 0)
	wantError(t, err, "data: Repeat.rows is 0; want 1 to 2147483647")
	_, err = data.Repeat(nil, 3)
	wantError(t, err, "nil")
	_, err = data.Repeat(empty{base}, 3)
	wantError(t, err, "empty")
}

type empty struct{ data.Set }

func (empty) Len() int { return 0 }

// A loader shuffles the rows of a repeated set, and gives those of one sample
// the same view in an epoch.
func TestRepeatInALoader(t *testing.T) {
	noisy := must(data.Augment{Name: "noise", Do: noise}.Of(grid(4)))
	l := data.Loader{Set: must(data.Repeat(noisy, 11)), Batch: 3, Seed: 1}
	batches := must(drain(l, 5, 0))
	rows, of := map[uint64]int{}, map[uint64][]float32{}
	for _, b := range batches {
		for r, id := range b.ID {
			x := data.Row[float32](b.In["x"], r)
			if of[id.Sample] != nil && !slices.Equal(x, of[id.Sample]) {
				t.Errorf("sample %d has two views", id.Sample)
			}
			rows[id.Sample]++
			of[id.Sample] = x
		}
	}
	if diff := cmp.Diff(map[uint64]int{0: 3, 1: 3, 2: 3, 3: 2}, rows); diff != "" {
		t.Error(diff)
	}
	if order := ids(batches); slices.Equal(order[:4], order[4:8]) {
		t.Errorf("the order is that of one round: %v", order)
	}
	if diff := cmp.Diff(batches[2:], must(drain(l, 5, 2)), denses); diff != "" {
		t.Error(diff)
	}
}

func TestConcat(t *testing.T) {
	base := grid(9)
	part := func(rows ...int) data.Set { return must(data.Subset(base, rows)) }
	s := must(data.Concat(part(6, 0, 3), empty{base}, must(data.Repeat(part(8, 1), 3)), part(7)))
	rows := []int{6, 0, 3, 8, 1, 8, 7}
	if s.Len() != len(rows) {
		t.Fatalf("Len is %d; want %d", s.Len(), len(rows))
	}
	for i, row := range rows {
		if diff := cmp.Diff(read(t, base, row, 0), read(t, s, i, 0), denses); diff != "" || s.ID(i) != base.ID(row) {
			t.Errorf("row %d, id %d: %s", i, s.ID(i), diff)
		}
	}
	for _, i := range []int{-1, 7} {
		b := must(data.NewBatch(s.Spec(), 3))
		if err := b.Append(s, i, 0); err == nil {
			t.Errorf("row %d was read", i)
		}
	}
	got := ids(must(drain(data.Loader{Set: s, Batch: 4, Seed: 1}, 0, 0)))
	slices.Sort(got)
	if want := []uint64{0, 1, 3, 6, 7, 8, 8}; !slices.Equal(got, want) {
		t.Errorf("a loader reads %v; want %v", got, want)
	}
}

func TestConcatRefuses(t *testing.T) {
	half := must(data.Subset(grid(9), []int{0, 1, 2}))
	other := func(change func(*data.Spec)) data.Set {
		return fake{Set: must(data.Subset(grid(9), []int{5, 6})), spec: change}
	}
	for _, test := range []struct {
		sets []data.Set
		want string
	}{
		{nil, "Concat has no sets"},
		{[]data.Set{half, nil}, "set 1 is nil"},
		{[]data.Set{half, must(data.Subset(grid(9), []int{4, 2}))}, "sets 0 and 1 both have id 2"},
		{[]data.Set{half, other(func(s *data.Spec) {
			s.In = map[string]data.Field{"x": {Shape: tensor.Shape{15}, Dtype: tensor.Float32}}
		})}, "set 1 has other inputs than set 0"},
		{[]data.Set{half, other(func(s *data.Spec) { s.Label = data.Field{} })}, "other labels"},
		{[]data.Set{half, other(func(s *data.Spec) { s.Classes = []string{"red", "green", "grey", "blue"} })}, "other classes"},
		{[]data.Set{half, other(func(s *data.Spec) { s.Norm = map[string]data.Norm{"x": {Mean: []float64{1}, SD: []float64{2}}} })}, "other norms"},
		{[]data.Set{half, other(func(s *data.Spec) { s.Views = 3 })}, "other views"},
	} {
		_, err := data.Concat(test.sets...)
		wantError(t, err, test.want)
	}
	if _, err := data.Concat(half, other(func(s *data.Spec) { s.Norm = map[string]data.Norm{} })); err != nil {
		t.Errorf("no norms and an empty map of them: %v", err)
	}
}

// Sets of different data never share a fingerprint, and always keep their ids.
func TestDecoratorsAndFingerprints(t *testing.T) {
	base := grid(6)
	norm := func(mean, sd float64) map[string]data.Norm {
		return map[string]data.Norm{"x": {Mean: []float64{mean}, SD: []float64{sd}}}
	}
	hide := func(n int) data.Set {
		return must(data.HideLabels(base, func(i int) bool { return i != n }))
	}
	sets := map[string]data.Set{
		"base":         base,
		"subset":       must(data.Subset(base, []int{0, 1, 2, 3, 4, 5})),
		"order":        must(data.Subset(base, []int{0, 1, 2, 3, 5, 4})),
		"repeat":       must(data.Repeat(base, 6)),
		"repeat more":  must(data.Repeat(base, 8)),
		"concat":       must(data.Concat(base)),
		"concat two":   must(data.Concat(base, empty{base})),
		"hide":         hide(0),
		"hide another": hide(1),
		"normalize":    must(data.Normalize(base, norm(1, 2))),
		"another mean": must(data.Normalize(base, norm(2, 2))),
		"another sd":   must(data.Normalize(base, norm(1, 3))),
		"shift":        must(data.Shift{}.Of(base)),
		"shift 2":      must(data.Shift{Pixels: 2}.Of(base)),
		"shift tall":   must(data.Shift{Height: 5, Width: 3}.Of(base)),
		"augment":      must(data.Augment{Name: "a", Do: noise}.Of(base)),
		"augment name": must(data.Augment{Name: "b", Do: noise}.Of(base)),
		"augment seed": must(data.Augment{Name: "a", Do: noise, Seed: 1}.Of(base)),
		"views":        must(data.Augment{Name: "a", Do: noise, Views: 3}.Of(base)),
		"flip":         must(data.Flip{}.Of(base)),
		"flip tall":    must(data.Flip{Height: 5, Width: 3}.Of(base)),
		"crop":         must(data.Crop{Pad: 1}.Of(base)),
		"crop 2":       must(data.Crop{Pad: 2}.Of(base)),
		"crop seed":    must(data.Crop{Pad: 1, Seed: 1}.Of(base)),
		"crop views":   must(data.Crop{Pad: 1, Views: 3}.Of(base)),
		"crop small":   must(data.Crop{Height: 2, Width: 4}.Of(base)),
		"cutout":       must(data.Cutout{}.Of(base)),
		"cutout 2":     must(data.Cutout{Size: 2}.Of(base)),
		"cutout seed":  must(data.Cutout{Seed: 1}.Of(base)),
		"cutout views": must(data.Cutout{Views: 3}.Of(base)),
		"mixup":        must(data.Mixup{}.Of(base)),
		"mixup alpha":  must(data.Mixup{Alpha: 2}.Of(base)),
		"mixup seed":   must(data.Mixup{Seed: 1}.Of(base)),
		"mixup views":  must(data.Mixup{Views: 3}.Of(base)),
		"both":         must(data.Shift{}.Of(hide(0))),
		"other order":  must(data.HideLabels(must(data.Shift{}.Of(base)), func(i int) bool { return i != 0 })),
	}
	seen := make(map[[32]byte]string)
	for name, set := range sets {
		print := set.Spec().Fingerprint
		if other, ok := seen[print]; ok {
			t.Errorf("%s and %s share a fingerprint", name, other)
		}
		seen[print] = name
		if name != "order" && set.ID(4) != base.ID(4) {
			t.Errorf("%s changes the ids", name)
		}
	}
}
