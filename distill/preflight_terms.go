package distill

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// tryTerms takes the gradients of each term, by the student's taps and by its
// parameters, on the first batch.
func (s *session) tryTerms(first taught, p *Preflight) error {
	c, err := s.caseOf(first)
	if err != nil {
		return err
	}
	pulls, err := s.pulls(first)
	if err != nil {
		return err
	}
	rows := 0.0
	for i, term := range s.Terms {
		n, err := s.try(term, c, pulls[i], p)
		if err != nil {
			return fmt.Errorf("distill: term %q: %w", term.Name, err)
		}
		if term.weight(0) > 0 {
			rows += n
		}
	}
	if rows == 0 {
		p.warn("no row of the first batch counts in any term: nothing is learnt from it (are there labels, and weights above 0?)")
	}
	p.compare()
	return nil
}

// pulls are the norms of the terms' gradients by the parameters of the student
// that are trained, each term alone and with the weight 1.
func (s *session) pulls(b taught) ([]float64, error) {
	look := *s.train // whose graph reads the weights that a pass of the copy writes
	look.program = s.train.program.Look()
	norms := make([]float64, len(s.Terms))
	for i := range s.Terms {
		look.terms = alone(s.Terms, i)
		if _, err := look.pass(0, []taught{b}); err != nil {
			return nil, err
		}
		params, grads := s.trained(1)
		var own []*tensor.Dense
		for j, p := range params {
			if s.extra.Lookup(p.Name) != p {
				own = append(own, grads[j])
			}
		}
		norms[i] = gradNorm(own)
	}
	return norms, nil
}

// alone are the terms, of which only one counts.
func alone(terms []Term, one int) []Term {
	terms = slices.Clone(terms)
	for i := range terms {
		terms[i].Weight = Constant(0)
	}
	terms[one].Weight = Constant(1)
	return terms
}

// caseOf is a batch with the student's taps as they are now.
func (s *session) caseOf(t taught) (Case, error) {
	var taps []string
	for name := range s.Student.Taps() {
		taps = append(taps, name)
	}
	values, err := s.Student.Predict(t.Batch, taps...)
	if err != nil {
		return Case{}, err
	}
	for name, v := range values {
		if !plain(v) && (v.Dtype() != tensor.Int || v.RequiresIterator()) {
			delete(values, name)
		}
	}
	return Case{
		Student: values, Teacher: t.signals, Temps: s.card.Temps,
		Label: head(t.Label, t.N), Weight: head(t.Weight, t.N), Task: s.course.spec.Task,
		ids: t.ID[:t.N], roll: s.roll,
	}, nil
}

// head is the first n rows of t, in its memory.
func head(t *tensor.Dense, n int) *tensor.Dense {
	if t == nil {
		return nil
	}
	shape := t.Shape().Clone()
	shape[0] = n
	return reshaped(t, shape)
}

// reshaped is what there is in t at first, in another shape and in its memory.
func reshaped(t *tensor.Dense, shape tensor.Shape) *tensor.Dense {
	size := shape.TotalSize()
	switch {
	case t.Dtype() == tensor.Int:
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(t.Ints()[:size]))
	case t.Dtype() == tensor.Float64:
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(t.Float64s()[:size]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(t.Float32s()[:size]))
}

// try looks at the gradient of one term by the student's taps, beside its pull at
// the parameters, and at its targets. It returns the weight of all rows.
func (s *session) try(t Term, c Case, pull float64, p *Preflight) (rows float64, err error) {
	own := student.NewParams(s.Seed)
	trial, err := newTrial(Term{Name: t.Name, Loss: t.Loss}, own, c)
	if err != nil {
		return 0, err
	}
	_, grads, err := trial.run(0, c)
	if err != nil {
		return 0, err
	}
	rows, weight := trial.totals[0], t.weight(0)
	if soft, ok := softeningOf(t.Loss); ok && weight != 0 {
		p.soften(t.Name, soft.T, soft.targets(c))
	}
	at, taps := normOf(grads), slices.Sorted(maps.Keys(grads))
	switch {
	case rows == 0: // whatever it says, it says of other batches
	case len(taps) == 0:
		p.warn("term %q is dead: it has no gradient by any tap of the student, %q (is the student's side of its loss a tap, and not detached?)",
			t.Name, slices.Sorted(maps.Keys(c.Student)))
	case at == 0 && trial.dead(c, own, s.Seed):
		p.warn("term %q is dead: its gradient is 0 at the student's %q, whatever they are (are they compared with the teacher or the labels, "+
			"and not with themselves, and not rounded or cut off?)", t.Name, taps)
	case at != 0 && pull == 0:
		p.warn("term %q has a gradient at the student's %q and none by a parameter that is trained (are they inputs, or behind "+
			"parameters that Run.Groups or the student freezes?)", t.Name, taps)
	}
	if pull != 0 && weight != 0 {
		p.Gradients = append(p.Gradients, TermValue{Name: t.Name, Value: pull, Weight: weight})
	}
	return rows, nil
}

func normOf(grads map[string]*tensor.Dense) float64 {
	return gradNorm(slices.Collect(maps.Values(grads)))
}

// dead says whether the gradient by the taps is 0 wherever they are put. It is
// also 0 where a student is all that a term wants it to be, as one that begins as
// a copy of its teacher is, and behind a parameter of the loss that begins as 0.
// So both are moved away, by a little, then by more and by a lot: a loss may be
// flat close to what it wants, or far from it.
func (t *trial) dead(c Case, own *student.Params, seed uint64) bool {
	for draw, scale := range []float64{1. / 8, 1, 8} {
		seed := graph.Hash(seed, uint64(draw))
		for p := range own.All() {
			if !p.Frozen && !p.Buffer {
				perturb(p.Name, p.Value, seed, scale)
				p.Touch()
			}
		}
		_, grads, err := t.run(0, c.perturbed(seed, scale))
		if err != nil || normOf(grads) != 0 {
			return false // a loss may refuse values that no student has
		}
	}
	return true
}

// perturbed is the case of a student whose taps are somewhere else.
func (c Case) perturbed(seed uint64, scale float64) Case {
	moved := data.Signals{}
	for name, v := range c.Student {
		if plain(v) {
			v = v.Clone().(*tensor.Dense)
			perturb(name, v, seed, scale)
		}
		moved[name] = v
	}
	c.Student = moved
	return c
}

// perturb adds noise to a tensor, so many times as large as the spread that it
// has. It depends on the seed and the name.
func perturb(name string, v *tensor.Dense, seed uint64, scale float64) {
	rng := rand.New(rand.NewPCG(seed, graph.HashString(name)))
	if size := scale * spread(v); v.Dtype() == tensor.Float32 {
		shake(floats[float32](v), size, rng)
	} else {
		shake(floats[float64](v), size, rng)
	}
}

func shake[T floating](x []T, size float64, rng *rand.Rand) {
	for i := range x {
		x[i] += T(size * rng.NormFloat64())
	}
}

// spread is the standard deviation of a tensor's elements, and of those that are
// all alike a thousandth of their size, or 1.
func spread(t *tensor.Dense) float64 {
	n, sum, squares := float64(t.Shape().TotalSize()), 0.0, 0.0
	each(t, func(_ int, v float64) { sum += v })
	mean := sum / n
	each(t, func(_ int, v float64) { squares += (v - mean) * (v - mean) })
	return cmp.Or(max(math.Sqrt(squares/n), math.Abs(mean)/1000), 1)
}

// compare warns of terms that another one drowns.
func (p *Preflight) compare() {
	pull := func(t TermValue) float64 { return t.Weight * t.Value }
	if len(p.Gradients) == 0 {
		return
	}
	most := slices.MaxFunc(p.Gradients, func(a, b TermValue) int { return cmp.Compare(pull(a), pull(b)) })
	for _, t := range p.Gradients {
		if pull(most) > 100*pull(t) {
			p.warn("the gradients of %q and %q by the student's parameters are %.3g and %.3g with their weights, more than 100 to 1: "+
				"the student hardly learns from %[2]q (is a sum a mean, T² missing, or a weight off?)", most.Name, t.Name, pull(most), pull(t))
		}
	}
}

// axes are those of the labels of a sample that are classes.
func (c Case) axes() tensor.Shape {
	if c.Label == nil || c.Label.Dtype() != tensor.Int {
		return nil
	}
	return c.Label.Shape()[1:]
}
