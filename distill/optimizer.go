package distill

import "gorgonia.org/tensor"

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
