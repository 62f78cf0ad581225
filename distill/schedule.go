package distill

// A Schedule is a value that depends on the step, from 0: a learning rate, a
// temperature, a weight.
type Schedule func(step int) float64

// Constant is the same value at every step.
func Constant(v float64) Schedule { return func(int) float64 { return v } }
