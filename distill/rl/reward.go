package rl

import (
	"fmt"
	"math"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/distill/reason"
)

// A Reward says what an answer is worth.
type Reward interface {
	// Of is the reward of an answer to a problem, a finite number. An error ends the
	// run.
	Of(task.Problem, reason.Answer) (float64, error)
}

// RewardFunc is a function that is a Reward.
type RewardFunc func(task.Problem, reason.Answer) (float64, error)

// Of calls f.
func (f RewardFunc) Of(p task.Problem, a reason.Answer) (float64, error) { return f(p, a) }

// Verified is a reward for a right answer and one for an answer that has the form
// of one, added up (DeepSeek-R1, 2501.12948, section 2.2.2). With both 0 a right
// answer is worth 1.
type Verified struct {
	Accuracy, Format float64
}

// Of implements [Reward].
func (v Verified) Of(_ task.Problem, a reason.Answer) (sum float64, err error) {
	if v == (Verified{}) {
		v.Accuracy = 1
	}
	if a.Right {
		sum += v.Accuracy
	}
	if a.Formed {
		sum += v.Format
	}
	return sum, nil
}

// rewards are those of a group of answers to a problem.
func rewards(of Reward, p task.Problem, group []reason.Answer) ([]float64, error) {
	all := make([]float64, len(group))
	for i, a := range group {
		var err error
		if all[i], err = reward(of, p, a); err != nil {
			return nil, fmt.Errorf("rl: Rollouts.Reward of %q to %q: %w", a.Text, p.Prompt, err)
		}
	}
	return all, nil
}

// reward is that of an answer. A panic there is an error: it may be anybody's code.
func reward(of Reward, p task.Problem, a reason.Answer) (v float64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	v, err = of.Of(p, a)
	if err == nil && !(math.Abs(v) <= math.MaxFloat32) {
		err = fmt.Errorf("the reward is %v; want a finite number, of float32", v)
	}
	return v, err
}

// least is a group's standard deviation, by its largest reward, at which and below
// the rewards are equal, but for rounding.
const least = 1e-9

// Advantages are how much better the answers of a group were than their mean, in
// standard deviations of the group, with the divisor N as of a population
// (2402.03300, section 4.1.2; TRL has N-1, and adds 1e-4). Not scaled, it is the difference alone, which gives
// problems that are nearly always or never solved no more weight than others (Liu
// et al. 2025, 2503.20783). Where all rewards are equal, all advantages are 0.
func Advantages(rewards []float64, scaled bool) []float64 {
	mean, square, largest := 0.0, 0.0, 0.0
	for _, r := range rewards {
		mean += r / float64(len(rewards))
		largest = max(largest, math.Abs(r))
	}
	for _, r := range rewards {
		square += (r - mean) * (r - mean) / float64(len(rewards))
	}
	sd := math.Sqrt(square)
	all := make([]float64, len(rewards))
	for i, r := range rewards {
		switch {
		case sd <= least*largest:
		case scaled:
			all[i] = (r - mean) / sd
		default:
			all[i] = r - mean
		}
	}
	return all
}
