package rl_test

import (
	"math"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/rl"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// A ratios is a loss of nothing that looks at the ratio of each token's probability
// to what it was when it was drawn.
type ratios struct {
	sync.Mutex
	tokens int
	off    float64 // the largest distance from 1
}

func (w *ratios) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	beside := graph.Beside{Labels: l.Label, T: b.Scalar(distill.Constant(1))}
	beside.Numbers = append(beside.Numbers, l.Dense("sampled"))
	share := l.Dense("share")
	beside.Numbers = append(beside.Numbers, share)
	return distill.Rows{Weight: share, Value: b.Op(beside.Each("ratios", l.Tap("logits"), func(r *graph.Row) float64 {
		if r.Label >= 0 && r.Numbers[1] > 0 {
			w.Lock()
			defer w.Unlock()
			w.tokens++
			w.off = max(w.off, math.Abs(math.Exp(r.LogQ[r.Label]-r.Numbers[0])-1))
		}
		return 0
	}))}
}

// What the sampler says of a token is what the graph that learns says of it: the
// ratio is 1 until the model has learnt, for each token of each answer, ended or cut
// off, and then no more.
func TestTheRatioBeginsAtOne(t *testing.T) {
	for _, d := range []tensor.Dtype{float32s, float64s} {
		m := model(d, 1)
		r := rollouts(m)
		r.Batch, r.Group, r.Passes, r.Parts = 12, 8, 2, 3
		w := &ratios{}
		run := learning(m, r, 3)
		run.Terms = append(run.Terms, distill.Term{Name: "ratios", Weight: distill.Constant(0), Loss: w})
		for step, err := range run.Steps(t.Context()) {
			must(step, err) // before the first one, the run tries other weights too
			if first := step.N%6 == 1; step.N > 1 && (w.tokens < 32 || first != (w.off < 1e-5)) {
				t.Errorf("%v, step %d: of %d tokens, a ratio is off 1 by %v", d, step.N, w.tokens, w.off)
			}
			w.tokens, w.off = 0, 0
		}
		stopped, cut := 0, 0
		for _, group := range must(r.Solver.Solve(t.Context(), problems(r, 0), r.Group, 0)) {
			for _, a := range group {
				if a.Stopped {
					stopped++
				} else {
					cut++
				}
			}
		}
		if stopped == 0 || cut == 0 {
			t.Errorf("%d answers have ended, and %d were cut off; want some of either", stopped, cut)
		}
	}
}

// A rollout in parts that are accumulated is that of one batch, though its answers
// and parts are of unequal lengths.
func TestPartsAreAccumulated(t *testing.T) {
	weights := func(tokens bool, parts int) (all []float64, reward float64) {
		m := model(float64s, 1)
		r := rollouts(m)
		r.Parts, r.Passes, r.Reference = parts, 2, model(float64s, 2)
		rows := rl.Rows{Tokens: tokens}
		run := learning(m, r, 2)
		run.Accumulate, run.Optimizer = parts, distill.SGD{Rate: distill.Constant(0.5)}
		run.Terms = []distill.Term{
			{Name: "policy", Loss: rl.GRPO{Rows: rows}}, {Name: "kl", Weight: distill.Constant(0.3), Loss: rl.ReferenceKL{Rows: rows}},
			{Name: "entropy", Weight: distill.Constant(0.1), Loss: rl.Entropy{Rows: rows}}, {Name: "reward", Weight: distill.Constant(0), Loss: rl.MeanReward{}},
		}
		steps := 0
		for step, err := range run.Steps(t.Context()) {
			reward += must(step, err).Terms[3].Value
			steps++
		}
		if steps != 4 {
			t.Fatalf("in parts of %d there are %d steps; want 4", parts, steps)
		}
		for p := range m.Params() {
			all = append(all, p.Value.Float64s()...)
		}
		return all, reward
	}
	for _, tokens := range []bool{false, true} {
		want, reward := weights(tokens, 1)
		got, same := weights(tokens, 3)
		if !near(reward, same, 1e-12) {
			t.Errorf("the mean rewards come to %v in parts, and %v at once", same, reward)
		}
		for i := range want {
			if !near(got[i], want[i], 1e-9) {
				t.Fatalf("tokens %t: weight %d is %v in parts, and %v at once", tokens, i, got[i], want[i])
			}
		}
		if other, _ := weights(!tokens, 3); near(other[0], want[0], 1e-9) {
			t.Error("answers and tokens that count alike come to the same")
		}
	}
}

// Answers of a model that does not learn are refused, in Own too.
func TestOnlyTheStudentIsAsked(t *testing.T) {
	m, other := model(float32s, 1), model(float32s, 1)
	run := learning(other, rollouts(m), 1)
	_, err := run.Fit(t.Context())
	wantError(t, err, "distill: Run.Train has answers of another model than Run.Student; want a Solver.Model that is the student")
	r := rollouts(m)
	run.Train = reason.Own{Solver: r.Solver, Problems: r.Problems, Batch: 3, Epoch: 2, Context: context}
	_, err = run.Fit(t.Context())
	wantError(t, err, "has answers of another model")
	if (&rl.Rollouts{}).Asks() != nil || (reason.Own{}).Asks() != nil || r.Asks() != m {
		t.Error("Asks is not the model of the solver")
	}
}
