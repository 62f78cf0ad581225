// Package text turns text into what a language model learns from: tokens, and
// sets of sequences of them.
//
// A [Tokenizer] maps text to ids and back: [Characters] has one for each
// character of an alphabet, [BPE] those of a tokenizer.json. [Sequences] makes a
// [data.Set] of prompts and completions, where labels are the next tokens and
// only those of the completion have weight:
//
//	chars, err := text.NewCharacters("0123456789+=")
//	if err != nil {
//		return err
//	}
//	set, err := text.Sequences{Tokenizer: chars, Context: 16}.Of(text.List{
//		{Prompt: "12+34=", Completion: "46"},
//		{Prompt: "7+8=", Completion: "15"},
//	})
//	if err != nil {
//		return err
//	}
//	loader := data.Loader{Set: set, Batch: 2, Seed: 1}
//
// The package refuses what it would have to guess: a character without a token,
// a text that does not fit, a tokenizer.json with parts that it does not know.
package text

import "fmt"

// A Tokenizer maps text to tokens, which are whole numbers from 0, and back. Its
// methods may be called from many goroutines.
type Tokenizer interface {
	// Encode is the tokens of a text, without any that only mark its start or
	// its end. It fails on what has no token, and names it and its place. The
	// slice is the caller's.
	Encode(text string) ([]int, error)
	// Decode is the text of tokens. Those of Special have none. It fails on
	// numbers that are no tokens. Part of a text may end within a character: the
	// bytes are as they are.
	Decode(tokens []int) (string, error)
	// Size is how many tokens there are, the special ones too: one more than the
	// highest. It is the number of logits of a model.
	Size() int
	// Special is the tokens that are no text.
	Special() Special
	// Fingerprint is a hash of everything that Encode depends on.
	Fingerprint() [32]byte
}

// A mistake is why a text has no tokens. Who says which text it was leaves out the
// name of the package, which is said already.
type mistake struct{ error }

func (m mistake) Error() string { return "text: " + m.error.Error() }
func (m mistake) Unwrap() error { return m.error }

// bare is an error without the name of the package, if it is a mistake.
func bare(err error) error {
	if m, ok := err.(mistake); ok {
		return m.error
	}
	return err
}

// Special are the tokens that stand for no text. One that a tokenizer does not
// have is [None].
type Special struct {
	Pad int // fills up what is too short
	BOS int // the start of a text
	EOS int // its end
}

// None is the token that is not there.
const None = -1

// has says whether a token is one of them.
func (s Special) has(token int) bool {
	return token != None && (token == s.Pad || token == s.BOS || token == s.EOS)
}

// List is examples in memory. The first has id 0.
type List []Example

// An Example is a text that is given, and the one that is to follow it. One to be
// learned as a whole has no prompt.
type Example struct {
	Prompt, Completion string
}

// Examples is random access to examples. Its methods may be called from many
// goroutines.
type Examples interface {
	// Len is the number of examples.
	Len() int
	// ID is the stable name of example i. Those of different examples differ.
	ID(i int) uint64
	// Example is example i, the same one always.
	Example(i int) (Example, error)
	// Fingerprint is a hash of the examples and their ids.
	Fingerprint() [32]byte
}

// Len implements [Examples].
func (l List) Len() int { return len(l) }

// ID implements [Examples].
func (l List) ID(i int) uint64 { return uint64(i) }

// Example implements [Examples].
func (l List) Example(i int) (Example, error) {
	if i < 0 || i >= len(l) {
		return Example{}, fmt.Errorf("text: example %d of a list of %d", i, len(l))
	}
	return l[i], nil
}

// Fingerprint implements [Examples].
func (l List) Fingerprint() [32]byte {
	h := newDigest("list")
	for _, e := range l {
		h.add("%q %q", e.Prompt, e.Completion)
	}
	return h.sum()
}
