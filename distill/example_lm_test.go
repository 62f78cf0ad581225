package distill_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
)

// A language model from beginning to end: characters become rows of several texts
// each, a large model learns them, a small one learns from it, and answers. Of the
// texts, only what follows a prompt is learned.
func ExampleRun_languageModel() {
	ctx := context.Background()
	const letters = "abcdefghij"
	var texts text.List
	for from := range letters {
		for to := from + 1; to < len(letters); to++ {
			texts = append(texts, text.Example{Prompt: letters[from:to], Completion: letters[to:]})
		}
	}
	chars := must(text.NewCharacters(letters))
	rows := text.Sequences{Tokenizer: chars, Context: 24, Segments: true}
	train := data.Loader{Set: must(rows.Pack(texts)), Batch: 8, Seed: 1}

	model := func(width int, seed uint64) *student.Model {
		c := lm.Config{Vocab: chars.Size(), Width: width, Inner: 2 * width, Layers: 2, Heads: 2, Context: 24}
		return must(student.New(c, train.Spec(), seed))
	}
	big, small := model(32, 1), model(12, 2)
	run := distill.Run{
		Student: big, Terms: distill.Hinton(1, 0)[:1], Train: train,
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)}, Epochs: 40,
	}
	must(run.Fit(ctx))
	run.Student, run.Teacher, run.Terms, run.Epochs = small, teacher.Of(big), distill.Hinton(2, 0.5), 80
	must(run.Fit(ctx))

	sampler := must(lm.NewSampler(small, lm.Sampling{Max: 10, Stop: []int{chars.Special().EOS}}))
	prompts := [][]int{must(rows.Start("c")), must(rows.Start("efg"))}
	for _, s := range must(sampler.Generate(ctx, prompts)) {
		fmt.Printf("%q, stopped: %v\n", must(chars.Decode(s.IDs)), s.Stopped)
	}
	// Output:
	// "defghij", stopped: true
	// "hij", stopped: true
}

// Sequence-level distillation (Kim and Rush 2016, 1606.07947): a student learns what
// its teacher writes, as if texts were labels. It is never shown a probability, and
// the two could have different tokens.
func ExampleRun_sequenceLevel() {
	ctx := context.Background()
	const letters = "abcdefghij"
	chars := must(text.NewCharacters(letters))
	rows := text.Sequences{Tokenizer: chars, Context: 12}
	learn := func(width int, seed uint64, texts text.List) *student.Model {
		train := data.Loader{Set: must(rows.Of(texts)), Batch: 9, Seed: 1}
		c := lm.Config{Vocab: chars.Size(), Width: width, Inner: 2 * width, Layers: 2, Heads: 2, Context: 12}
		m := must(student.New(c, train.Spec(), seed))
		run := distill.Run{
			Student: m, Terms: []distill.Term{{Name: "texts", Loss: distill.CrossEntropy{}}}, Train: train,
			Optimizer: distill.Adam{Rate: distill.Constant(0.01)}, Epochs: 60,
		}
		must(run.Fit(ctx))
		return m
	}
	write := func(m *student.Model) (all text.List) {
		var prompts [][]int
		for i := range len(letters) - 1 {
			prompts = append(prompts, must(rows.Start(letters[i:i+1])))
		}
		sampler := must(lm.NewSampler(m, lm.Sampling{Max: 10, Stop: []int{chars.Special().EOS}}))
		for i, s := range must(sampler.Generate(ctx, prompts)) {
			all = append(all, text.Example{Prompt: letters[i : i+1], Completion: must(chars.Decode(s.IDs))})
		}
		return all
	}

	var alphabet text.List
	for i := 1; i < len(letters); i++ {
		alphabet = append(alphabet, text.Example{Prompt: letters[i-1 : i], Completion: letters[i:]})
	}
	written := write(learn(32, 1, alphabet))
	small := learn(12, 2, written)
	fmt.Println(written[4].Prompt, written[4].Completion)
	fmt.Println("the student writes the same:", slices.Equal(write(small), written))
	// Output:
	// e fghij
	// the student writes the same: true
}
