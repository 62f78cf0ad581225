package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A holder is an operation that writes its result to memory that it is given,
// and to all of it.
type holder interface{ hold(v gorgonia.Value) }

// A buffer is memory for results, one after the other.
type buffer struct {
	dtype tensor.Dtype
	size  int // elements of the largest result
	free  bool
}

// plan gives each step the memory that its result goes to. Results that are not
// needed at the same time share it.
func (m *Machine) plan(roots []*gorgonia.Node) {
	last := m.lasts(roots)
	var buffers []buffer
	at := make([]int, len(m.slot)) // which buffer holds a value, counted from 1
	taken := make([]int, len(m.steps))
	for i, s := range m.steps {
		if _, ok := s.op.(holder); ok && s.node.Dims() > 0 {
			at[s.to] = take(&buffers, s.node) + 1
			taken[i] = at[s.to]
		}
		for _, slot := range append([]int{s.to}, s.from...) {
			if last[slot] == i && at[slot] > 0 {
				buffers[at[slot]-1].free = true
				at[slot] = 0
			}
		}
	}
	memory := make([]*tensor.Dense, len(buffers))
	for i, b := range buffers {
		memory[i] = Zeros(b.dtype, b.size)
	}
	for i := range m.steps {
		m.steps[i].hold(memory, taken[i]-1)
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

// take returns the buffer for the result of n: the smallest free one that is
// large enough, or else the largest free one, which grows, or a new one.
func take(buffers *[]buffer, n *gorgonia.Node) int {
	size, best := n.Shape().TotalSize(), -1
	for i, b := range *buffers {
		if !b.free || b.dtype != n.Dtype() {
			continue
		}
		if best < 0 || better(b.size, (*buffers)[best].size, size) {
			best = i
		}
	}
	if best < 0 {
		*buffers = append(*buffers, buffer{dtype: n.Dtype(), size: size})
		return len(*buffers) - 1
	}
	b := &(*buffers)[best]
	b.size, b.free = max(b.size, size), false
	return best
}

// better says whether a buffer of size a is better than one of size b for so
// many elements.
func better(a, b, size int) bool {
	if b >= size {
		return a >= size && a < b
	}
	return a > b
}

// hold gives the step its memory, which none needs that makes its own.
func (s *step) hold(memory []*tensor.Dense, taken int) {
	h, ok := s.op.(holder)
	if !ok {
		return
	}
	s.holder = h
	if s.value = newValue(s.node.Dtype(), nil); taken >= 0 {
		s.value = part(memory[taken], s.node.Shape())
	}
}

// part is the beginning of x in another shape.
func part(x *tensor.Dense, shape tensor.Shape) *tensor.Dense {
	n := shape.TotalSize()
	if x.Dtype() == tensor.Float32 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x.Float32s()[:n]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x.Float64s()[:n]))
}
