package student

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
)

// Projected is the tap of a [Graft] that the teacher's head reads, before the
// mean over pixels.
const Projected = "projected"

// A Graft makes a student that answers with the last layer of its teacher (Chen
// et al. 2022, 2203.14001): a body, a projector that makes of one of its taps what
// that layer reads, and the layer itself, which is frozen.
//
//	small, err := student.Graft{To: student.ResNet{Depth: 8, Out: 10}, Tap: "layer3", Head: "fc"}.From(teacher, 1)
//
// The projector has three convolutions with batch norms and ReLU, of one pixel, of
// three, and of one: as wide as what the head reads, the first two divided by
// Factor. Of rows (B, D) they are linear layers.
type Graft struct {
	// To is the body. What its tap does not depend on, as its own last layer, is
	// left out.
	To  Module
	Tap string // of the body: (B, C, H, W) or (B, D)
	// Head is the name of the teacher's last layer, a Linear, as "fc" of ResNet.
	Head   string
	Factor int // 0 means 2
}

// From is the student, for the inputs of the teacher, whose head has the weights of
// the teacher's and does not share them. The rest begins from the seed. Its taps are those of the body that
// are left, [Projected], "pool" and "logits"; its head is "head". It fails where
// the teacher has no such layer, or the body no such tap.
func (g Graft) From(teacher *Model, seed uint64) (*Model, error) {
	switch {
	case g.To == nil:
		return nil, errors.New("student: Graft.To is nil; want a module")
	case g.Tap == "" || g.Head == "":
		return nil, errors.New("student: Graft.Tap or Graft.Head is empty; want the names of a tap of the body and a layer of the teacher")
	case teacher == nil || teacher.module == nil:
		return nil, errors.New("student: Graft.From has no teacher; want a model that New made")
	}
	weight, bias := teacher.params.Lookup(g.Head+".weight"), teacher.params.Lookup(g.Head+".bias")
	if weight == nil || weight.Value.Dims() != 2 {
		return nil, fmt.Errorf("student: graft: the teacher has no linear layer %q; Graft.Head wants its last one", g.Head)
	}
	out, in := weight.Value.Shape()[0], weight.Value.Shape()[1]
	m, err := New(grafted{g, in, Linear{Out: out, NoBias: bias == nil}}, teacher.spec, seed)
	if err != nil {
		return nil, err
	}
	for name, from := range map[string]*Param{"head.weight": weight, "head.bias": bias} {
		if from != nil {
			p := m.params.Lookup(name)
			whole(p, from).copy()
			p.Frozen = true
		}
	}
	return m, nil
}

// A grafted is the module of a graft, for a head that reads so many numbers.
type grafted struct {
	Graft
	Reads int
	Last  Linear
}

// Forward applies the body up to the tap, the projector and the head.
func (g grafted) Forward(b *Builder, in Taps) Taps {
	if g.Factor < 0 || g.Reads < max(g.Factor, 2) {
		b.fail(fmt.Errorf("Graft.Factor is %d for a head that reads %d numbers; want 1 or more and no more than they are, 0 meaning 2", g.Factor, g.Reads))
	}
	taps, x := b.upTo(g.Tap, g.To, in)
	width := g.Reads / cmp.Or(g.Factor, 2)
	at := b.Scope("projector")
	for i, l := range []struct{ out, kernel int }{{width, 1}, {width, 3}, {g.Reads, 1}} {
		x = at.Layer(fmt.Sprint("conv", i+1), spatial(x, l.out, l.kernel), x)
		x = at.Layer(fmt.Sprint("bn", i+1), BatchNorm{Act: ReLU}, x)
	}
	taps[Projected], taps["pool"] = x, x
	if x.Dims() == 4 {
		taps["pool"] = b.GlobalAvgPool2d(x)
	}
	taps["logits"] = b.Layer("head", g.Last, taps["pool"])
	return taps
}

// spatial is a layer before a batch norm, on maps or on rows.
func spatial(x *gorgonia.Node, out, kernel int) Layer {
	if x.Dims() == 4 {
		return Conv2d{Out: out, Kernel: kernel, Pad: kernel / 2, NoBias: true, Init: HeOut}
	}
	return Linear{Out: out, NoBias: true, Init: He}
}

// upTo is a tap of a module, with all taps that depend on no parameter that it
// does not: others are not there.
func (b *Builder) upTo(tap string, m Module, in Taps) (Taps, *gorgonia.Node) {
	kept := b.params
	all := &Params{seed: kept.seed, list: slices.Clone(kept.list), byName: maps.Clone(kept.byName)}
	if all.byName == nil {
		all.byName = map[string]*Param{}
	}
	taps := maps.Clone(m.Forward(b.With(all), in))
	x := taps[tap]
	if x == nil {
		b.fail(fmt.Errorf("the body has no tap %q; there are %q", tap, sorted(taps)))
	}
	if x.Dims() != 2 && x.Dims() != 4 {
		b.fail(fmt.Errorf("tap %q of the body is %v; want (B, D) or (B, C, H, W)", tap, x.Shape()))
	}
	reached := graph.Reaches(x)
	met := b.met
	b.met = nil
	for _, p := range met {
		n := b.nodes[p]
		if reached[n] {
			b.met = append(b.met, p)
			kept.take(p)
			continue
		}
		delete(b.nodes, p)
		maps.DeleteFunc(taps, func(_ string, at *gorgonia.Node) bool { return graph.Reaches(at)[n] })
	}
	return taps, x
}

// take adds a parameter that was made elsewhere, unless it is there.
func (ps *Params) take(p *Param) {
	if ps.byName[p.Name] != nil {
		return
	}
	if ps.byName == nil {
		ps.byName = map[string]*Param{}
	}
	ps.list = append(ps.list, p)
	ps.byName[p.Name] = p
}
