package lm

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// A Latent is multi-head latent attention: keys and values are made of a short
// vector, which a cache then holds in their place (DeepSeek-V2, 2405.04434,
// section 2.1). Config.KeyHeads is Config.Heads, and Config.HeadWidth is not used.
type Latent struct {
	Queries int `json:"q_lora_rank"`      // width of what queries are made of; 0 means they are made of the input
	Rank    int `json:"kv_lora_rank"`     // width of what keys and values are made of
	Plain   int `json:"qk_nope_head_dim"` // elements of a head of a query or key that know no position
	Turned  int `json:"qk_rope_head_dim"` // those that do, an even number; keys of all heads share theirs
	Values  int `json:"v_head_dim"`       // elements of a head of a value
}

func (l Latent) validate(c Config) error {
	if err := inRange("Latent", []size{{"Rank", l.Rank}, {"Plain", l.Plain}, {"Turned", l.Turned}, {"Values", l.Values}}); err != nil {
		return err
	}
	switch {
	case l.Queries < 0 || l.Queries > most:
		return fmt.Errorf("lm: Latent.Queries is %d; want 0 to %d", l.Queries, most)
	case l.Turned%2 != 0:
		return fmt.Errorf("lm: Latent.Turned is %d; want an even number", l.Turned)
	case c.KeyHeads != c.Heads:
		return fmt.Errorf("lm: Config.KeyHeads is %d with a Latent; want Config.Heads, %d, or 0", c.KeyHeads, c.Heads)
	case c.Bias:
		return fmt.Errorf("lm: Config.Bias is true with a Latent; want false")
	}
	return nil
}

// latent is attention with queries, keys and values that are made of short vectors.
func (n *network) latent(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
	width := n.Plain + n.Turned
	var q *gorgonia.Node
	if n.Queries == 0 {
		q = b.Layer("q_proj", n.linear(n.Heads*width, false), x)
	} else {
		q = b.Layer("q_a_proj", n.linear(n.Queries, false), x)
		q = b.Layer("q_b_proj", n.linear(n.Heads*width, false), b.Layer("q_a_layernorm", n.norm, q))
	}
	c := b.Layer("kv_a_proj_with_mqa", n.linear(n.Rank+n.Turned, false), x)
	shared := b.Op(graph.Columns(c, n.Rank, n.Rank+n.Turned))
	c = b.Layer("kv_a_layernorm", n.norm, b.Op(graph.Columns(c, 0, n.Rank)))
	kv := b.Layer("kv_b_proj", n.linear(n.Heads*(n.Plain+n.Values), false), c)
	x = b.Op(graph.LatentHeads(q, kv, shared, kernel.Latent{Heads: n.Heads, Plain: n.Plain, Turned: n.Turned, Values: n.Values}))
	x = b.Op(graph.Attention(x, n.segments, kernel.Attention{
		Heads: n.Heads, Shared: n.Heads, Width: width, Values: n.Values, Scale: scale(width),
	}, n.rotary))
	return b.Layer("o_proj", n.linear(n.Width, false), x)
}
