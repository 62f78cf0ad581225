package rl_test

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/rl"
	"github.com/godistill/godistill/internal/gradcheck"
)

// A token is a row of logits with what a rollout says of it.
type token struct {
	logits                        []float64
	label                         int
	advantage, sampled, reference float64
	reward, share                 float64
}

// caseOf is a case of tokens, of either dtype.
func caseOf(d tensor.Dtype, tokens ...token) distill.Case {
	rows := len(tokens)
	dense := func(width int, v func(token) []float64) *tensor.Dense {
		shape := tensor.Shape{rows}
		if width > 1 {
			shape = append(shape, width)
		}
		t := tensor.New(tensor.Of(d), tensor.WithShape(shape...))
		i := 0
		for _, k := range tokens {
			for _, x := range v(k) {
				if d == tensor.Float32 {
					t.Float32s()[i] = float32(x)
				} else {
					t.Float64s()[i] = x
				}
				i++
			}
		}
		return t
	}
	number := func(v func(token) float64) *tensor.Dense {
		return dense(1, func(k token) []float64 { return []float64{v(k)} })
	}
	labels := make([]int, rows)
	for i, k := range tokens {
		labels[i] = k.label
	}
	return distill.Case{
		Student: data.Signals{"logits": dense(len(tokens[0].logits), func(k token) []float64 { return k.logits })},
		Teacher: data.Signals{
			"advantage": number(func(k token) float64 { return k.advantage }),
			"sampled":   number(func(k token) float64 { return k.sampled }),
			"reference": number(func(k token) float64 { return k.reference }),
			"reward":    number(func(k token) float64 { return k.reward }),
			"share":     number(func(k token) float64 { return k.share }),
		},
		Label: tensor.New(tensor.WithShape(rows), tensor.WithBacking(labels)),
	}
}

// of is a token of three classes with the given probabilities, the first of which
// was drawn when its probability was old.
func of(p0, p1, p2, old, advantage float64) token {
	return token{
		logits: []float64{math.Log(p0), math.Log(p1), math.Log(p2)},
		label:  0, sampled: math.Log(old), advantage: advantage, share: 1,
	}
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance }

// By hand: ρ is the quotient of the probabilities, and ∂/∂z of -ρA is -ρA(1-q) at
// the token and ρA·q at the others.
func TestGRPO(t *testing.T) {
	for name, c := range map[string]struct {
		token
		value float64
		slope float64 // -∂/∂log q of the token: ρ·A, or 0 beyond the clip
	}{
		"as drawn":                   {of(.5, .3, .2, .5, 2), -2, 2},
		"better, and likelier":       {of(.55, .3, .15, .5, 2), -2.2, 2.2},
		"better, beyond the clip":    {of(.65, .2, .15, .5, 2), -2.4, 0},
		"better, and rarer":          {of(.2, .5, .3, .5, 2), -.8, .8},
		"worse, and rarer":           {of(.45, .3, .25, .5, -1), .9, -.9},
		"worse, beyond the clip":     {of(.3, .4, .3, .5, -1), .8, 0},
		"worse, and likelier":        {of(.8, .1, .1, .5, -1), 1.6, -1.6},
		"neither better nor worse":   {of(.8, .1, .1, .5, 0), 0, 0},
		"a token that was rare once": {of(.5, .3, .2, 1e-6, -1), 5e5, -5e5},
	} {
		for d, tolerance := range map[tensor.Dtype]float64{tensor.Float64: 1e-9, tensor.Float32: 1e-5} {
			scale := math.Max(1, math.Abs(c.value))
			value, grads, err := distill.Evaluate(rl.GRPO{}, caseOf(d, c.token))
			if err != nil {
				t.Fatal(err)
			}
			if !near(value, c.value, tolerance*scale) {
				t.Errorf("%s, %v: the value is %v; want %v", name, d, value, c.value)
			}
			for i, z := range c.logits {
				q, own := math.Exp(z), 0.0
				if i == 0 {
					own = 1
				}
				if got, want := number(grads["logits"], i), -c.slope*(own-q); !near(got, want, tolerance*scale) {
					t.Errorf("%s, %v: the gradient of logit %d is %v; want %v", name, d, i, got, want)
				}
			}
		}
	}
}

func number(t *tensor.Dense, i int) float64 {
	if t.Dtype() == tensor.Float32 {
		return float64(t.Float32s()[i])
	}
	return t.Float64s()[i]
}

// The clip of what rises is another than that of what falls.
func TestGRPOClipsHigher(t *testing.T) {
	loss := rl.GRPO{Clip: 0.1, High: 0.5}
	for _, c := range []struct{ p, advantage, want float64 }{
		{.7, 1, -1.4}, {.8, 1, -1.5}, {.46, -1, .92}, {.4, -1, .9},
	} {
		value, _, err := distill.Evaluate(loss, caseOf(tensor.Float64, of(c.p, .1, .9-c.p, .5, c.advantage)))
		if err != nil || !near(value, c.want, 1e-9) {
			t.Errorf("p %v: the value is %v, %v; want %v", c.p, value, err, c.want)
		}
	}
	for _, bad := range []rl.GRPO{{Clip: -1}, {Clip: 1}, {High: -0.1}, {High: math.Inf(1)}, {Clip: math.NaN()}} {
		_, _, err := distill.Evaluate(bad, caseOf(tensor.Float64, of(.5, .3, .2, .5, 1)))
		wantError(t, err, "rl: GRPO.Clip is")
	}
}

// Answers of one and of three tokens count alike, or their tokens do.
func TestAnswersCountAlike(t *testing.T) {
	long := of(.5, .3, .2, .5, -1)
	long.share = 1. / 3
	tokens := []token{of(.5, .3, .2, .5, 2), long, long, long}
	for loss, want := range map[distill.Loss]float64{
		rl.GRPO{}:                            (-2 + 1) / 2.,
		rl.GRPO{Rows: rl.Rows{Tokens: true}}: (-2 + 3) / 4.,
	} {
		value, _, err := distill.Evaluate(loss, caseOf(tensor.Float64, tokens...))
		if err != nil || !near(value, want, 1e-12) {
			t.Errorf("%+v is %v, %v; want %v", loss, value, err, want)
		}
	}
	for i := range tokens {
		tokens[i].reward = tokens[i].advantage
	}
	value, grads, err := distill.Evaluate(rl.MeanReward{}, caseOf(tensor.Float64, tokens...))
	if err != nil || !near(value, 0.5, 1e-12) || grads["logits"] != nil && number(grads["logits"], 0) != 0 {
		t.Errorf("the mean reward is %v, %v, with gradients %v; want 0.5 and none", value, err, grads)
	}
}

// The mean of the estimate over what the policy draws is the divergence, and that
// of its gradient the gradient's (by hand: 0 at equality).
func TestReferenceKL(t *testing.T) {
	q, p := []float64{.5, .3, .2}, []float64{.2, .2, .6}
	mean, want := 0.0, 0.0
	for y := range q {
		k := token{logits: []float64{math.Log(q[0]), math.Log(q[1]), math.Log(q[2])}, label: y, reference: math.Log(p[y]), share: 1}
		value, grads, err := distill.Evaluate(rl.ReferenceKL{}, caseOf(tensor.Float64, k))
		if err != nil || value < 0 {
			t.Fatalf("the estimate is %v, %v; want 0 or more", value, err)
		}
		// by hand: ∂/∂log q of π/q - log(π/q) - 1 is 1 - π/q
		if got, want := number(grads["logits"], y), (1-p[y]/q[y])*(1-q[y]); !near(got, want, 1e-12) {
			t.Errorf("the gradient at token %d is %v; want %v", y, got, want)
		}
		mean, want = mean+q[y]*value, want+q[y]*math.Log(q[y]/p[y])
	}
	if !near(mean, want, 1e-12) {
		t.Errorf("the mean estimate is %v; want the divergence %v", mean, want)
	}
	same := of(.5, .3, .2, .5, 0)
	same.reference = math.Log(.5)
	value, grads, err := distill.Evaluate(rl.ReferenceKL{}, caseOf(tensor.Float64, same))
	if err != nil || !near(value, 0, 1e-15) || !near(number(grads["logits"], 0), 0, 1e-15) {
		t.Errorf("at equality it is %v, %v with gradient %v; want 0", value, err, grads["logits"])
	}
}

func TestEntropy(t *testing.T) {
	value, _, err := distill.Evaluate(rl.Entropy{}, caseOf(tensor.Float64, of(.5, .25, .25, 1, 0)))
	if want := -1.5 * math.Ln2; err != nil || !near(value, want, 1e-12) {
		t.Errorf("the value is %v, %v; want %v", value, err, want)
	}
}

// Central differences, on both sides of every clip; and logits of ±1e4, and tokens
// without a label, give finite numbers.
func TestGradients(t *testing.T) {
	tokens := []token{
		{logits: []float64{1, -.5, .3, 2}, label: 1, advantage: 1.5, sampled: -3, reference: -2, share: .5},
		{logits: []float64{0, .5, .1, -1}, label: 0, advantage: -.7, sampled: -1.6, reference: -1, share: 1},
		{logits: []float64{2, 0, -2, .2}, label: 3, advantage: 1.5, sampled: -1, reference: -3, share: .25},
		{logits: []float64{2, 0, -2, .2}, label: 0, advantage: -2, sampled: -.3, reference: -.1, share: .25},
		{logits: []float64{1, 1, 1, 1}, label: -1},
	}
	for _, loss := range []distill.Loss{
		rl.GRPO{}, rl.GRPO{Clip: .1, High: .3, Rows: rl.Rows{Tokens: true}}, rl.ReferenceKL{}, rl.Entropy{},
	} {
		c := caseOf(tensor.Float64, tokens...)
		value := func() float64 {
			v, _, err := distill.Evaluate(loss, c)
			return must(v, err)
		}
		_, grads, err := distill.Evaluate(loss, c)
		if err != nil {
			t.Fatal(err)
		}
		gradcheck.Compare(t, "logits", value, c.Student["logits"].Float64s(), grads["logits"].Float64s())

		far := tokens[0]
		far.logits = []float64{1e4, -1e4, 0, 5}
		far.label, far.sampled, far.reference = 0, -1e-3, -.5
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			v, grads, err := distill.Evaluate(loss, caseOf(d, far, tokens[4]))
			if err != nil || v-v != 0 {
				t.Errorf("%T of large logits is %v, %v; want a finite number", loss, v, err)
			}
			for i := range grads["logits"].Shape().TotalSize() {
				if g := number(grads["logits"], i); g-g != 0 || i >= 4 && g != 0 {
					t.Errorf("%T: the gradient of logit %d is %v; want a finite number, and 0 without a label", loss, i, g)
				}
			}
		}
	}
}

// The first step after a rollout is that of the policy gradient: the weighted mean
// of -A·∂log q.
func TestTerms(t *testing.T) {
	for _, c := range []struct {
		beta float64
		want []string
	}{{0, []string{"policy", "reward"}}, {0.04, []string{"policy", "kl", "reward"}}} {
		var names []string
		for _, term := range rl.Terms(0.2, c.beta) {
			names = append(names, term.Name)
		}
		if len(names) != len(c.want) {
			t.Errorf("terms %q; want %q", names, c.want)
		}
	}
}
