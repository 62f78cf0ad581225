package plan

import (
	"math"
	"testing"

	"github.com/godistill/godistill/internal/kernel"
)

// The end of a residual block is one call: convolution, norm, addition and
// activation. With all values as outputs nothing is folded, and it comes out the
// same.
func TestCompileFoldsAdditions(t *testing.T) {
	window := func(pad int) *kernel.Window { return &kernel.Window{Kernel: [2]int{3, 3}, Pad: [2]int{pad, pad}} }
	image := []int{4, 5, 6}
	block := func(a, b int) *Plan {
		return &Plan{
			Inputs: []Value{{"x", image}},
			Steps: []Step{
				{Op: "activation", In: []int{0}, Act: "tanh", Shape: image},
				{Op: "conv", In: []int{1}, Params: []string{"w"}, Window: window(1), Shape: image},
				{Op: "batchnorm", In: []int{2}, Params: []string{"mean", "var"}, Eps: 1e-3, Shape: image},
				{Op: "conv", In: []int{1}, Params: []string{"w", "b"}, Window: window(1), Shape: image},
				{Op: "add", In: []int{a, b}, Act: "relu", Shape: image},
			},
			Outputs: []Output{{"y", 5}},
		}
	}
	params := map[string]Param[float64]{
		"w": {[]int{4, 4, 3, 3}, waves(144, 3)}, "b": {[]int{4}, waves(4, 5)},
		"mean": {[]int{4}, waves(4, 7)}, "var": {[]int{4}, []float64{1, 2, 0.5, 3}},
	}
	run := func(p *Plan) (calls int, y []float64) {
		g, err := Compile(p, params, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range g.calls {
			if c.run != nil {
				calls++
			}
		}
		m := g.Machine()
		copy(m.Value(0, 2), waves(2*120, 1))
		m.Run(2)
		return calls, append([]float64(nil), m.Result(5, 2)...)
	}
	for _, test := range []struct{ a, b, calls int }{
		{3, 4, 3}, // the norm is folded into its convolution, the addition into that
		{4, 3, 3},
		{4, 1, 2}, // the norm is not computed
		{3, 3, 3}, // twice the same is added
		{1, 1, 2},
	} {
		calls, got := run(block(test.a, test.b))
		apart, want := run(watched(block(test.a, test.b)))
		if calls != test.calls || apart != 5 {
			t.Errorf("%d + %d takes %d calls, and with all values as outputs %d; want %d and 5", test.a, test.b, calls, apart, test.calls)
		}
		for i, w := range want {
			if math.Abs(got[i]-w) > 1e-13 {
				t.Fatalf("%d + %d: element %d is %v; want %v", test.a, test.b, i, got[i], w)
			}
		}
	}
}
