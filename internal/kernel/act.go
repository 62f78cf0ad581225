package kernel

import (
	"fmt"
	"math"
)

// An Act is an activation: a function of one element whose derivative can be
// told from its value.
type Act uint8

// The activations.
const (
	Identity Act = iota
	ReLU         // max(x, 0)
	Tanh
	Sigmoid // 1 / (1 + exp(-x))
)

var actNames = [...]string{Identity: "identity", ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid"}

// String is the name that ParseAct knows.
func (a Act) String() string {
	if int(a) < len(actNames) {
		return actNames[a]
	}
	return fmt.Sprintf("Act(%d)", uint8(a))
}

// ParseAct returns the activation of that name: identity, relu, tanh or
// sigmoid.
func ParseAct(name string) (Act, error) {
	for a, s := range actNames {
		if s == name {
			return Act(a), nil
		}
	}
	return 0, fmt.Errorf("kernel: activation is %q; want one of %q", name, actNames)
}

// Activate writes act of each element of x to y, which may be x. A NaN stays
// one. Tanh and Sigmoid of float32 are right to 2.5 units in the last place.
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
	if act <= ReLU {
		return 4
	}
	return 16
}

func activate[F Float](y, x []F, act Act) {
	done := activateFast(y, x, act)
	x, y = x[done:], y[done:]
	switch act {
	case Identity:
		copy(y, x)
	case ReLU:
		for i, v := range x {
			y[i] = max(v, 0)
		}
	case Tanh:
		for i, v := range x {
			y[i] = F(math.Tanh(float64(v)))
		}
	case Sigmoid:
		for i, v := range x {
			y[i] = F(1 / (1 + math.Exp(-float64(v))))
		}
	default:
		panic("kernel: unknown activation " + act.String())
	}
}

// ActivateGrad writes the gradient of an activation's input to dx, given its
// output y and the gradient dy of that. dx may be dy. The gradient of ReLU at 0
// is 0.
func ActivateGrad[F Float](dx, y, dy []F, act Act) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	if len(y)*costOfGrad < worth {
		activateGrad(dx, y, dy, act)
		return
	}
	each(len(y), costOfGrad, func(from, to int) { activateGrad(dx[from:to], y[from:to], dy[from:to], act) })
}

// costOfGrad is how many products an element of a gradient costs.
const costOfGrad = 4

func activateGrad[F Float](dx, y, dy []F, act Act) {
	done := activateGradFast(dx, y, dy, act)
	dx, y, dy = dx[done:], y[done:], dy[done:]
	switch act {
	case Identity:
		copy(dx, dy)
	case ReLU:
		for i, v := range y {
			if v > 0 {
				dx[i] = dy[i]
			} else {
				dx[i] = 0
			}
		}
	case Tanh:
		for i, v := range y {
			dx[i] = dy[i] * (1 - v*v)
		}
	case Sigmoid:
		for i, v := range y {
			dx[i] = dy[i] * v * (1 - v)
		}
	default:
		panic("kernel: unknown activation " + act.String())
	}
}
