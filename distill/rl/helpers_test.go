package rl_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/rl"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func wantError(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error is %v; want %q in it", err, part)
	}
}

// parity is the task to say a digit that is as odd or even as that of the problem.
// Even an untrained model is right at times.
type parity struct{}

func (parity) Name() string            { return "parity" }
func (parity) Levels() (low, high int) { return 1, 1 }
func (parity) Alphabet() string        { return "0123456789=;" }
func (parity) Make(seed uint64, _ int) (task.Problem, error) {
	d := fmt.Sprint(seed % 10)
	// The seed keeps problems of a digit apart, so that each split has some.
	return task.Problem{Prompt: d + "=", Answer: d, Key: fmt.Sprint(seed)}, nil
}

func (parity) Verify(p task.Problem, completion string) (bool, error) {
	if len(completion) != 1 || !strings.Contains("0123456789", completion) {
		return false, fmt.Errorf("%q is no digit: %w", completion, task.ErrFormat)
	}
	return completion[0]%2 == p.Prompt[0]%2, nil
}

// digits has 0 as 3, 1 as 4 and so on.
var digits = must(text.NewCharacters(parity{}.Alphabet()))

// context is that of the models of the tests.
const context = 7

// model is a small one that has learned nothing.
func model(d tensor.Dtype, seed uint64) *student.Model {
	c := lm.Config{Vocab: digits.Size(), Width: 12, Inner: 20, Layers: 1, Heads: 3, Context: context, Spread: 0.1}
	return must(lm.NewOf(c, context, d, seed))
}

// rollouts are of 3 problems, with 5 answers to each.
func rollouts(m *student.Model) *rl.Rollouts {
	s := reason.Solver{Model: m, Tokenizer: digits, Task: parity{}, Sampling: lm.Sampling{Temperature: 1, Max: 4, Seed: 3}}
	return &rl.Rollouts{
		Solver:   must(reason.NewSolver(s)),
		Problems: task.Set{Task: parity{}, Rows: 1000, Seed: 1},
		Batch:    3, Group: 5, Context: context,
		Reward: rl.Verified{Accuracy: 1, Format: 0.25},
	}
}
