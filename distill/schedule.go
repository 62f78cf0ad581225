package distill

import (
	"math"
	"slices"
)

// A Schedule is a value that depends on the step, from 0: a learning rate, a
// temperature, a weight.
//
// It is a pure function: called again with a step, it says the same again.
// Those of this package hold their last value for ever, take a duration below
// 0 as 0, and a duration of 0 as already over.
type Schedule func(step int) float64

// Constant is the same value at every step.
func Constant(v float64) Schedule { return func(int) float64 { return v } }

// Linear goes from one value at step 0 to the other at the given step, in a
// straight line.
func Linear(from, to float64, steps int) Schedule {
	return func(step int) float64 {
		f := fraction(step, steps)
		return from*(1-f) + to*f
	}
}

// Cosine goes from one value at step 0 to the other at the given step, along
// half a period of the cosine: to + (from - to)/2 * (1 + cos(pi*step/steps)).
// These are the values of PyTorch's CosineAnnealingLR, which however rises
// again afterwards. A cosine over a whole run ends one step short of its last
// value (Loshchilov and Hutter 2017, 1608.03983, equation 5, without restarts).
func Cosine(from, to float64, steps int) Schedule {
	return func(step int) float64 {
		return to + (from-to)/2*(1+math.Cos(math.Pi*fraction(step, steps)))
	}
}

// StepDecay multiplies the initial value by the factor each time that many
// steps have passed, as PyTorch's StepLR. With every below 1 it is constant.
func StepDecay(initial, factor float64, every int) Schedule {
	if every < 1 {
		return Constant(initial)
	}
	return func(step int) float64 {
		return initial * math.Pow(factor, float64(max(step, 0)/every))
	}
}

// MultiStepDecay multiplies the initial value by the factor at each of the
// milestones, as PyTorch's MultiStepLR. Their order does not matter.
func MultiStepDecay(initial, factor float64, milestones ...int) Schedule {
	at := slices.Clone(milestones)
	return func(step int) float64 {
		passed := 0
		for _, m := range at {
			if m <= step {
				passed++
			}
		}
		return initial * math.Pow(factor, float64(passed))
	}
}

// Warmup rises in a straight line to the first value of another schedule and
// then follows it from its start: (step+1)/steps * then(0) before the given
// step, and then(step-steps) from there on (Goyal et al. 2017, 1706.02677,
// section 2.2). The first step already has a rate above 0, and the last of the
// warm-up the full one. The warm-up of nil is nil.
func Warmup(steps int, then Schedule) Schedule {
	if then == nil {
		return nil
	}
	steps = max(steps, 0)
	return func(step int) float64 {
		if step < steps {
			return then(0) * fraction(step+1, steps)
		}
		return then(step - steps)
	}
}

// Cycle is another schedule that begins anew each time that many steps have
// passed: a temperature or a rate that goes up and down, as in the warm restarts
// of Loshchilov and Hutter (2017, 1608.03983, equation 5). With every below 1 it is
// the schedule itself. The cycle of nil is nil.
func Cycle(every int, of Schedule) Schedule {
	if of == nil || every < 1 {
		return of
	}
	return func(step int) float64 { return of(max(step, 0) % every) }
}

// fraction is the share of steps that are done, from 0 to 1.
func fraction(step, steps int) float64 {
	if step >= steps {
		return 1
	}
	return float64(max(step, 0)) / float64(steps)
}
