package rl_test

import (
	"errors"
	"math"
	"testing"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/rl"
)

// By hand: rewards 1, 0, 0, 1, 0 have the mean 0.4 and the standard deviation
// √0.24.
func TestAdvantages(t *testing.T) {
	sd := math.Sqrt(.24)
	for _, c := range []struct {
		rewards []float64
		scaled  bool
		want    []float64
	}{
		{[]float64{1, 0, 0, 1, 0}, true, []float64{.6 / sd, -.4 / sd, -.4 / sd, .6 / sd, -.4 / sd}},
		{[]float64{1, 0, 0, 1, 0}, false, []float64{.6, -.4, -.4, .6, -.4}},
		{[]float64{3, 1, 2}, true, []float64{math.Sqrt(1.5), -math.Sqrt(1.5), 0}},
		{[]float64{1, 1, 1}, true, []float64{0, 0, 0}},
		{[]float64{.1, .1, .1}, true, []float64{0, 0, 0}}, // the mean of which is rounded
		{[]float64{1e9 + .1, 1e9 + .1, 1e9 + .1}, true, []float64{0, 0, 0}},
		{[]float64{0, 0, 0}, false, []float64{0, 0, 0}},
		{[]float64{0, 0, 0}, true, []float64{0, 0, 0}},
		{[]float64{0, 2e-12, 0, 2e-12}, true, []float64{-1, 1, -1, 1}},
		{[]float64{0, 2, 0, 2}, false, []float64{-1, 1, -1, 1}},
	} {
		got := rl.Advantages(c.rewards, c.scaled)
		for i, want := range c.want {
			if !near(got[i], want, 1e-12) {
				t.Errorf("advantages of %v, scaled %t, are %v; want %v", c.rewards, c.scaled, got, c.want)
				break
			}
		}
	}
}

func TestVerified(t *testing.T) {
	right, formed, none := reason.Answer{Right: true, Formed: true}, reason.Answer{Formed: true}, reason.Answer{}
	for _, c := range []struct {
		rl.Verified
		reason.Answer
		want float64
	}{
		{rl.Verified{}, right, 1}, {rl.Verified{}, formed, 0}, {rl.Verified{}, none, 0},
		{rl.Verified{Accuracy: 2, Format: .5}, right, 2.5},
		{rl.Verified{Accuracy: 2, Format: .5}, formed, .5},
		{rl.Verified{Accuracy: 2, Format: .5}, none, 0},
		{rl.Verified{Format: .5}, right, .5},
	} {
		if got, err := c.Verified.Of(task.Problem{}, c.Answer); err != nil || got != c.want {
			t.Errorf("%+v of %+v is %v, %v; want %v", c.Verified, c.Answer, got, err, c.want)
		}
	}
}

func TestBadRewards(t *testing.T) {
	for want, f := range map[string]rl.RewardFunc{
		`want a finite number`:        func(task.Problem, reason.Answer) (float64, error) { return math.NaN(), nil },
		`a finite number, of float32`: func(task.Problem, reason.Answer) (float64, error) { return 1e39, nil },
		`": panic: no judge`:          func(task.Problem, reason.Answer) (float64, error) { panic("no judge") },
		`the reward is +Inf`:          func(task.Problem, reason.Answer) (float64, error) { return math.Inf(1), nil },
		`to "`:                        func(task.Problem, reason.Answer) (float64, error) { return 0, errors.New("no judge") },
		`rl: Rollouts.Reward of`:      func(task.Problem, reason.Answer) (float64, error) { return 0, errors.New("no judge") },
	} {
		r := rollouts(model(float32s, 1))
		r.Reward = f
		for _, err := range r.Batches(t.Context(), 0, 0) {
			wantError(t, err, want)
		}
	}
}
