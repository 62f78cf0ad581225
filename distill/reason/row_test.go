package reason_test

import (
	"reflect"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/student/lm"
)

// An answer that came to its end lies in a row as text.Sequences lays its text.
func TestAppendIsAsSequences(t *testing.T) {
	s := must(reason.NewSolver(solver(model(tensor.Float64, 1))))
	got := must(data.NewBatch(reason.Spec(context), 400))
	var list text.List
	problems := first(55)
	for i, answers := range must(s.Solve(t.Context(), problems, 24, 0)) {
		for _, a := range answers {
			if a.IDs[len(a.IDs)-1] != digits.Special().EOS {
				continue
			}
			if err := a.Append(&got, data.ID{Sample: uint64(got.N)}); err != nil {
				t.Fatal(err)
			}
			list = append(list, text.Example{Prompt: problems[i].Prompt, Completion: a.Text})
		}
	}
	if len(list) < 30 {
		t.Fatalf("%d answers came to their end; want more to compare", len(list))
	}
	set := must(text.Sequences{Tokenizer: digits, Context: context}.Of(list))
	want := must(data.NewBatch(set.Spec(), 400))
	for i := range list {
		if err := want.Append(set, i, 0); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("batches of answers and of their texts differ:\n%v\n%v", got, want)
	}
}

// What was cut off has weight all the same, and its last id no place as an input
// where the context is full.
func TestAppendOfWhatWasCutOff(t *testing.T) {
	a := reason.Answer{Prompt: []int{1, 7}, Sample: lm.Sample{IDs: []int{5, 6, 4}}}
	for context, want := range map[int]string{
		4: "[1 7 5 6] [7 5 6 4] [0 1 1 1]",
		6: "[1 7 5 6 4 0] [7 5 6 4 -1 -1] [0 1 1 1 0 0]",
	} {
		b := must(data.NewBatch(reason.Spec(context), 3))
		if err := a.Append(&b, data.ID{Sample: 9, View: 8}); err != nil {
			t.Fatal(err)
		}
		if got := rowText(b, 0); got != want || !slices.Equal(b.ID, []data.ID{{Sample: 9, View: 8}}) {
			t.Errorf("the row is %s of %v; want %s", got, b.ID, want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	whole := reason.Answer{Prompt: []int{1, 7}, Sample: lm.Sample{IDs: []int{5, 6, 4}}}
	room := func(context int) *data.Batch {
		b := must(data.NewBatch(reason.Spec(context), 1))
		return &b
	}
	full := room(4)
	if err := whole.Append(full, data.ID{}); err != nil {
		t.Fatal(err)
	}
	one := data.Spec{In: map[string]data.Field{data.Input: {Dtype: tensor.Int}}}
	unlabelled := must(data.NewBatch(lm.Spec(4), 1))
	single := must(data.NewBatch(one, 3))
	for _, test := range []struct {
		a    reason.Answer
		b    *data.Batch
		want string
	}{
		{whole, nil, `the batch has no input "x" of (B, T)`},
		{whole, &data.Batch{}, `the batch has no input "x" of (B, T)`},
		{whole, &single, `the batch has no input "x" of (B, T)`},
		{whole, &unlabelled, "one of set and batch has labels"},
		{whole, full, "no room for more than 1"},
		{whole, room(3), "sample 6: 5 ids of prompt and answer do not fit a context of 3, which has room for 4"},
		{reason.Answer{Sample: whole.Sample}, room(4), "the prompt has 0 ids and the answer 3; want 1 or more"},
		{reason.Answer{Prompt: whole.Prompt}, room(4), "the prompt has 2 ids and the answer 0"},
		{reason.Answer{Prompt: []int{1, -7}, Sample: whole.Sample}, room(4), "label is -7"},
	} {
		wantError(t, test.a.Append(test.b, data.ID{Sample: 6}), test.want)
	}
}
