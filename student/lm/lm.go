// Package lm holds language models: decoder-only transformers that one can
// distil, in the layout of Hugging Face.
//
//	c := lm.Config{Vocab: 64, Width: 128, Inner: 344, Layers: 4, Heads: 4, Context: 256}
//	model, err := lm.New(c, 64, 1)
//	if err != nil {
//		return err
//	}
//	return lm.Save("small", model)
//
// A [Config] is a [student.Module]. Its input, [data.Input], is ids (B, T) of
// tensor.Int, and its taps are "logits" (B, T, Vocab) and, as Hugging Face's
// output_hidden_states has them, "hidden0", the embeddings, to the one of the last
// layer after the last norm, (B, T, Width) each. Labels (B, T) are the next ids,
// with -1 for what counts for nothing. A [Mixture] adds the tap "balance", and
// Config.Ahead "ahead1" and on: terms of a loss may draw from them.
//
// A [Sampler] draws what a model says after prompts.
//
// What a position comes to depends on those before it alone: neither what stands
// behind it, nor the other samples of a batch, change it. With the input [Segment],
// which text.Sequences makes of packed texts, it depends on those of its text alone.
// Memory is linear in the batch and in the length: attention keeps one number for
// each head and position, and computes scores again for its gradient.
//
// Refused are sequences longer than the context, ids that the vocabulary does not
// have, and configurations that mean something else than what is computed here.
package lm

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// Segment is the name of an input, ids (B, T) of tensor.Int: the number of the text
// that a position is of, 0 for padding, as text.Segment has it. A model of a spec that
// has it computes each of the texts of a row as it computes that text alone, and heeds
// no padding: rows may be packed. A spec without it has a text in each sample.
//
//	set, err := text.Sequences{Tokenizer: chars, Context: 64, Segments: true}.Pack(examples)
//	model, err := student.New(config, set.Spec(), seed)
const Segment = "segment"

// New is a model for sequences of so many positions, with parameters initialised
// from the seed. It computes in float32; [NewOf] in what it is told.
func New(c Config, positions int, seed uint64) (*student.Model, error) {
	return NewOf(c, positions, tensor.Float32, seed)
}

// NewOf is [New] in tensor.Float32 or tensor.Float64.
func NewOf(c Config, positions int, d tensor.Dtype, seed uint64) (*student.Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := c.checkPositions(positions); err != nil {
		return nil, fmt.Errorf("lm: %w", err)
	}
	return student.NewOf(c, Spec(positions), d, seed)
}

// For is a model that New or Load made, with a copy of its parameters, for other
// inputs: sequences of another length, or of packed texts, which have [Segment].
//
//	model, err := lm.For(loaded, set.Spec())
func For(m *student.Model, in data.Spec) (*student.Model, error) {
	c, err := configOf(m)
	if err != nil {
		return nil, err
	}
	n, err := student.NewOf(c, in, m.Dtype(), 0)
	if err != nil {
		return nil, err
	}
	from := map[string]*student.Param{}
	for p := range m.Params() {
		from[p.Name] = p
	}
	for p := range n.Params() {
		p.Frozen = from[p.Name].Frozen
		if err := tensor.Copy(p.Value, from[p.Name].Value); err != nil {
			return nil, fmt.Errorf("lm: %w", err)
		}
		p.Touch()
	}
	return n, nil
}

// configOf is the Config of a model that New or Load made.
func configOf(m *student.Model) (Config, error) {
	if m == nil {
		return Config{}, errNilModel
	}
	c, ok := m.Module().(Config)
	if !ok {
		return c, fmt.Errorf("lm: the module of the model is a %T; want a Config", m.Module())
	}
	return c, nil
}

// Spec describes the inputs of a model for sequences of so many positions.
func Spec(positions int) data.Spec {
	return data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{positions}, Dtype: tensor.Int}}}
}

func (c Config) checkPositions(n int) error {
	if n < 1 || n > c.Context {
		return fmt.Errorf("sequences have %d positions; want 1 to Config.Context, %d", n, c.Context)
	}
	return nil
}

// Forward implements [student.Module].
func (c Config) Forward(b *student.Builder, in student.Taps) student.Taps {
	b.Check(c.Validate())
	ids := in[data.Input]
	if ids == nil || ids.Dims() != 2 || ids.Dtype() != tensor.Int {
		b.Check(fmt.Errorf("a language model wants the input %q of ids, (T) of int", data.Input))
	}
	b.Check(c.checkPositions(ids.Shape()[1]))
	n := c.network(b, ids.Shape()[1])
	if n.segments = in[Segment]; n.segments != nil && (!n.segments.Shape().Eq(ids.Shape()) || n.segments.Dtype() != tensor.Int) {
		b.Check(fmt.Errorf("the input %q is %v of %v; want the shape of %q, of int", Segment, n.segments.Shape(), n.segments.Dtype(), data.Input))
	}
	root := b.Scope("model")
	table := root.Scope("embed_tokens").Param("weight", n.init, c.Vocab, c.Width)
	embedded := root.Embed(table, ids)
	x, taps := embedded, student.Taps{"hidden0": embedded}
	for i := range c.Layers {
		x = n.layer(root.Scope(fmt.Sprint("layers.", i)), x, i)
		taps[fmt.Sprint("hidden", i+1)] = x
	}
	x = root.Layer("norm", n.norm, x)
	taps[fmt.Sprint("hidden", c.Layers)] = x
	head := n.head(b, table)
	taps["logits"] = b.Linear(x, head, nil, student.Identity)
	n.ahead(root, taps, x, embedded, head)
	if n.balance != nil {
		taps["balance"] = n.balance
	}
	return taps
}

// A network is a Config at work on one graph.
type network struct {
	Config
	init   student.Init
	norm   student.RMSNorm
	rotary *graph.Rotary
	// segments are which text a position is of, nil where a sample is one.
	segments *gorgonia.Node
	// balance is how unequally experts are used, of all mixtures so far.
	balance *gorgonia.Node
}

func (c Config) network(b *student.Builder, positions int) *network {
	c = c.defaults()
	n := &network{Config: c, init: student.Normal(c.Spread), norm: student.RMSNorm{Eps: c.Eps}}
	var err error
	n.rotary, err = graph.NewRotary(b.Dtype(), positions, c.angles())
	b.Check(err)
	return n
}

// head is the weight that makes logits.
func (n *network) head(b *student.Builder, table *gorgonia.Node) *gorgonia.Node {
	if n.Tied {
		return table
	}
	return b.Scope("lm_head").Param("weight", n.init, n.Vocab, n.Width)
}

// layer is block i: attention and a feed-forward network, each on what is
// normalised, and added to it.
func (n *network) layer(b *student.Builder, x *gorgonia.Node, i int) *gorgonia.Node {
	attend, feed := n.attention, n.feed
	if n.Latent != nil {
		attend = n.latent
	}
	if n.Mixture != nil && i >= n.Dense {
		feed = n.mixture
	}
	h := b.Layer("input_layernorm", n.norm, x)
	x = b.Add(x, attend(b.Scope("self_attn"), h), student.Identity)
	h = b.Layer("post_attention_layernorm", n.norm, x)
	return b.Add(x, feed(b.Scope("mlp"), h), student.Identity)
}

// attention has a head of keys and values for one or several heads of queries.
func (n *network) attention(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
	bias := n.Type == Qwen2 || n.Bias
	queries, keys := n.Heads*n.HeadWidth, n.KeyHeads*n.HeadWidth
	x = n.beside(b, x, bias, part{"q_proj", queries}, part{"k_proj", keys}, part{"v_proj", keys})
	x = b.Op(graph.Attention(x, n.segments, kernel.Attention{
		Heads: n.Heads, Shared: n.KeyHeads, Width: n.HeadWidth, Values: n.HeadWidth, Scale: scale(n.HeadWidth),
	}, n.rotary))
	return b.Layer("o_proj", n.linear(n.Width, n.Bias), x)
}

func (n *network) feed(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
	return n.gated(b, x, n.Inner)
}

// gated is down(SiLU(gate(x))·up(x)).
func (n *network) gated(b *student.Builder, x *gorgonia.Node, inner int) *gorgonia.Node {
	x = n.beside(b, x, false, part{"gate_proj", inner}, part{"up_proj", inner})
	x = b.Op(graph.SwiGLU(x))
	return b.Layer("down_proj", n.linear(n.Width, false), x)
}

// linear is a layer with the weights that a new model has, and a bias of 0 or none.
func (n *network) linear(out int, bias bool) student.Linear {
	return student.Linear{Out: out, NoBias: !bias, Init: n.init}
}

// A part is one of several linear layers of one input.
type part struct {
	name string
	out  int
}

// beside is what several linear layers make of x, side by side.
func (n *network) beside(b *student.Builder, x *gorgonia.Node, bias bool, parts ...part) *gorgonia.Node {
	var ws, biases []*gorgonia.Node
	in := x.Shape()[x.Dims()-1]
	for _, p := range parts {
		b := b.Scope(p.name)
		ws = append(ws, b.Param("weight", n.init, p.out, in))
		if bias {
			biases = append(biases, b.Param("bias", student.Zeros, p.out))
		}
	}
	return b.Linears(x, ws, biases)
}

var errNilModel = errors.New("lm: the model is nil; want one that New or Load made")
