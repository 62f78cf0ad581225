package plan

import "github.com/godistill/godistill/internal/kernel"

// folds are the batch norms that become part of the step before them: by step,
// the one that each is folded into. Nothing else may read what that computes.
func (p *Plan) folds(live []bool) map[int]int {
	reads := make([]int, len(p.Inputs)+len(p.Steps))
	for i, s := range p.Steps {
		if !live[i] {
			continue
		}
		for _, v := range s.In {
			reads[v]++
		}
	}
	for _, out := range p.Outputs {
		reads[out.Value]++
	}
	all := map[int]int{}
	for i, s := range p.Steps {
		if s.Op != "batchnorm" || !live[i] {
			continue
		}
		layer := s.In[0] - len(p.Inputs)
		if layer >= 0 && p.Steps[layer].foldable() && reads[s.In[0]] == 1 {
			all[i] = layer
		}
	}
	return all
}

// foldable says that what a step computes has no activation yet, and that its
// channels are the rows of its weight.
func (s *Step) foldable() bool {
	act, _ := s.act() // was validated
	return act == kernel.Identity && (s.Op == "conv" || s.Op == "linear" && len(s.Shape) == 1)
}

// fold is the layer with a batch norm behind it as one call. The layer itself
// does nothing any more.
func fold[F kernel.Float](layer, norm *call[F]) (call[F], error) {
	if err := norm.checkVariance(); err != nil {
		return *norm, err
	}
	var bias []F
	if len(layer.params) > 1 {
		bias = layer.params[1]
	}
	gamma, beta := norm.pair(2)
	w, shift := kernel.Fold(layer.params[0], bias, gamma, beta, norm.params[0], norm.params[1], norm.step.Eps)
	one := *layer
	one.params, one.act = [][]F{w, shift}, norm.act
	layer.run, layer.params = nil, nil
	return one, nil
}
