package distill

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func ExampleWarmup() {
	rate := Warmup(4, Cosine(0.1, 0, 6))
	for step := range 11 {
		fmt.Printf("%.4f ", rate(step))
	}
	// Output: 0.0250 0.0500 0.0750 0.1000 0.1000 0.0933 0.0750 0.0500 0.0250 0.0067 0.0000
}

func ExampleMultiStepDecay() {
	rate := MultiStepDecay(0.05, 0.1, 150, 180, 210)
	for _, step := range []int{0, 149, 150, 180, 239} {
		fmt.Printf("%.3g ", rate(step))
	}
	// Output: 0.05 0.05 0.005 0.0005 5e-05
}

// A temperature that falls from 4 to 1, again and again.
func ExampleCycle() {
	T := Cycle(4, Linear(4, 1, 3))
	for step := range 10 {
		fmt.Printf("%.0f ", T(step))
	}
	// Output: 4 3 2 1 4 3 2 1 4 3
}

func TestSchedules(t *testing.T) {
	tests := map[string]struct {
		schedule Schedule
		want     map[int]float64
	}{
		"constant":            {Constant(3), map[int]float64{0: 3, 7: 3}},
		"linear":              {Linear(1, 3, 4), map[int]float64{-1: 1, 0: 1, 1: 1.5, 3: 2.5, 4: 3, 9: 3}},
		"linear, over":        {Linear(1, 3, 0), map[int]float64{0: 3}},
		"linear, negative":    {Linear(1, 3, -5), map[int]float64{0: 3, 5: 3}},
		"cosine":              {Cosine(2, 1, 4), map[int]float64{-1: 2, 0: 2, 2: 1.5, 3: 1.5 - math.Sqrt2/4, 4: 1, 5: 1}},
		"cosine, over":        {Cosine(2, 1, 0), map[int]float64{0: 1}},
		"step":                {StepDecay(8, 0.5, 3), map[int]float64{-9: 8, 0: 8, 2: 8, 3: 4, 5: 4, 6: 2}},
		"step, never":         {StepDecay(8, 0.5, 0), map[int]float64{0: 8, 99: 8}},
		"multi-step":          {MultiStepDecay(8, 0.5, 5, 3), map[int]float64{2: 8, 3: 4, 4: 4, 5: 2, 99: 2}},
		"multi-step, none":    {MultiStepDecay(8, 0.5), map[int]float64{9: 8}},
		"warm-up":             {Warmup(4, StepDecay(8, 0.5, 2)), map[int]float64{0: 2, 1: 4, 3: 8, 4: 8, 5: 8, 6: 4}},
		"warm-up of no steps": {Warmup(0, Linear(8, 0, 8)), map[int]float64{0: 8, 1: 7}},
		"cycle":               {Cycle(4, Linear(4, 1, 3)), map[int]float64{-1: 4, 0: 4, 3: 1, 4: 4, 5: 3, 11: 1, 12: 4}},
		"cycle, never":        {Cycle(0, Linear(4, 1, 3)), map[int]float64{0: 4, 4: 1, 99: 1}},
		"warm-up, negative":   {Warmup(-3, Linear(8, 0, 8)), map[int]float64{0: 8, 1: 7}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for step, want := range test.want {
				if got := test.schedule(step); math.Abs(got-want) > 1e-12 {
					t.Errorf("step %d: %v, want %v", step, got, want)
				}
			}
		})
	}
	if Warmup(3, nil) != nil || Cycle(3, nil) != nil {
		t.Error("the warm-up or the cycle of nil is not nil")
	}
}

func TestMultiStepDecayKeepsItsMilestones(t *testing.T) {
	at := []int{2}
	s := MultiStepDecay(8, 0.5, at...)
	at[0] = 100
	if got := s(5); got != 4 {
		t.Errorf("%v, want 4", got)
	}
}

func TestSchedulesStayBetweenTheirEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.Float64Range(-9, 9).Draw(t, "from"), rapid.Float64Range(-9, 9).Draw(t, "to")
		steps, step := rapid.IntRange(-3, 50).Draw(t, "steps"), rapid.IntRange(-3, 80).Draw(t, "step")
		for _, s := range []Schedule{Linear(from, to, steps), Cosine(from, to, steps)} {
			if v := s(step); v < min(from, to)-1e-12 || v > max(from, to)+1e-12 {
				t.Fatalf("%v is not between %v and %v", v, from, to)
			}
		}
	})
}
