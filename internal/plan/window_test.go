package plan

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/godistill/godistill/internal/kernel"
)

// convNet is a plan that has every op on images, and the shapes of its
// parameters.
func convNet() (*Plan, map[string][]int) {
	return &Plan{
			Inputs: []Value{{"x", []int{3, 6, 7}}},
			Steps: []Step{
				{Op: "conv", In: []int{0}, Params: []string{"c0", "d0"}, Act: "relu", Shape: []int{4, 6, 7},
					Window: &kernel.Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}}},
				{Op: "maxpool", In: []int{1}, Shape: []int{4, 3, 3}, Window: &kernel.Window{Kernel: [2]int{2, 2}}},
				{Op: "conv", In: []int{2}, Params: []string{"c1"}, Shape: []int{4, 2, 3}, Groups: 4,
					Window: &kernel.Window{Kernel: [2]int{2, 3}, Stride: [2]int{1, 1}, Pad: [2]int{0, 1}, Dilation: [2]int{1, 1}}},
				{Op: "avgpool", In: []int{3}, Act: "sigmoid", Shape: []int{4, 2, 2}, ExcludePad: true,
					Window: &kernel.Window{Kernel: [2]int{3, 3}, Stride: [2]int{1, 2}, Pad: [2]int{1, 1}}},
				{Op: "globalavgpool", In: []int{4}, Shape: []int{4}},
			},
			Outputs: []Output{{"features", 4}, {"y", 5}},
		}, map[string][]int{
			"c0": {4, 3, 3, 3}, "d0": {4}, "c1": {4, 1, 2, 3},
		}
}

// spoiltWindows are plans whose windows are not what they should be.
var spoiltWindows = func() (texts [][]byte) {
	for _, w := range []kernel.Window{
		{},
		{Kernel: [2]int{3, math.MaxInt}},
		{Kernel: [2]int{3, 3}, Stride: [2]int{-1, math.MaxInt}},
		{Kernel: [2]int{3, 3}, Pad: [2]int{math.MaxInt, -5}},
		{Kernel: [2]int{3, 3}, Dilation: [2]int{math.MaxInt / 2, math.MinInt}},
		{Kernel: [2]int{3, 3}, Pad: [2]int{1 << 14, 1 << 14}},
		{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}, Dilation: [2]int{4, 4}},
	} {
		for step := range 4 {
			if step == 1 {
				continue
			}
			p, _ := convNet()
			p.Steps[step].Window = &w
			texts = append(texts, must(json.Marshal(p)))
		}
	}
	return texts
}()

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestValidateRefusesWindows(t *testing.T) {
	p, params := convNet()
	if err := p.Validate(params); err != nil {
		t.Fatal(err)
	}
	spoilt{
		{"no window", func(p *Plan, _ map[string][]int) { p.Steps[0].Window = nil }, `step 0 ("conv"): it has no window`},
		{"pool without one", func(p *Plan, _ map[string][]int) { p.Steps[1].Window = nil }, `step 1 ("maxpool"): it has no window`},
		{"no image", func(p *Plan, _ map[string][]int) { p.Inputs[0].Shape = []int{18, 7} }, "an input of shape [18 7]; want (C, H, W)"},
		{"no image to average", func(p *Plan, _ map[string][]int) {
			p.Steps = append(p.Steps, Step{Op: "globalavgpool", In: []int{5}, Shape: []int{4}})
		}, `step 5 ("globalavgpool"): an input of shape [4]; want (C, H, W)`},
		{"flat weight", func(_ *Plan, params map[string][]int) { params["c0"] = []int{4, 27} }, "a weight of shape [4 27] for a window of [3 3]"},
		{"other kernel", func(p *Plan, _ map[string][]int) { p.Steps[0].Window.Kernel[1] = 5 }, "a weight of shape [4 3 3 3] for a window of [3 5]"},
		{"other bias", func(_ *Plan, params map[string][]int) { params["d0"] = []int{3} }, "a bias of shape [3]"},
		{"other channels", func(_ *Plan, params map[string][]int) { params["c0"] = []int{4, 2, 3, 3} }, "a weight of shape [4 2 3 3] on 3 channels in 1 groups; want 3 channels in each"},
		{"other groups", func(p *Plan, _ map[string][]int) { p.Steps[2].Groups = 3 }, "Conv.Groups is 3; want a divisor"},
		{"negative groups", func(p *Plan, _ map[string][]int) { p.Steps[2].Groups = -4 }, "Conv.Groups is -4; want a divisor"},
		{"groups left out", func(p *Plan, _ map[string][]int) { p.Steps[2].Groups = 0 }, "on 4 channels in 1 groups; want 4 channels in each"},
		{"no channels", func(p *Plan, _ map[string][]int) { p.Inputs[0].Shape[0] = 0 }, "Conv.In is 0"},
		{"no pixels", func(p *Plan, _ map[string][]int) { p.Inputs[0].Shape[2] = -7 }, "Size is [6 -7]"},
		{"small image", func(p *Plan, _ map[string][]int) { p.Inputs[0].Shape[2] = 0 }, "Size is [6 0]"},
		{"padded pool", func(p *Plan, _ map[string][]int) { p.Steps[3].Window.Pad[0] = 2 }, "Window.Pad is [2 1] of a pool"},
		{"other result", func(p *Plan, _ map[string][]int) { p.Steps[0].Shape[1] = 7 }, "its result has shape [4 6 7]; the plan says [4 7 7]"},
		{"other mean", func(p *Plan, _ map[string][]int) { p.Steps[4].Shape[0] = 5 }, "its result has shape [4]; the plan says [5]"},
		{"large result", func(p *Plan, _ map[string][]int) {
			p.Steps[0].Window.Pad = [2]int{9000, 9000}
			p.Steps[0].Shape = []int{4, 6 + 2*8999, 7 + 2*8999}
			p.Steps, p.Outputs = p.Steps[:1], []Output{{"y", 1}}
		}, "have more than 67108864 elements"},
	}.check(t, convNet)
	for _, text := range spoiltWindows {
		h, err := Decode(map[string]string{keyPlan: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Plan.Validate(params); err == nil {
			t.Errorf("valid: %s", text)
		}
	}
}

// A run is what the kernels compute one after the other, for any number of rows.
func TestRunWindows(t *testing.T) {
	p, shapes := convNet()
	params := map[string]Param[float64]{}
	for name, shape := range shapes {
		params[name] = Param[float64]{shape, waves(product(shape), len(name)+shape[0]*shape[1%len(shape)])}
	}
	program, err := Compile(watched(p), params, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := program.Machine()
	for rows := 1; rows <= 3; rows++ { // what was left in memory must not matter
		x := m.Value(0, rows)
		copy(x, waves(len(x), 1))
		m.Run(rows)

		h := make([]float64, rows*4*6*7)
		c := kernel.Conv{In: 3, Out: 4, Groups: 1, Size: [2]int{6, 7}, Window: *p.Steps[0].Window}
		kernel.Convolve(h, x, params["c0"].Data, params["d0"].Data, c, rows, kernel.ReLU)
		halves := make([]float64, rows*4*3*3)
		kernel.MaxPool(halves, nil, h, kernel.Pool{Size: [2]int{6, 7}, Window: *p.Steps[1].Window}, rows*4)
		deep := make([]float64, rows*4*2*3)
		c = kernel.Conv{In: 4, Out: 4, Groups: 4, Size: [2]int{3, 3}, Window: *p.Steps[2].Window}
		kernel.Convolve(deep, halves, params["c1"].Data, nil, c, rows, kernel.Identity)
		features, y := make([]float64, rows*4*2*2), make([]float64, rows*4)
		kernel.AvgPool(features, deep, kernel.Pool{Size: [2]int{2, 3}, Window: *p.Steps[3].Window, ExcludePad: true}, rows*4)
		kernel.Activate(features, features, kernel.Sigmoid)
		kernel.GlobalAvgPool(y, features, rows*4, 4)
		for i, want := range [][]float64{h, halves, deep, features, y} {
			if got := m.Value(i+1, rows); !slices.Equal(got, want) {
				t.Errorf("%d rows: the result of step %d is %v, want %v", rows, i, got, want)
			}
		}
	}
}

// waves are n values between -1 and 1.
func waves(n, seed int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Sin(float64(seed + 3*i*i%101))
	}
	return x
}

// What a window leaves out is not in the file either.
func TestWindowJSON(t *testing.T) {
	p, _ := convNet()
	text := must(json.Marshal(p.Steps[1]))
	if want := `{"op":"maxpool","in":[1],"shape":[4,3,3],"window":{"kernel":[2,2]}}`; string(text) != want {
		t.Errorf("the step is %s, want %s", text, want)
	}
	linear, _ := twoLayers()
	text = must(json.Marshal(linear.Steps[0]))
	if want := `{"op":"reshape","in":[0],"shape":[12]}`; string(text) != want {
		t.Errorf("the step is %s, want %s", text, want)
	}
}
