package graph_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

var acts = map[kernel.Act]func(x float64) float64{
	kernel.Identity: func(x float64) float64 { return x },
	kernel.ReLU:     func(x float64) float64 { return max(x, 0) },
	kernel.Tanh:     math.Tanh,
	kernel.Sigmoid:  func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	kernel.ReLU6:    func(x float64) float64 { return min(max(x, 0), 6) },
	leaky:           func(x float64) float64 { return max(x, 0.2*x) },
	kernel.ELU: func(x float64) float64 {
		if x > 0 {
			return x
		}
		return math.Exp(x) - 1
	},
	kernel.HardSwish: func(x float64) float64 { return x * min(max(x+3, 0), 6) / 6 },
	kernel.SiLU:      func(x float64) float64 { return x / (1 + math.Exp(-x)) },
	kernel.GELU:      func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 },
	kernel.GELUTanh: func(x float64) float64 {
		return x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2
	},
}

var leaky = kernel.Leaky(0.2)

func TestLinear(t *testing.T) {
	const in, out = 5, 4
	w, b := gradcheck.Normal(2, out, in), gradcheck.Normal(3, out)
	for act, f := range acts {
		for _, shape := range [][]int{{3, in}, {3, 6, in}} {
			x := gradcheck.Normal(1, shape...)
			t.Run(fmt.Sprint(act, shape), func(t *testing.T) {
				gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
					return graph.Linear(in[0], in[1], in[2], act)
				}, x, w, b)
				gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
					return graph.Linear(in[0], in[1], nil, act)
				}, x, w)

				g := gorgonia.NewGraph()
				y := must(graph.Linear(bind(g, "x", x), bind(g, "w", w), bind(g, "b", b), act))
				if want := append(shape[:len(shape)-1:len(shape)-1], out); !y.Shape().Eq(tensor.Shape(want)) {
					t.Errorf("the shape is %v; want %v", y.Shape(), want)
				}
				var want []float64
				rows(floats(x), in, func(_ int, row []float64) {
					for o, sum := range floats(b) {
						for i, v := range row {
							sum += v * floats(w)[o*in+i]
						}
						want = append(want, f(sum))
					}
				})
				near(t, eval(t, y)[0], want)
			})
		}
	}
}

func TestActivate(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 5)
	for act, f := range acts {
		t.Run(act.String(), func(t *testing.T) {
			op := func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.Activate(x, act) }
			gradcheck.Check(t, of(op), x)
			var want []float64
			for _, v := range floats(x) {
				want = append(want, f(v))
			}
			near(t, eval(t, must(op(bind(gorgonia.NewGraph(), "x", x))))[0], want)
		})
	}
}

func TestReshape(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 5)
	for _, shape := range [][]int{{60}, {3, 20}, {5, 4, 3}, {1, 60, 1}} {
		op := func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.Reshape(x, shape...) }
		gradcheck.Check(t, of(op), x)
		y := must(op(bind(gorgonia.NewGraph(), "x", x)))
		if !y.Shape().Eq(tensor.Shape(shape)) {
			t.Errorf("the shape is %v; want %v", y.Shape(), shape)
		}
		near(t, eval(t, y)[0], floats(x))
	}
}

func TestLogSoftmax(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 5)
	gradcheck.Check(t, of(graph.LogSoftmax), x)
	var want []float64
	rows(floats(x), 5, func(_ int, row []float64) {
		for _, p := range softmax(row, 1) {
			want = append(want, math.Log(p))
		}
	})
	near(t, eval(t, must(graph.LogSoftmax(bind(gorgonia.NewGraph(), "x", x))))[0], want)
}

func TestLogSoftmaxOfLargeLogits(t *testing.T) {
	g := gorgonia.NewGraph()
	x := bind(g, "x", dense([]float64{1e4, -1e4, 1e4, -1e4, 0, 1e4}, 2, 3))
	y := must(graph.LogSoftmax(x))
	grad := must(gorgonia.Grad(must(gorgonia.Sum(y)), x))
	got := eval(t, y, grad[0])
	half := -math.Log(2)
	near(t, got[0], []float64{half, -2e4 + half, half, -2e4, -1e4, 0})
	near(t, got[1], []float64{-0.5, 1, -0.5, 1, 1, -2})
}

func TestDetachHasNoGradient(t *testing.T) {
	g := gorgonia.NewGraph()
	v := gradcheck.Normal(1, 3, 4)
	x := bind(g, "x", v)
	d := must(graph.Detach(x))
	grad := must(gorgonia.Grad(must(gorgonia.Sum(must(gorgonia.HadamardProd(x, d)))), x))
	got := eval(t, d, grad[0])
	near(t, got[0], floats(v))
	near(t, got[1], floats(v)) // x² has 2x
	if _, err := gorgonia.Grad(must(gorgonia.Sum(must(graph.Detach(bind(g, "z", v))))), g.ByName("z")[0]); err == nil {
		t.Error("a constant was differentiated")
	}
}

// drawn is what dropout makes of ones.
func drawn(t testing.TB, draw graph.Draw, batch, size int, rate float64, layer string) []float64 {
	t.Helper()
	ones := dense(slices.Repeat([]float64{1}, batch*size), batch, size)
	return eval(t, must(graph.Dropout(bind(gorgonia.NewGraph(), "x", ones), rate, &draw, layer)))[0]
}

func TestDropoutGradient(t *testing.T) {
	draw := &graph.Draw{Seed: 1, Step: 2, Keys: []uint64{3, 4, 5}}
	gradcheck.Check(t, of(func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Dropout(x, 0.4, draw, "layer")
	}), gradcheck.Normal(1, 3, 4, 5))
}

func TestDropoutMean(t *testing.T) {
	const batch, size, rate = 20, 500, 0.3
	keys := make([]uint64, batch)
	for i := range keys {
		keys[i] = uint64(i)
	}
	sum := 0.0
	for _, m := range drawn(t, graph.Draw{Seed: 1, Keys: keys}, batch, size, rate, "") {
		if m != 0 && math.Abs(m-1/(1-rate)) > 1e-15 {
			t.Fatalf("an element was multiplied by %v; want 0 or %v", m, 1/(1-rate))
		}
		sum += m
	}
	sd := math.Sqrt(rate / (1 - rate) / (batch * size))
	if mean := sum / (batch * size); math.Abs(mean-1) > 4*sd {
		t.Errorf("the mean of the mask is %v; want 1 within %v", mean, 4*sd)
	}
}

func TestDropoutDependsOnTheSampleAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.Uint64(), 1, 7, rapid.ID[uint64]).Draw(rt, "keys")
		pad := rapid.IntRange(0, 3).Draw(rt, "padding")
		draw := graph.Draw{Seed: rapid.Uint64().Draw(rt, "seed"), Step: rapid.IntRange(0, 1e6).Draw(rt, "step"), Keys: keys}
		const size, rate = 40, 0.5
		all := drawn(t, draw, len(keys)+pad, size, rate, "l")
		rows(all, size, func(r int, row []float64) {
			want := make([]float64, size)
			if r < len(keys) {
				alone := draw
				alone.Keys = keys[r : r+1]
				want = drawn(t, alone, 1, size, rate, "l")
			}
			if !slices.Equal(row, want) {
				rt.Fatalf("row %d of %d is %v; alone it was %v", r, len(keys)+pad, row, want)
			}
		})
	})
}

func TestDropoutDiffers(t *testing.T) {
	base := graph.Draw{Seed: 1, Step: 2, Keys: []uint64{3}}
	want := drawn(t, base, 1, 60, 0.5, "a")
	for name, other := range map[string][]float64{
		"seed":  drawn(t, graph.Draw{Seed: 2, Step: 2, Keys: base.Keys}, 1, 60, 0.5, "a"),
		"step":  drawn(t, graph.Draw{Seed: 1, Step: 3, Keys: base.Keys}, 1, 60, 0.5, "a"),
		"key":   drawn(t, graph.Draw{Seed: 1, Step: 2, Keys: []uint64{4}}, 1, 60, 0.5, "a"),
		"layer": drawn(t, base, 1, 60, 0.5, "b"),
	} {
		if slices.Equal(other, want) {
			t.Errorf("another %s draws the same", name)
		}
	}
}

// A stock transpose leaves a view, and users may bind one.
func TestViewsAreRead(t *testing.T) {
	v := gradcheck.Normal(1, 5, 3)
	moved := make([]float64, 15)
	for i, x := range floats(v) {
		moved[i%3*5+i/3] = x
	}
	view := clone(v)
	if err := view.T(); err != nil {
		t.Fatal(err)
	}
	g := gorgonia.NewGraph()
	for name, x := range map[string]*gorgonia.Node{
		"op":    must(gorgonia.Transpose(bind(g, "v", v), 1, 0)),
		"bound": bind(g, "view", view),
	} {
		t.Run(name, func(t *testing.T) { near(t, eval(t, must(graph.Activate(x, kernel.Identity)))[0], moved) })
	}
	half := must(v.Slice(gorgonia.S(2, 5))).(*tensor.Dense)
	near(t, eval(t, must(graph.Activate(bind(g, "half", half), kernel.Identity)))[0], floats(v)[6:])

	fortran := tensor.New(tensor.WithShape(3, 5), tensor.AsFortran(floats(v)))
	m := must(graph.NewMachine(must(graph.Activate(bind(g, "fortran", fortran), kernel.Identity))))
	if err := m.RunAll(); err == nil || !strings.Contains(err.Error(), "column-major") {
		t.Errorf("a column-major value gave error %v", err)
	}
}

func TestLayersRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	x, w, b := bind(g, "x", gradcheck.Normal(1, 3, 5)), bind(g, "w", gradcheck.Normal(1, 4, 5)), bind(g, "b", gradcheck.Normal(1, 4))
	single := bind(g, "single", dense(make([]float32, 20), 4, 5))
	id := bind(g, "id", dense([]int{1, 2, 3}, 3))
	one := number(g, "one", 1)
	draw := &graph.Draw{}
	tests := map[string]struct {
		err  error
		want string
	}{
		"linear of a vector":   {second(graph.Linear(b, w, nil, 0)), "linear: x is (4) and w (4, 5); want (B, ..., in) and (out, in)"},
		"linear of widths":     {second(graph.Linear(w, x, b, 0)), "the bias is (4); want (3)"},
		"linear of types":      {second(graph.Linear(x, single, nil, 0)), "linear: input 1 is of float32; want float64"},
		"relu of ints":         {second(graph.Activate(id, kernel.ReLU)), "relu: input 0 is of int; want float32"},
		"linear and no act":    {second(graph.Linear(x, w, nil, 99)), `linear: kernel: activation is "Act(99)"`},
		"activate by no act":   {second(graph.Activate(x, 99)), `activate: kernel: activation is "Act(99)"`},
		"activate a number":    {second(graph.Activate(one, kernel.Tanh)), "tanh: x is a number; want (B, ...)"},
		"reshape to more":      {second(graph.Reshape(x, 4, 4)), "reshape: (3, 5) has 15 elements; [4 4] wants 16"},
		"reshape to negatives": {second(graph.Reshape(x, -3, -5)), "the shape is [-3 -5]; want one axis or more, each of 1 or more"},
		"reshape to a number":  {second(graph.Reshape(bind(g, "1", gradcheck.Normal(1, 1)))), "the shape is []; want one axis or more"},
		"reshape a number":     {second(graph.Reshape(one, 1)), "reshape: x is a number"},
		"detach a number":      {second(graph.Detach(one)), "detach: x is a number"},
		"log-softmax a number": {second(graph.LogSoftmax(one)), "log-softmax: x is a number"},
		"drop a number":        {second(graph.Dropout(one, 0.5, draw, "")), "dropout: x is a number"},
		"drop all":             {second(graph.Dropout(x, 1, draw, "")), "the rate is 1; want 0 or more and below 1"},
		"drop NaN":             {second(graph.Dropout(x, math.NaN(), draw, "")), "the rate is NaN"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}

func second[T any](_ T, err error) error { return err }

func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v; want %q in it", err, want)
	}
}

// The names of a layer and a seed are hashed: few of them must not collide.
func TestHash(t *testing.T) {
	seen := map[uint64]string{}
	note := func(h uint64, what string) {
		if was, ok := seen[h]; ok {
			t.Errorf("%s and %s have one hash", was, what)
		}
		seen[h] = what
	}
	for a := range uint64(30) {
		note(graph.Hash(a), fmt.Sprint(a))
		for b := range uint64(30) {
			note(graph.Hash(a, b), fmt.Sprint(a, b))
		}
	}
	for _, s := range []string{"", "\x00", "l1", "l2", "1l", "l1.l2", "l2.l1"} {
		note(graph.HashString(s), fmt.Sprintf("%q", s))
	}
}

// A weight that stays is packed, and packed anew once its version is another.
func TestLinearOf(t *testing.T) {
	g := gorgonia.NewGraph()
	x := dense([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 4, 3)
	w := dense(make([]float32, 15), 5, 3)
	nx, nw, version := bind(g, "x", x), bind(g, "w", w), uint64(0)
	y := must(graph.LinearOf(nx, nw, nil, kernel.Identity, func() uint64 { return version }))
	plain := must(graph.Linear(nx, nw, nil, kernel.Identity))
	m := must(graph.NewMachine(y, plain))
	for run := range 9 {
		if run%3 == 0 {
			version++
			for i := range w.Float32s() {
				w.Float32s()[i] = float32(run*i%7) - 3
			}
		}
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		if got, want := m.Value(y).Data().([]float32), m.Value(plain).Data().([]float32); !slices.Equal(got, want) {
			t.Errorf("run %d: %v, want %v", run, got, want)
		}
	}
}
