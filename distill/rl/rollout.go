package rl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/internal/atomicfile"
	"github.com/godistill/godistill/internal/kernel"
)

// A rollout is groups of answers, and what each was worth.
type rollout struct {
	Epoch   int               `json:"epoch"`
	Groups  [][]reason.Answer `json:"groups"`
	Rewards [][]float64       `json:"rewards"`

	batches []data.Batch
}

// rollout is that of an epoch: a new one, or that which batches before from are of.
func (r *Rollouts) rollout(ctx context.Context, epoch, from int) (*rollout, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if from == 0 {
		now, err := r.sample(ctx, epoch)
		if err != nil {
			return nil, err
		}
		r.now = now
		return now, r.keep()
	}
	if r.File == "" {
		if r.now == nil || r.now.Epoch != epoch {
			return nil, fmt.Errorf("rl: batch %d of rollout %d is asked for, which is not at hand; want Rollouts.File, to go on within a rollout", from, epoch)
		}
		return r.now, nil
	}
	var err error
	r.now, err = r.read(epoch)
	return r.now, err
}

// sample asks the model, and says what its answers are worth.
func (r *Rollouts) sample(ctx context.Context, epoch int) (*rollout, error) {
	problems := make([]task.Problem, r.Batch)
	for i := range problems {
		var err error
		if problems[i], err = r.Problems.Problem((epoch*r.Batch + i) % r.Problems.Len()); err != nil {
			return nil, err
		}
	}
	groups, err := r.Solver.Solve(ctx, problems, r.Group, uint64(epoch*r.Batch*r.Group))
	if err != nil {
		return nil, err
	}
	now := &rollout{Epoch: epoch, Groups: groups}
	for i, group := range groups {
		worth, err := rewards(r.reward(), problems[i], group)
		if err != nil {
			return nil, err
		}
		now.Rewards = append(now.Rewards, worth)
	}
	if err := r.notice(now); err != nil {
		return nil, err
	}
	return now, r.lay(now)
}

func (r *Rollouts) reward() Reward {
	if r.Reward == nil {
		return Verified{}
	}
	return r.Reward
}

// notice counts the rollouts without a difference that follow each other, each of
// them once.
func (r *Rollouts) notice(now *rollout) error {
	switch {
	case r.now == nil || now.Epoch != r.now.Epoch && now.Epoch != r.now.Epoch+1:
		r.stale = 1 // another run, or one that is resumed
	case now.Epoch != r.now.Epoch:
		r.stale++
	}
	if slices.ContainsFunc(now.Rewards, differ) {
		r.stale = 0
	}
	patience := r.Patience
	if patience == 0 {
		patience = 50
	}
	if r.stale >= patience {
		return fmt.Errorf("rl: in %d rollouts of %d problems no answer was worth more or less than the others to its problem, the last %v: want problems that some answers solve, or a larger Group", r.stale, r.Batch, now.Rewards[0][0])
	}
	return nil
}

// differ says whether there is something to be learnt from rewards of a group.
func differ(rewards []float64) bool {
	return slices.ContainsFunc(Advantages(rewards, true), func(a float64) bool { return a != 0 })
}

// lay makes the batches of a rollout.
func (r *Rollouts) lay(now *rollout) error {
	parts := max(r.Parts, 1)
	size := r.Batch / parts
	for part := range parts {
		b, err := r.batch(now, part*size, (part+1)*size)
		if err != nil {
			return fmt.Errorf("rl: rollout %d: %w", now.Epoch, err)
		}
		now.batches = append(now.batches, b)
	}
	return nil
}

// batch has the groups from first on, below end.
func (r *Rollouts) batch(now *rollout, first, end int) (data.Batch, error) {
	b, err := data.NewBatch(reason.Spec(r.Context), (end-first)*r.Group)
	if err != nil {
		return b, err
	}
	signals := data.Signals{}
	for name := range r.signals() {
		signals[name] = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(b.Weight.Shape()...))
	}
	for g := first; g < end; g++ {
		advantages := Advantages(now.Rewards[g], !r.Unscaled)
		for i, a := range now.Groups[g] {
			row := b.N
			id := uint64((now.Epoch*r.Batch + g) * r.Group)
			if err := a.Append(&b, data.ID{Sample: id + uint64(i)}); err != nil {
				return b, err
			}
			for t, logProb := range a.LogProbs {
				at := row*r.Context + len(a.Prompt) - 1 + t
				signals[signalAdvantage].Float32s()[at] = float32(advantages[i])
				signals[signalReward].Float32s()[at] = float32(now.Rewards[g][i])
				signals[signalShare].Float32s()[at] = 1 / float32(len(a.IDs))
				signals[signalSampled].Float32s()[at] = float32(logProb)
			}
		}
	}
	if r.Reference != nil {
		if err := r.refer(b, signals[signalReference].Float32s()); err != nil {
			return b, err
		}
	}
	for name, v := range signals {
		b.In[name] = v
	}
	return b, nil
}

// refer writes the logarithms of the probabilities that the reference gives to the
// tokens of answers.
func (r *Rollouts) refer(b data.Batch, dst []float32) error {
	said, err := r.Reference.Predict(b)
	if err != nil {
		return fmt.Errorf("Rollouts.Reference: %w", err)
	}
	logits := said["logits"]
	vocab := logits.Shape()[2]
	labels, weights := b.Label.Ints(), b.Weight.Float32s()
	for i := range dst {
		if weights[i] == 0 {
			continue
		}
		if labels[i] >= vocab {
			return fmt.Errorf("Rollouts.Reference has %d logits; want one for the id %d", vocab, labels[i])
		}
		dst[i] = float32(logProb(logits, i*vocab, vocab, labels[i]))
	}
	return nil
}

// logProb is the logarithm of the softmax of n logits from the offset on, at one.
func logProb(logits *tensor.Dense, offset, n, at int) float64 {
	if logits.Dtype() == tensor.Float64 {
		return logSoftmax(logits.Float64s()[offset:offset+n], at)
	}
	return logSoftmax(logits.Float32s()[offset:offset+n], at)
}

func logSoftmax[F kernel.Float](z []F, at int) float64 {
	return float64(z[at]) - kernel.LogSumExp(z, 1)
}

// keep writes the rollout at hand to the file, if there is to be one.
func (r *Rollouts) keep() error {
	if r.File == "" {
		return nil
	}
	err := atomicfile.Write(r.File, func(w io.Writer) error { return json.NewEncoder(w).Encode(r.now) })
	if err != nil {
		return fmt.Errorf("rl: Rollouts.File: %w", err)
	}
	return nil
}

// read is what keep wrote in an epoch.
func (r *Rollouts) read(epoch int) (*rollout, error) {
	text, err := os.ReadFile(r.File)
	now := new(rollout)
	if err == nil {
		err = json.Unmarshal(text, now)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("rl: Rollouts.File: %w", err)
	case now.Epoch != epoch || len(now.Groups) != r.Batch || len(now.Rewards) != r.Batch:
		return nil, fmt.Errorf("rl: Rollouts.File %q has rollout %d, of %d problems; want %d, of %d", r.File, now.Epoch, len(now.Groups), epoch, r.Batch)
	}
	for i, group := range now.Groups {
		if len(group) != r.Group || len(now.Rewards[i]) != r.Group {
			return nil, fmt.Errorf("rl: Rollouts.File %q has %d answers to problem %d; want Group, %d", r.File, len(group), i, r.Group)
		}
		for _, a := range group {
			if len(a.LogProbs) != len(a.IDs) {
				return nil, fmt.Errorf("rl: Rollouts.File %q has %d ids in an answer to problem %d, and %d probabilities of them; want as many", r.File, len(a.IDs), i, len(a.LogProbs))
			}
		}
	}
	return now, r.lay(now)
}
