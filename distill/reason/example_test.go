package reason_test

import (
	stdcontext "context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
)

var (
	sums  = task.Written{Op: '+'}
	chars = must(text.NewCharacters(sums.Alphabet()))
)

// network is a language model for sums of few digits.
func network(width int, seed uint64) *student.Model {
	c := lm.Config{Vocab: chars.Size(), Width: width, Inner: 2 * width, Layers: 1, Heads: 2, Context: 24}
	return must(lm.New(c, 24, seed))
}

func Example() {
	s, err := reason.NewSolver(reason.Solver{Model: network(8, 1), Tokenizer: chars, Task: sums, Sampling: reason.R1()})
	if err != nil {
		log.Fatal(err)
	}
	test := task.Set{Task: sums, Split: task.Test, Rows: 30, Seed: 1, Levels: []int{1, 2}}
	report, err := reason.Evaluate(stdcontext.Background(), s, test, 4, 2)
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range report.Levels { // of a model that has learned nothing
		fmt.Println("level", l.Level, l.Count, "problems, pass@1 is below 10%:", l.Pass1.Mean < 0.1)
	}
	// Output:
	// level 1 15 problems, pass@1 is below 10%: true
	// level 2 15 problems, pass@1 is below 10%: true
}

// A teacher's answers that are right become a set to learn from. What its logits say
// of each token is recorded beside them, as of any set.
func ExampleCollect() {
	ctx := stdcontext.Background()
	dir, err := os.MkdirTemp("", "traces")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "traces.jsonl")

	big := taught(network(24, 1))
	collect := reason.Collect{
		Solver:   must(reason.NewSolver(reason.Solver{Model: big, Tokenizer: chars, Task: sums, Sampling: reason.R1()})),
		Problems: task.Set{Task: sums, Rows: 40, Seed: 2, Levels: []int{1}},
		Tries:    4, Keep: 1, Licence: "CC0-1.0",
	}
	kept, err := collect.Write(ctx, path)
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	traces, err := reason.ReadTraces(file)
	if err != nil {
		log.Fatal(err)
	}
	set, err := text.Sequences{Tokenizer: chars, Context: 24}.Of(traces)
	if err != nil {
		log.Fatal(err)
	}
	cache, err := teacher.Record(ctx, teacher.Of(big), set, filepath.Join(dir, "logits"), teacher.Recording{TopK: 5})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	run := distill.Run{
		Student: network(8, 2), Teacher: cache, Terms: distill.Hinton(1, 0.5),
		Train: data.Loader{Set: set, Batch: 16}, Optimizer: distill.Adam{Rate: distill.Constant(0.01)}, Epochs: 2,
	}
	result, err := run.Fit(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kept.Kept == len(traces), kept.Problems, result.Steps > 0)
	fmt.Println(traces[0].Task, traces[0].Licence)
	// Output:
	// true 40 true
	// written + CC0-1.0
}

// A student answers problems itself, and its teacher says what it would have said at
// each token.
func ExampleOwn() {
	small := network(8, 2)
	solver, err := reason.NewSolver(reason.Solver{Model: small, Tokenizer: chars, Task: sums, Sampling: lm.Sampling{Temperature: 1}})
	if err != nil {
		log.Fatal(err)
	}
	run := distill.Run{
		Student: small,
		Teacher: teacher.Of(taught(network(24, 1))),
		Terms:   []distill.Term{{Name: "jsd", Loss: distill.JSD{}}},
		Train: reason.Own{
			Solver: solver, Problems: task.Set{Task: sums, Rows: 40, Seed: 2, Levels: []int{1}},
			Batch: 16, Epoch: 5, Context: 24,
		},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    8,
	}
	var loss []float64
	for step, err := range run.Steps(stdcontext.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		loss = append(loss, step.Loss)
	}
	fmt.Println(len(loss), loss[39] < loss[0])
	// Output: 40 true
}

// taught is a model that has learned from chains.
func taught(m *student.Model) *student.Model {
	set := must(text.Sequences{Tokenizer: chars, Context: 24}.Of(task.Set{Task: sums, Rows: 100, Seed: 1, Levels: []int{1}}))
	run := distill.Run{
		Student: m, Terms: distill.Hinton(1, 0)[:1], Train: data.Loader{Set: set, Batch: 25},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)}, Epochs: 30,
	}
	must(run.Fit(stdcontext.Background()))
	return m
}
