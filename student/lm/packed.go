package lm

import (
	"fmt"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// packed is the weights of a model, as products read them.
type packed[F kernel.Float] struct {
	table  []F // (Vocab, Width)
	blocks []block[F]
	norm   []F
	head   linear[F]
}

// A block is a layer of a model.
type block[F kernel.Float] struct {
	before, between []F // the weights of norms
	attention[F]
	feed[F]
	mixture *experts[F] // in the place of feed; nil for none
}

// attention is what stands around attention to the cache: in makes queries, keys
// and values, or of a Latent queries, of what down makes if that is there, and
// latent what the cache keeps.
type attention[F kernel.Float] struct {
	in, out      linear[F]
	down, latent *linear[F] // nil for none
	// The weights of norms of what these make.
	downNorm, latentNorm []F
}

// A feed is a gated network.
type feed[F kernel.Float] struct {
	sides, back linear[F] // gate and up, and down
	inner       int
}

type experts[F kernel.Float] struct {
	gate   linear[F]
	bias   []F
	each   []kernel.Expert[F]
	shared *feed[F] // nil for none
}

// A linear is one linear layer, or several of one input side by side.
type linear[F kernel.Float] struct {
	*kernel.Packed[F]
	bias []F // nil for none
}

func (l linear[F]) apply(y, x []F, rows int) { l.Linear(y, x, l.bias, rows, kernel.Identity) }

// A scope is the parameters under a path.
type scope[F kernel.Float] struct {
	all  map[string][]F
	path string
}

// parameters are those of a model, which are finite.
func parameters[F kernel.Float](m *student.Model) (scope[F], error) {
	s := scope[F]{all: map[string][]F{}}
	for p := range m.Params() {
		v, _ := p.Value.Data().([]F)
		for i, x := range v {
			if x-x != 0 {
				return s, fmt.Errorf("parameter %s is %v at element %d; want finite numbers", p.Name, x, i)
			}
		}
		s.all[p.Name] = v
	}
	return s, nil
}

func (s scope[F]) in(name string) scope[F] { return scope[F]{s.all, s.path + name + "."} }

func (s scope[F]) of(name string) []F { return s.all[s.path+name] }

func (s scope[F]) weight(name string) []F { return s.of(name + ".weight") }

// linear is what linear layers of one input of that width make side by side.
func (s scope[F]) linear(width int, names ...string) linear[F] {
	var l linear[F]
	w := s.weight(names[0])
	l.bias = s.of(names[0] + ".bias")
	for i, name := range names[1:] {
		if i == 0 {
			w, l.bias = w[:len(w):len(w)], l.bias[:len(l.bias):len(l.bias)] // not over parameters
		}
		w, l.bias = append(w, s.weight(name)...), append(l.bias, s.of(name+".bias")...)
	}
	l.Packed = kernel.Pack(w, width, len(w)/width)
	return l
}

// pack is the weights of a model as they are.
func pack[F kernel.Float](c Config, m *student.Model) (*packed[F], error) {
	all, err := parameters[F](m)
	if err != nil {
		return nil, err
	}
	root := all.in("model")
	w := &packed[F]{table: root.weight("embed_tokens"), norm: root.weight("norm")}
	for i := range c.Layers {
		w.blocks = append(w.blocks, newBlock(c, root.in(fmt.Sprint("layers.", i)), i))
	}
	if c.Tied {
		w.head = root.linear(c.Width, "embed_tokens")
	} else {
		w.head = all.linear(c.Width, "lm_head")
	}
	return w, nil
}

func newBlock[F kernel.Float](c Config, s scope[F], i int) block[F] {
	b := block[F]{before: s.weight("input_layernorm"), between: s.weight("post_attention_layernorm")}
	self, mlp := s.in("self_attn"), s.in("mlp")
	if c.Latent != nil {
		b.attention = newLatent(c, self)
	} else {
		b.in = self.linear(c.Width, "q_proj", "k_proj", "v_proj")
		b.out = self.linear(c.Heads*c.HeadWidth, "o_proj")
	}
	if c.Mixture != nil && i >= c.Dense {
		b.mixture = newExperts(c, mlp)
	} else {
		b.feed = newFeed(mlp, c.Width, c.Inner)
	}
	return b
}

func newFeed[F kernel.Float](s scope[F], width, inner int) feed[F] {
	return feed[F]{s.linear(width, "gate_proj", "up_proj"), s.linear(inner, "down_proj"), inner}
}

func newExperts[F kernel.Float](c Config, s scope[F]) *experts[F] {
	x := &experts[F]{gate: s.linear(c.Width, "gate"), bias: s.in("gate").of("e_score_correction_bias")}
	for e := range c.Experts {
		f := newFeed(s.in(fmt.Sprint("experts.", e)), c.Width, c.ExpertWidth)
		x.each = append(x.each, kernel.Expert[F]{Sides: f.sides, Back: f.back, Inner: f.inner})
	}
	if c.Shared > 0 {
		shared := newFeed(s.in("shared_experts"), c.Width, c.Shared*c.ExpertWidth)
		x.shared = &shared
	}
	return x
}

// newLatent has what makes keys of short vectors taken into the weight of queries,
// and what makes values of them into that of what comes after: all heads then
// attend to the short vectors themselves, as to one head of keys, whose first
// elements are values (DeepSeek-V2, 2405.04434, section 2.1.2).
func newLatent[F kernel.Float](c Config, s scope[F]) attention[F] {
	queries, width := s.weight("q_proj"), c.Width
	var a attention[F]
	if c.Queries > 0 {
		down := s.linear(c.Width, "q_a_proj")
		a.down, a.downNorm = &down, s.weight("q_a_layernorm")
		queries, width = s.weight("q_b_proj"), c.Queries
	}
	latent := s.linear(c.Width, "kv_a_proj_with_mqa")
	a.latent, a.latentNorm = &latent, s.weight("kv_a_layernorm")
	in := make([]F, 0, c.Heads*(c.Rank+c.Turned)*width)
	out := make([]F, c.Width*c.Heads*c.Rank)
	for h := range c.Heads {
		size := c.Plain + c.Values
		kv := s.weight("kv_b_proj")[h*size*c.Rank : (h+1)*size*c.Rank]
		in = absorbQueries(in, queries[h*(c.Plain+c.Turned)*width:], kv, width, c.Latent)
		absorbValues(out, s.weight("o_proj"), kv[c.Plain*c.Rank:], h, c)
	}
	a.in.Packed = kernel.Pack(in, width, c.Heads*(c.Rank+c.Turned))
	a.out.Packed = kernel.Pack(out, c.Heads*c.Rank, c.Width)
	return a
}

// absorbQueries appends the weight of a head of queries (Rank+Turned, width), given
// that of one whose elements are (Plain+Turned), and of plain keys (Plain, Rank).
func absorbQueries[F kernel.Float](to, w, keys []F, width int, l *Latent) []F {
	made := make([]F, l.Rank*width)
	kernel.Gemm(true, false, l.Rank, width, l.Plain, keys, w, made, false)
	to = append(to, made...)
	return append(to, w[l.Plain*width:(l.Plain+l.Turned)*width]...)
}

// absorbValues writes the part of the weight (Width, Heads·Rank) that a head has,
// given its part of w (Width, Heads·Values), and the weight of values (Values, Rank).
func absorbValues[F kernel.Float](to, w, values []F, head int, c Config) {
	part, made := make([]F, 0, c.Width*c.Values), make([]F, c.Width*c.Rank)
	for r := range c.Width {
		at := (r*c.Heads + head) * c.Values
		part = append(part, w[at:at+c.Values]...)
	}
	kernel.Gemm(false, false, c.Width, c.Rank, c.Values, part, values, made, false)
	for r := range c.Width {
		copy(to[(r*c.Heads+head)*c.Rank:], made[r*c.Rank:(r+1)*c.Rank])
	}
}
