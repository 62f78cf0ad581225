package infer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
	"github.com/godistill/godistill/internal/safetensors"
)

// Open loads the student that was saved to a file.
func Open(path string) (*Predictor, error) { return Full.Open(path) }

// Load reads a saved student to its end. It fails on a file that is damaged or
// has no forward pass, and on parameters that are not finite.
func Load(r io.Reader) (*Predictor, error) { return Full.Load(r) }

func read(r io.Reader, precision Precision) (*Predictor, error) {
	if int(precision) >= len(precisions) {
		return nil, fmt.Errorf("Precision is %d; want Full, Float16 or Int8", precision)
	}
	f, err := safetensors.Read(r)
	if err != nil {
		return nil, err
	}
	h, err := plan.Decode(f.Meta)
	if err != nil {
		return nil, err
	}
	if h.Plan == nil {
		return nil, noPlan(h.Unlowered)
	}
	used, dtype, err := parameters(f, h.Plan)
	if err != nil {
		return nil, err
	}
	if dtype == "F64" && precision == Full {
		return load[float64](h, used, nil)
	}
	return load[float32](h, used, precision.packer())
}

func noPlan(reason string) error {
	if reason == "" {
		return errors.New("the file has no forward pass; it was not saved as a student")
	}
	return fmt.Errorf("the student has no forward pass that runs here: %s", reason)
}

// parameters returns the tensors that a plan names, and their dtype. What else
// the file holds is no concern of the plan.
func parameters(f *safetensors.File, p *plan.Plan) (used []safetensors.Tensor, dtype string, err error) {
	named := map[string]bool{}
	for _, s := range p.Steps {
		for _, name := range s.Params {
			named[name] = true
		}
	}
	for _, t := range f.Tensors {
		if !named[t.Name] {
			continue
		}
		if dtype == "" {
			dtype = t.Dtype
		}
		if t.Dtype != dtype || dtype != "F32" && dtype != "F64" {
			return nil, "", fmt.Errorf("parameter %q is %s; want all F32 or all F64", t.Name, t.Dtype)
		}
		used = append(used, t)
	}
	return used, dtype, nil
}

// load binds the plan to its parameters.
func load[F kernel.Float](h plan.Header, used []safetensors.Tensor, pack plan.Packer[F]) (*Predictor, error) {
	params := map[string]plan.Param[F]{}
	for _, t := range used {
		values, err := valuesOf[F](t)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(values, func(v F) bool { return v-v != 0 }) {
			return nil, fmt.Errorf("parameter %q is not finite in %T", t.Name, F(0))
		}
		params[t.Name] = plan.Param[F]{Shape: t.Shape, Data: values}
	}
	program, err := plan.Compile(h.Plan, params, pack)
	if err != nil {
		return nil, err
	}
	p := describe(h)
	if err := p.checkClasses(); err != nil {
		return nil, err
	}
	norms, err := p.norms(h.Norm)
	if err != nil {
		return nil, err
	}
	p.limit = program.Rows()
	p.machines.New = func() any { return &typed[F]{program.Machine(), norms} }
	return p, nil
}

// valuesOf are the elements of a tensor of floats, rounded if F has fewer bits.
func valuesOf[F kernel.Float](t safetensors.Tensor) ([]F, error) {
	if t.Dtype == "F32" {
		exact, err := safetensors.Values[float32](t)
		return convert[F](exact), err
	}
	exact, err := safetensors.Values[float64](t)
	return convert[F](exact), err
}

func convert[F, E kernel.Float](x []E) []F {
	if same, ok := any(x).([]F); ok {
		return same
	}
	y := make([]F, len(x))
	for i, v := range x {
		y[i] = F(v)
	}
	return y
}

// describe lists the inputs and outputs of a plan that was validated.
func describe(h plan.Header) *Predictor {
	p := &Predictor{classes: h.Classes}
	for i, in := range h.Plan.Inputs {
		p.inputs = append(p.inputs, value(in.Name, i, in.Shape))
	}
	for _, out := range h.Plan.Outputs {
		p.outputs = append(p.outputs, value(out.Name, out.Value, h.Plan.Shape(out.Value)))
	}
	return p
}

func value(name string, index int, shape []int) Value {
	v := Value{Name: name, Shape: shape, index: index, size: 1}
	for _, dim := range shape {
		v.size *= dim
	}
	return v
}

// norms are the norms of the inputs, in their order.
func (p *Predictor) norms(byName map[string]plan.Norm) ([]plan.Norm, error) {
	all := make([]plan.Norm, len(p.inputs))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		i := slices.IndexFunc(p.inputs, func(v Value) bool { return v.Name == name })
		if i < 0 {
			continue // of an input that the student does not read
		}
		all[i] = byName[name]
		if n := len(all[i].Mean); n > 1 && n != p.inputs[i].size {
			return nil, fmt.Errorf("the norm of input %q has %d elements; want none, 1 or %d", name, n, p.inputs[i].size)
		}
	}
	return all, nil
}

// checkClasses checks that every class of the logits has a name, or none.
func (p *Predictor) checkClasses() error {
	for _, v := range p.outputs {
		if v.Name == logits && len(v.Shape) > 0 && len(p.classes) > 0 && len(p.classes) != v.width() {
			return fmt.Errorf("the file names %d classes; its logits have %d", len(p.classes), v.width())
		}
	}
	return nil
}
