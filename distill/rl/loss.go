package rl

import (
	"fmt"
	"math"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Signals of [Rollouts], (B, T) each, which are of the next token as labels are.
const (
	signalAdvantage = "advantage" // of the answer, the same for all of its tokens
	signalReward    = "reward"    // of the answer
	signalShare     = "share"     // 1 over the number of the answer's tokens
	signalSampled   = "sampled"   // the logarithm of the token's probability when it was drawn
	signalReference = "reference" // that by the reference, if there is one
)

// Terms are those of GRPO: the policy's, clipped at ε; where β is above 0, the
// divergence from the reference with that weight; and the mean reward, of weight 0,
// for the logs and curves of the run.
func Terms(epsilon, beta float64) []distill.Term {
	terms := []distill.Term{{Name: "policy", Loss: GRPO{Clip: epsilon}}}
	if beta != 0 {
		terms = append(terms, distill.Term{Name: "kl", Weight: distill.Constant(beta), Loss: ReferenceKL{}})
	}
	return append(terms, distill.Term{Name: "reward", Weight: distill.Constant(0), Loss: MeanReward{}})
}

// Rows say what a loss here is taken of.
type Rows struct {
	// Student is the tap with the logits; "" means "logits".
	Student string
	// Tokens is true if all tokens count alike (DAPO, Yu et al. 2025, 2503.14476,
	// equation 8). Else all answers do, and each token as one of those of its answer
	// (2402.03300, equation 3).
	Tokens bool
}

// GRPO is the clipped objective of a token (Shao et al. 2024, 2402.03300, equation
// 3, as Schulman et al. 2017, 1707.06347, equation 7):
//
//	-min(ρ·A, clip(ρ, 1-ε, 1+ε)·A)
//
// with the answer's advantage A, and ρ the token's probability by what it was when
// the answer was drawn. Beyond the clip there is no gradient. In the first step
// after a rollout ρ is 1, and the gradient that of -A·log q.
type GRPO struct {
	// Clip is ε, from 0 to below 1; 0 means 0.2.
	Clip float64
	// High is that of ρ above 1, 0 or more; 0 means Clip. A higher one lets rare
	// tokens rise (DAPO, Yu et al. 2025, 2503.14476, equation 10).
	High float64
	Rows
}

// Loss implements [distill.Loss].
func (g GRPO) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	low, high := g.clips()
	if !(low > 0 && low < 1 && high > 0) || math.IsInf(high, 0) {
		b.Check(fmt.Errorf("rl: GRPO.Clip is %v and High %v; want numbers above 0, and Clip below 1", g.Clip, g.High))
	}
	return each("grpo", b, l, g.Rows, []string{signalAdvantage, signalSampled}, func(r *graph.Row) float64 {
		return clipped(r, low, high)
	})
}

func (g GRPO) clips() (low, high float64) {
	if low = g.Clip; low == 0 {
		low = 0.2
	}
	if high = g.High; high == 0 {
		high = low
	}
	return low, high
}

func clipped(r *graph.Row, low, high float64) float64 {
	advantage, ratio := r.Numbers[0], math.Exp(r.LogQ[r.Label]-r.Numbers[1])
	limit := min(max(ratio, 1-low), 1+high)
	if ratio*advantage > limit*advantage {
		return -limit * advantage
	}
	r.Grad[r.Label] = -ratio * advantage
	return -ratio * advantage
}

// ReferenceKL is an estimate of KL(q ‖ reference) from the token that was drawn
// from q, without a bias and never below 0 (Schulman 2020, "Approximating KL
// divergence"; 2402.03300, equation 4), with the reference's probability π:
//
//	π/q - log(π/q) - 1
type ReferenceKL struct{ Rows }

// Loss implements [distill.Loss].
func (k ReferenceKL) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	return each("reference kl", b, l, k.Rows, []string{signalReference}, referenceKL)
}

func referenceKL(r *graph.Row) float64 {
	d := r.Numbers[0] - r.LogQ[r.Label]
	r.Grad[r.Label] = -math.Expm1(d)
	return math.Expm1(d) - d
}

// Entropy is Σ q·log q, the negative entropy of the student at a token, in nats: a
// term of it keeps answers apart.
type Entropy struct{ Rows }

// Loss implements [distill.Loss].
func (e Entropy) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	return each("entropy", b, l, e.Rows, nil, entropy)
}

func entropy(r *graph.Row) (sum float64) {
	for c, q := range r.Q {
		if q > 0 {
			sum += q * r.LogQ[c]
			r.Grad[c] = q * (r.LogQ[c] + 1)
		}
	}
	return sum
}

// each is a loss of each token, at the student's logits. Answers count alike, or
// their tokens do.
func each(name string, b *student.Builder, l distill.Lesson, at Rows, signals []string, f func(*graph.Row) float64) distill.Rows {
	if at.Student == "" {
		at.Student = "logits"
	}
	if l.Label == nil {
		b.Check(fmt.Errorf("rl: there are no labels; want those of Rollouts"))
	}
	beside := graph.Beside{Labels: l.Label, T: b.Scalar(distill.Constant(1))}
	for _, signal := range signals {
		beside.Numbers = append(beside.Numbers, l.Dense(signal))
	}
	rows := distill.Rows{Value: b.Op(beside.Each(name, l.Tap(at.Student), func(r *graph.Row) float64 {
		if r.Label < 0 {
			return 0
		}
		return f(r)
	}))}
	if !at.Tokens {
		rows.Weight = l.Dense(signalShare)
	}
	return rows
}

// MeanReward is the mean of the rewards of a step's answers. Nothing can be learnt
// from it: a term of it has weight 0, and is there to be seen.
type MeanReward struct{}

// Loss implements [distill.Loss].
func (MeanReward) Loss(_ *student.Builder, l distill.Lesson) distill.Rows {
	return distill.Rows{Value: l.Dense(signalReward), Weight: l.Dense(signalShare)}
}
