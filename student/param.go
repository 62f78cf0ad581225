package student

import "gorgonia.org/tensor"

// A Param is a named tensor that outlives every graph it takes part in.
type Param struct {
	// Name is the path of the parameter in its model, as in "l1.weight".
	Name string
	// Value has the parameter's shape and the dtype of its model. Whoever
	// writes to it calls Touch.
	Value *tensor.Dense
	// Frozen parameters are saved but not trained.
	Frozen bool

	version uint64
}

// Touch says that Value was written to.
func (p *Param) Touch() { p.version++ }

// Version counts the writes to Value: what was derived from one version is
// stale at the next.
func (p *Param) Version() uint64 { return p.version }
