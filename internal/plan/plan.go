// Package plan is the forward pass of a network, lowered to a flat list of
// kernel calls: what a file needs besides weights for the network to run
// without the program that defined it.
//
//	p := plan.Plan{
//		Inputs:  []plan.Value{{Name: "x", Shape: []int{64}}},
//		Steps:   []plan.Step{{Op: "linear", In: []int{0}, Params: []string{"w", "b"}, Act: "relu", Shape: []int{10}}},
//		Outputs: []plan.Output{{Name: "logits", Value: 1}},
//	}
//	program, err := plan.Compile(&p, params, nil)
//	if err != nil {
//		return err
//	}
//	m := program.Machine()
//	copy(m.Value(0, rows), x)
//	m.Run(rows)
//	logits := m.Value(1, rows)
//
// A plan may come from anyone: what Validate accepts cannot panic, and takes
// no more memory than its parameters and its values account for.
package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
)

// A Plan computes Outputs from Inputs. Its values are numbered: the inputs
// first, then the result of each step. All shapes are those of one sample.
type Plan struct {
	Inputs  []Value  `json:"inputs"`
	Steps   []Step   `json:"steps"`
	Outputs []Output `json:"outputs"`
}

// A Value is a named input.
type Value struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// A Step is one kernel call.
//
//   - linear: y = act(x·wᵀ + b) over the last axis, with params w (out, in) and,
//     unless there is none, b (out).
//   - activation: y = act(x).
//   - reshape: y = act(x) in another shape.
//   - conv: y = act(x ∗ w + b) of an image x (C, H, W), with params w (out,
//     C/groups, window.kernel...) and, unless there is none, b (out).
//   - maxpool: y = act(the largest of what the window sees of each channel of x
//     (C, H, W)).
//   - avgpool: the same with the mean, of which padding is a part or not.
//   - globalavgpool: y (C) = act(the mean of each channel of x (C, H, W)).
//   - add: y = act(a + b), of one shape.
//   - batchnorm: y = act((x - mean)/√(variance+eps)·weight + bias) over x (C, ...),
//     with params mean and variance and, unless there are none, weight and bias,
//     all (C).
//   - groupnorm: the same by the mean and variance of each of groups of channels,
//     with params weight and bias (C), or none.
//   - layernorm: the same over the last axes, with params weight and bias of their
//     shape, or none, and no act.
//   - embed: the rows of the param (ids, D) that the elements of x name, and NaN where
//     they name none; no act, as all that follow.
//   - rmsnorm: y = x/√(mean(x²)+eps)·weight over the last axis, with param weight.
//   - swiglu: y = SiLU(gate)·up, where a row of x is that of gate and then that of up.
//   - linears: several linear ones side by side, with params all w and then all b.
//   - attention: causal attention of rows of queries, keys and values. With a second
//     input, the segment of each position, texts are as each is alone.
//   - route: the weights of experts for tokens (T, E), with param bias (E).
//   - balance: how unequally experts are used (T), of what route read and made, and
//     the segments if there are any.
//   - experts: what experts make of x (T, D), times weights (T, E), with params all
//     gates and then all ups (inner, D), and then all downs (D, inner).
//   - columns: elements of the last axis, some from one on.
//   - beside: two values side by side on the last axis.
//   - shift: what is some positions later, in the same text with segments.
//   - latentheads: rows of queries, keys and values, of what makes them.
type Step struct {
	Op     string   `json:"op"`               // one of the above
	In     []int    `json:"in"`               // values, all of them earlier
	Params []string `json:"params,omitempty"` // names of parameters
	Act    string   `json:"act,omitempty"`    // of the result, as kernel.ParseAct knows it; empty for identity
	Shape  []int    `json:"shape"`            // of the result

	Window     *kernel.Window `json:"window,omitempty"`     // of conv, maxpool and avgpool
	ExcludePad bool           `json:"excludePad,omitempty"` // of avgpool
	Groups     int            `json:"groups,omitempty"`     // of channels, in conv, where 0 means 1, and groupnorm
	Eps        float64        `json:"eps,omitempty"`        // added to a variance
	Axes       int            `json:"axes,omitempty"`       // the last of them that layernorm normalises together
	Attention  *Attention     `json:"attention,omitempty"`  // of attention

	Routing *kernel.Routing `json:"routing,omitempty"` // of route and balance
	From    int             `json:"from,omitempty"`    // the first that columns has
	By      int             `json:"by,omitempty"`      // of shift, before for a negative number
	Latent  *kernel.Latent  `json:"latent,omitempty"`  // of latentheads
}

// An Output is a value under the name it is known by.
type Output struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
}

// Shape is the shape of a value of a plan that is valid.
func (p *Plan) Shape(value int) []int {
	if value < len(p.Inputs) {
		return p.Inputs[value].Shape
	}
	return p.Steps[value-len(p.Inputs)].Shape
}

// maxSize bounds the elements that all values of one sample have together.
const maxSize = 1 << 26

// Validate checks that every step can run with parameters of these shapes.
func (p *Plan) Validate(params map[string][]int) error {
	shapes, err := p.inputShapes()
	if err != nil {
		return err
	}
	for i := range p.Steps {
		shape, err := p.Steps[i].check(shapes, params)
		if err != nil {
			return fmt.Errorf("plan: step %d (%q): %w", i, p.Steps[i].Op, err)
		}
		shapes = append(shapes, shape)
	}
	total := 0
	for i, shape := range shapes {
		size, err := sizeOf(shape)
		if err != nil {
			return fmt.Errorf("plan: value %d: %w", i, err)
		}
		if size > maxSize-total {
			return fmt.Errorf("plan: the values of one sample have more than %d elements", maxSize)
		}
		total += size
	}
	return p.checkOutputs(len(shapes))
}

func (p *Plan) inputShapes() ([][]int, error) {
	shapes := make([][]int, 0, len(p.Inputs)+len(p.Steps))
	seen := map[string]bool{}
	for _, in := range p.Inputs {
		if in.Name == "" || seen[in.Name] {
			return nil, fmt.Errorf("plan: the inputs have an empty name or %q twice", in.Name)
		}
		seen[in.Name] = true
		shapes = append(shapes, in.Shape)
	}
	return shapes, nil
}

func (p *Plan) checkOutputs(values int) error {
	if len(p.Inputs) == 0 || len(p.Outputs) == 0 {
		return fmt.Errorf("plan: it has %d inputs and %d outputs; want 1 or more of each", len(p.Inputs), len(p.Outputs))
	}
	seen := map[string]bool{}
	for _, out := range p.Outputs {
		if out.Name == "" || seen[out.Name] {
			return fmt.Errorf("plan: the outputs have an empty name or %q twice", out.Name)
		}
		seen[out.Name] = true
		if out.Value < 0 || out.Value >= values {
			return fmt.Errorf("plan: output %q is value %d; there are %d", out.Name, out.Value, values)
		}
	}
	return nil
}

// check returns the shape of the result, given those of the earlier values.
func (s *Step) check(values [][]int, params map[string][]int) ([]int, error) {
	o, ok := table[float32]()[s.Op]
	if !ok {
		return nil, errors.New("the op is unknown to this version")
	}
	if n := len(s.In); n < o.inputs[0] || n > o.inputs[1] {
		return nil, fmt.Errorf("it has %d inputs; want %d to %d", n, o.inputs[0], o.inputs[1])
	}
	if len(s.Params) < o.params[0] || len(s.Params) > o.params[1] {
		return nil, fmt.Errorf("it has %d parameters; want %d to %d", len(s.Params), o.params[0], o.params[1])
	}
	if _, err := s.act(); err != nil {
		return nil, err
	}
	in, with, err := s.operands(values, params)
	if err != nil {
		return nil, err
	}
	shape, err := o.shape(s, in, with)
	if err == nil && !slices.Equal(shape, s.Shape) {
		err = fmt.Errorf("its result has shape %v; the plan says %v", shape, s.Shape)
	}
	return shape, err
}

// operands are the shapes of what the step reads.
func (s *Step) operands(values [][]int, params map[string][]int) (in, with [][]int, err error) {
	for _, v := range s.In {
		if v < 0 || v >= len(values) {
			return nil, nil, fmt.Errorf("it reads value %d; there are %d before it", v, len(values))
		}
		in = append(in, values[v])
	}
	for _, name := range s.Params {
		shape, ok := params[name]
		if !ok {
			return nil, nil, fmt.Errorf("parameter %q is missing", name)
		}
		if _, err := sizeOf(shape); err != nil {
			return nil, nil, fmt.Errorf("parameter %q: %w", name, err)
		}
		with = append(with, shape)
	}
	return in, with, nil
}

func (s *Step) act() (kernel.Act, error) {
	if s.Act == "" {
		return kernel.Identity, nil
	}
	return kernel.ParseAct(s.Act)
}

// sizeOf is the number of elements of a shape. Without empty shapes, there is
// no value that is larger than what it was computed from.
func sizeOf(shape []int) (int, error) {
	size := 1
	for _, dim := range shape {
		if dim < 1 || dim > math.MaxInt/size {
			return 0, fmt.Errorf("shape %v; want sizes of 1 or more, and a product that fits an int", shape)
		}
		size *= dim
	}
	return size, nil
}
