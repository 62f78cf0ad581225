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

func TestValidateRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(p *Plan, params map[string][]int)
		want  string
	}{
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
	} {
		p, params := twoLayers()
		test.spoil(p, params)
		err := p.Validate(params)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "plan: ") {
			t.Errorf("%s: error %v; want one with %q", test.name, err, test.want)
		}
	}
}

func TestRun(t *testing.T) {
	p, _ := twoLayers()
	w0 := make([]float64, 72)
	for i := range 6 {
		w0[i*12+i] = float64(1 - 2*(i%2)) // x0, -x1, x2, ...
	}
	program, err := Compile(p, map[string]Param[float64]{
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
	for size, want := range map[int]int{1: 64, 1 << 16: 32, maxSize / 2: 1} {
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
