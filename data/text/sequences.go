package text

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// Truncate says what becomes of an example that is longer than the context.
type Truncate int

const (
	// Refuse is an error when the example is read.
	Refuse Truncate = iota
	// DropEnd leaves out the last tokens of the completion, EOS first.
	DropEnd
	// DropStart leaves out the first tokens of the prompt, BOS first, and then
	// those of the completion.
	DropStart
)

var errNilTokenizer = errors.New("text: Sequences.Tokenizer is nil; want a Tokenizer")

// Names of inputs that [Sequences.Segments] adds.
const (
	// Segment is the number of the text that a token is of, from 1 in each row;
	// padding has 0. A model that has it keeps the texts of a row apart.
	Segment = "segment"
	// Position is the place of a token in its text, from 0.
	Position = "position"
)

// Sequences makes sets of token sequences for a model that predicts the next
// token: of examples, each in a row of its own ([Sequences.Of]) or several in one
// ([Sequences.Pack]), and of a long text ([Sequences.Windows]). An example is BOS, prompt, completion, EOS, without what the tokenizer
// does not have. Prompt and completion are encoded apart, as they are when a
// model is asked: no token is part of both.
//
// Input t is token t of these, and label t is token t+1, which the model is to
// predict there. Labels of the prompt have weight 0, those of the completion and
// EOS weight 1. The last token has no label, and needs no place: of T+1 tokens it
// is a label only. What is left of a row is Pad, or EOS or 0 where the tokenizer
// has none. There labels are [data.Unlabelled], and weights 0.
//
// The samples have the input [data.Input] of tensor.Int (T), labels of tensor.Int
// (T) and weights (T), T being the context. They have one view.
type Sequences struct {
	// Tokenizer encodes the examples.
	Tokenizer Tokenizer
	// Context is the length T of a row, 1 to 1<<24.
	Context int
	// Truncate says what becomes of examples that do not fit. What is left must
	// have a token to predict.
	Truncate Truncate
	// Segments adds the inputs [Segment] and [Position], of tensor.Int (T).
	Segments bool
}

// maxContext bounds the length of a row. A longer one is a mistake.
const maxContext = 1 << 24

// Of is a set with a row for each example, which has the example's id. Examples
// are encoded when they are read, and the first one now: an alphabet that is
// another is found at once.
func (s Sequences) Of(e Examples) (data.Set, error) {
	if err := s.check(e); err != nil {
		return nil, err
	}
	if _, err := s.sequence(e, 0); err != nil {
		return nil, err
	}
	return &single{rows{s.spec(e, "sequences"), s}, e}, nil
}

// Start is the tokens that a model is given to complete a prompt: those that the
// examples of the set begin with. They may be more than the context.
func (s Sequences) Start(prompt string) ([]int, error) {
	if s.Tokenizer == nil {
		return nil, errNilTokenizer
	}
	tokens, err := s.Tokenizer.Encode(prompt)
	if bos := s.Tokenizer.Special().BOS; err == nil && bos != None {
		tokens = slices.Insert(tokens, 0, bos)
	}
	return tokens, err
}

func (s Sequences) check(e Examples) error {
	switch {
	case s.Tokenizer == nil:
		return errNilTokenizer
	case s.Context < 1 || s.Context > maxContext:
		return fmt.Errorf("text: Sequences.Context is %d; want 1 to %d", s.Context, maxContext)
	case s.Truncate < Refuse || s.Truncate > DropStart:
		return fmt.Errorf("text: Sequences.Truncate is %d; want Refuse, DropEnd or DropStart", s.Truncate)
	case e == nil:
		return errors.New("text: Sequences of nil; want Examples")
	case e.Len() < 1:
		return errors.New("text: Sequences of no examples; want 1 or more")
	}
	return nil
}

func (s Sequences) spec(e Examples, kind string) data.Spec {
	d := newDigest(kind)
	d.add("%x %x", s.Tokenizer.Fingerprint(), e.Fingerprint())
	d.add("%d %d %t", s.Context, s.Truncate, s.Segments)
	field := data.Field{Shape: tensor.Shape{s.Context}, Dtype: tensor.Int}
	spec := data.Spec{In: map[string]data.Field{data.Input: field}, Label: field, Views: 1, Fingerprint: d.sum()}
	if s.Segments {
		spec.In[Segment], spec.In[Position] = field, field
	}
	return spec
}

// A sequence is the tokens of an example, of which those from the index learn on
// are to be learned.
type sequence struct {
	tokens []int
	learn  int
}

// sequence is that of example i, one token longer than the context at most.
func (s Sequences) sequence(e Examples, i int) (sequence, error) {
	example, err := e.Example(i)
	if err != nil {
		return sequence{}, err
	}
	q, err := s.encode(example)
	if err == nil {
		q, err = s.fit(q)
	}
	if err != nil {
		return sequence{}, fmt.Errorf("text: example %d, id %d: %w", i, e.ID(i), err)
	}
	return q, nil
}

func (s Sequences) encode(e Example) (sequence, error) {
	tokens, err := s.Start(e.Prompt)
	if err != nil {
		return sequence{}, fmt.Errorf("prompt: %w", bare(err))
	}
	completion, err := s.Tokenizer.Encode(e.Completion)
	if err != nil {
		return sequence{}, fmt.Errorf("completion: %w", bare(err))
	}
	return sequence{s.end(append(tokens, completion...)), len(tokens)}, nil
}

// end is tokens with EOS, if there is one.
func (s Sequences) end(tokens []int) []int {
	if eos := s.Tokenizer.Special().EOS; eos != None {
		return append(tokens, eos)
	}
	return tokens
}

// fit cuts what is too long, and refuses what has nothing to learn: nothing is
// before the first token that could predict it.
func (s Sequences) fit(q sequence) (sequence, error) {
	n, most := len(q.tokens), s.Context+1
	if n > most {
		switch s.Truncate {
		case Refuse:
			return q, fmt.Errorf("%d tokens do not fit Sequences.Context of %d, which has room for %d; set Sequences.Truncate to cut them", n, s.Context, most)
		case DropEnd:
			q.tokens = q.tokens[:most]
		case DropStart:
			q = sequence{q.tokens[n-most:], max(q.learn-(n-most), 0)}
		}
	}
	if max(q.learn, 1) >= len(q.tokens) {
		return q, fmt.Errorf("of %d tokens, none is left to predict; want one of the completion, after another", n)
	}
	return q, nil
}

// rows is what the sets have in common.
type rows struct {
	spec data.Spec
	Sequences
}

func (r *rows) Spec() data.Spec { return r.spec }

// write writes texts to a row, one after the other. The tokens of a row are one
// more than its inputs, and the last one is a label only.
func (r *rows) write(dst data.Sample, view uint64, texts ...sequence) error {
	if view != 0 {
		return fmt.Errorf("view %d of a set with one view", view)
	}
	row := writer{
		in:       data.Row[int](dst.Batch.In[data.Input], dst.Row),
		label:    data.Row[int](dst.Batch.Label, dst.Row),
		weight:   data.Row[float32](dst.Batch.Weight, dst.Row),
		segment:  data.Row[int](dst.Batch.In[Segment], dst.Row),
		position: data.Row[int](dst.Batch.In[Position], dst.Row),
	}
	clear(row.weight)
	for i := range row.in {
		row.in[i] = r.pad()
	}
	at := 0
	for n, text := range texts {
		row.text(at, n+1, text)
		at += len(text.tokens)
	}
	return nil
}

// pad is the token that fills rows. Nothing depends on it: nothing is learned
// there, and a model that predicts the next token does not look ahead.
func (r *rows) pad() int {
	special := r.Tokenizer.Special()
	if special.Pad == None {
		return max(special.EOS, 0)
	}
	return special.Pad
}

// A writer is the parts of a row. Those that are not wanted are empty.
type writer struct {
	in, label, segment, position []int
	weight                       []float32
}

// text writes text number n of the row, from place at on.
func (w writer) text(at, n int, text sequence) {
	for i, token := range text.tokens {
		put(w.in, at+i, token)
		put(w.segment, at+i, n)
		put(w.position, at+i, i)
		if i == 0 {
			continue // nothing of the text is before it
		}
		put(w.label, at+i-1, token)
		if i >= text.learn {
			put(w.weight, at+i-1, 1)
		}
	}
}

func put[E any](row []E, i int, v E) {
	if i < len(row) {
		row[i] = v
	}
}

// single has an example in each row.
type single struct {
	rows
	examples Examples
}

func (s *single) Len() int        { return s.examples.Len() }
func (s *single) ID(i int) uint64 { return s.examples.ID(i) }

func (s *single) Read(i int, view uint64, dst data.Sample) error {
	q, err := s.sequence(s.examples, i)
	if err != nil {
		return err
	}
	return s.write(dst, view, q)
}
