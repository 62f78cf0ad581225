package kernel

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// An Act is an activation: a function of one element. The low bits say which,
// those above the slope of a LeakyReLU that is not PyTorch's.
type Act uint32

// The activations, as PyTorch has them.
const (
	Identity  Act = iota
	ReLU          // max(x, 0)
	Tanh          // (exp(x) - exp(-x)) / (exp(x) + exp(-x))
	Sigmoid       // 1 / (1 + exp(-x))
	ReLU6         // min(max(x, 0), 6)
	LeakyReLU     // x above 0, and x/100 below; Leaky has another slope
	ELU           // x above 0, and exp(x) - 1 below
	HardSwish     // x·ReLU6(x+3)/6
	SiLU          // x·Sigmoid(x), also known as Swish
	GELU          // x·Φ(x), with the normal distribution's Φ(x) = (1 + erf(x/√2))/2
	GELUTanh      // x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, which is almost GELU
)

var actNames = [...]string{
	Identity: "identity", ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid", ReLU6: "relu6", LeakyReLU: "leakyrelu",
	ELU: "elu", HardSwish: "hardswish", SiLU: "silu", GELU: "gelu", GELUTanh: "gelutanh",
}

const (
	kindBits   = 8
	slopeUnits = 1e6 // in 1
	maxSlope   = 16
	plainSlope = 0.01
	noSlope    = LeakyReLU | (1<<24-1)<<kindBits
)

// Leaky is the LeakyReLU of that slope below 0, rounded to a millionth: a
// millionth to 16. With any other slope it is no activation, as ParseAct says of
// its name.
func Leaky(slope float64) Act {
	units := math.Round(slope * slopeUnits)
	switch {
	case !(units >= 1 && slope <= maxSlope):
		return noSlope
	case units == plainSlope*slopeUnits:
		return LeakyReLU
	}
	return LeakyReLU | Act(units)<<kindBits
}

// kind is the activation without its slope.
func (a Act) kind() Act { return a & (1<<kindBits - 1) }

// slope is that of a LeakyReLU.
func (a Act) slope() float64 {
	if a == LeakyReLU {
		return plainSlope
	}
	return float64(a>>kindBits) / slopeUnits
}

// ByInput says that the derivative is told from the input x, where that of
// others is told from the output, as in (1 - tanh²).
func (a Act) ByInput() bool { return a.kind() >= HardSwish }

// String is the name that ParseAct knows.
func (a Act) String() string {
	switch {
	case int(a) < len(actNames):
		return actNames[a]
	case a == noSlope:
		return leakyPrefix + "out of range)"
	case a.kind() == LeakyReLU:
		return leakyPrefix + strconv.FormatFloat(a.slope(), 'g', -1, 64) + ")"
	}
	return fmt.Sprintf("Act(%d)", uint32(a))
}

const leakyPrefix = "leakyrelu("

// ParseAct returns the activation of that name, such as relu, gelu or
// leakyrelu(0.2).
func ParseAct(name string) (Act, error) {
	for a, s := range actNames {
		if s == name {
			return Act(a), nil
		}
	}
	text, ok := strings.CutPrefix(name, leakyPrefix)
	if !ok || !strings.HasSuffix(text, ")") {
		return 0, fmt.Errorf("kernel: activation is %q; want one of %q", name, actNames)
	}
	slope, err := strconv.ParseFloat(strings.TrimSuffix(text, ")"), 64)
	act := Leaky(slope)
	if err != nil || act == noSlope {
		return 0, fmt.Errorf("kernel: activation is %q; want a slope of a millionth to %d", name, maxSlope)
	}
	return act, nil
}

// Activate writes act of each element of x to y, which may be x. A NaN stays
// one. Of float32, Tanh and Sigmoid are right to 2.5 units in the last place,
// ELU, SiLU, GELU and GELUTanh to 0.51.
func Activate[F Float](y, x []F, act Act) {
	y = y[:len(x)]
	if len(x)*costOf(act) < worth {
		activate(y, x, act) // without the allocation of a closure
		return
	}
	each(len(x), costOf(act), func(from, to int) { activate(y[from:to], x[from:to], act) })
}

// costOf is how many products an element costs.
func costOf(act Act) int {
	switch act.kind() {
	case Identity, ReLU, ReLU6, LeakyReLU:
		return 4
	case ELU, SiLU, GELU, GELUTanh:
		return 50
	}
	return 16
}

func activate[F Float](y, x []F, act Act) {
	done := activateFast(y, x, act)
	x, y = x[done:], y[done:]
	switch act.kind() {
	case Identity:
		copy(y, x)
	case ReLU:
		for i, v := range x {
			y[i] = max(v, 0)
		}
	case ReLU6:
		for i, v := range x {
			y[i] = min(max(v, 0), 6)
		}
	case LeakyReLU:
		leak(y, x, x, F(act.slope()))
	case HardSwish:
		for i, v := range x {
			y[i] = v * min(max(v+3, 0), 6) / 6
		}
	default:
		f := act.function()
		for i, v := range x {
			y[i] = F(f(float64(v)))
		}
	}
}

// leak writes x to dst where by is above 0, and elsewhere slope·x.
func leak[F Float](dst, by, x []F, slope F) {
	for i, v := range by {
		if v > 0 {
			dst[i] = x[i]
		} else {
			dst[i] = x[i] * slope
		}
	}
}

// function is an activation that is computed in float64.
func (a Act) function() func(x float64) float64 {
	switch a {
	case Tanh:
		return math.Tanh
	case Sigmoid:
		return logistic
	case ELU:
		return func(x float64) float64 {
			if x > 0 {
				return x
			}
			return math.Expm1(x)
		}
	case SiLU:
		return func(x float64) float64 { return x * logistic(x) }
	case GELU:
		return func(x float64) float64 { return x * normal(x) }
	case GELUTanh:
		return func(x float64) float64 { return x * logistic(almostNormal(x)) }
	}
	panic("kernel: unknown activation " + a.String())
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// normal is the distribution function of the standard normal distribution.
func normal(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// Of GELUTanh, with (1 + tanh(u))/2 = logistic(2u).
var (
	almostLinear = 2 * math.Sqrt(2/math.Pi)
	almostCubic  = 0.044715 * almostLinear
)

// almostNormal is what the logistic function of is almost normal(x).
func almostNormal(x float64) float64 { return x * (almostLinear + almostCubic*(x*x)) }

// ActivateGrad writes the gradient of an activation's input to dx, given the
// gradient dy of its output and what its derivative is told from: its output,
// or its input if it is one [Act.ByInput]. dx may be dy. Where there are two
// derivatives, as of ReLU at 0, it is PyTorch's. Those by the input but
// HardSwish's are right to 0.51 units in the last place of float32 and 1e-9 of
// dy, which tells where they change their sign.
func ActivateGrad[F Float](dx, by, dy []F, act Act) {
	dx, dy = dx[:len(by)], dy[:len(by)]
	cost := costOfGrad
	if act.ByInput() {
		cost = costOf(act)
	}
	if len(by)*cost < worth {
		activateGrad(dx, by, dy, act)
		return
	}
	each(len(by), cost, func(from, to int) { activateGrad(dx[from:to], by[from:to], dy[from:to], act) })
}

// costOfGrad is how many products an element of a gradient by the output costs.
const costOfGrad = 4

func activateGrad[F Float](dx, by, dy []F, act Act) {
	done := activateGradFast(dx, by, dy, act)
	dx, by, dy = dx[done:], by[done:], dy[done:]
	switch act.kind() {
	case Identity:
		copy(dx, dy)
	case ReLU:
		for i, v := range by {
			if v > 0 {
				dx[i] = dy[i]
			} else {
				dx[i] = 0
			}
		}
	case ReLU6:
		for i, v := range by {
			if v > 0 && v < 6 {
				dx[i] = dy[i]
			} else {
				dx[i] = 0
			}
		}
	case LeakyReLU:
		leak(dx, by, dy, F(act.slope()))
	case Tanh:
		for i, v := range by {
			dx[i] = dy[i] * (1 - v*v)
		}
	case Sigmoid:
		for i, v := range by {
			dx[i] = dy[i] * v * (1 - v)
		}
	case ELU:
		for i, v := range by {
			dx[i] = dy[i] * (min(v, 0) + 1)
		}
	case HardSwish:
		swishGrad(dx, by, dy)
	default:
		f := act.derivative()
		for i, v := range by {
			dx[i] = F(float64(dy[i]) * f(float64(v)))
		}
	}
}

func swishGrad[F Float](dx, x, dy []F) {
	for i, v := range x {
		switch {
		case v < -3:
			dx[i] = 0
		case v >= 3:
			dx[i] = dy[i]
		default:
			dx[i] = dy[i] * (v/3 + 0.5)
		}
	}
}

// derivative is that of an activation whose gradient is computed in float64.
func (a Act) derivative() func(x float64) float64 {
	switch a {
	case SiLU:
		return func(x float64) float64 {
			s := logistic(x)
			return s + x*s*(1-s)
		}
	case GELU:
		return func(x float64) float64 { return normal(x) + x*math.Exp(-0.5*x*x)/math.Sqrt(2*math.Pi) }
	case GELUTanh:
		return func(x float64) float64 {
			s := logistic(almostNormal(x))
			return s + x*(almostLinear+3*almostCubic*(x*x))*s*(1-s)
		}
	}
	panic("kernel: unknown activation " + a.String())
}
