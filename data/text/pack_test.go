package text_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
)

func TestPack(t *testing.T) {
	set := must(text.Sequences{Tokenizer: letters, Context: 9, Segments: true}.Pack(text.List{
		{Prompt: "a", Completion: "bc"},    // 5 tokens: row 0, with room for 5 more
		{Prompt: "ab", Completion: "cdef"}, // 8 tokens: row 1, with room for 2
		{Prompt: "h", Completion: "g"},     // 4 tokens: row 0, with room for 1
		{Prompt: "", Completion: ""},       // 2 tokens: row 1, which is full
		{Prompt: "ab", Completion: "c"},    // 5 tokens: row 2
		{Prompt: "d", Completion: "ef"},    // 5 tokens: row 2, of which the last is a label only
	}))
	b := epoch(t, set)
	for i, want := range []string{
		"x [1 3 4 5 2 1 10 9 2]\ny [3 4 5 2 -1 10 9 2 -1]\nw [0 1 1 1 0 0 1 1 0]\ns [1 1 1 1 1 2 2 2 2]\np [0 1 2 3 4 0 1 2 3]\n",
		"x [1 3 4 5 6 7 8 2 1]\ny [3 4 5 6 7 8 2 -1 2]\nw [0 0 1 1 1 1 1 0 1]\ns [1 1 1 1 1 1 1 1 2]\np [0 1 2 3 4 5 6 7 0]\n",
		"x [1 3 4 5 2 1 6 7 8]\ny [3 4 5 2 -1 6 7 8 2]\nw [0 0 1 1 0 0 1 1 1]\ns [1 1 1 1 1 2 2 2 2]\np [0 1 2 3 4 0 1 2 3]\n",
	} {
		if diff := cmp.Diff(want, row(b, i)); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
	}
	if set.Len() != 3 || set.ID(0) != 0 || set.ID(1) != 1 || set.ID(2) != 4 {
		t.Errorf("%d rows of ids %d, %d, %d; want those of the first examples", set.Len(), set.ID(0), set.ID(1), set.ID(2))
	}
}

// However examples are packed, each is once in the set, and has the labels and
// weights that it has in a row of its own.
func TestPackKeepsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := text.Sequences{Tokenizer: letters, Context: rapid.IntRange(8, 30).Draw(t, "context"), Segments: true}
		word := rapid.StringMatching(`[a-h]{0,3}`)
		var list text.List
		for range rapid.IntRange(1, 20).Draw(t, "examples") {
			list = append(list, text.Example{Prompt: word.Draw(t, "prompt"), Completion: word.Draw(t, "completion")})
		}
		single, packed := texts(must(s.Of(list))), texts(must(s.Pack(list)))
		slices.Sort(single)
		slices.Sort(packed)
		if diff := cmp.Diff(single, packed); diff != "" {
			t.Fatal(diff)
		}
	})
}

// texts is the tokens that are predicted from each text of a set, with what they
// are predicted from.
func texts(set data.Set) (all []string) {
	b := must(data.NewBatch(set.Spec(), set.Len()))
	if err := b.AppendAll(set, set.Len(), 1, func(r int) (int, uint64) { return r, 0 }); err != nil {
		panic(err)
	}
	for r := range set.Len() {
		byText := map[int]*strings.Builder{}
		x, y, w := data.Row[int](b.In[data.Input], r), data.Row[int](b.Label, r), data.Row[float32](b.Weight, r)
		position := data.Row[int](b.In[text.Position], r)
		for i, segment := range data.Row[int](b.In[text.Segment], r) {
			if y[i] == data.Unlabelled {
				continue
			}
			if byText[segment] == nil {
				byText[segment] = new(strings.Builder)
			}
			fmt.Fprintln(byText[segment], x[i], y[i], w[i], position[i])
		}
		for _, text := range byText {
			all = append(all, text.String())
		}
	}
	return all
}
