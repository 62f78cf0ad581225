package rl_test

import (
	stdcontext "context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/rl"
	"github.com/godistill/godistill/student/lm"
)

// A model imitates chains that are wrong at times, and then learns from being right
// (GRPO). How well it answers is measured before and after, on test problems.
func ExampleRollouts() {
	ctx := stdcontext.Background()
	sums := task.Modular{}
	problems := func(split task.Split, n int) task.Set {
		return task.Set{Task: sums, Split: split, Rows: n, Seed: 1, Levels: []int{2}}
	}
	chars, err := text.NewCharacters(sums.Alphabet())
	if err != nil {
		log.Fatal(err)
	}
	model, err := lm.New(lm.Config{Vocab: chars.Size(), Width: 32, Inner: 64, Layers: 1, Heads: 4, Context: 16, Theta: 100, Spread: 0.1}, 16, 1)
	if err != nil {
		log.Fatal(err)
	}

	// Supervised fine-tuning on the tokens of completions, by a writer who gives the
	// digit after the right one every other time.
	written := make(text.List, 6000)
	for i := range written {
		e, err := problems(task.Train, len(written)).Example(i)
		if err != nil {
			log.Fatal(err)
		}
		if last := len(e.Completion) - 1; i%2 == 1 {
			e.Completion = e.Completion[:last] + string("1234567890"[e.Completion[last]-'0'])
		}
		written[i] = e
	}
	chains, err := text.Sequences{Tokenizer: chars, Context: 16}.Of(written)
	if err != nil {
		log.Fatal(err)
	}
	imitation := distill.Run{
		Student: model, Terms: []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}},
		Train: data.Loader{Set: chains, Batch: 32}, Optimizer: distill.Adam{Rate: distill.Constant(0.01)}, Epochs: 2,
	}
	if _, err := imitation.Fit(ctx); err != nil {
		log.Fatal(err)
	}

	// Rewards that are verified.
	solver, err := reason.NewSolver(reason.Solver{Model: model, Tokenizer: chars, Task: sums, Sampling: lm.Sampling{Temperature: 1}})
	if err != nil {
		log.Fatal(err)
	}
	before, err := reason.Evaluate(ctx, solver, problems(task.Test, 100), 4)
	if err != nil {
		log.Fatal(err)
	}
	rollouts := &rl.Rollouts{
		Solver: solver, Problems: problems(task.Train, 1000), Batch: 12, Group: 12, Context: 16,
		Reward: rl.Verified{Accuracy: 1, Format: 0.1},
	}
	run := distill.Run{
		Student: model, Teacher: rollouts, Terms: rl.Terms(0.2, 0), Train: rollouts,
		Optimizer: distill.Adam{Rate: distill.Constant(0.003)}, Epochs: 30, Clip: 1,
	}
	if _, err := run.Fit(ctx); err != nil {
		log.Fatal(err)
	}
	after, err := reason.Evaluate(ctx, solver, problems(task.Test, 100), 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("before, less than half are right:", before.All.Pass1.High < 0.5)
	fmt.Println("after, more than half:", after.All.Pass1.Low > 0.5)
	// Output:
	// before, less than half are right: true
	// after, more than half: true
}
