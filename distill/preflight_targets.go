package distill

import (
	"math"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/teacher"
)

// A softening is how a loss makes soft targets of a teacher's logits, at the
// first step.
type softening struct {
	signal string
	T      float64
	yes    bool // each logit is one of two, the other being 0
	even   bool // rows are standardised first
}

// softeningOf is that of a loss whose targets are distributions: others, such as
// MSE, see differences of logits however sharp they are.
func softeningOf(l Loss) (s softening, ok bool) {
	of := func(signal string, T Schedule, otherwise float64) (softening, bool) {
		return softening{signal: orLogits(signal), T: T.at(0, otherwise)}, true
	}
	switch l := l.(type) {
	case KL:
		return of(l.Teacher, l.T, 1)
	case ReverseKL:
		return of(l.Teacher, l.T, 1)
	case JSD:
		return of(l.Teacher, l.T, 1)
	case SkewKL:
		return of(l.Teacher, l.T, 1)
	case SkewReverseKL:
		return of(l.Teacher, l.T, 1)
	case AlphaDivergence:
		return of(l.Teacher, l.T, 1)
	case TotalVariation:
		return of(l.Teacher, l.T, 1)
	case UniversalLogit:
		return of(l.Teacher, l.T, 1)
	case DKD:
		return of(l.Teacher, l.T, 4)
	case NKD:
		return of(l.Teacher, l.T, 1)
	case WSLD:
		return of(l.Teacher, l.T, 2)
	case DIST:
		return of(l.Teacher, l.T, 1)
	case Corrected:
		return of(l.Teacher, l.T, 1)
	case BinaryKL:
		s, ok = of(l.Teacher, l.T, 1)
		s.yes = true
	case Standardized:
		s, ok = softeningOf(l.of())
		s.even = true
	}
	return s, ok
}

// targets are the largest probability of each soft target, and what it is of one
// that is uniform: 0 where nobody knows.
type targets struct {
	largest []float64
	chance  float64
}

// targets are those of the rows of a case.
func (s softening) targets(c Case) targets {
	logits := c.Teacher[s.signal]
	switch {
	case logits == nil:
		return targets{largest: s.largestOfTop(c)}
	case !plain(logits):
		return targets{}
	case s.yes:
		t := targets{chance: 0.5}
		each(logits, func(_ int, z float64) { t.largest = append(t.largest, 1/(1+math.Exp(-math.Abs(z)/s.T))) })
		return t
	}
	logits = classesLast(logits, c.axes())
	classes := last(logits.Shape())
	t := targets{chance: 1 / float64(classes)}
	var row []float64
	for r := range logits.Shape().TotalSize() / classes {
		row = rowOf(row, logits, r)
		if s.even {
			kernel.StandardizeRow(row, row)
		}
		t.largest = append(t.largest, math.Exp(slices.Max(row)/s.T-kernel.LogSumExp(row, 1/s.T)))
	}
	return t
}

// largestOfTop is what the first of a teacher's top-k logits have, if it was
// recorded for the temperature.
func (s softening) largestOfTop(c Case) (all []float64) {
	top, lse := c.Teacher[s.signal+teacher.TopSuffix], c.Teacher[s.signal+teacher.LSESuffix]
	at := slices.IndexFunc(c.Temps, func(T float64) bool { return float32(T) == float32(s.T) })
	if top == nil || lse == nil || at < 0 {
		return nil
	}
	var row, sums []float64
	for r := range lse.Shape().TotalSize() / len(c.Temps) {
		row, sums = rowOf(row, top, r), rowOf(sums, lse, r)
		all = append(all, math.Exp(row[0]/s.T-sums[at]))
	}
	return all
}

// soften counts the soft targets of a term that carry nothing.
func (p *Preflight) soften(term string, T float64, t targets) {
	if len(t.largest) == 0 {
		return
	}
	var sharp, blunt float64
	for _, largest := range t.largest {
		switch {
		case largest > 0.999:
			sharp++
		case largest < t.chance+0.001:
			blunt++
		}
	}
	n := float64(len(t.largest))
	p.OneHot, p.Uniform = most(p.OneHot, sharp/n), most(p.Uniform, blunt/n)
	if sharp > n/2 {
		p.warn("%.0f%% of the soft targets of term %q are one-hot at T = %v: they say no more than a label; want a higher temperature", 100*sharp/n, term, T)
	}
	if blunt > n/2 {
		p.warn("%.0f%% of the soft targets of term %q are uniform at T = %v: they say nothing; want a lower temperature", 100*blunt/n, term, T)
	}
}

// most is the larger of two, of which the first may be none.
func most(a, b float64) float64 {
	if a > b {
		return a
	}
	return b
}
