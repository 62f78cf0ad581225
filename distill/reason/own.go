package reason

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/student"
)

// Own is a source of a student's own answers, right or wrong, for a teacher to say
// what it would have said in their place: on-policy distillation (GKD, Agarwal et al.
// 2024, 2306.13649, algorithm 1; MiniLLM, Gu et al. 2024, 2306.08543). The terms are
// those that look at a teacher, as distill.JSD and distill.ReverseKL do: labels are
// what the student has said, and teach it nothing new.
//
//	run := distill.Run{
//		Student: small, Teacher: teacher.Of(big),
//		Terms: []distill.Term{{Name: "jsd", Loss: distill.JSD{}}},
//		Train: reason.Own{Solver: solver, Problems: problems, Batch: 32, Epoch: 100, Context: 40},
//		...
//	}
//
// Rows are laid out as [Answer.Append] does. What a batch holds depends on the fields,
// its epoch and number, and the weights of the student when it is asked for: a run
// asks when the step before is done, and is resumed to the same bytes.
type Own struct {
	// Solver asks the student that learns. Temperature 1 samples its own distribution.
	Solver *Solver
	// Problems are what it is asked, one after the other, and again from the first.
	Problems task.Set
	// Batch is the number of rows of a batch, and Epoch that of batches in an epoch, 1
	// or more.
	Batch, Epoch int
	// Context is the length T of a row, which has room for the longest answer.
	Context int
	// Mix is the share of rows that are of Data instead, GKD's 1-λ: 0 or more, and less
	// than 1. They are spread evenly, over batches too.
	Mix float64
	// Data has rows of the same layout, as [text.Sequences] makes them. They are dealt
	// all of them in a random order, then all in another. Nil is none.
	Data data.Set
	// Seed is that of these orders.
	Seed uint64
}

// Validate says what is wrong with the fields, if anything.
func (o Own) Validate() error {
	if err := o.Solver.Takes(o.Problems); err != nil {
		return err
	}
	switch {
	case o.Batch < 1:
		return fmt.Errorf("reason: Own.Batch is %d; want 1 or more", o.Batch)
	case o.Epoch < 1:
		return fmt.Errorf("reason: Own.Epoch is %d; want 1 batch or more", o.Epoch)
	case o.Context < 1:
		return fmt.Errorf("reason: Own.Context is %d; want 1 or more", o.Context)
	case !(o.Mix >= 0 && o.Mix < 1):
		return fmt.Errorf("reason: Own.Mix is %v; want 0 or more, and less than 1", o.Mix)
	case (o.Mix > 0) != (o.Data != nil):
		return fmt.Errorf("reason: Own.Mix is %v, and Own.Data %T; want both, or neither", o.Mix, o.Data)
	case o.Data == nil:
		return nil
	case o.Data.Len() < 1:
		return errors.New("reason: Own.Data is empty; want 1 row or more")
	}
	b, err := data.NewBatch(Spec(o.Context), 1)
	if err == nil {
		err = b.Append(o.Data, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("reason: Own.Data: %w", err)
	}
	return nil
}

// Spec implements [data.Source]: that of [Spec]. The fingerprint is one of the
// problems, the data and how they are asked, without the student.
func (o Own) Spec() data.Spec {
	spec := Spec(o.Context)
	h := sha256.New()
	fmt.Fprintf(h, "own %x %d %d %d %v %d", o.Problems.Fingerprint(), o.Batch, o.Epoch, o.Context, o.Mix, o.Seed)
	if s := o.Solver; s != nil && s.sampler != nil {
		sampling := s.Sampling
		sampling.Batch = 0
		fmt.Fprintf(h, " %x %v", s.Tokenizer.Fingerprint(), sampling)
	}
	if o.Data != nil {
		fmt.Fprintf(h, " %x", o.Data.Spec().Fingerprint)
	}
	spec.Fingerprint = [32]byte(h.Sum(nil))
	return spec
}

// Asks is the model that answers, which is to be the student of the run.
func (o Own) Asks() *student.Model { return o.Solver.Asks() }

// Len implements [data.Counted].
func (o Own) Len() int { return o.Epoch }

// Live implements [data.Live].
func (Own) Live() {}

// Batches implements [data.Source]. The id of an answer is that of its problem, with
// the view 1 for the first answer of all, 2 for the next, and so on. View 0 is a row of
// Data.
func (o Own) Batches(ctx context.Context, epoch, from int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		err := o.Validate()
		if err == nil && (epoch < 0 || from < 0 || from > o.Epoch) {
			err = fmt.Errorf("reason: batch %d of epoch %d of Own; want 0 to %d, of 0 or later", from, epoch, o.Epoch)
		}
		if err != nil {
			yield(data.Batch{}, err)
			return
		}
		for ; from < o.Epoch; from++ {
			b, err := o.batch(ctx, (epoch*o.Epoch+from)*o.Batch)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// batch is the rows from one on, of all that there ever are.
func (o Own) batch(ctx context.Context, first int) (data.Batch, error) {
	b, err := data.NewBatch(Spec(o.Context), o.Batch)
	if err != nil {
		return data.Batch{}, fmt.Errorf("reason: %w", err)
	}
	own := first - o.given(first)
	answers, err := o.ask(ctx, own, o.Batch-(o.given(first+o.Batch)-o.given(first)))
	if err != nil {
		return data.Batch{}, err
	}
	for n := first; n < first+o.Batch; n++ {
		if i := o.given(n); i < o.given(n+1) {
			err = b.Append(o.Data, o.dealt(i), 0)
		} else {
			err = answers[0].Append(&b, data.ID{Sample: o.Problems.ID(own % o.Problems.Rows), View: uint64(own) + 1})
			answers, own = answers[1:], own+1
		}
		if err != nil {
			return data.Batch{}, fmt.Errorf("reason: %w", err)
		}
	}
	return b, nil
}

// given is how many of the first n rows are of Data.
func (o Own) given(n int) int { return int(float64(n) * o.Mix) }

// dealt is the row of Data that comes after i others.
func (o Own) dealt(i int) int {
	n := o.Data.Len()
	return rand.New(rand.NewPCG(o.Seed, uint64(i/n))).Perm(n)[i%n]
}

// ask has n answers, from one on.
func (o Own) ask(ctx context.Context, from, n int) ([]Answer, error) {
	problems, ids := make([]task.Problem, n), make([]uint64, n)
	for i := range n {
		var err error
		if problems[i], err = o.Problems.Problem((from + i) % o.Problems.Rows); err != nil {
			return nil, fmt.Errorf("reason: %w", err)
		}
		ids[i] = uint64(from + i)
	}
	return o.Solver.answer(ctx, problems, ids)
}
