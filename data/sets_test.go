package data_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	soft := must(data.HideLabels(must(data.NewMemory(x, dense(count[float32](12), 3, 4), nil)), odd))
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
