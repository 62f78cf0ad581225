package teacher

import (
	"context"
	"testing"

	"github.com/godistill/godistill/data"
)

func ask(t testing.TB, tr Teacher, b data.Batch, old data.Signals) data.Signals {
	t.Helper()
	s, err := Ask(t.Context(), tr, b, old)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// firstOf is the first n samples of a batch.
func firstOf(b data.Batch, n int) data.Batch {
	b.N, b.ID = n, b.ID[:n]
	return b
}

func TestAskWritesOverOldAnswers(t *testing.T) {
	set := toySet{views: 3}
	model := Of(studentOf(t, network, 1), "l1", "logits")
	recorded := record(t, model, set, t.TempDir(), Recording{})
	for name, tr := range map[string]Teacher{
		"a model":            model,
		"a live one":         Live(model),
		"a cache":            recorded,
		"a cache of top-k":   record(t, model, set, t.TempDir(), Recording{TopK: 3}),
		"a cache or a model": Or(recorded, model),
	} {
		b := batchOf(t, set, 1)
		old := answer(t, tr, batchOf(t, set, 2))
		for signal, s := range old {
			if got := ask(t, tr, b, old)[signal]; got != s {
				t.Errorf("%s: signal %q of the next answer is in another tensor", name, signal)
			}
		}
		sameBits(t, old, answer(t, tr, b))
		for _, n := range []int{3, b.N} {
			old = ask(t, tr, firstOf(b, n), old)
			sameBits(t, old, answer(t, tr, firstOf(b, n)))
		}
		if n := testing.AllocsPerRun(20, func() { old = ask(t, tr, b, old) }); n != 0 && !testing.Short() { // the race detector makes some
			t.Errorf("%s makes %v objects for an answer; want none", name, n)
		}
	}
}

func TestAskAfterAnotherTeacher(t *testing.T) {
	b := batchOf(t, toySet{}, 0)
	model := Of(studentOf(t, network, 1))
	old := answer(t, toy(1), b) // float64, int, and another shape
	sameBits(t, data.Signals{Logits: ask(t, model, b, old)[Logits]}, answer(t, model, b))
}

// A slow cache is one with another way to teach.
type slow struct {
	*Cache
	asked *int
}

func (s slow) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	*s.asked++
	return s.Cache.Teach(ctx, b)
}

// What another may know of is left alone.
func TestAskLeavesAnswersOfOthers(t *testing.T) {
	set := toySet{views: 3}
	b, asked := batchOf(t, set, 1), 0
	kept := answer(t, toy(1), b)
	same := fixed(toy(1).Says, kept)
	c := record(t, toy(1), set, t.TempDir(), Recording{})
	for name, tr := range map[string]Teacher{
		"a Func":             same,
		"a live Func":        Live(same),
		"a cache or a Func":  Or(c, same),
		"a decorated cache":  slow{c, &asked},
		"a Func with a name": Named{"a": same},
	} {
		ask(t, tr, batchOf(t, set, 2), kept)
		if sameBits(t, kept, answer(t, toy(1), b)); t.Failed() {
			t.Fatalf("%s wrote over the answer of another", name)
		}
	}
	if asked != 1 {
		t.Errorf("a decorated cache was asked %d times; want once", asked)
	}
}

func TestAskKeepsErrors(t *testing.T) {
	for _, tr := range []Teacher{Of(nil), (*Cache)(nil), Live(nil), Or(nil, nil), Func{}} {
		b := batchOf(t, toySet{}, 0)
		_, want := tr.Teach(t.Context(), b)
		if _, err := Ask(t.Context(), tr, b, data.Signals{}); want == nil || err == nil || err.Error() != want.Error() {
			t.Errorf("Ask says %v, and Teach %v", err, want)
		}
	}
}
