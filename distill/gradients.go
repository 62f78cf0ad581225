package distill

import (
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// gradients are how hard each term pulls at the student on a batch, with the
// weights as they are and the schedules of a step. The graph of the run has the
// gradient of the sum alone.
func (s *session) gradients(step int, t taught) ([]TapGradient, error) {
	c, err := s.caseOf(t)
	if err != nil {
		return nil, err
	}
	return s.probe.gradients(s.Terms, s.extra, step, c)
}

// A probe takes the gradients of terms at the student's taps, step after step.
type probe struct {
	rows   int
	trials map[string]*trial // by the name of the term, for cases of so many rows
}

// gradients are those on a case, in the order of the terms and of the taps'
// names. A loss that remembers samples has none on others. The parameters that losses have are kept in own.
func (p *probe) gradients(terms []Term, own *student.Params, step int, c Case) ([]TapGradient, error) {
	if n := c.Weight.Shape()[0]; n != p.rows {
		p.rows, p.trials = n, map[string]*trial{}
	}
	var all []TapGradient
	for _, term := range terms {
		if term.weight(step) == 0 {
			continue
		}
		grads, err := p.try(term, own, step, c)
		if err != nil {
			return nil, fmt.Errorf("distill: the gradients of term %q: %w", term.Name, err)
		}
		for _, tap := range slices.Sorted(maps.Keys(grads)) {
			all = append(all, TapGradient{term.Name, tap, gradNorm([]*tensor.Dense{grads[tap]})})
		}
	}
	return all, nil
}

func (p *probe) try(term Term, own *student.Params, step int, c Case) (data.Signals, error) {
	t := p.trials[term.Name]
	if t == nil {
		var err error
		if t, err = newTrial(term, own, c); err != nil {
			return nil, err
		}
		t.program = t.program.Look() // memories stay as they are
		p.trials[term.Name] = t
	}
	if t.feed.asked && c.strange() {
		return nil, nil // there is no memory of validation data
	}
	_, grads, err := t.run(step, c)
	return grads, err
}
