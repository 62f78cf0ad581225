package kernel

import (
	"math"
	"strings"
	"testing"
)

func TestActivate(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		act  Act
		x, y float64
	}{
		{Identity, -3, -3},
		{ReLU, -3, 0}, {ReLU, 0, 0}, {ReLU, 2.5, 2.5}, {ReLU, inf, inf},
		{Tanh, 0, 0}, {Tanh, 1, 0.7615941559557649}, {Tanh, -1e4, -1},
		{Sigmoid, 0, 0.5}, {Sigmoid, 1, 0.7310585786300049}, {Sigmoid, -1e4, 0}, {Sigmoid, 1e4, 1},
		{ReLU6, -3, 0}, {ReLU6, 2.5, 2.5}, {ReLU6, 7, 6}, {ReLU6, inf, 6},
		{LeakyReLU, -3, -0.03}, {LeakyReLU, 2.5, 2.5}, {leaky02, -3, -0.6}, {leaky02, inf, inf},
		{ELU, -1, -0.6321205588285577}, {ELU, 2.5, 2.5}, {ELU, -1e4, -1},
		{HardSwish, -4, 0}, {HardSwish, 1, 2.0 / 3}, {HardSwish, 4, 4},
		{SiLU, 0, 0}, {SiLU, 1, 0.7310585786300049}, {SiLU, -1e4, 0}, {SiLU, inf, inf},
		{GELU, 0, 0}, {GELU, 1, 0.8413447460685429}, {GELU, -2, -0.04550026389635842}, {GELU, inf, inf},
		{GELUTanh, 0, 0}, {GELUTanh, 1, 0.8411919906082768}, {GELUTanh, -2, -0.04540230591222494}, {GELUTanh, inf, inf},
	} {
		y := []float64{test.x}
		Activate(y, y, test.act)
		if math.Abs(y[0]-test.y) > 1e-15 {
			t.Errorf("%v(%v) = %v, want %v", test.act, test.x, y[0], test.y)
		}
		y32 := make([]float32, 1)
		Activate(y32, []float32{float32(test.x)}, test.act)
		if ulps(y32[0], test.y) > farthest {
			t.Errorf("float32 %v(%v) = %v, want %v", test.act, test.x, y32[0], test.y)
		}
	}
	for _, act := range allActs {
		y := []float32{float32(math.NaN())}
		Activate(y, y, act)
		if y[0] == y[0] {
			t.Errorf("%v(NaN) = %v, want NaN", act, y[0])
		}
	}
}

func TestActivateGrad(t *testing.T) {
	const h = 1e-6
	for _, act := range allActs {
		for _, x := range []float64{-3.5, -2, -0.3, 0.4, 1.7, 7} {
			x, y := []float64{x - h, x, x + h}, make([]float64, 3)
			Activate(y, x, act)
			want := 3 * (y[2] - y[0]) / (2 * h)
			by := y[1:2]
			if act.ByInput() {
				by = x[1:2]
			}
			dx := []float64{3}
			ActivateGrad(dx, by, dx, act)
			if math.Abs(dx[0]-want) > 1e-8 {
				t.Errorf("the gradient of %v at %v is %v, want %v", act, x[1], dx[0], want)
			}
		}
	}
	dx := []float32{5}
	if ActivateGrad(dx, []float32{0}, dx, ReLU); dx[0] != 0 {
		t.Errorf("the gradient of relu at 0 is %v, want 0", dx[0])
	}
}

// At the borders the gradients are those of PyTorch.
func TestActivateGradAtBorders(t *testing.T) {
	for _, test := range []struct {
		act    Act
		by, dx float64
	}{
		{ReLU6, 0, 0}, {ReLU6, 6, 0}, {LeakyReLU, 0, 0.05}, {ELU, 0, 5}, {HardSwish, -3, -2.5}, {HardSwish, 3, 5},
	} {
		dx := []float64{5}
		if ActivateGrad(dx, []float64{test.by}, dx, test.act); dx[0] != test.dx {
			t.Errorf("the gradient of %v at %v is %v, want %v", test.act, test.by, dx[0], test.dx)
		}
	}
}

// allActs are the activations, one of a slope of its own among them.
var allActs = func() []Act {
	all := []Act{leaky02}
	for a := range actNames {
		all = append(all, Act(a))
	}
	return all
}()

var leaky02 = LeakyReLU | 200_000<<kindBits

func TestParseAct(t *testing.T) {
	for _, act := range allActs {
		if got, err := ParseAct(act.String()); got != act || err != nil {
			t.Errorf("ParseAct(%q) = %v, %v", act.String(), got, err)
		}
	}
	for _, name := range []string{"", "ReLU", "softplus", "leakyrelu()", "leakyrelu(0)", "leakyrelu(-1)", "leakyrelu(NaN)",
		"leakyrelu(17)", "leakyrelu(1e-9)", "leakyrelu(Inf)", "leakyrelu(0.2", "leakyrelu(0x)"} {
		if a, err := ParseAct(name); err == nil {
			t.Errorf("ParseAct(%q) is %v", name, a)
		}
	}
	for _, a := range []Act{99, ReLU | 1<<kindBits} {
		if _, err := ParseAct(a.String()); err == nil {
			t.Errorf("%v is an activation", a)
		}
	}
	if got := Act(99).String(); got != "Act(99)" {
		t.Errorf("Act(99) is %q", got)
	}
}

// A slope is exact in float64, and one slope is one Act.
func TestLeaky(t *testing.T) {
	for slope, want := range map[float64]string{0.01: "leakyrelu", 0.2: "leakyrelu(0.2)", 1e-6: "leakyrelu(1e-06)", 16: "leakyrelu(16)"} {
		act := Leaky(slope)
		again, err := ParseAct(act.String())
		if err != nil || act.String() != want || act.slope() != slope || again != act {
			t.Errorf("the slope %v is %v of %v, read as %v; error %v", slope, act, act.slope(), again, err)
		}
	}
	for _, slope := range []float64{0, -0.2, 1e-7, 16.1, math.NaN(), math.Inf(1)} {
		if act, err := ParseAct(Leaky(slope).String()); err == nil || !strings.Contains(err.Error(), "want a slope of a millionth to 16") {
			t.Errorf("the slope %v is %v, error %v", slope, act, err)
		}
	}
}
