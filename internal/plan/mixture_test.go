package plan

import (
	"math"
	"slices"
	"testing"

	"github.com/godistill/godistill/internal/kernel"
)

// mixed is a plan with every step of experts, latent attention and heads ahead.
func mixed() (*Plan, map[string][]int) {
	routing := kernel.Routing{Experts: 4, Each: 2, Groups: 1, Kept: 1, Factor: 1.5}
	return &Plan{
			Inputs: []Value{{"x", []int{5, 6}}, {"segment", []int{5}}},
			Steps: []Step{
				{Op: "linear", In: []int{0}, Params: []string{"e.gate"}, Shape: []int{5, 4}},
				{Op: "route", In: []int{2}, Params: []string{"e.bias"}, Routing: &routing, Shape: []int{5, 4}},
				{Op: "balance", In: []int{2, 3, 1}, Routing: &routing, Shape: []int{5}},
				{Op: "experts", In: []int{0, 3}, Params: slices.Repeat([]string{"e.in", "e.in", "e.out"}, 4), Shape: []int{5, 6}},
				{Op: "shift", In: []int{0, 1}, By: 2, Shape: []int{5, 6}},
				{Op: "beside", In: []int{5, 6}, Shape: []int{5, 12}},
				{Op: "columns", In: []int{7}, From: 3, Shape: []int{5, 7}},
				{Op: "linear", In: []int{8}, Params: []string{"e.q"}, Shape: []int{5, 18}},
				{Op: "linear", In: []int{8}, Params: []string{"e.kv"}, Shape: []int{5, 12}},
				{Op: "columns", In: []int{8}, From: 1, Shape: []int{5, 4}},
				{Op: "latentheads", In: []int{9, 10, 11}, Latent: &kernel.Latent{Heads: 3, Plain: 2, Turned: 4, Values: 2}, Shape: []int{5, 42}},
				{Op: "attention", In: []int{12, 1}, Shape: []int{5, 6}, Attention: &Attention{
					Heads: 3, Shared: 3, Width: 6, Values: 2, Scale: 0.5, Turned: 4, Theta: 100, Beside: true,
					Stretch: &kernel.Stretch{Factor: 8, Low: 1, High: 4, Trained: 20},
				}},
			},
			Outputs: []Output{{"balance", 4}, {"made", 5}, {"later", 6}, {"cut", 8}, {"heads", 12}, {"y", 13}},
		}, map[string][]int{
			"e.gate": {4, 6}, "e.bias": {4}, "e.in": {6, 6}, "e.out": {6, 6}, "e.q": {18, 7}, "e.kv": {12, 7},
		}
}

// The experts of mixed have other parameters than one each.
func mixedParams(shapes map[string][]int) map[string]Param[float64] {
	all := map[string]Param[float64]{}
	for name, shape := range shapes {
		v := make([]float64, product(shape))
		for i := range v {
			v[i] = math.Sin(float64(3*i + len(name) + 5*len(v)))
		}
		all[name] = Param[float64]{shape, v}
	}
	return all
}

// A step of experts, latent attention and heads ahead is what the kernel says, for
// samples one after the other, and their texts.
func TestMixed(t *testing.T) {
	p, shapes := mixed()
	params := mixedParams(shapes)
	m := must(Compile(p, params, nil)).Machine()
	x, segments := make([]float64, 60), []float64{1, 1, 1, 2, 2, 3, 3, 4, 0, 0}
	for i := range x {
		x[i] = math.Cos(float64(7 * i))
	}
	copy(m.Value(0, 2), x)
	copy(m.Value(1, 2), segments)
	m.Run(2)

	r := *p.Steps[1].Routing
	texts := kernel.Texts(nil, segments, 2, 5)
	z, w := make([]float64, 40), make([]float64, 40)
	kernel.Linear(z, x, params["e.gate"].Data, nil, 10, 6, 4, kernel.Identity)
	kernel.Route(w, z, params["e.bias"].Data, r)
	balance, made, later := make([]float64, 10), make([]float64, 60), make([]float64, 60)
	kernel.Balance(balance, z, w, texts, r)
	near(t, "balance", m.Value(4, 2), balance)
	in, out := params["e.in"].Data, params["e.out"].Data
	order := [][]float64{in, in, out, in, in, out, in, in, out, in, in, out}
	kernel.Experts[float64]{Width: 6, Inner: 6, Gate: order[:4], Up: order[4:8], Down: order[8:]}.Forward(made, x, w)
	near(t, "made", m.Value(5, 2), made)
	kernel.Shift(later, x, texts, 2, 6)
	near(t, "later", m.Value(6, 2), later)
	both, cut, shared := make([]float64, 120), make([]float64, 70), make([]float64, 40)
	kernel.SideBySide(both, made, later, 6, 12)
	kernel.Columns(cut, both, 12, 3, 7)
	near(t, "cut", m.Value(8, 2), cut)
	q, kv, heads, y := make([]float64, 180), make([]float64, 120), make([]float64, 420), make([]float64, 60)
	kernel.Linear(q, cut, params["e.q"].Data, nil, 10, 7, 18, kernel.Identity)
	kernel.Linear(kv, cut, params["e.kv"].Data, nil, 10, 7, 12, kernel.Identity)
	kernel.Columns(shared, cut, 7, 1, 4)
	kernel.LatentHeads(heads, q, kv, shared, *p.Steps[10].Latent)
	near(t, "heads", m.Value(12, 2), heads)
	a := p.Steps[11].Attention
	qs, ks, vs := kernel.Split(heads, a.kernel(5))
	kernel.AttendTexts(kernel.Positions[float64]{Data: y, Apart: 6}, nil, qs, ks, vs, texts, a.kernel(5),
		kernel.NewRotary[float64](5, kernel.Angles{Width: 4, Theta: 100, Beside: true, Stretch: a.Stretch}))
	near(t, "y", m.Value(13, 2), y)
	m.Run(0) // which has no texts
}

func TestValidateRefusesMixed(t *testing.T) {
	spoilt{
		{"nothing", func(*Plan, map[string][]int) {}, ""},
		{"no routing", func(p *Plan, _ map[string][]int) { p.Steps[1].Routing = nil }, "it has no routing"},
		{"groups", func(p *Plan, _ map[string][]int) { p.Steps[1].Routing.Groups = 3 }, "3 groups of 4 experts"},
		{"many experts", func(p *Plan, _ map[string][]int) { p.Steps[1].Routing.Experts = 1 << 40 }, "want 1 to 65536 experts"},
		{"each", func(p *Plan, _ map[string][]int) { p.Steps[1].Routing.Each = 5 }, "a token goes to 5 experts; want 1 to 4"},
		{"other experts", func(p *Plan, _ map[string][]int) { p.Steps[1].Routing.Experts = 5 }, "an input of shape [5 4]; want (T, 5)"},
		{"bias", func(_ *Plan, params map[string][]int) { params["e.bias"] = []int{3} }, "a bias of shape [3]"},
		{"balance of others", func(p *Plan, _ map[string][]int) { p.Steps[2].In[1] = 0 }, "inputs of shapes [5 4] and [5 6]; want one shape"},
		{"segments", func(p *Plan, _ map[string][]int) { p.Inputs[1].Shape = []int{6} }, "want (T, ...), and segments (T)"},
		{"experts", func(p *Plan, _ map[string][]int) { p.Steps[3].Params = p.Steps[3].Params[:11] }, "with 11 parameters"},
		{"three experts", func(p *Plan, _ map[string][]int) { p.Steps[3].Params = p.Steps[3].Params[:9] }, "with 9 parameters"},
		{"expert", func(p *Plan, _ map[string][]int) { p.Steps[3].Params[9] = "e.q" }, `parameter "e.q" of shape [18 7]; want [6 6]`},
		{"shift", func(p *Plan, _ map[string][]int) { p.Steps[4].In[1] = 0 }, "want (T, ...), and segments (T)"},
		{"beside", func(p *Plan, _ map[string][]int) { p.Steps[5].In[1] = 1 }, "inputs of shapes [5 6] and [5]"},
		{"columns before", func(p *Plan, _ map[string][]int) { p.Steps[6].From = -1 }, "7 elements from -1 on"},
		{"columns behind", func(p *Plan, _ map[string][]int) { p.Steps[6].From = 6 }, "7 elements from 6 on"},
		{"far columns", func(p *Plan, _ map[string][]int) { p.Steps[6].From = math.MaxInt }, "want some of the last axis"},
		{"no columns", func(p *Plan, _ map[string][]int) { p.Steps[6].Shape = nil }, "of which [] is wanted"},
		{"no latent", func(p *Plan, _ map[string][]int) { p.Steps[10].Latent = nil }, "a latent of <nil>"},
		{"large latent", func(p *Plan, _ map[string][]int) { p.Steps[10].Latent.Heads = math.MaxInt }, "want sizes from 1 to 1048576"},
		{"other latent", func(p *Plan, _ map[string][]int) { p.Steps[10].Latent.Turned = 3 }, "input 0 of shape [5 18]; want (T, 15)"},
		{"stretch", func(p *Plan, _ map[string][]int) { p.Steps[11].Attention.Stretch.Factor = math.NaN() }, "a factor of NaN"},
		{"stretched", func(p *Plan, _ map[string][]int) { p.Steps[11].Attention.Stretch.Low = 5 }, "frequencies from 5 to 4 turns in 20 positions"},
	}.check(t, mixed)
}

// However far a shift goes, it goes beyond the sample and no further.
func TestFarShift(t *testing.T) {
	for _, by := range []int{math.MaxInt, math.MinInt, 6, -6} {
		p := &Plan{
			Inputs:  []Value{{"x", []int{5, 3}}},
			Steps:   []Step{{Op: "shift", In: []int{0}, By: by, Shape: []int{5, 3}}},
			Outputs: []Output{{"y", 1}},
		}
		m := must(Compile[float32](p, nil, nil)).Machine()
		for i := range m.Value(0, 2) {
			m.Value(0, 2)[i] = 7
		}
		m.Run(2)
		if y := m.Value(1, 2); slices.ContainsFunc(y, func(v float32) bool { return v != 0 }) {
			t.Errorf("by %d: there is %v; want zeros", by, y)
		}
	}
}
