package plan

import (
	"math"
	"testing"

	"github.com/godistill/godistill/internal/kernel"
)

// transformer is a plan with every step of a transformer.
func transformer() (*Plan, map[string][]int) {
	return &Plan{
			Inputs: []Value{{"ids", []int{5}}},
			Steps: []Step{
				{Op: "embed", In: []int{0}, Params: []string{"table"}, Shape: []int{5, 8}},
				{Op: "rmsnorm", In: []int{1}, Params: []string{"eight"}, Eps: 1e-3, Shape: []int{5, 8}},
				{Op: "linears", In: []int{2}, Params: []string{"q", "k", "k", "eight", "four", "four"}, Shape: []int{5, 16}},
				{Op: "attention", In: []int{3}, Shape: []int{5, 8}, Attention: &Attention{
					Heads: 2, Shared: 1, Width: 4, Values: 4, Scale: 0.5, Turned: 4, Theta: 100,
				}},
				{Op: "linears", In: []int{4}, Params: []string{"q", "k", "k"}, Shape: []int{5, 16}},
				{Op: "swiglu", In: []int{5}, Shape: []int{5, 8}},
			},
			Outputs: []Output{{"attended", 4}, {"y", 6}},
		}, map[string][]int{
			"table": {7, 8}, "q": {8, 8}, "k": {4, 8}, "eight": {8}, "four": {4},
		}
}

// A step of a transformer is what the kernel says, for rows one after the other.
func TestTransformer(t *testing.T) {
	p, shapes := transformer()
	params := map[string]Param[float64]{}
	for name, shape := range shapes {
		v := make([]float64, product(shape))
		for i := range v {
			v[i] = math.Sin(float64(3*i + len(name) + 5*len(v)))
		}
		params[name] = Param[float64]{shape, v}
	}
	g := must(Compile(p, params, nil))
	m := g.Machine()
	ids := []int{3, 6, 0, 2, 2, 1, 5, 4, 0, 6}
	for i, id := range ids {
		m.Value(0, 2)[i] = float64(id)
	}
	m.Run(2)

	x, h := make([]float64, 80), make([]float64, 160)
	kernel.Embed(x, params["table"].Data, ids, 8)
	kernel.RMSNorm(x, nil, x, params["eight"].Data, 1e-3)
	side := func(out int, w, b []float64, from int) {
		y := make([]float64, 10*out)
		kernel.Linear(y, x, w, b, 10, 8, out, kernel.Identity)
		for r := range 10 {
			copy(h[r*16+from:], y[r*out:(r+1)*out])
		}
	}
	side(8, params["q"].Data, params["eight"].Data, 0)
	side(4, params["k"].Data, params["four"].Data, 8)
	side(4, params["k"].Data, params["four"].Data, 12)
	a := p.Steps[3].Attention.kernel(5)
	q, k, v := kernel.Split(h, a)
	kernel.Attend(kernel.Positions[float64]{Data: x, Apart: 8}, nil, q, k, v, 2, a, kernel.NewRotary[float64](5, kernel.Angles{Width: 4, Theta: 100}))
	near(t, "attended", m.Value(4, 2), x)
	side(8, params["q"].Data, nil, 0)
	side(4, params["k"].Data, nil, 8)
	side(4, params["k"].Data, nil, 12)
	kernel.SwiGLU(x, h, 8)
	near(t, "y", m.Value(6, 2), x)
}

func near(t *testing.T, name string, got, want []float64) {
	t.Helper()
	for i, w := range want {
		if math.Abs(got[i]-w) > 1e-12 {
			t.Fatalf("%s: element %d is %v; want %v", name, i, got[i], w)
		}
	}
}

// What is no id makes a row of NaN, and no panic.
func TestEmbedOfNoID(t *testing.T) {
	p, _ := transformer()
	p.Steps, p.Outputs = p.Steps[:1], []Output{{"y", 1}}
	g := must(Compile(p, map[string]Param[float32]{"table": {[]int{7, 8}, make([]float32, 56)}}, nil))
	m := g.Machine()
	copy(m.Value(0, 1), []float32{6, 7, -1, 2.5, float32(math.NaN())})
	m.Run(1)
	for i, v := range m.Value(1, 1) {
		if bad := v != v; bad != (i >= 8) {
			t.Fatalf("element %d of position %d is %v", i%8, i/8, v)
		}
	}
}

func TestValidateRefusesTransformers(t *testing.T) {
	spoilt{
		{"nothing", func(*Plan, map[string][]int) {}, ""},
		{"flat table", func(_ *Plan, params map[string][]int) { params["table"] = []int{56} }, "a table of shape [56]"},
		{"large table", func(_ *Plan, params map[string][]int) { params["table"] = []int{1<<24 + 1, 8} }, "16777216 ids at most"},
		{"other norm", func(p *Plan, _ map[string][]int) { p.Steps[1].Params = []string{"four"} }, `parameter "four" of shape [4]; want [8]`},
		{"no eps", func(p *Plan, _ map[string][]int) { p.Steps[1].Eps = 0 }, "eps is 0"},
		{"a bias lacks", func(p *Plan, _ map[string][]int) { p.Steps[2].Params = p.Steps[2].Params[:5] }, "want some (out, in), and as many (out) or none"},
		{"other bias", func(p *Plan, _ map[string][]int) { p.Steps[2].Params[3] = "four" }, "a bias of shape [4] beside a weight of shape [8 8]"},
		{"other weight", func(_ *Plan, params map[string][]int) { params["q"] = []int{8, 9} }, "a weight of shape [8 9] on an input of shape [5 8]"},
		{"no attention", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention = nil }, "it has no attention"},
		{"no divisor", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Heads = 3; p.Steps[3].Attention.Shared = 2 }, "a divisor of the heads"},
		{"many heads", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Heads = 1 << 30 }, "1073741824 heads of width 4"},
		{"odd rotary", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Turned = 3 }, "a rotary of 3 elements of a head of 4"},
		{"wide rotary", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Turned = 6 }, "a rotary of 6 elements of a head of 4"},
		{"no theta", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Theta = 0 }, "theta 0"},
		{"infinite scale", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Scale = math.Inf(1) }, "scale +Inf"},
		{"other heads", func(p *Plan, _ map[string][]int) { p.Steps[3].Attention.Width = 5; p.Steps[3].Attention.Turned = 0 }, "want (T, 19)"},
		{"odd sides", func(p *Plan, _ map[string][]int) { p.Steps[5].In = []int{0} }, "want (..., 2·D)"},
	}.check(t, transformer)
}
