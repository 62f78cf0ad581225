package reason_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill/reason"
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

// echo is the task to say a digit that is as odd or even as the first one of one
// digit, or at level 2 of two that differ. There are 10 problems and 90: even an
// untrained model is right at times.
type echo struct{}

func (echo) Name() string            { return "echo" }
func (echo) Levels() (low, high int) { return 1, 2 }
func (echo) Alphabet() string        { return "0123456789=;" }
func (e echo) Make(seed uint64, level int) (task.Problem, error) {
	a := seed % 10
	if level == 1 {
		return task.Problem{Prompt: fmt.Sprintf("%d=", a), Answer: fmt.Sprint(a)}, nil
	}
	b := (a + 1 + seed/10%9) % 10
	return task.Problem{Prompt: fmt.Sprintf("%d%d=", a, b), Answer: fmt.Sprint(a)}, nil
}

func (echo) Verify(p task.Problem, completion string) (bool, error) {
	_, answer, err := task.Parse(completion)
	if err != nil {
		return false, err
	}
	if len(answer) != 1 || answer == "=" {
		return false, fmt.Errorf("%q is no digit: %w", answer, task.ErrFormat)
	}
	return answer[0]%2 == p.Prompt[0]%2, nil
}

// digits has 0 as 3, 1 as 4 and so on.
var digits = must(text.NewCharacters(echo{}.Alphabet()))

// context is that of the models of the tests.
const context = 11

// model is a small one, of either dtype, that has learned nothing.
func model(d tensor.Dtype, seed uint64) *student.Model {
	c := lm.Config{Vocab: digits.Size(), Width: 12, Inner: 20, Layers: 1, Heads: 3, Context: context}
	return must(lm.NewOf(c, context, d, seed))
}

// solver is one of echo, at a temperature of 1. What is no text ends its answers, so
// that some have an end.
func solver(m *student.Model) reason.Solver {
	return reason.Solver{Model: m, Tokenizer: digits, Task: echo{}, Sampling: lm.Sampling{Temperature: 1, Stop: []int{0, 1, 2}, Max: 5, Seed: 3}}
}

func problems(n int) task.Set { return task.Set{Task: echo{}, Rows: n, Seed: 1} }

func first(n int) (all []task.Problem) {
	for i := range n {
		all = append(all, must(problems(n).Problem(i)))
	}
	return all
}

// rowText is the inputs, labels and weights of a row.
func rowText(b data.Batch, r int) string {
	return fmt.Sprint(data.Row[int](b.In[data.Input], r), data.Row[int](b.Label, r), data.Row[float32](b.Weight, r))
}

// none wants no error.
func none(err error) {
	if err != nil {
		panic(err)
	}
}
