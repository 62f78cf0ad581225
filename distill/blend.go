package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// A blend is a weighted sum of values of rows.
type blend struct {
	values  []*gorgonia.Node
	factors []float64
}

func (p *blend) add(factor float64, value *gorgonia.Node) {
	p.values, p.factors = append(p.values, value), append(p.factors, factor)
}

func (p *blend) sum(b *student.Builder) *gorgonia.Node { return b.Op(graph.Blend(p.values, p.factors)) }
