package text_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
)

func TestWindows(t *testing.T) {
	set := must(text.Sequences{Tokenizer: letters, Context: 4, Segments: true}.Windows("abcdefghabc"))
	b := epoch(t, set)
	for i, want := range []string{
		"x [1 3 4 5]\ny [3 4 5 6]\nw [1 1 1 1]\ns [1 1 1 1]\np [0 1 2 3]\n",
		"x [6 7 8 9]\ny [7 8 9 10]\nw [1 1 1 1]\ns [1 1 1 1]\np [0 1 2 3]\n",
		"x [10 3 4 5]\ny [3 4 5 2]\nw [1 1 1 1]\ns [1 1 1 1]\np [0 1 2 3]\n",
	} {
		if diff := cmp.Diff(want, row(b, i)); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
	}
	if set.Len() != 3 || set.ID(2) != 2 {
		t.Errorf("%d rows, the last of id %d; want 3, counted from 0", set.Len(), set.ID(2))
	}
	if other := must(text.Sequences{Tokenizer: letters, Context: 4, Segments: true}.Windows("abcdefghabd")); other.Spec().Fingerprint == set.Spec().Fingerprint {
		t.Error("two texts have one fingerprint")
	}
}

// Whatever the context, the labels one after another are the text, and the inputs
// are what comes before them.
func TestWindowsKeepAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := text.Sequences{Tokenizer: letters, Context: rapid.IntRange(1, 9).Draw(t, "context")}
		content := rapid.StringMatching(`[a-h]{0,40}`).Draw(t, "text")
		set := must(s.Windows(content))
		b := must(data.NewBatch(set.Spec(), set.Len()))
		if err := b.AppendAll(set, set.Len(), 1, func(r int) (int, uint64) { return r, 0 }); err != nil {
			t.Fatal(err)
		}
		last := letters.Special().BOS
		var labels []int
		for r := range set.Len() {
			for i, label := range data.Row[int](b.Label, r) {
				w := data.Row[float32](b.Weight, r)[i]
				if label == data.Unlabelled && w == 0 {
					continue
				}
				if x := data.Row[int](b.In[data.Input], r)[i]; x != last || w != 1 {
					t.Fatalf("row %d, place %d: input %d with weight %v; want %d with 1", r, i, x, w, last)
				}
				labels, last = append(labels, label), label
			}
		}
		if got := must(letters.Decode(labels)); got != content || last != letters.Special().EOS {
			t.Fatalf("labels are %q, and last %d; want %q and EOS", got, last, content)
		}
	})
}

func TestWindowsRefuse(t *testing.T) {
	_, err := text.Sequences{Context: 4}.Windows("abc")
	wantError(t, err, "text: Sequences.Tokenizer is nil")
	_, err = text.Sequences{Tokenizer: letters}.Windows("abc")
	wantError(t, err, "text: Sequences.Context is 0")
	_, err = text.Sequences{Tokenizer: letters, Context: 4}.Windows("abc!")
	wantError(t, err, "text: character '!' at byte 3")
	_, err = text.Sequences{Tokenizer: bare{letters}, Context: 4}.Windows("a")
	wantError(t, err, "text: Windows of 1 tokens; want 2 or more, to predict one")
}
