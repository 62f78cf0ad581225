package distill

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

func ExampleSGD() {
	sgd := SGD{Rate: Constant(0.5), Momentum: 0.5}
	w := tensor.New(tensor.WithShape(3), tensor.WithBacking([]float32{1, 2, 3}))
	g := tensor.New(tensor.WithShape(3), tensor.WithBacking([]float32{1, 0, -1}))
	v := tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32))
	for step := range 2 {
		if err := sgd.Update(step, sgd.LearningRate(step), true, w, g, []*tensor.Dense{v}); err != nil {
			fmt.Println(err)
		}
		fmt.Println(w.Data())
	}
	// Output:
	// [0.5 2 3.5]
	// [-0.25 2 4.25]
}

func ExampleAdamW_Validate() {
	fmt.Println(AdamW{Rate: Constant(1e-3), Decay: -0.1}.Validate())
	// Output: distill: AdamW.Decay is -0.1; want a finite number, 0 or more
}

func TestValidate(t *testing.T) {
	rate, nan, inf := Constant(0.1), math.NaN(), math.Inf(1)
	tests := []struct {
		optimizer Optimizer
		want      string // in the error; empty for none
	}{
		{SGD{Rate: rate}, ""},
		{SGD{Rate: Constant(0)}, ""},
		{SGD{Rate: rate, Momentum: 0.9, Nesterov: true, Decay: 1e-4}, ""},
		{SGD{}, "SGD.Rate is nil"},
		{SGD{Rate: Warmup(3, nil)}, "SGD.Rate is nil"},
		{SGD{Rate: Constant(-1)}, "SGD.Rate(0) is -1"},
		{SGD{Rate: Constant(nan)}, "SGD.Rate(0) is NaN"},
		{SGD{Rate: Constant(inf)}, "SGD.Rate(0) is +Inf"},
		{SGD{Rate: rate, Momentum: 1}, "SGD.Momentum is 1"},
		{SGD{Rate: rate, Momentum: -0.1}, "SGD.Momentum is -0.1"},
		{SGD{Rate: rate, Momentum: nan}, "SGD.Momentum is NaN"},
		{SGD{Rate: rate, Nesterov: true}, "SGD.Nesterov is true and SGD.Momentum 0"},
		{SGD{Rate: rate, Decay: -1}, "SGD.Decay is -1"},
		{Adam{Rate: rate}, ""},
		{Adam{}, "Adam.Rate is nil"},
		{Adam{Rate: rate, Beta1: 1}, "Adam.Beta1 is 1"},
		{Adam{Rate: rate, Beta2: -0.5}, "Adam.Beta2 is -0.5"},
		{Adam{Rate: rate, Epsilon: -1}, "Adam.Epsilon is -1"},
		{Adam{Rate: rate, Decay: inf}, "Adam.Decay is +Inf"},
		{AdamW{Rate: rate, Decay: 0.1}, ""},
		{AdamW{}, "AdamW.Rate is nil"},
		{AdamW{Rate: rate, Beta2: 1}, "AdamW.Beta2 is 1"},
	}
	for _, test := range tests {
		checkError(t, test.optimizer.Validate(), test.want)
	}
}

// checkError wants an error that has the text in it, or none for no text.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("no error; want %q", want)
	case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
		t.Errorf("error %q; want %q", err, want)
	}
}

func TestUpdateWithoutDecay(t *testing.T) {
	rate := Constant(0.5)
	for _, o := range []struct{ with, without Optimizer }{
		{SGD{Rate: rate, Decay: 0.25}, SGD{Rate: rate}},
		{SGD{Rate: rate, Momentum: 0.5, Decay: 0.25}, SGD{Rate: rate, Momentum: 0.5}},
		{Adam{Rate: rate, Decay: 0.25}, Adam{Rate: rate}},
		{AdamW{Rate: rate, Decay: 0.25}, AdamW{Rate: rate}},
	} {
		spared, plain, decayed := steps(t, o.with, false), steps(t, o.without, true), steps(t, o.with, true)
		for i := range plain {
			if spared[i] != plain[i] {
				t.Errorf("%T: without decay %v, want %v", o.with, spared, plain)
			}
			if decayed[i] == plain[i] {
				t.Errorf("%T: decay changes nothing", o.with)
			}
		}
	}
}

// steps takes three of them from (1, 2, 3).
func steps(t *testing.T, o Optimizer, decay bool) []float64 {
	t.Helper()
	w, g := dense[float64]([]float64{1, 2, 3}, 3), dense[float64]([]float64{1, -1, 0.5}, 3)
	var slots []*tensor.Dense
	for range o.Slots() {
		slots = append(slots, dense[float64](nil, 3))
	}
	for step := range 3 {
		if err := o.Update(step, o.LearningRate(step), decay, w, g, slots); err != nil {
			t.Fatal(err)
		}
	}
	return w.Float64s()
}

func TestUpdateOfAScalar(t *testing.T) {
	w, g := tensor.New(tensor.FromScalar(3.0)), tensor.New(tensor.FromScalar(2.0))
	if err := (SGD{Rate: Constant(1)}).Update(0, 0.5, true, w, g, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.Float64s()[0]; got != 2 {
		t.Errorf("%v, want 2", got)
	}
}

func TestAdamIgnoresTheScaleOfTheGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.Float64Range(1e-3, 1e3).Draw(t, "g")
		w, m, v := dense[float64]([]float64{1}, 1), dense[float64](nil, 1), dense[float64](nil, 1)
		if err := (Adam{}).Update(0, 0.1, true, w, dense[float64]([]float64{g}, 1), []*tensor.Dense{m, v}); err != nil {
			t.Fatal(err)
		}
		if got := w.Float64s()[0]; math.Abs(got-0.9) > 1e-5 {
			t.Fatalf("the first step of 0.1 from 1 went to %v", got)
		}
	})
}

func TestUpdateRefuses(t *testing.T) {
	w := dense[float32](nil, 3, 4)
	view, err := dense[float32](nil, 3, 5).Slice(nil, tensor.S(0, 4))
	if err != nil {
		t.Fatal(err)
	}
	columns := tensor.New(tensor.WithShape(3, 4), tensor.AsFortran(make([]float32, 12)))
	tests := []struct {
		w, g *tensor.Dense
		v    []*tensor.Dense
		want string
	}{
		{w, w, nil, "0 slots; want 1"},
		{nil, w, []*tensor.Dense{w}, "w is nil"},
		{w, nil, []*tensor.Dense{w}, "g is nil"},
		{w, w, []*tensor.Dense{nil}, "slots[0] is nil"},
		{w, dense[float32](nil, 4, 3), []*tensor.Dense{w}, "g is (4, 3) of float32; want that of w, (3, 4) of float32"},
		{w, w, []*tensor.Dense{dense[float64](nil, 3, 4)}, "slots[0] is (3, 4) of float64"},
		{tensor.New(tensor.WithShape(3), tensor.Of(tensor.Int)), w, []*tensor.Dense{w}, "w is a view or of int"},
		{w, view.(*tensor.Dense), []*tensor.Dense{w}, "g is a view or"},
		{w, columns, []*tensor.Dense{w}, "g is a view or"},
	}
	for _, test := range tests {
		checkError(t, SGD{Momentum: 0.9}.Update(0, 0.1, true, test.w, test.g, test.v), test.want)
	}
	checkError(t, Adam{}.Update(0, 0.1, true, w, w, nil), "distill: Adam.Update: 0 slots; want 2")
	checkError(t, AdamW{}.Update(0, 0.1, true, w, w, nil), "distill: AdamW.Update: 0 slots; want 2")
}

func TestClip(t *testing.T) {
	for _, test := range []struct{ limit, want float64 }{
		{6.5, 6.5 / (13 + 1e-6)},
		{13, 13 / (13 + 1e-6)}, // as PyTorch: at the limit it already scales
		{14, 1},
		{math.Inf(1), 1},
	} {
		grads := []*tensor.Dense{dense[float64]([]float64{3, -4, 0}, 3), dense[float64]([]float64{12}, 1)}
		norm := gradNorm(grads)
		if norm != 13 {
			t.Fatalf("the norm is %v, want 13", norm)
		}
		clip(grads, norm, test.limit)
		if got := gradNorm(grads) / 13; math.Abs(got-test.want) > 1e-12 {
			t.Errorf("limit %v: scaled by %v, want %v", test.limit, got, test.want)
		}
	}
}

func TestTreat(t *testing.T) {
	names := []string{"l1.weight", "l1.bias", "block.l2.bias", "head"}
	tests := []struct {
		groups []Group
		want   []treatment
		err    string
	}{
		{nil, []treatment{{1, true, false, 0}, {1, true, false, 0}, {1, true, false, 0}, {1, true, false, 0}}, ""},
		{
			[]Group{{Match: "*.bias", NoDecay: true}, {Match: "head", Rate: 10, MaxNorm: 3}, {Match: "l1.[v-x]*", Freeze: true}},
			[]treatment{{1, true, true, 0}, {1, false, false, 0}, {1, false, false, 0}, {10, true, false, 3}}, "",
		},
		{[]Group{{Match: "["}}, nil, `Groups[0].Match is "["; want a pattern of path.Match`},
		{[]Group{{Match: "head"}, {Match: "zzz["}}, nil, `Groups[1].Match is "zzz["`},
		{[]Group{{}}, nil, `Groups[0].Match is "", which matches no parameter`},
		{[]Group{{Match: "l1.*"}, {Match: "l3.*"}}, nil, `Groups[1].Match is "l3.*", which matches no parameter`},
		{[]Group{{Match: "l1.*"}, {Match: "*.bias"}}, nil, `Groups[0].Match "l1.*" and Groups[1].Match "*.bias" both match l1.bias`},
		{[]Group{{Match: "*", Rate: -1}}, nil, "Groups[0].Rate is -1"},
		{[]Group{{Match: "*", Rate: math.NaN()}}, nil, "Groups[0].Rate is NaN"},
		{[]Group{{Match: "*", Freeze: true, Rate: 2}}, nil, "Groups[0].Freeze is true with Rate 2"},
		{[]Group{{Match: "*", Freeze: true, NoDecay: true}}, nil, "Groups[0].Freeze is true with Rate 0, NoDecay true and MaxNorm 0"},
		{[]Group{{Match: "*", Freeze: true, MaxNorm: 3}}, nil, "Groups[0].Freeze is true with Rate 0, NoDecay false and MaxNorm 3"},
		{[]Group{{Match: "*", MaxNorm: math.Inf(1)}}, nil, "Groups[0].MaxNorm is +Inf; want a finite number, 0 or more"},
	}
	for _, test := range tests {
		got, err := treat(test.groups, names)
		checkError(t, err, test.err)
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%v: %v, want %v", test.groups, got, test.want)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	const n = 1 << 18
	w, g := dense[float32](nil, n), dense[float32](nil, n)
	slots := []*tensor.Dense{dense[float32](nil, n), dense[float32](nil, n)}
	for _, o := range []Optimizer{SGD{}, SGD{Momentum: 0.9}, AdamW{}} {
		b.Run(fmt.Sprintf("%T/%d slots", o, len(o.Slots())), func(b *testing.B) {
			b.SetBytes(4 * n)
			for step := range b.N {
				if err := o.Update(step, 1e-3, true, w, g, slots[:len(o.Slots())]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
