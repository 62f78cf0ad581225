// Package task makes problems whose answers can be verified, for students that
// learn to reason: from the chains of a teacher, or from being right.
//
// A [Task] makes a problem from a seed and a level of difficulty, and verifies
// what a model has answered. There are three: [Modular], [Written] and
// [Countdown]. A [Set] has as many problems as one wants, as examples for
// [text.Sequences]:
//
//	sums := task.Set{Task: task.Modular{}, Rows: 10_000, Seed: 1}
//	chars, err := text.NewCharacters(sums.Task.Alphabet())
//	if err != nil {
//		return err
//	}
//	train, err := text.Sequences{Tokenizer: chars, Context: 40}.Of(sums)
//
// The problem itself says whether it is for training, validation or testing
// ([SplitOf]). So two sets of different splits have none in common, whatever
// their seeds.
package task

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Problem is a question, and how it is answered.
type Problem struct {
	// Prompt is the question.
	Prompt string
	// Chain is the steps that lead to the answer.
	Chain string
	// Answer is a right answer. There may be others: see [Task.Verify].
	Answer string
	// Key is what problems have in common that are the same but for how they are
	// put: they go to one split. "" means that there is no other of the kind.
	Key string
}

// A Task is a kind of problem. Its methods may be called from many goroutines.
type Task interface {
	// Name says which problems Make makes: it stands for the task in
	// fingerprints.
	Name() string
	// Levels are the lowest and the highest level of difficulty.
	Levels() (low, high int)
	// Make makes a problem, which depends on its arguments alone.
	Make(seed uint64, level int) (Problem, error)
	// Verify says whether a completion of the prompt ends with a right answer. A
	// completion that is none at all is an ErrFormat. Any other error is the
	// problem's, which is not of the task.
	Verify(p Problem, completion string) (bool, error)
	// Alphabet is the characters of prompts and completions.
	Alphabet() string
}

// ErrFormat is what is wrong with completions that are no answers. It is wrapped
// with what is wrong with one.
var ErrFormat = errors.New("not in the format of an answer")

// end is between chain and answer.
const end = ";"

// Completion is the chain and the answer, as in "8,6;6", or the answer alone if
// there is no chain. [Parse] is its inverse.
func (p Problem) Completion() string {
	if p.Chain == "" {
		return p.Answer
	}
	return p.Chain + end + p.Answer
}

// Parse splits a completion into chain and answer. It fails with [ErrFormat]
// where there is no answer, or more than one.
func Parse(completion string) (chain, answer string, err error) {
	chain, answer, found := strings.Cut(completion, end)
	if !found {
		chain, answer = "", completion
	}
	switch {
	case answer == "":
		return "", "", malformed(completion, "has no answer")
	case strings.Contains(answer, end):
		return "", "", malformed(completion, "has more than one answer")
	}
	return chain, answer, nil
}

// malformed is an ErrFormat that shows the start of a completion.
func malformed(completion, what string) error {
	return fmt.Errorf("task: completion %.60q %s: %w", completion, what, ErrFormat)
}

// number says whether a completion ends with the answer of p, which is a number.
func number(p Problem, completion string) (bool, error) {
	if !isNumber(p.Answer) {
		return false, fmt.Errorf("task: the answer of problem %.60q is %.60q; want a number", p.Prompt, p.Answer)
	}
	_, answer, err := Parse(completion)
	if err != nil {
		return false, err
	}
	if !isNumber(answer) {
		return false, malformed(completion, "does not end with a number")
	}
	return answer == p.Answer, nil
}

func isNumber(text string) bool { return text != "" && strings.Trim(text, digits) == "" }

const digits = "0123456789"

// A Split is what problems are for.
type Split int

const (
	// Train is eight problems in ten, to learn from.
	Train Split = iota
	// Valid is one in ten, to choose by.
	Valid
	// Test is one in ten, to report.
	Test
)

// String is the name of the split.
func (s Split) String() string {
	switch s {
	case Train:
		return "Train"
	case Valid:
		return "Valid"
	case Test:
		return "Test"
	}
	return fmt.Sprintf("Split(%d)", int(s))
}

// SplitOf is the split that a problem belongs to. It depends on Key, or on
// Prompt where there is none, and on nothing else.
func SplitOf(p Problem) Split {
	key := p.Key
	if key == "" {
		key = p.Prompt
	}
	hash := sha256.Sum256([]byte(key))
	switch binary.LittleEndian.Uint64(hash[:]) % 10 {
	case 0:
		return Test
	case 1:
		return Valid
	}
	return Train
}

// generator is a generator for a problem of a level, unless a task does not have
// that.
func generator(t Task, seed uint64, level int) (*rand.Rand, error) {
	if low, high := t.Levels(); level < low || level > high {
		return nil, fmt.Errorf("task: level of %s is %d; want %d to %d", t.Name(), level, low, high)
	}
	return rand.New(rand.NewPCG(seed, uint64(level))), nil
}
