package distill

import "gorgonia.org/tensor"

// A State is a run after some step: what a checkpoint holds.
type State struct {
	// Config is that of the run; a run with another one refuses the state.
	Config []Setting
	// Step counts the optimizer steps done; Epoch and Batch are the place in
	// the training data where the next one starts.
	Step, Epoch, Batch int
	// Best is the best validation score so far, BestEpoch the epoch that had
	// it (-1: none yet), BestMetrics what was measured there, and Stale how
	// many epochs passed since.
	Best        float64
	BestEpoch   int
	BestMetrics *Metrics
	Stale       int
	// Tensors are the parameters of the student and of the losses
	// ("param/l1.weight"), the optimizer's slots ("slot/m/l1.weight"), the moving
	// average ("average/l1.weight") and the parameters of the best epoch
	// ("best/l1.weight").
	Tensors map[string]*tensor.Dense
}
