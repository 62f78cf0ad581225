package data_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

// spoil writes over everything in a batch.
func spoil(b data.Batch) {
	all := append(slices.Collect(maps.Values(b.In)), b.Weight)
	if b.Label != nil {
		all = append(all, b.Label)
	}
	for _, t := range all {
		for i := range t.Raw {
			t.Raw[i] = 77
		}
	}
	for i := range b.ID {
		b.ID[i].Sample = 77
	}
}

// copied is a batch with memory of its own.
func copied(b data.Batch) data.Batch {
	c := data.Batch{N: b.N, ID: slices.Clone(b.ID), In: data.Signals{}, Weight: b.Weight.Clone().(*tensor.Dense)}
	for name, t := range b.In {
		c.In[name] = t.Clone().(*tensor.Dense)
	}
	if b.Label != nil {
		c.Label = b.Label.Clone().(*tensor.Dense)
	}
	return c
}

// Whichever batches are given back, and when, the Lender yields what the Loader
// does, and leaves alone what it was not given.
func TestLenderIsTheLoader(t *testing.T) {
	sets := []data.Set{
		must(data.Augment{Name: "noise", Do: noise}.Of(must(data.Shift{}.Of(grid(23))))),
		must(data.NewMemory(data.Signals{"x": dense(count[int](60), 20, 3)}, dense(count[int](100), 20, 5), nil)),
		must(data.NewMemory(data.Signals{"x": dense(count[float32](42), 14, 3)}, nil, nil)),
	}
	rapid.Check(t, func(r *rapid.T) {
		l := data.Loader{
			Set:      rapid.SampledFrom(sets).Draw(r, "set"),
			Batch:    rapid.IntRange(1, 9).Draw(r, "batch"),
			Seed:     rapid.Uint64().Draw(r, "seed"),
			Prefetch: rapid.IntRange(-1, 4).Draw(r, "prefetch"),
		}
		lender := &data.Lender{Loader: l}
		var kept, want []data.Batch
		for epoch := range 3 {
			got := 0
			all := must(drain(l, epoch, 0))
			for b, err := range lender.Batches(ctx, epoch, 0) {
				if err != nil {
					r.Fatal(err)
				}
				if diff := cmp.Diff(all[got], b, denses); diff != "" {
					r.Fatal(diff)
				}
				got++
				if rapid.Bool().Draw(r, "keep") {
					kept, want = append(kept, b), append(want, copied(b))
					continue
				}
				spoil(b)
				lender.TakeBack(b)
			}
			if got != l.Len() {
				r.Fatalf("%d batches; want %d", got, l.Len())
			}
		}
		if diff := cmp.Diff(want, kept, denses); diff != "" {
			r.Fatal(diff)
		}
	})
}

// What does not fit is not used.
func TestLenderDropsWhatDoesNotFit(t *testing.T) {
	loader := data.Loader{Set: grid(9), Batch: 3, InOrder: true}
	want := must(drain(loader, 0, 0))
	other := loader
	other.Batch = 4
	unlabelled := must(data.NewMemory(data.Signals{data.Input: dense(count[float32](135), 9, 3, 5)}, nil, nil))
	turned := must(drain(loader, 0, 0))[0]
	if err := turned.In[data.Input].T(0, 2, 1); err != nil {
		t.Fatal(err)
	}
	lender := &data.Lender{Loader: loader}
	for _, b := range []data.Batch{
		{}, turned, must(drain(other, 0, 0))[0], must(drain(data.Loader{Set: unlabelled, Batch: 3}, 0, 0))[0],
	} {
		lender.TakeBack(b)
		if diff := cmp.Diff(want, must(drain(lender, 0, 0)), denses); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLenderMakesNoTensors(t *testing.T) {
	l := &data.Lender{Loader: data.Loader{Set: grid(3000), Batch: 3, Seed: 1, Prefetch: -1}}
	epoch := func() {
		for b, err := range l.Batches(ctx, 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			l.TakeBack(b)
		}
	}
	epoch()
	if n := testing.AllocsPerRun(5, epoch) / 1000; n > 2 {
		t.Errorf("a batch takes %v objects; want 2 at most", n)
	}
}
