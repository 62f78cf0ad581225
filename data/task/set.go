package task

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"github.com/godistill/godistill/data/text"
)

// A Set is problems of a task, made when they are asked for. They are the
// [text.Examples] of their prompts and completions. Problem i depends on the
// fields and on i alone. One problem may come more than once, as any of few does.
type Set struct {
	// Task makes the problems.
	Task Task
	// Split is what they are for. Sets of different splits have no problem in
	// common.
	Split Split
	// Rows is how many there are, 1 or more.
	Rows int
	// Seed is that of the problems.
	Seed uint64
	// Levels are those of the problems, in turn. Nil means all that the task has.
	Levels []int
	// Direct leaves out the chains: a completion is the answer alone.
	Direct bool
	// FirstID is the id of the first problem; the others count up from it. It
	// keeps the rows of several sets apart.
	FirstID uint64
}

// Validate says what is wrong with the fields, if anything.
func (s Set) Validate() error {
	switch {
	case s.Task == nil:
		return fmt.Errorf("task: Set.Task is nil; want a Task")
	case s.Split < Train || s.Split > Test:
		return fmt.Errorf("task: Set.Split is %d; want Train, Valid or Test", s.Split)
	case s.Rows < 1:
		return fmt.Errorf("task: Set.Rows is %d; want 1 or more", s.Rows)
	}
	low, high := s.Task.Levels()
	if low > high {
		return fmt.Errorf("task: %s has the levels %d to %d; want 1 or more", s.Task.Name(), low, high)
	}
	for i, level := range s.Levels {
		if level < low || level > high {
			return fmt.Errorf("task: Set.Levels[%d] is %d; want %d to %d for %s", i, level, low, high, s.Task.Name())
		}
	}
	return nil
}

// tries bounds how many problems are made to find one of the split: one in ten is.
const tries = 1000

// Problem is problem i.
func (s Set) Problem(i int) (Problem, error) {
	if err := s.Validate(); err != nil {
		return Problem{}, err
	}
	if i < 0 || i >= s.Rows {
		return Problem{}, fmt.Errorf("task: problem %d of a set of %d", i, s.Rows)
	}
	level := s.Level(i)
	rng := rand.New(rand.NewPCG(s.Seed, uint64(i)))
	for range tries {
		p, err := s.Task.Make(rng.Uint64(), level)
		if err != nil {
			return Problem{}, fmt.Errorf("task: problem %d: %w", i, err)
		}
		if SplitOf(p) == s.Split {
			return p, nil
		}
	}
	return Problem{}, fmt.Errorf("task: problem %d: of %d problems of %s at level %d, none is for %v", i, tries, s.Task.Name(), level, s.Split)
}

// Level is the level of difficulty of problem i, of a set whose fields are valid.
func (s Set) Level(i int) int {
	if len(s.Levels) > 0 {
		return s.Levels[i%len(s.Levels)]
	}
	low, high := s.Task.Levels()
	return low + i%(high-low+1)
}

// Len implements [text.Examples].
func (s Set) Len() int { return s.Rows }

// ID implements [text.Examples].
func (s Set) ID(i int) uint64 { return s.FirstID + uint64(i) }

// Example implements [text.Examples].
func (s Set) Example(i int) (text.Example, error) {
	p, err := s.Problem(i)
	if s.Direct {
		p.Chain = ""
	}
	return text.Example{Prompt: p.Prompt, Completion: p.Completion()}, err
}

// Fingerprint implements [text.Examples]. It is a hash of the fields, and of the
// task's name in its place.
func (s Set) Fingerprint() [32]byte {
	name := ""
	if s.Task != nil {
		name = s.Task.Name()
	}
	return sha256.Sum256(fmt.Appendf(nil, "task %q %v %d %d %v %t %d", name, s.Split, s.Rows, s.Seed, s.Levels, s.Direct, s.FirstID))
}
