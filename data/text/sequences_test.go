package text_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
)

// letters has a as 3, b as 4 and so on.
var letters = must(text.NewCharacters("abcdefgh"))

func TestSequences(t *testing.T) {
	set := must(text.Sequences{Tokenizer: letters, Context: 7}.Of(text.List{
		{Prompt: "ab", Completion: "cde"},
		{Prompt: "abcd", Completion: "ef"}, // a token more than the context
		{Prompt: "", Completion: "h"},
		{Prompt: "abc", Completion: ""},
	}))
	b := epoch(t, set)
	for i, want := range []string{
		"x [1 3 4 5 6 7 2]\ny [3 4 5 6 7 2 -1]\nw [0 0 1 1 1 1 0]\n",
		"x [1 3 4 5 6 7 8]\ny [3 4 5 6 7 8 2]\nw [0 0 0 0 1 1 1]\n",
		"x [1 10 2 0 0 0 0]\ny [10 2 -1 -1 -1 -1 -1]\nw [1 1 0 0 0 0 0]\n",
		"x [1 3 4 5 2 0 0]\ny [3 4 5 2 -1 -1 -1]\nw [0 0 0 1 0 0 0]\n",
	} {
		if diff := cmp.Diff(want, row(b, i)); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
	}
}

// A model that knows which letter follows which predicts every label that counts
// from the input at the same place, and none from the one before or after.
func TestSequencesAreShiftedByOne(t *testing.T) {
	set := must(text.Sequences{Tokenizer: letters, Context: 11}.Of(text.List{
		{Prompt: "abc", Completion: "defgh"}, {Prompt: "cd", Completion: "efgh"}, {Prompt: "b", Completion: "cdefgh"},
	}))
	b := epoch(t, set)
	hits := map[int]int{} // by how many places the input is off
	labels := 0
	for r := range 3 {
		x, y := data.Row[int](b.In[data.Input], r), data.Row[int](b.Label, r)
		for i, w := range data.Row[float32](b.Weight, r) {
			if w == 0 || y[i] == letters.Special().EOS {
				continue
			}
			labels++
			for off := -1; off <= 1; off++ {
				if x[i+off]+1 == y[i] {
					hits[off]++
				}
			}
		}
	}
	if labels != 5+4+6 || hits[0] != labels || hits[-1]+hits[1] != 0 {
		t.Errorf("of %d labels, inputs foretell %v by their places; want all at 0", labels, hits)
	}
}

func TestSequencesTruncate(t *testing.T) {
	long := text.List{{Prompt: "abcd", Completion: "efgh"}} // 10 tokens, of which 6 fit
	for _, test := range []struct {
		how  text.Truncate
		want string
	}{
		{text.DropEnd, "x [1 3 4 5 6]\ny [3 4 5 6 7]\nw [0 0 0 0 1]\n"},
		{text.DropStart, "x [6 7 8 9 10]\ny [7 8 9 10 2]\nw [1 1 1 1 1]\n"},
	} {
		b := epoch(t, must(text.Sequences{Tokenizer: letters, Context: 5, Truncate: test.how}.Of(long)))
		if diff := cmp.Diff(test.want, row(b, 0)); diff != "" {
			t.Error(diff)
		}
	}
	// From within the completion on, the first token is not predicted by anything.
	b := epoch(t, must(text.Sequences{Tokenizer: letters, Context: 3, Truncate: text.DropStart}.Of(long)))
	if diff := cmp.Diff("x [8 9 10]\ny [9 10 2]\nw [1 1 1]\n", row(b, 0)); diff != "" {
		t.Error(diff)
	}
}

func TestSequencesWithoutSpecialTokens(t *testing.T) {
	set := must(text.Sequences{Tokenizer: bare{letters}, Context: 5, Segments: true}.Of(text.List{
		{Prompt: "ab", Completion: "cd"}, {Prompt: "", Completion: "efg"},
	}))
	b := epoch(t, set)
	for i, want := range []string{
		"x [3 4 5 6 0]\ny [4 5 6 -1 -1]\nw [0 1 1 0 0]\ns [1 1 1 1 0]\np [0 1 2 3 0]\n",
		"x [7 8 9 0 0]\ny [8 9 -1 -1 -1]\nw [1 1 0 0 0]\ns [1 1 1 0 0]\np [0 1 2 0 0]\n",
	} {
		if diff := cmp.Diff(want, row(b, i)); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
	}
}

// What a model is asked with is what it was taught to go on from.
func TestSequencesStart(t *testing.T) {
	for tokenizer, want := range map[text.Tokenizer][]int{letters: {1, 3, 4, 5}, bare{letters}: {3, 4, 5}} {
		s := text.Sequences{Tokenizer: tokenizer, Context: 9}
		got := must(s.Start("abc"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		b := epoch(t, must(s.Of(text.List{{Prompt: "abc", Completion: "de"}})))
		if x := data.Row[int](b.In[data.Input], 0)[:len(got)]; !slices.Equal(x, got) {
			t.Errorf("the row begins with %v, and Start is %v", x, got)
		}
	}
	_, err := text.Sequences{Tokenizer: letters}.Start("a!")
	wantError(t, err, "character '!' at byte 1")
	_, err = text.Sequences{}.Start("a")
	wantError(t, err, "text: Sequences.Tokenizer is nil")
}

func TestSequencesSpec(t *testing.T) {
	list := text.List{{Prompt: "ab", Completion: "cde"}, {Prompt: "b", Completion: "c"}, {Prompt: "", Completion: "h"}}
	s := text.Sequences{Tokenizer: letters, Context: 7}
	set := must(s.Of(list))
	spec := set.Spec()
	field := data.Field{Shape: tensor.Shape{7}, Dtype: tensor.Int}
	if diff := cmp.Diff(data.Spec{In: map[string]data.Field{"x": field}, Label: field, Views: 1, Fingerprint: spec.Fingerprint}, spec, cmp.Comparer(func(a, b tensor.Dtype) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if set.Len() != 3 || set.ID(2) != 2 {
		t.Errorf("%d rows, the last of id %d; want the list's", set.Len(), set.ID(2))
	}
	prints := map[[32]byte]string{spec.Fingerprint: "this"}
	for name, print := range map[string][32]byte{
		"tokenizer": must(text.Sequences{Tokenizer: must(text.NewCharacters("habcdefg")), Context: 7}.Of(list)).Spec().Fingerprint,
		"context":   must(text.Sequences{Tokenizer: letters, Context: 8}.Of(list)).Spec().Fingerprint,
		"truncate":  must(text.Sequences{Tokenizer: letters, Context: 7, Truncate: text.DropEnd}.Of(list)).Spec().Fingerprint,
		"segments":  must(text.Sequences{Tokenizer: letters, Context: 7, Segments: true}.Of(list)).Spec().Fingerprint,
		"examples":  must(s.Of(list[:2])).Spec().Fingerprint,
		"pack":      must(s.Pack(list)).Spec().Fingerprint,
	} {
		if other, ok := prints[print]; ok {
			t.Errorf("the fingerprint does not tell another %s from %s", name, other)
		}
		prints[print] = name
	}
	if must(s.Of(slices.Clone(list))).Spec().Fingerprint != spec.Fingerprint {
		t.Error("equal sets have other fingerprints")
	}
}

func TestSequencesRefuse(t *testing.T) {
	one := text.List{{Prompt: "ab", Completion: "cd"}}
	for _, test := range []struct {
		s    text.Sequences
		e    text.Examples
		want string
	}{
		{text.Sequences{Context: 7}, one, "text: Sequences.Tokenizer is nil; want a Tokenizer"},
		{text.Sequences{Tokenizer: letters}, one, "text: Sequences.Context is 0; want 1 to 16777216"},
		{text.Sequences{Tokenizer: letters, Context: math.MaxInt}, one, "text: Sequences.Context is 9223372036854775807; want 1 to 16777216"},
		{text.Sequences{Tokenizer: letters, Context: 7, Truncate: 3}, one, "text: Sequences.Truncate is 3; want"},
		{text.Sequences{Tokenizer: letters, Context: 7}, nil, "text: Sequences of nil"},
		{text.Sequences{Tokenizer: letters, Context: 7}, text.List{}, "text: Sequences of no examples"},
		{text.Sequences{Tokenizer: letters, Context: 7}, text.List{{Prompt: "a_", Completion: "b"}}, "text: example 0, id 0: prompt: character '_' at byte 1"},
		{text.Sequences{Tokenizer: letters, Context: 7}, text.List{{Prompt: "a", Completion: "bc_"}}, "text: example 0, id 0: completion: character '_' at byte 2"},
		{text.Sequences{Tokenizer: letters, Context: 4}, one, "text: example 0, id 0: 6 tokens do not fit Sequences.Context of 4, which has room for 5"},
		{text.Sequences{Tokenizer: letters, Context: 2, Truncate: text.DropEnd}, one, "of 6 tokens, none is left to predict"},
		{text.Sequences{Tokenizer: bare{letters}, Context: 7}, text.List{{Prompt: "", Completion: "a"}}, "of 1 tokens, none is left to predict"},
		{text.Sequences{Tokenizer: bare{letters}, Context: 7}, text.List{{Prompt: "abc", Completion: ""}}, "of 3 tokens, none is left to predict"},
		{text.Sequences{Tokenizer: letters, Context: 7}, broken{one}, "no more"},
	} {
		_, err := test.s.Of(test.e)
		wantError(t, err, test.want)
		_, err = test.s.Pack(test.e)
		wantError(t, err, test.want)
	}
}

func TestSequencesReadRefuses(t *testing.T) {
	s := text.Sequences{Tokenizer: letters, Context: 7}
	list := text.List{{Prompt: "ab", Completion: "cd"}, {Prompt: "ab", Completion: "c_"}}
	batch := must(data.NewBatch(must(s.Of(list)).Spec(), 3))
	wantError(t, batch.Append(must(s.Of(list)), 1, 0), "text: example 1, id 1: completion: character '_'")
	for _, set := range []data.Set{must(s.Of(list[:1])), must(s.Pack(list[:1]))} {
		wantError(t, set.Read(0, 1, data.Sample{Batch: &batch}), "view 1 of a set with one view")
		for _, i := range []int{-1, 1, math.MaxInt} {
			wantError(t, set.Read(i, 0, data.Sample{Batch: &batch}), "of a")
		}
	}
}

// A set is asked for labels alone, in a batch without inputs.
func TestSequencesLabelsAlone(t *testing.T) {
	set := must(text.Sequences{Tokenizer: letters, Context: 4, Segments: true}.Of(text.List{{Prompt: "ab", Completion: "c"}}))
	b := epoch(t, set)
	want := slices.Clone(data.Row[int](b.Label, 0))
	clear(data.Row[int](b.Label, 0))
	b.In = nil
	if err := set.Read(0, 0, data.Sample{Batch: &b}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, data.Row[int](b.Label, 0)); diff != "" {
		t.Error(diff)
	}
}

// broken has examples that cannot be read.
type broken struct{ text.Examples }

func (broken) Example(int) (text.Example, error) { return text.Example{}, errors.New("no more") }

// epoch is all rows of a set, in order, in one batch.
func epoch(t testing.TB, set data.Set) data.Batch {
	t.Helper()
	for b, err := range (data.Loader{Set: set, Batch: set.Len(), InOrder: true}).Batches(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatal("no batch")
	return data.Batch{}
}

// row is what row r of a batch holds, one line for each thing.
func row(b data.Batch, r int) string {
	lines := fmt.Sprintln("x", data.Row[int](b.In[data.Input], r)) +
		fmt.Sprintln("y", data.Row[int](b.Label, r)) +
		fmt.Sprintln("w", data.Row[float32](b.Weight, r))
	if b.In[text.Segment] != nil {
		lines += fmt.Sprintln("s", data.Row[int](b.In[text.Segment], r)) +
			fmt.Sprintln("p", data.Row[int](b.In[text.Position], r))
	}
	return lines
}

// bare is a tokenizer without special tokens.
type bare struct{ text.Tokenizer }

func (bare) Special() text.Special {
	return text.Special{Pad: text.None, BOS: text.None, EOS: text.None}
}
