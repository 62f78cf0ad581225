package distill

import (
	"cmp"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// An Optimizer changes parameters by their gradients. It is plain data: what
// it remembers from step to step lives in slots that the run keeps, saves and
// resumes.
type Optimizer interface {
	// Validate says what is wrong with the configuration, naming the field.
	Validate() error
	// LearningRate is the rate at a step, from 0.
	LearningRate(step int) float64
	// Slots names the tensors that are kept for each parameter, in the
	// parameter's shape, zero at first.
	Slots() []string
	// Update changes w in place by its gradient g at a step, from 0. The rate
	// is LearningRate's times the factor of the parameter's group, and decay
	// says whether weight decay applies to it. All tensors have one dtype,
	// tensor.Float32 or tensor.Float64, and w's shape.
	Update(step int, rate float64, decay bool, w, g *tensor.Dense, slots []*tensor.Dense) error
}

// SGD is stochastic gradient descent with PyTorch's definitions (torch.optim.SGD,
// without dampening). With w a parameter and g its gradient:
//
//	g = g + Decay*w
//	v = Momentum*v + g
//	w = w - Rate*v                  or, with Nesterov:
//	w = w - Rate*(g + Momentum*v)
type SGD struct {
	// Rate is the learning rate. It has no default.
	Rate Schedule
	// Momentum is in [0, 1); 0 keeps no velocity.
	Momentum float64
	// Nesterov looks ahead. It needs Momentum.
	Nesterov bool
	// Decay is the coupled weight decay, an L2 penalty of Decay/2 * |w|².
	Decay float64
}

// Validate implements [Optimizer].
func (o SGD) Validate() error {
	if o.Nesterov && o.Momentum == 0 {
		return fmt.Errorf("distill: SGD.Nesterov is true and SGD.Momentum 0; Nesterov wants a Momentum above 0")
	}
	return cmp.Or(
		checkRate("SGD.Rate", o.Rate),
		checkShare("SGD.Momentum", o.Momentum),
		checkFactor("SGD.Decay", o.Decay),
	)
}

// LearningRate implements [Optimizer].
func (o SGD) LearningRate(step int) float64 { return o.Rate(step) }

// Slots implements [Optimizer].
func (o SGD) Slots() []string {
	if o.Momentum == 0 {
		return nil
	}
	return []string{"momentum"}
}

// Update implements [Optimizer].
func (o SGD) Update(_ int, rate float64, decay bool, w, g *tensor.Dense, slots []*tensor.Dense) error {
	if !decay {
		o.Decay = 0
	}
	if err := checkOperands(len(o.Slots()), w, g, slots); err != nil {
		return fmt.Errorf("distill: SGD.Update: %w", err)
	}
	if w.Dtype() == tensor.Float32 {
		sgd[float32](o, rate, w, g, slots)
	} else {
		sgd[float64](o, rate, w, g, slots)
	}
	return nil
}

func sgd[T floating](o SGD, rate float64, w, g *tensor.Dense, slots []*tensor.Dense) {
	step := kernel.SGD[T]{Rate: T(rate), Decay: T(o.Decay), Momentum: T(o.Momentum), Nesterov: o.Nesterov}
	var v []T
	if o.Momentum != 0 {
		v = floats[T](slots[0])
	}
	step.Update(floats[T](w), floats[T](g), v)
}

// Adam is that of Kingma and Ba (2015, 1412.6980) with PyTorch's definitions
// (torch.optim.Adam). With w a parameter, g its gradient and t the step from 1:
//
//	g = g + Decay*w
//	m = Beta1*m + (1-Beta1)*g
//	v = Beta2*v + (1-Beta2)*g²
//	w = w - Rate * m/(1-Beta1^t) / (sqrt(v/(1-Beta2^t)) + Epsilon)
//
// Decay goes through the moments here, and weights with large gradients decay
// less: [AdamW] is the one for decay.
type Adam struct {
	// Rate is the learning rate. It has no default.
	Rate Schedule
	// Beta1 and Beta2, in [0, 1), are how much of the moments is kept at each
	// step. 0 means 0.9 and 0.999.
	Beta1, Beta2 float64
	// Epsilon keeps the quotient finite. 0 means 1e-8.
	Epsilon float64
	// Decay is the coupled weight decay, an L2 penalty of Decay/2 * |w|².
	Decay float64
}

// Validate implements [Optimizer].
func (o Adam) Validate() error { return o.validate("Adam") }

// LearningRate implements [Optimizer].
func (o Adam) LearningRate(step int) float64 { return o.Rate(step) }

// Slots implements [Optimizer].
func (o Adam) Slots() []string { return []string{"m", "v"} }

// Update implements [Optimizer].
func (o Adam) Update(step int, rate float64, decay bool, w, g *tensor.Dense, slots []*tensor.Dense) error {
	if !decay {
		o.Decay = 0
	}
	if err := o.update(step, rate, 0, w, g, slots); err != nil {
		return fmt.Errorf("distill: Adam.Update: %w", err)
	}
	return nil
}

// AdamW is [Adam] with the decay decoupled from the gradient (Loshchilov and
// Hutter 2019, 1711.05101) in PyTorch's form (torch.optim.AdamW), where it is
// multiplied by the rate: w = w - Rate*Decay*w comes first, then Adam's step.
type AdamW struct {
	// Rate is the learning rate. It has no default.
	Rate Schedule
	// Beta1 and Beta2, in [0, 1), are how much of the moments is kept at each
	// step. 0 means 0.9 and 0.999.
	Beta1, Beta2 float64
	// Epsilon keeps the quotient finite. 0 means 1e-8.
	Epsilon float64
	// Decay is the decoupled weight decay. 0 means none; PyTorch's default is
	// 0.01.
	Decay float64
}

// Validate implements [Optimizer].
func (o AdamW) Validate() error { return Adam(o).validate("AdamW") }

// LearningRate implements [Optimizer].
func (o AdamW) LearningRate(step int) float64 { return o.Rate(step) }

// Slots implements [Optimizer].
func (o AdamW) Slots() []string { return Adam(o).Slots() }

// Update implements [Optimizer].
func (o AdamW) Update(step int, rate float64, decay bool, w, g *tensor.Dense, slots []*tensor.Dense) error {
	shrink := 0.0
	if decay {
		shrink = rate * o.Decay
	}
	o.Decay = 0
	if err := Adam(o).update(step, rate, shrink, w, g, slots); err != nil {
		return fmt.Errorf("distill: AdamW.Update: %w", err)
	}
	return nil
}

func (o Adam) validate(name string) error {
	return cmp.Or(
		checkRate(name+".Rate", o.Rate),
		checkShare(name+".Beta1", o.Beta1),
		checkShare(name+".Beta2", o.Beta2),
		checkFactor(name+".Epsilon", o.Epsilon),
		checkFactor(name+".Decay", o.Decay),
	)
}

// update makes the weights smaller by the share shrink, and takes Adam's step.
func (o Adam) update(step int, rate, shrink float64, w, g *tensor.Dense, slots []*tensor.Dense) error {
	if err := checkOperands(len(o.Slots()), w, g, slots); err != nil {
		return err
	}
	o.Beta1, o.Beta2, o.Epsilon = cmp.Or(o.Beta1, 0.9), cmp.Or(o.Beta2, 0.999), cmp.Or(o.Epsilon, 1e-8)
	if w.Dtype() == tensor.Float32 {
		adam[float32](o, step, rate, shrink, w, g, slots)
	} else {
		adam[float64](o, step, rate, shrink, w, g, slots)
	}
	return nil
}

func adam[T floating](o Adam, step int, rate, shrink float64, w, g *tensor.Dense, slots []*tensor.Dense) {
	t := float64(step + 1)
	update := kernel.Adam[T]{
		Keep:    T(1 - shrink),
		Decay:   T(o.Decay),
		B1:      T(1 - o.Beta1),
		B2:      T(o.Beta2),
		C2:      T(1 - o.Beta2),
		Rate:    T(rate / (1 - math.Pow(o.Beta1, t))),
		Scale:   T(1 / math.Sqrt(1-math.Pow(o.Beta2, t))),
		Epsilon: T(o.Epsilon),
	}
	update.Update(floats[T](w), floats[T](g), floats[T](slots[0]), floats[T](slots[1]))
}

// floating is what weights are made of.
type floating interface{ float32 | float64 }

// checkOperands wants w, g and n slots that are plain and of one dtype and
// shape.
func checkOperands(n int, w, g *tensor.Dense, slots []*tensor.Dense) error {
	if len(slots) != n {
		return fmt.Errorf("%d slots; want %d", len(slots), n)
	}
	err := checkOperand(0, w, w)
	if err == nil {
		err = checkOperand(1, g, w)
	}
	for i := 0; i < n && err == nil; i++ {
		err = checkOperand(2+i, slots[i], w)
	}
	return err
}

func checkOperand(i int, t, w *tensor.Dense) error {
	switch {
	case t == nil:
		return fmt.Errorf("%s is nil", operand(i))
	case t.Dtype() != w.Dtype() || !t.Shape().Eq(w.Shape()):
		return fmt.Errorf("%s is %v of %v; want that of w, %v of %v", operand(i), t.Shape(), t.Dtype(), w.Shape(), w.Dtype())
	case !plain(t):
		return fmt.Errorf("%s is a view or of %v; want row-major float32 or float64", operand(i), t.Dtype())
	}
	return nil
}

// plain says that floats is all there is to know about a tensor of this shape:
// it holds float32 or float64 in row-major order, and is not a view.
func plain(t *tensor.Dense) bool {
	float := t.Dtype() == tensor.Float32 || t.Dtype() == tensor.Float64
	return float && !t.RequiresIterator() && t.DataOrder().IsRowMajor()
}

// operand is the name of an operand of Update.
func operand(i int) string {
	if i < 2 {
		return [...]string{"w", "g"}[i]
	}
	return fmt.Sprintf("slots[%d]", i-2)
}

// floats is the memory of a tensor of T: Data is a number, not a slice, where
// the tensor is a scalar.
func floats[T floating](t *tensor.Dense) []T {
	var all []T
	switch p := any(&all).(type) { // a slice in an interface would be allocated
	case *[]float32:
		*p = t.Float32s()
	case *[]float64:
		*p = t.Float64s()
	}
	return all
}

// checkRate refuses a schedule that is missing or starts with a useless value.
func checkRate(field string, s Schedule) error {
	if s == nil {
		return fmt.Errorf("distill: %s is nil; want a Schedule, such as Constant(0.1)", field)
	}
	return checkFactor(field+"(0)", s(0))
}

// checkFactor refuses what is negative or not finite.
func checkFactor(field string, v float64) error {
	if v >= 0 && !math.IsInf(v, 0) {
		return nil
	}
	return fmt.Errorf("distill: %s is %v; want a finite number, 0 or more", field, v)
}

// checkShare refuses what is not in [0, 1).
func checkShare(field string, v float64) error {
	if v >= 0 && v < 1 {
		return nil
	}
	return fmt.Errorf("distill: %s is %v; want 0 or more and less than 1", field, v)
}
