package reason

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

// A Solver answers problems of a task with a language model. It computes with the
// weights as they are when it is asked. One goroutine at a time may use it.
type Solver struct {
	// Model is one that lm.New or lm.Load made.
	Model *student.Model
	// Tokenizer is that of the model's texts.
	Tokenizer text.Tokenizer
	// Task verifies the answers.
	Task task.Task
	// Sampling says how answers are drawn. Without ids in Stop, the tokenizer's EOS
	// ends them.
	Sampling lm.Sampling

	sampler *lm.Sampler
}

// An Answer is what a model said to a problem.
type Answer struct {
	lm.Sample
	// Prompt is the ids of the problem.
	Prompt []int
	// Text is what was said, "" where an id is no token.
	Text string
	// Right says that the task's verifier found it so.
	Right bool
	// Formed says that it has the form of an answer, and came to its end.
	Formed bool
	// Pad is the id that fills a row after it.
	Pad int
}

var errNotMade = errors.New("reason: the Solver is not one that NewSolver made")

// NewSolver checks a solver, and makes it ready.
func NewSolver(s Solver) (*Solver, error) {
	switch {
	case s.Model == nil:
		return nil, errors.New("reason: Solver.Model is nil; want a model")
	case s.Tokenizer == nil:
		return nil, errors.New("reason: Solver.Tokenizer is nil; want a text.Tokenizer")
	case s.Task == nil:
		return nil, errors.New("reason: Solver.Task is nil; want a task.Task")
	}
	c, ok := s.Model.Module().(lm.Config)
	if !ok {
		return nil, fmt.Errorf("reason: Solver.Model is a %T; want an lm.Config", s.Model.Module())
	}
	if size := s.Tokenizer.Size(); size > c.Vocab {
		return nil, fmt.Errorf("reason: Solver.Tokenizer has %d tokens and the model %d; want no more of them", size, c.Vocab)
	}
	if _, err := s.Tokenizer.Encode(s.Task.Alphabet()); err != nil {
		return nil, fmt.Errorf("reason: Solver.Tokenizer does not know the alphabet of %s: %w", s.Task.Name(), err)
	}
	if eos := s.Tokenizer.Special().EOS; len(s.Sampling.Stop) == 0 {
		if eos == text.None {
			return nil, errors.New("reason: Solver.Sampling.Stop is empty and the tokenizer has no EOS; want an id that ends answers")
		}
		s.Sampling.Stop = []int{eos}
	}
	var err error
	if s.sampler, err = lm.NewSampler(s.Model, s.Sampling); err != nil {
		return nil, fmt.Errorf("reason: Solver.Sampling: %w", err)
	}
	return &s, nil
}

// Asks is the model that answers, nil if there is none.
func (s *Solver) Asks() *student.Model {
	if s == nil {
		return nil
	}
	return s.Model
}

// Solve answers each problem n times. What is drawn depends on Sampling.Seed and
// on the ids first and on, one for each answer, the n of a problem in a row: other
// ids are other answers.
func (s *Solver) Solve(ctx context.Context, problems []task.Problem, n int, first uint64) ([][]Answer, error) {
	if s == nil || s.sampler == nil {
		return nil, errNotMade
	}
	if n < 1 {
		return nil, fmt.Errorf("reason: Solve of %d answers; want 1 or more", n)
	}
	var asked []task.Problem
	var ids []uint64
	for _, p := range problems {
		for range n {
			asked, ids = append(asked, p), append(ids, first+uint64(len(ids)))
		}
	}
	all, err := s.answer(ctx, asked, ids)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(all, n)), nil
}

// answer is an answer to each problem, drawn from its id.
func (s *Solver) answer(ctx context.Context, problems []task.Problem, ids []uint64) ([]Answer, error) {
	prompts := make([][]int, len(problems))
	for i, p := range problems {
		var err error
		if i > 0 && p.Prompt == problems[i-1].Prompt {
			prompts[i] = prompts[i-1]
		} else if prompts[i], err = (text.Sequences{Tokenizer: s.Tokenizer}).Start(p.Prompt); err != nil {
			return nil, fmt.Errorf("reason: problem %.60q: %w", p.Prompt, err)
		}
	}
	samples, err := s.sampler.Generate(ctx, prompts, ids...)
	if err != nil {
		return nil, fmt.Errorf("reason: %w", err)
	}
	all := make([]Answer, len(samples))
	for i, sample := range samples {
		if all[i], err = s.verify(problems[i], sample); err != nil {
			return nil, fmt.Errorf("reason: problem %.60q: %w", problems[i].Prompt, err)
		}
		all[i].Prompt = prompts[i]
	}
	return all, nil
}

// A question is a problem of a set, and what was answered.
type question struct {
	number  int
	problem task.Problem
	answers []Answer
}

// atOnce is how many answers are drawn before they are looked at, which bounds
// memory.
const atOnce = 1024

// ask yields the problems of a set, from one on, with n answers each. The ids of
// those of problem i are n*i and on.
func (s *Solver) ask(ctx context.Context, set task.Set, from, n int) iter.Seq2[question, error] {
	return func(yield func(question, error) bool) {
		for ; from < set.Rows; from += max(1, atOnce/n) {
			some, err := problemsOf(set, from, max(1, atOnce/n))
			var answers [][]Answer
			if err == nil {
				answers, err = s.Solve(ctx, some, n, uint64(n)*uint64(from))
			}
			if err != nil {
				yield(question{}, err)
				return
			}
			for i, p := range some {
				if !yield(question{from + i, p, answers[i]}, nil) {
					return
				}
			}
		}
	}
}

// problemsOf are so many problems of a set from one on, or what there is of them.
func problemsOf(set task.Set, from, n int) (all []task.Problem, err error) {
	for i := from; i < min(from+n, set.Rows); i++ {
		p, err := set.Problem(i)
		if err != nil {
			return nil, fmt.Errorf("reason: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// Takes says what is wrong with a set of problems for the solver, or with itself, if
// anything: it is of another task, or not valid, or the solver not made.
func (s *Solver) Takes(problems task.Set) error {
	if s == nil || s.sampler == nil {
		return errNotMade
	}
	if err := problems.Validate(); err != nil {
		return fmt.Errorf("reason: %w", err)
	}
	if of, own := problems.Task.Name(), s.Task.Name(); of != own {
		return fmt.Errorf("reason: the problems are of %s, and Solver.Task is %s; want one task", of, own)
	}
	return nil
}

// verify looks at an answer. One that has no end is not formed, and not right; nor
// is one with an id that is no token, which a padded vocabulary has. A panic of the
// verifier is an error: models say what nobody thought of.
func (s *Solver) verify(p task.Problem, sample lm.Sample) (a Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%q: panic: %v", a.Text, p)
		}
	}()
	a.Sample, a.Pad = sample, pad(s.Tokenizer.Special())
	if a.Text, err = s.Tokenizer.Decode(sample.IDs); err != nil || !sample.Stopped {
		return a, nil
	}
	a.Right, err = s.Task.Verify(p, a.Text)
	a.Formed = !errors.Is(err, task.ErrFormat)
	if !a.Formed {
		err = nil
	}
	return a, err
}
