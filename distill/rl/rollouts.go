package rl

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// Rollouts are answers of a model to problems, with their rewards: the source of a
// distill.Run, and its teacher. An epoch is one rollout, of Batch problems, the
// next ones of the set, from its first again after the last. With one seed and the
// same weights the same is said.
type Rollouts struct {
	// Solver asks the model that learns, at temperature 1 and with all ids kept.
	Solver *reason.Solver
	// Problems are what it is asked.
	Problems task.Set
	// Batch is the number of problems of a rollout, 1 or more.
	Batch int
	// Group is the number of answers to each, 2 or more.
	Group int
	// Context is the length T of a row, which problem and answer fit.
	Context int
	// Reward says what they are worth; nil means Verified{}.
	Reward Reward
	// Unscaled leaves out the division of advantages by their standard deviation.
	Unscaled bool
	// Reference is what the model is kept near to, by a term of ReferenceKL; nil
	// leaves its signal out. It is not the model that learns, but
	// may be a copy of it, as lm.For makes one.
	Reference *student.Model
	// Passes is how often a rollout is learnt from, μ in 2402.03300; 0 means once.
	Passes int
	// Parts is the number of batches of a pass, a divisor of Batch; 0 means 1. They
	// are as many steps, or one where Run.Accumulate is their number.
	Parts int
	// Patience is how many rollouts may follow each other whose rewards are equal in
	// each group, from which there is nothing to be learnt; 0 means 50.
	Patience int
	// File keeps the rollout at hand, as JSON. A run of several steps to a rollout
	// cannot go on within one without it: give it one wherever Run.Dir is given. ""
	// keeps nothing.
	File string `config:"-"` // no byte of a run depends on it

	now   *rollout
	stale int // rollouts without a difference until now
}

// Validate says what is wrong with the fields, if anything.
func (r *Rollouts) Validate() error {
	if r.Solver == nil {
		return errors.New("rl: Rollouts.Solver is nil; want one that reason.NewSolver made")
	}
	if err := r.Solver.Takes(r.Problems); err != nil {
		return fmt.Errorf("rl: Rollouts: %w", err)
	}
	switch s := r.Solver.Sampling; {
	case s.Temperature != 1 || s.TopK != 0 || s.TopP != 0 && s.TopP != 1:
		return fmt.Errorf("rl: the solver samples at temperature %v, top-k %d and top-p %v; want 1, 0 and 1: the policy is what is drawn from", s.Temperature, s.TopK, s.TopP)
	case r.Batch < 1:
		return fmt.Errorf("rl: Rollouts.Batch is %d; want 1 problem or more", r.Batch)
	case r.Group < 2:
		return fmt.Errorf("rl: Rollouts.Group is %d; want 2 answers or more, to be compared", r.Group)
	case r.Context < 1:
		return fmt.Errorf("rl: Rollouts.Context is %d; want 1 or more", r.Context)
	case r.Passes < 0:
		return fmt.Errorf("rl: Rollouts.Passes is %d; want 1 or more, or 0 for 1", r.Passes)
	case r.Parts < 0 || r.Batch%max(r.Parts, 1) != 0:
		return fmt.Errorf("rl: Rollouts.Parts is %d; want a divisor of Batch, %d, or 0 for 1", r.Parts, r.Batch)
	case r.Patience < 0:
		return fmt.Errorf("rl: Rollouts.Patience is %d; want 1 or more, or 0 for 50", r.Patience)
	case r.Reference != nil && r.Reference == r.Solver.Model:
		return errors.New("rl: Rollouts.Reference is the model that learns; want a copy of it, or nil")
	}
	return nil
}

// Spec implements [data.Source]: that of reason.Spec, and the signals as inputs. The
// fingerprint is one of the problems and the reference, without the model that learns.
func (r *Rollouts) Spec() data.Spec {
	spec := reason.Spec(r.Context)
	maps.Copy(spec.In, r.signals())
	h := sha256.New()
	fmt.Fprintf(h, "rollouts %x", r.Problems.Fingerprint())
	if r.Reference != nil {
		fmt.Fprintf(h, " %x", r.Reference.Fingerprint())
	}
	spec.Fingerprint = [32]byte(h.Sum(nil))
	return spec
}

// Asks is the model that answers, which is to be the student of the run.
func (r *Rollouts) Asks() *student.Model { return r.Solver.Asks() }

func (r *Rollouts) signals() map[string]data.Field {
	all := map[string]data.Field{}
	for _, name := range []string{signalAdvantage, signalReward, signalShare, signalSampled, signalReference} {
		all[name] = data.Field{Shape: tensor.Shape{r.Context}, Dtype: tensor.Float32}
	}
	if r.Reference == nil {
		delete(all, signalReference)
	}
	return all
}

// Len implements [data.Counted].
func (r *Rollouts) Len() int { return max(r.Passes, 1) * max(r.Parts, 1) }

// Live implements [data.Live].
func (*Rollouts) Live() {}

// Card implements [teacher.Teacher].
func (r *Rollouts) Card() (teacher.Card, error) {
	return teacher.Card{Signals: r.signals(), Live: true}, r.Validate()
}

// Teach implements [teacher.Teacher], of its own batches.
func (r *Rollouts) Teach(_ context.Context, b data.Batch) (data.Signals, error) {
	all := data.Signals{}
	for _, name := range slices.Sorted(maps.Keys(r.signals())) {
		v := b.In[name]
		if v == nil {
			return nil, fmt.Errorf("rl: the batch has no %q; Rollouts teach their own batches alone: want no Run.Valid", name)
		}
		rows := v.Float32s()[:b.N*r.Context]
		all[name] = tensor.New(tensor.WithShape(b.N, r.Context), tensor.WithBacking(append([]float32(nil), rows...)))
	}
	return all, nil
}

// Batches implements [data.Source].
func (r *Rollouts) Batches(ctx context.Context, epoch, from int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		now, err := r.rollout(ctx, epoch, from)
		if err != nil {
			yield(data.Batch{}, err)
			return
		}
		for i := from; i < r.Len(); i++ {
			if !yield(now.batches[i%len(now.batches)], nil) {
				return
			}
		}
	}
}
