package plan

import (
	"fmt"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
)

// An op is a kind of step.
type op[F kernel.Float] struct {
	inputs [2]int // least and most
	params [2]int // the same
	// shape is the shape of the result, or why there is none.
	shape func(s *Step, in, params [][]int) ([]int, error)
	// bind prepares what never changes; nil for nothing.
	bind func(c *call[F], pack Packer[F]) error
	// run computes the result of some rows from the values before it.
	run func(c *call[F], values [][]F, out []F)
}

// table has all there is to know about each op.
func table[F kernel.Float]() map[string]op[F] {
	return map[string]op[F]{
		"linear":     {[2]int{1, 1}, [2]int{1, 2}, linearShape, packLinear[F], linear[F]},
		"activation": {[2]int{1, 1}, [2]int{0, 0}, sameShape, nil, activate[F]},
		"reshape":    {[2]int{1, 1}, [2]int{0, 0}, anyShape, nil, activate[F]},

		"conv":          {[2]int{1, 1}, [2]int{1, 2}, convShape, nil, convolve[F]},
		"maxpool":       {[2]int{1, 1}, [2]int{0, 0}, poolShape, nil, maxPool[F]},
		"avgpool":       {[2]int{1, 1}, [2]int{0, 0}, poolShape, nil, avgPool[F]},
		"globalavgpool": {[2]int{1, 1}, [2]int{0, 0}, globalAvgPoolShape, nil, globalAvgPool[F]},
		"add":           {[2]int{2, 2}, [2]int{0, 0}, oneShape, nil, add[F]},
		"batchnorm":     {[2]int{1, 1}, [2]int{2, 4}, batchNormShape, bindBatchNorm[F], batchNorm[F]},
		"groupnorm":     {[2]int{1, 1}, [2]int{0, 2}, groupNormShape, bindGroupNorm[F], groupNorm[F]},
		"layernorm":     {[2]int{1, 1}, [2]int{0, 2}, layerNormShape, bindLayerNorm[F], layerNorm[F]},

		"embed":     {[2]int{1, 1}, [2]int{1, 1}, embedShape, nil, embed[F]},
		"rmsnorm":   {[2]int{1, 1}, [2]int{1, 1}, rmsNormShape, nil, rmsNorm[F]},
		"swiglu":    {[2]int{1, 1}, [2]int{0, 0}, swiGLUShape, nil, swiGLU[F]},
		"linears":   {[2]int{1, 1}, [2]int{1, 2 * mostLinears}, linearsShape, packLinears[F], linear[F]},
		"attention": {[2]int{1, 2}, [2]int{0, 0}, attentionShape, bindAttention[F], attention[F]},

		"route":       {[2]int{1, 1}, [2]int{1, 1}, routeShape, nil, route[F]},
		"balance":     {[2]int{2, 3}, [2]int{0, 0}, balanceShape, nil, balance[F]},
		"experts":     {[2]int{2, 2}, [2]int{3, 3 << 16}, expertsShape, packExperts[F], mix[F]},
		"columns":     {[2]int{1, 1}, [2]int{0, 0}, columnsShape, nil, columns[F]},
		"beside":      {[2]int{2, 2}, [2]int{0, 0}, besideShape, nil, beside[F]},
		"shift":       {[2]int{1, 2}, [2]int{0, 0}, shiftShape, nil, shift[F]},
		"latentheads": {[2]int{3, 3}, [2]int{0, 0}, latentHeadsShape, nil, latentHeads[F]},
	}
}

func linearShape(s *Step, in, params [][]int) ([]int, error) {
	x, w := in[0], params[0]
	if len(w) != 2 || len(x) == 0 || x[len(x)-1] != w[1] {
		return nil, fmt.Errorf("a weight of shape %v on an input of shape %v; want (out, in) and (..., in)", w, x)
	}
	if len(params) > 1 && !slices.Equal(params[1], w[:1]) {
		return nil, fmt.Errorf("a bias of shape %v beside a weight of shape %v; want (out)", params[1], w)
	}
	return append(slices.Clone(x[:len(x)-1]), w[0]), nil
}

// packLinear lets go of the weight where its packed form is another.
func packLinear[F kernel.Float](c *call[F], pack Packer[F]) (err error) {
	w := c.params[0]
	c.weight, err = pack(w, len(w)/c.width, c.width)
	c.params[0] = nil
	return err
}

func linear[F kernel.Float](c *call[F], values [][]F, out []F) {
	var bias []F
	if len(c.params) > 1 {
		bias = c.params[1]
	}
	c.weight.Linear(out, values[c.in[0]], bias, len(out)/c.width, c.act)
}

func sameShape(s *Step, in, params [][]int) ([]int, error) { return in[0], nil }

func anyShape(s *Step, in, params [][]int) ([]int, error) {
	x, err := sizeOf(in[0])
	if err != nil {
		return nil, err
	}
	y, err := sizeOf(s.Shape)
	if err == nil && x != y {
		err = fmt.Errorf("an input of shape %v does not fit shape %v", in[0], s.Shape)
	}
	return s.Shape, err
}

func activate[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.Activate(out, values[c.in[0]], c.act)
}

func oneShape(s *Step, in, params [][]int) ([]int, error) {
	if !slices.Equal(in[0], in[1]) {
		return nil, fmt.Errorf("inputs of shapes %v and %v; want one shape", in[0], in[1])
	}
	return in[0], nil
}

func add[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.Add(out, values[c.in[0]], values[c.in[1]], c.act)
}
