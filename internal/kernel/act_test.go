package kernel

import (
	"math"
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
	for act := Identity; act <= Sigmoid; act++ {
		y := []float32{float32(math.NaN())}
		Activate(y, y, act)
		if y[0] == y[0] {
			t.Errorf("%v(NaN) = %v, want NaN", act, y[0])
		}
	}
}

func TestActivateGrad(t *testing.T) {
	const h = 1e-6
	for act := Identity; act <= Sigmoid; act++ {
		for _, x := range []float64{-2, -0.3, 0.4, 1.7} {
			y := []float64{x - h, x, x + h}
			Activate(y, y, act)
			want := 3 * (y[2] - y[0]) / (2 * h)
			dx := []float64{3}
			ActivateGrad(dx, y[1:2], dx, act)
			if math.Abs(dx[0]-want) > 1e-8 {
				t.Errorf("the gradient of %v at %v is %v, want %v", act, x, dx[0], want)
			}
		}
	}
	dx := []float32{5}
	if ActivateGrad(dx, []float32{0}, dx, ReLU); dx[0] != 0 {
		t.Errorf("the gradient of relu at 0 is %v, want 0", dx[0])
	}
}

func TestParseAct(t *testing.T) {
	for act := Identity; act <= Sigmoid; act++ {
		if got, err := ParseAct(act.String()); got != act || err != nil {
			t.Errorf("ParseAct(%q) = %v, %v", act.String(), got, err)
		}
	}
	for _, name := range []string{"", "ReLU", "gelu"} {
		if _, err := ParseAct(name); err == nil {
			t.Errorf("ParseAct(%q) is no error", name)
		}
	}
	if got := Act(9).String(); got != "Act(9)" {
		t.Errorf("Act(9) is %q", got)
	}
}
