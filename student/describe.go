package student

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/godistill/godistill/internal/graph"
)

// Describe is a table of the parameters, and one of the taps, for people. It has
// the taps in the order in which they are computed, each with how many parameters
// are named after it, as those of a block, and from how many it is computed.
func (m *Model) Describe() string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
	m.describeParams(w)
	fmt.Fprintln(w, "\ntap\tshape of a sample\tparameters\tup to here")
	for _, at := range m.places {
		own := ""
		if at.own > 0 {
			own = fmt.Sprint(at.own)
		}
		fmt.Fprintf(w, "%s\t%v\t%s\t%d\n", at.tap, m.taps[at.tap].Shape, own, at.upTo)
	}
	w.Flush()
	return s.String()
}

func (m *Model) describeParams(w io.Writer) {
	fmt.Fprintln(w, "parameter\tshape\telements")
	for p := range m.Params() {
		kind := ""
		switch {
		case p.Buffer:
			kind = "  buffer"
		case p.Frozen:
			kind = "  frozen"
		}
		fmt.Fprintf(w, "%s\t%v\t%d%s\n", p.Name, p.Value.Shape(), p.Value.Shape().TotalSize(), kind)
	}
	fmt.Fprintf(w, "total\t\t%d\n", m.Size())
}

// A place is where a tap is in a network: how many nodes it is computed from, and
// how many parameters, each element counted, without buffers.
type place struct {
	tap         string
	nodes, upTo int
	own         int // parameters named after the tap
}

// places are those of the taps, in order: what is computed from another tap has
// more nodes. A stage, which is its last block under another name, comes after it.
func (e *evaluator) places() []place {
	var all []place
	for _, name := range sorted(e.taps) {
		reached := graph.Reaches(e.taps[name])
		at := place{tap: name, nodes: len(reached)}
		for _, p := range e.b.met {
			n := p.Value.Shape().TotalSize()
			if !p.Buffer && strings.HasPrefix(p.Name, name+".") {
				at.own += n
			}
			if !p.Buffer && reached[e.b.nodes[p]] {
				at.upTo += n
			}
		}
		all = append(all, at)
	}
	slices.SortStableFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.nodes, b.nodes), strings.Count(b.tap, ".")-strings.Count(a.tap, "."))
	})
	return all
}
