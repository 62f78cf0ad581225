package plan

import "github.com/godistill/godistill/internal/kernel"

// folds are the batch norms that become part of the step before them, and the
// additions that become part of the convolution that made a term: by step, the one
// that each is folded into. Nothing else may read what that computes.
func (p *Plan) folds(live []bool) map[int]int {
	reads := p.reads(live)
	all := map[int]int{}
	open := func(value int) (layer int, ok bool) { // to what comes behind it
		layer = value - len(p.Inputs)
		return layer, layer >= 0 && reads[value] == 1
	}
	for i, s := range p.Steps {
		switch {
		case !live[i]:
		case s.Op == "batchnorm":
			if layer, ok := open(s.In[0]); ok && p.Steps[layer].foldable() {
				all[i] = layer
			}
		case s.Op == "add":
			for _, v := range s.In {
				if layer, ok := open(v); ok && p.convolves(layer, all) {
					all[i] = layer
					break
				}
			}
		}
	}
	return all
}

// reads is how often steps and outputs read each value.
func (p *Plan) reads(live []bool) []int {
	reads := make([]int, len(p.Inputs)+len(p.Steps))
	for i, s := range p.Steps {
		if live[i] {
			for _, v := range s.In {
				reads[v]++
			}
		}
	}
	for _, out := range p.Outputs {
		reads[out.Value]++
	}
	return reads
}

// convolves says that a step is a convolution without an activation, with or
// without a batch norm that is folded into it.
func (p *Plan) convolves(step int, folds map[int]int) bool {
	s := &p.Steps[step]
	if act, _ := s.act(); act != kernel.Identity {
		return false
	}
	if s.Op == "batchnorm" {
		layer, ok := folds[step]
		return ok && p.Steps[layer].Op == "conv"
	}
	return s.Op == "conv"
}

// foldable says that what a step computes has no activation yet, and that its
// channels are the rows of its weight.
func (s *Step) foldable() bool {
	act, _ := s.act() // was validated
	return act == kernel.Identity && (s.Op == "conv" || s.Op == "linear" && len(s.Shape) == 1)
}

// fold is a layer with the step behind it as one call. The layer itself does
// nothing any more.
func fold[F kernel.Float](value int, layer, next *call[F]) (one call[F], err error) {
	if next.step.Op == "add" {
		one = layer.withTerm(value, next)
	} else if one, err = layer.withNorm(next); err != nil {
		return *next, err
	}
	layer.run, layer.params = nil, nil
	return one, nil
}

// withNorm is a layer with a batch norm behind it.
func (c *call[F]) withNorm(norm *call[F]) (call[F], error) {
	if err := norm.checkVariance(); err != nil {
		return *norm, err
	}
	var bias []F
	if len(c.params) > 1 {
		bias = c.params[1]
	}
	gamma, beta := norm.pair(2)
	w, shift := kernel.Fold(c.params[0], bias, gamma, beta, norm.params[0], norm.params[1], norm.step.Eps)
	one := *c
	one.params, one.act = [][]F{w, shift}, norm.act
	return one, nil
}

// withTerm is a convolution of the given value with an addition behind it: it
// reads the other term too.
func (c *call[F]) withTerm(value int, add *call[F]) call[F] {
	one := *c
	other := add.in[0]
	if other == value {
		other = add.in[1]
	}
	one.in, one.act = []int{c.in[0], other}, add.act
	return one
}
