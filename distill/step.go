package distill

import "errors"

// A Step is what one optimizer step did.
type Step struct {
	// N counts optimizer steps, this one included: the first is 1.
	N int
	// Epoch is the pass over the training data, from 0.
	Epoch int
	// End says that this was the last step of the epoch.
	End bool
	// Rows is how many samples the step saw.
	Rows int
	// Loss is what was minimised: the sum of weight times value over Terms.
	Loss float64
	// Terms are the values of the terms, in their order.
	Terms []TermValue
	// Accuracy is the share of the labelled rows that the student got right
	// before the update, NaN where no row was labelled.
	Accuracy float64
	// Rate is the learning rate.
	Rate float64
	// GradNorm is the global norm of the gradient, before clipping.
	GradNorm float64
	// Gradients are how hard each term pulls at the student's taps: before the
	// first step, and after the last one of an epoch and of MaxSteps; else it is
	// nil. They are those of the first batch of the validation data or, without
	// such data, of the step. Terms whose weight is 0 have none.
	Gradients []TapGradient
	// Valid has the metrics on the validation data, at the end of an epoch and
	// of MaxSteps, in a run that has such data; else it is nil.
	Valid *Metrics
	// Best says that Valid is the best so far.
	Best bool

	session *session
}

// State is everything that is needed to go on after this step. It is valid
// until the next step is taken. Only a step of a run has one.
func (s Step) State() (State, error) {
	if s.session == nil {
		return State{}, errors.New("distill: the step is not one of a run that is under way")
	}
	return s.session.current()
}

// A TermValue is the value of one term of the loss.
type TermValue struct {
	Name   string  // of the term
	Value  float64 // mean over the weighted rows, before Weight
	Weight float64 // what the value is multiplied by at this step
	T      float64 // the temperature at this step, 0 of a loss that has none
}

// A TapGradient is the norm of the gradient of one term at a tap of the student.
type TapGradient struct {
	Term, Tap string
	// Norm is the Euclidean norm, over the values of the tap for the whole batch,
	// of the gradient of weight times term.
	Norm float64
}

// A Plan is what a run is about to do.
type Plan struct {
	// Name and Dir are the run's. Dir is empty for a run that keeps nothing.
	Name, Dir string
	// Done is how many steps an earlier run did already: logs are cut there.
	Done int
	// Steps is how many steps there will be in all, those done included, and
	// StepsPerEpoch how many an epoch has. 0 where that is not known.
	Steps, StepsPerEpoch int
	// Terms are the names of the terms, in order.
	Terms []string
	// Config is everything that the run's bytes depend on.
	Config []Setting
	// Preflight is what was found out before the first step.
	Preflight *Preflight
}

// A Setting is one named field of a configuration.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Result is what a run came to.
type Result struct {
	// Steps and Epochs are how far it went; Epochs counts whole ones.
	Steps, Epochs int
	// Why says what ended the run.
	Why Ending
	// Valid are the metrics of the best epoch. It is nil where nothing was
	// measured: without validation data, and in a run whose Budget or context
	// ended within epoch 0. Unless the run was interrupted, the student was
	// left with the weights of that epoch.
	Valid *Metrics
	// BestEpoch is that epoch, from 0, and -1 where Valid is nil.
	BestEpoch int
}

// An Ending says what ended a run.
type Ending string

// Why runs end.
const (
	Finished     Ending = "finished"       // all epochs or steps were done
	EarlyStopped Ending = "early stopping" // Patience epochs without a better one
	OutOfTime    Ending = "out of time"    // the time budget was spent
	Interrupted  Ending = "interrupted"    // the context was cancelled, or the loop left
)

// An Observer watches a run. An error from it ends the run.
type Observer interface {
	// Start is called once, before the first step.
	Start(Plan) error
	// Step is called after each step.
	Step(Step) error
	// Finish is called once, however the run ended: with its result, or with
	// the error that ended it and what there was until then.
	Finish(Result, error) error
}

// ObserverFunc is an Observer that only looks at steps.
type ObserverFunc func(Step) error

// Start implements [Observer].
func (ObserverFunc) Start(Plan) error { return nil }

// Step implements [Observer].
func (f ObserverFunc) Step(s Step) error { return f(s) }

// Finish implements [Observer].
func (ObserverFunc) Finish(Result, error) error { return nil }
