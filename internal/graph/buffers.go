package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/plan"
)

// A holder is an operation that writes its result to memory that it is given,
// and to all of it.
type holder interface{ hold(v gorgonia.Value) }

// plan gives each step the memory that its result goes to. Results that are not
// needed at the same time share it.
func (m *Machine) plan(roots []*gorgonia.Node) {
	last := m.lasts(roots)
	var results []plan.Result
	var of []*step
	for i := range m.steps {
		s := &m.steps[i]
		h, ok := s.op.(holder)
		if !ok {
			continue
		}
		if s.holder = h; s.node.Dims() == 0 {
			s.value = newValue(s.node.Dtype(), nil)
			continue
		}
		of = append(of, s)
		results = append(results, plan.Result{Size: s.node.Shape().TotalSize(), First: i, Last: last[s.to], Kind: s.node.Dtype()})
	}
	place, sizes := plan.Share(results)
	memory := make([]*tensor.Dense, len(sizes))
	for i, s := range of {
		p := place[i]
		if memory[p] == nil {
			memory[p] = Zeros(s.node.Dtype(), sizes[p])
		}
		s.value = part(memory[p], s.node.Shape())
	}
}

// lasts is the last step that needs each value. After the last of all, the roots
// are needed, and what an operation of Gorgonia has read, whose result may be a
// part of it.
func (m *Machine) lasts(roots []*gorgonia.Node) []int {
	last := make([]int, len(m.slot))
	for i, s := range m.steps {
		_, ours := s.op.(holder)
		last[s.to] = max(last[s.to], i)
		for _, slot := range s.from {
			if last[slot] = max(last[slot], i); !ours {
				last[slot] = len(m.steps)
			}
		}
	}
	for _, n := range roots {
		last[m.slot[n]] = len(m.steps)
	}
	return last
}

// part is the beginning of x in another shape.
func part(x *tensor.Dense, shape tensor.Shape) *tensor.Dense {
	n := shape.TotalSize()
	if x.Dtype() == tensor.Float32 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x.Float32s()[:n]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x.Float64s()[:n]))
}
