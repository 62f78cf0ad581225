package lm

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// A Mixture is experts, gated networks of which each token goes to some, in place
// of the feed-forward networks of a model (DeepSeek-V3, 2412.19437, section 2.1.2).
//
// The choice is balanced by a bias for each expert, which training moves by
// BiasStep and not by a gradient. The tap "balance" (B, T), the mean of which is
// the paper's balance loss with α = 1 (equation 17), is 1 for each layer where
// tokens go to all experts alike, and may be a term of its own, of a small weight:
//
//	distill.LossFunc(func(_ *student.Builder, l distill.Lesson) distill.Rows {
//		return distill.Rows{Value: l.Student["balance"]}
//	})
//
// Both count padding as they do tokens, unless the inputs have [Segment].
type Mixture struct {
	Experts     int `json:"n_routed_experts"`      // how many there are
	Each        int `json:"num_experts_per_tok"`   // how many a token goes to
	Shared      int `json:"n_shared_experts"`      // how many every token goes to besides
	ExpertWidth int `json:"moe_intermediate_size"` // width inside of an expert
	Dense       int `json:"first_k_dense_replace"` // the first layers, which have no experts
	Groups      int `json:"n_group"`               // parts of the experts; 0 means 1
	Kept        int `json:"topk_group"`            // groups that a token chooses from; 0 means all
	// Factor is times the weights of a token's experts, which have the sum 1 if
	// they are Normalized; 0 means 1.
	Factor     float64 `json:"routed_scaling_factor"`
	Normalized bool    `json:"norm_topk_prob"`
	// BiasStep is how far each run of a training graph moves the bias of an expert,
	// up if fewer tokens than the mean go to it, and down if more do: 0 leaves it as
	// it is, the paper has 0.001.
	BiasStep float64 `json:"bias_update_speed,omitempty"`
}

func (m Mixture) defaults() Mixture {
	m.Groups = cmp.Or(m.Groups, 1)
	m.Kept, m.Factor = cmp.Or(m.Kept, m.Groups), cmp.Or(m.Factor, 1)
	return m
}

func (m Mixture) validate(layers int) error {
	err := inRange("Mixture", []size{{"Experts", m.Experts}, {"Each", m.Each}, {"ExpertWidth", m.ExpertWidth}, {"Groups", m.Groups}, {"Kept", m.Kept}})
	switch {
	case err != nil:
		return err
	case m.Experts > 1<<16:
		return fmt.Errorf("lm: Mixture.Experts is %d; want %d at most", m.Experts, 1<<16)
	case m.Shared < 0 || m.Shared > 1<<16:
		return fmt.Errorf("lm: Mixture.Shared is %d; want 0 to %d", m.Shared, 1<<16)
	case m.Dense < 0 || m.Dense > layers:
		return fmt.Errorf("lm: Mixture.Dense is %d; want 0 to Config.Layers, %d", m.Dense, layers)
	case m.Experts%m.Groups != 0:
		return fmt.Errorf("lm: Mixture.Groups is %d and Mixture.Experts %d; want a divisor", m.Groups, m.Experts)
	case m.Kept > m.Groups:
		return fmt.Errorf("lm: Mixture.Kept is %d; want Mixture.Groups, %d, at most", m.Kept, m.Groups)
	case m.Each > m.Experts/m.Groups*m.Kept:
		return fmt.Errorf("lm: Mixture.Each is %d; a token chooses from %d experts", m.Each, m.Experts/m.Groups*m.Kept)
	case !(m.Factor > 0) || !(m.BiasStep >= 0) || m.Factor-m.Factor != 0 || m.BiasStep-m.BiasStep != 0:
		return fmt.Errorf("lm: Mixture.Factor is %v and Mixture.BiasStep %v; want finite numbers, above 0, and 0 or more", m.Factor, m.BiasStep)
	}
	return nil
}

func (m Mixture) routing() kernel.Routing {
	return kernel.Routing{Experts: m.Experts, Each: m.Each, Groups: m.Groups, Kept: m.Kept, Normalize: m.Normalized, Factor: m.Factor}
}

// mixture is the sum of what a token's experts make of it, and the shared ones.
func (n *network) mixture(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
	r := n.routing()
	gate := b.Scope("gate")
	z := b.Linear(x, gate.Param("weight", n.init, n.Experts, n.Width), nil, student.Identity)
	w := n.route(gate, z, r)
	balance := b.Op(graph.Balance(z, w, n.segments, r))
	if n.balance != nil {
		balance = b.Add(n.balance, balance, student.Identity)
	}
	n.balance = balance
	var gates, ups, downs []*gorgonia.Node
	for e := range n.Experts {
		b := b.Scope(fmt.Sprint("experts.", e))
		gates = append(gates, b.Scope("gate_proj").Param("weight", n.init, n.ExpertWidth, n.Width))
		ups = append(ups, b.Scope("up_proj").Param("weight", n.init, n.ExpertWidth, n.Width))
		downs = append(downs, b.Scope("down_proj").Param("weight", n.init, n.Width, n.ExpertWidth))
	}
	y := b.Op(graph.Experts(x, w, gates, ups, downs))
	if n.Shared == 0 {
		return y
	}
	return b.Add(y, n.gated(b.Scope("shared_experts"), x, n.Shared*n.ExpertWidth), student.Identity)
}

// route is the weights of experts, whose bias moves with training.
func (n *network) route(b *student.Builder, z *gorgonia.Node, r kernel.Routing) *gorgonia.Node {
	bias, node := b.Buffer("e_score_correction_bias", student.Zeros, r.Experts)
	var mask *gorgonia.Node // of tokens that are counted
	moves := b.Training() && n.BiasStep > 0
	if moves {
		mask = b.Valid()
	}
	w, loads, err := graph.Route(z, node, mask, n.segments, r)
	w = b.Op(w, err)
	if moves {
		b.After(w, func() { level(bias, loads, n.BiasStep) })
	}
	return w
}

// level moves the bias of each expert by a step towards equal loads.
func level(bias *student.Param, loads graph.Loads, step float64) {
	total := 0
	for _, n := range loads {
		total += n
	}
	for e, n := range loads {
		move := float64(cmp.Compare(total, n*len(loads))) * step
		switch v := bias.Value.Data().(type) {
		case []float32:
			v[e] += float32(move)
		case []float64:
			v[e] += move
		}
	}
	bias.Touch()
}
