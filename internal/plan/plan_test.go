package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/godistill/godistill/internal/kernel"
)

// twoLayers is a plan that has every op, and the shapes of its parameters.
func twoLayers() (*Plan, map[string][]int) {
	return &Plan{
			Inputs: []Value{{"x", []int{3, 4}}},
			Steps: []Step{
				{Op: "reshape", In: []int{0}, Shape: []int{12}},
				{Op: "linear", In: []int{1}, Params: []string{"w0", "b0"}, Act: "relu", Shape: []int{6}},
				{Op: "reshape", In: []int{2}, Shape: []int{3, 2}},
				{Op: "linear", In: []int{3}, Params: []string{"w1"}, Shape: []int{3, 5}},
				{Op: "activation", In: []int{4}, Act: "tanh", Shape: []int{3, 5}},
			},
			Outputs: []Output{{"hidden", 2}, {"y", 5}},
		}, map[string][]int{
			"w0": {6, 12}, "b0": {6}, "w1": {5, 2},
		}
}

func TestValidate(t *testing.T) {
	p, params := twoLayers()
	if err := p.Validate(params); err != nil {
		t.Error(err)
	}
}

// spoilt are changes of a plan, each with what is in the error that it makes, or ""
// if it makes none.
type spoilt []struct {
	name  string
	spoil func(p *Plan, params map[string][]int)
	want  string
}

// check validates what plan makes, after one change at a time.
func (all spoilt) check(t *testing.T, plan func() (*Plan, map[string][]int)) {
	t.Helper()
	for _, test := range all {
		p, params := plan()
		test.spoil(p, params)
		err := p.Validate(params)
		if test.want == "" && err == nil {
			continue
		}
		if err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "plan: ") {
			t.Errorf("%s: error %v; want one with %q", test.name, err, test.want)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	spoilt{
		{"no inputs", func(p *Plan, _ map[string][]int) { *p = Plan{} }, "0 inputs and 0 outputs"},
		{"no outputs", func(p *Plan, _ map[string][]int) { p.Outputs = nil }, "0 outputs"},
		{"input twice", func(p *Plan, _ map[string][]int) { p.Inputs = append(p.Inputs, p.Inputs[0]) }, `"x" twice`},
		{"output twice", func(p *Plan, _ map[string][]int) { p.Outputs[1].Name = "hidden" }, `"hidden" twice`},
		{"nameless input", func(p *Plan, _ map[string][]int) { p.Inputs[0].Name = "" }, "empty name"},
		{"output of nothing", func(p *Plan, _ map[string][]int) { p.Outputs[1].Value = 6 }, "value 6; there are 6"},
		{"negative output", func(p *Plan, _ map[string][]int) { p.Outputs[1].Value = -1 }, "value -1"},
		{"unknown op", func(p *Plan, _ map[string][]int) { p.Steps[1].Op = "conv9d" }, `step 1 ("conv9d"): the op is unknown`},
		{"unknown act", func(p *Plan, _ map[string][]int) { p.Steps[1].Act = "relu7" }, `"relu7"`},
		{"no operand", func(p *Plan, _ map[string][]int) { p.Steps[1].In = nil }, "0 inputs; want 1"},
		{"two operands", func(p *Plan, _ map[string][]int) { p.Steps[1].In = []int{1, 1} }, "2 inputs; want 1"},
		{"reads itself", func(p *Plan, _ map[string][]int) { p.Steps[1].In[0] = 2 }, "reads value 2"},
		{"reads before", func(p *Plan, _ map[string][]int) { p.Steps[1].In[0] = -1 }, "reads value -1"},
		{"no weight", func(p *Plan, _ map[string][]int) { p.Steps[1].Params = nil }, "0 parameters; want 1 to 2"},
		{"three weights", func(p *Plan, _ map[string][]int) { p.Steps[1].Params = []string{"w0", "b0", "b0"} }, "3 parameters"},
		{"missing weight", func(_ *Plan, params map[string][]int) { delete(params, "w0") }, `"w0" is missing`},
		{"other weight", func(_ *Plan, params map[string][]int) { params["w0"] = []int{6, 13} }, "weight of shape [6 13]"},
		{"flat weight", func(_ *Plan, params map[string][]int) { params["w0"] = []int{72} }, "weight of shape [72]"},
		{"other bias", func(_ *Plan, params map[string][]int) { params["b0"] = []int{7} }, "bias of shape [7]"},
		{"empty weight", func(p *Plan, params map[string][]int) { params["w1"] = []int{5, 0} }, "sizes of 1 or more"},
		{"other result", func(p *Plan, _ map[string][]int) { p.Steps[1].Shape[0] = 7 }, "its result has shape [6]; the plan says [7]"},
		{"other size", func(p *Plan, _ map[string][]int) { p.Steps[2].Shape[0] = 4 }, "does not fit"},
		{"other activation", func(p *Plan, _ map[string][]int) { p.Steps[4].Shape = []int{5, 3} }, "has shape [3 5]"},
		{"negative input", func(p *Plan, _ map[string][]int) { p.Inputs[0].Shape = []int{-3, -4} }, "sizes of 1 or more"},
		{"unused empty input", func(p *Plan, _ map[string][]int) {
			*p = Plan{Inputs: []Value{{"x", []int{0}}}, Outputs: []Output{{"y", 0}}}
		}, "sizes of 1 or more"},
		{"overflow", func(p *Plan, _ map[string][]int) { p.Inputs[0].Shape = []int{math.MaxInt, 4} }, "fits an int"},
		{"too large", func(p *Plan, _ map[string][]int) {
			*p = Plan{Inputs: []Value{{"x", []int{maxSize/2 + 1}}, {"y", []int{maxSize / 2}}}, Outputs: []Output{{"y", 0}}}
		}, "more than"},
	}.check(t, twoLayers)
}

// normed is a plan with every norm and an addition.
func normed() (*Plan, map[string][]int) {
	return &Plan{
			Inputs: []Value{{"x", []int{4, 3}}},
			Steps: []Step{
				{Op: "batchnorm", In: []int{0}, Params: []string{"mean", "var", "w", "b"}, Act: "relu6", Eps: 1e-3, Shape: []int{4, 3}},
				{Op: "batchnorm", In: []int{0}, Params: []string{"mean", "var"}, Act: "silu", Eps: 1e-3, Shape: []int{4, 3}},
				{Op: "groupnorm", In: []int{0}, Params: []string{"w", "b"}, Act: "relu", Eps: 1e-3, Groups: 2, Shape: []int{4, 3}},
				{Op: "layernorm", In: []int{0}, Params: []string{"wide", "wide"}, Eps: 1e-3, Axes: 1, Shape: []int{4, 3}},
				{Op: "layernorm", In: []int{0}, Eps: 1e-3, Axes: 2, Shape: []int{4, 3}},
				{Op: "add", In: []int{1, 2}, Act: "leakyrelu(0.2)", Shape: []int{4, 3}},
			},
			Outputs: []Output{{"affine", 1}, {"plain", 2}, {"grouped", 3}, {"layer", 4}, {"all", 5}, {"sum", 6}},
		}, map[string][]int{
			"mean": {4}, "var": {4}, "w": {4}, "b": {4}, "wide": {3},
		}
}

func TestValidateRefusesNorms(t *testing.T) {
	spoilt{
		{"nothing", func(*Plan, map[string][]int) {}, ""},
		{"three parameters", func(p *Plan, _ map[string][]int) { p.Steps[0].Params = []string{"mean", "var", "w"} }, "3 parameters; want one of [2 4]"},
		{"one parameter", func(p *Plan, _ map[string][]int) { p.Steps[2].Params = []string{"w"} }, "1 parameters; want one of [0 2]"},
		{"other mean", func(_ *Plan, params map[string][]int) { params["mean"] = []int{3} }, `parameter "mean" of shape [3]; want [4]`},
		{"other weight", func(p *Plan, params map[string][]int) { p.Steps[3].Params = []string{"w", "b"} }, `parameter "w" of shape [4]; want [3]`},
		{"no eps", func(p *Plan, _ map[string][]int) { p.Steps[0].Eps = 0 }, "eps is 0"},
		{"infinite eps", func(p *Plan, _ map[string][]int) { p.Steps[4].Eps = math.Inf(1) }, "eps is +Inf"},
		{"no groups", func(p *Plan, _ map[string][]int) { p.Steps[2].Groups = 0 }, "0 groups"},
		{"three groups", func(p *Plan, _ map[string][]int) { p.Steps[2].Groups = 3 }, "3 groups"},
		{"no axes", func(p *Plan, _ map[string][]int) { p.Steps[3].Axes = 0 }, "0 axes"},
		{"three axes", func(p *Plan, _ map[string][]int) { p.Steps[4].Axes = 3 }, "3 axes"},
		{"active layer norm", func(p *Plan, _ map[string][]int) { p.Steps[4].Act = "relu" }, `activation "relu"; want none`},
		{"numbers", func(p *Plan, _ map[string][]int) {
			p.Inputs[0].Shape = nil
		}, "an input without axes"},
		{"other sum", func(p *Plan, _ map[string][]int) {
			p.Steps = append(p.Steps, Step{Op: "reshape", In: []int{1}, Shape: []int{12}}, Step{Op: "add", In: []int{1, 7}, Shape: []int{4, 3}})
		}, "inputs of shapes [4 3] and [12]"},
		{"sum of one", func(p *Plan, _ map[string][]int) { p.Steps[5].In = []int{1} }, "1 inputs; want 2"},
		{"unused numbers", func(p *Plan, _ map[string][]int) { p.Steps[5].Axes, p.Steps[5].Groups = 99, -1 }, ""},
	}.check(t, normed)
	p, _ := normed()
	params := map[string]Param[float64]{
		"mean": {[]int{4}, make([]float64, 4)}, "var": {[]int{4}, []float64{1, 1, -1, 1}},
		"w": {[]int{4}, make([]float64, 4)}, "b": {[]int{4}, make([]float64, 4)}, "wide": {[]int{3}, make([]float64, 3)},
	}
	if _, err := Compile(p, params, nil); err == nil || !strings.Contains(err.Error(), "a variance of -1") {
		t.Errorf("a variance of -1 gave error %v", err)
	}
}

func TestRunNorms(t *testing.T) {
	p, _ := normed()
	mean, variance := []float64{1, 2, 3, 4}, []float64{1, 4, 9, 2}
	w, b, wide := []float64{2, -1, 3, 1}, []float64{0, 1, 0.5, 0}, []float64{1, 2, 3}
	program, err := Compile(watched(p), map[string]Param[float64]{
		"mean": {[]int{4}, mean}, "var": {[]int{4}, variance}, "w": {[]int{4}, w}, "b": {[]int{4}, b}, "wide": {[]int{3}, wide},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := program.Machine()
	const rows = 3
	x := m.Value(0, rows)
	for i := range x {
		x[i] = float64((i*i*7)%23) / 4
	}
	m.Run(rows)
	standard := func(part []float64, i int) float64 {
		mean, variance := 0.0, 0.0
		for _, v := range part {
			mean += v / float64(len(part))
		}
		for _, v := range part {
			variance += (v - mean) * (v - mean) / float64(len(part))
		}
		return (part[i] - mean) / math.Sqrt(variance+1e-3)
	}
	for i, v := range x {
		c, at, row := i/3%4, i%12, x[i/12*12:][:12]
		plain := (v - mean[c]) / math.Sqrt(variance[c]+1e-3)
		affine := min(max(plain*w[c]+b[c], 0), 6)
		silu := plain / (1 + math.Exp(-plain))
		sum := affine + silu
		if sum < 0 {
			sum *= 0.2
		}
		for value, want := range []float64{
			v, affine, silu,
			max(standard(row[at/6*6:][:6], at%6)*w[c]+b[c], 0),
			standard(row[at/3*3:][:3], at%3)*wide[at%3] + wide[at%3],
			standard(row, at), sum,
		} {
			if got := m.Value(value, rows)[i]; math.Abs(got-want) > 1e-13*max(1, math.Abs(want)) {
				t.Errorf("value %d at %d is %v, want %v", value, i, got, want)
			}
		}
	}
}

// A batch norm is folded into the step before it where that changes nothing else:
// so says a plan that has what stands between them as an output.
func TestCompileFolds(t *testing.T) {
	steps := func(act string, norm Step) []Step {
		return []Step{
			{Op: "reshape", In: []int{0}, Shape: []int{6}},
			{Op: "linear", In: []int{1}, Params: []string{"w", "b"}, Act: act, Shape: []int{5}},
			norm,
			{Op: "activation", In: []int{3}, Act: "tanh", Shape: []int{5}},
		}
	}
	affine := Step{Op: "batchnorm", In: []int{2}, Params: []string{"mean", "var", "gamma", "beta"}, Act: "relu", Eps: 1e-3, Shape: []int{5}}
	plain := Step{Op: "batchnorm", In: []int{2}, Params: []string{"mean", "var"}, Act: "silu", Eps: 1e-3, Shape: []int{5}}
	params := map[string]Param[float64]{
		"w": {[]int{5, 6}, make([]float64, 30)}, "b": {[]int{5}, []float64{1, -1, 2, 0.5, 0}},
		"mean": {[]int{5}, []float64{1, 2, 3, -4, 0}}, "var": {[]int{5}, []float64{1, 4, 0.25, 9, 0}},
		"gamma": {[]int{5}, []float64{1, 2, -3, 0.5, 0}}, "beta": {[]int{5}, []float64{0, 1, 2, -1, 3}},
	}
	for i := range params["w"].Data {
		params["w"].Data[i] = math.Sin(float64(7 * i))
	}
	run := func(p *Plan) (folded bool, y []float64) {
		g, err := Compile(p, params, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := g.Machine()
		for i := range m.Value(0, 3) {
			m.Value(0, 3)[i] = math.Cos(float64(3 * i))
		}
		m.Run(3)
		return slices.ContainsFunc(g.calls, func(c call[float64]) bool { return c.run == nil }), m.Value(4, 3)
	}
	plan := func(act string, norm Step, also ...Output) *Plan {
		return &Plan{Inputs: []Value{{"x", []int{2, 3}}}, Steps: steps(act, norm), Outputs: append(also, Output{"y", 4})}
	}
	for _, norm := range []Step{affine, plain} {
		folded, got := run(plan("identity", norm))
		apart, want := run(plan("", norm, Output{"between", 2}))
		if !folded || apart {
			t.Errorf("%v is folded: %v, and with another reader %v", norm.Params, folded, apart)
		}
		for i, w := range want {
			if math.Abs(got[i]-w) > 1e-13 {
				t.Errorf("folded, element %d is %v; want %v", i, got[i], w)
			}
		}
	}
	if folded, _ := run(plan("relu", affine)); folded {
		t.Error("a batch norm is folded through an activation")
	}
	twice := plan("", affine)
	twice.Steps[3] = Step{Op: "add", In: []int{2, 3}, Shape: []int{5}}
	if folded, _ := run(twice); folded {
		t.Error("a batch norm is folded into what is read twice")
	}
	params["var"].Data[3] = -1
	if _, err := Compile(plan("", affine), params, nil); err == nil || err.Error() != `plan: step 2 ("batchnorm"): parameter "mean" is a mean beside a variance of -1; want 0 or more` {
		t.Errorf("a variance of -1 gave error %v", err)
	}
}

// A linear step whose last axis is not the channels is left alone.
func TestCompileFoldsChannelsAlone(t *testing.T) {
	p := &Plan{
		Inputs: []Value{{"x", []int{3, 3}}},
		Steps: []Step{
			{Op: "linear", In: []int{0}, Params: []string{"w"}, Shape: []int{3, 3}},
			{Op: "batchnorm", In: []int{1}, Params: []string{"mean", "var"}, Eps: 1e-3, Shape: []int{3, 3}},
		},
		Outputs: []Output{{"y", 2}},
	}
	if folds := p.folds(p.live()); len(folds) > 0 {
		t.Errorf("steps %v are folded", folds)
	}
}

func TestRun(t *testing.T) {
	p, _ := twoLayers()
	w0 := make([]float64, 72)
	for i := range 6 {
		w0[i*12+i] = float64(1 - 2*(i%2)) // x0, -x1, x2, ...
	}
	program, err := Compile(watched(p), map[string]Param[float64]{
		"w0": {[]int{6, 12}, w0},
		"b0": {[]int{6}, []float64{0, 0, 0, 0, 0, 10}},
		"w1": {[]int{5, 2}, []float64{1, 0, 0, 1, 1, 1, 0, 0, -1, 0}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := program.Machine()
	for rows := 1; rows <= 3; rows++ { // what was left in memory must not matter
		x := m.Value(0, rows)
		for i := range x {
			x[i] = float64(i%12) + float64(i/12)
		}
		m.Run(rows)
		for r := range rows {
			d := float64(r)
			hidden := []float64{d, 0, 2 + d, 0, 4 + d, 5 - d}
			if got := m.Value(2, rows)[r*6 : r*6+6]; !slices.Equal(got, hidden) {
				t.Errorf("%d rows: hidden values of row %d are %v, want %v", rows, r, got, hidden)
			}
			var y []float64
			for i := range 3 {
				a, b := hidden[2*i], hidden[2*i+1]
				y = append(y, math.Tanh(a), math.Tanh(b), math.Tanh(a+b), 0, -math.Tanh(a))
			}
			if got := m.Value(5, rows)[r*15 : r*15+15]; !slices.Equal(got, y) {
				t.Errorf("%d rows: result of row %d is %v, want %v", rows, r, got, y)
			}
		}
	}
}

func TestCompileRefusesShortParams(t *testing.T) {
	p, shapes := twoLayers()
	params := map[string]Param[float32]{}
	for name, shape := range shapes {
		params[name] = Param[float32]{shape, make([]float32, product(shape))}
	}
	if _, err := Compile(p, params, nil); err != nil {
		t.Error(err)
	}
	params["b0"] = Param[float32]{[]int{6}, make([]float32, 5)}
	if _, err := Compile(p, params, nil); err == nil {
		t.Error("a bias of 5 elements passed for one of 6")
	}
}

// A weight may take another form, or have none.
func TestCompilePacks(t *testing.T) {
	p, shapes := twoLayers()
	params := map[string]Param[float32]{}
	for name, shape := range shapes {
		params[name] = Param[float32]{shape, make([]float32, product(shape))}
	}
	var packed [][2]int
	pack := func(w []float32, in, out int) (Weight[float32], error) {
		packed = append(packed, [2]int{in, out})
		if out == 5 {
			return nil, errors.New("is odd")
		}
		return kernel.PackInt8(w, in, out), nil
	}
	_, err := Compile(p, params, pack)
	if want := `plan: step 3 ("linear"): parameter "w1" is odd`; err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
	if want := [][2]int{{12, 6}, {2, 5}}; !slices.Equal(packed, want) {
		t.Errorf("weights of %v were packed, want %v", packed, want)
	}
}

func TestRowsBoundsMemory(t *testing.T) {
	for size, want := range map[int]int{1: 256, 1 << 16: 8, maxSize / 2: 1} {
		p := &Plan{
			Inputs:  []Value{{"x", []int{size}}},
			Steps:   []Step{{Op: "reshape", In: []int{0}, Shape: []int{size}}},
			Outputs: []Output{{"y", 1}},
		}
		g, err := Compile[float32](p, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Rows(); got != want {
			t.Errorf("%d elements: %d rows at once, want %d", size, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	p, _ := twoLayers()
	for _, h := range []Header{
		{},
		{Unlowered: "layer l1 is foreign"},
		{Plan: p, Classes: []string{"a", "<b>", ""}, Norm: map[string]Norm{"x": {[]float64{0.1, 2, 3}, []float64{1, 1e-3, 7}}, "y": {}}},
	} {
		meta, err := h.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if meta["format"] != "pt" {
			t.Errorf("the format is %q", meta["format"])
		}
		meta["unknown"] = "ignored"
		got, err := Decode(meta)
		if err != nil || !cmp.Equal(got, h) {
			t.Errorf("error %v, difference %s", err, cmp.Diff(got, h))
		}
	}
	if _, err := (Header{Norm: map[string]Norm{"x": {[]float64{math.NaN()}, []float64{1}}}}).Encode(); err == nil {
		t.Error("a norm of NaN was encoded")
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, meta := range []map[string]string{
		{keyPlan: `{`},
		{keyPlan: `{"inputs":[{"shape":[1.5]}]}`},
		{keyClasses: `{}`},
		{keyNorm: `[]`},
		{keyNorm: `{"x":{"mean":[1,2],"sd":[1]}}`},
		{keyNorm: `{"x":{"mean":[1],"sd":[0]}}`},
		{keyNorm: `{"x":{"mean":[1e999],"sd":[1]}}`},
	} {
		if h, err := Decode(meta); err == nil || !strings.HasPrefix(err.Error(), "plan: ") {
			t.Errorf("%v: decoded %+v, error %v", meta, h, err)
		}
	}
}

func Example() {
	p := Plan{
		Inputs:  []Value{{"x", []int{3}}},
		Steps:   []Step{{Op: "linear", In: []int{0}, Params: []string{"w"}, Act: "relu", Shape: []int{2}}},
		Outputs: []Output{{"logits", 1}},
	}
	program, err := Compile(&p, map[string]Param[float32]{"w": {[]int{2, 3}, []float32{1, 0, 0, 0, 1, -1}}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := program.Machine()
	copy(m.Value(0, 2), []float32{1, 2, 3, 3, 2, 1})
	m.Run(2)
	fmt.Println(m.Value(1, 2))
	// Output: [1 0 3 1]
}

// What Validate accepts runs, for any number of rows.
func FuzzPlan(f *testing.F) {
	p, params := twoLayers()
	text, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text), uint8(3))
	f.Add(`{"inputs":[{"name":"x"}],"steps":[{"op":"activation","in":[0]}],"outputs":[{"name":"y","value":1}]}`, uint8(1))
	images, filters := convNet()
	for _, text := range append(spoiltWindows, must(json.Marshal(images))) {
		f.Add(string(text), uint8(3))
	}
	maps.Copy(params, filters)
	norms, more := normed()
	if text, err = json.Marshal(norms); err != nil {
		f.Fatal(err)
	}
	f.Add(string(text), uint8(2))
	maps.Copy(params, more)
	tokens, more := transformer()
	f.Add(string(must(json.Marshal(tokens))), uint8(2))
	maps.Copy(params, more)
	experts, more := mixed()
	f.Add(string(must(json.Marshal(experts))), uint8(2))
	maps.Copy(params, more)
	data := map[string]Param[float32]{}
	for name, shape := range params {
		data[name] = Param[float32]{shape, make([]float32, product(shape))}
	}
	f.Fuzz(func(t *testing.T, text string, rows uint8) {
		h, err := Decode(map[string]string{keyPlan: text})
		if err != nil || h.Plan == nil {
			return
		}
		program, err := Compile(h.Plan, data, nil)
		if err != nil {
			return
		}
		if program.Rows()*slices.Max(program.sizes) > 1<<16 {
			return // valid, but slow
		}
		m := program.Machine()
		m.Run(min(int(rows), program.Rows()))
		meta, err := h.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(meta); err != nil || !cmp.Equal(again, h, cmpopts.EquateEmpty()) {
			t.Fatalf("error %v, difference %s", err, cmp.Diff(again, h))
		}
	})
}
