package student

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/plan"
	"github.com/godistill/godistill/internal/safetensors"
)

// Save writes the parameters in the safetensors format, under their names, so
// that any reader of that format finds them. The metadata has what the student
// needs to be run without this program: its forward pass as a plan, the names
// of its classes, and the normalisation of its inputs. Package student/infer
// runs such a file. A network with an operation that has no place in a plan is
// saved as well; what it lacks is said in the file, and by infer.
//
// A checksum tells a damaged file when it is loaded, here or by infer. Equal
// models are equal bytes.
func (m *Model) Save(w io.Writer) error {
	meta, err := m.header().Encode()
	if err != nil {
		return fmt.Errorf("student: save: %w", err)
	}
	var tensors []safetensors.Tensor
	for p := range m.Params() {
		tensors = append(tensors, pack(p))
	}
	if err := safetensors.WriteSummed(w, tensors, meta); err != nil {
		return fmt.Errorf("student: save: %w", err)
	}
	return nil
}

func pack(p *Param) safetensors.Tensor {
	if v, ok := p.Value.Data().([]float64); ok {
		return safetensors.Of(p.Name, p.Value.Shape(), v)
	}
	return safetensors.Of(p.Name, p.Value.Shape(), p.Value.Data().([]float32))
}

// Load reads parameters that Save wrote, or another program in the same format:
// every parameter of the model must be there with its shape and dtype, and
// nothing else, but for PyTorch's num_batches_tracked beside running statistics,
// which these do not depend on. The model is not changed when it fails.
// [Model.LoadNamed] reads files with other names.
func (m *Model) Load(r io.Reader) error {
	f, err := safetensors.Read(r)
	if err != nil {
		return fmt.Errorf("student: load: %w", err)
	}
	if err := m.checkFile(f); err != nil {
		return fmt.Errorf("student: load: %w", err)
	}
	for p := range m.Params() {
		t, _ := f.Lookup(p.Name)
		switch dst := p.Value.Data().(type) {
		case []float32:
			v, _ := safetensors.Values[float32](t) // checked above
			copy(dst, v)
		case []float64:
			v, _ := safetensors.Values[float64](t)
			copy(dst, v)
		}
		p.Touch()
	}
	return nil
}

// checkFile refuses a file that does not have just the model's parameters.
func (m *Model) checkFile(f *safetensors.File) error {
	dtype := "F32"
	if m.dtype == tensor.Float64 {
		dtype = "F64"
	}
	for p := range m.Params() {
		t, ok := f.Lookup(p.Name)
		if !ok {
			return fmt.Errorf("the file has no parameter %s", p.Name)
		}
		if t.Dtype != dtype || !slices.Equal(t.Shape, p.Value.Shape()) {
			return fmt.Errorf("parameter %s is %v of %s in the file; the model wants %v of %s", p.Name, t.Shape, t.Dtype, p.Value.Shape(), dtype)
		}
	}
	for _, t := range f.Tensors {
		if m.params.Lookup(t.Name) == nil && !m.counts(t.Name) {
			return fmt.Errorf("the file has a parameter %s that the model does not have", t.Name)
		}
	}
	return nil
}

// counts says that a tensor is PyTorch's count of the batches that running
// statistics have seen.
func (m *Model) counts(name string) bool {
	scope, ok := strings.CutSuffix(name, "num_batches_tracked")
	return ok && m.params.Lookup(scope+"running_mean") != nil
}

// header is what a file says about the model besides its weights.
func (m *Model) header() plan.Header {
	h := plan.Header{Classes: m.spec.Classes, Norm: map[string]plan.Norm{}}
	for name, n := range m.spec.Norm {
		h.Norm[name] = plan.Norm(n)
	}
	p, err := m.lower()
	if err != nil {
		h.Unlowered = err.Error()
		return h
	}
	h.Plan = p
	return h
}

// lower writes the forward pass in eval mode as a plan.
func (m *Model) lower() (*plan.Plan, error) {
	l := lowering{value: map[*gorgonia.Node]int{}, param: map[*gorgonia.Node]string{}}
	const rows = 3
	program, err := m.Compile(Mode{Rows: rows}, func(b *Builder, taps Taps) (*gorgonia.Node, []*gorgonia.Node) {
		l.taps = taps
		return nil, taps.nodes()
	})
	if err != nil {
		return nil, err
	}
	shapes := map[string][]int{}
	for p, n := range program.b.nodes {
		l.param[n], shapes[p.Name] = p.Name, p.Value.Shape()
	}
	l.inputs(program, m.spec)
	for n := range program.machine.Nodes {
		if err := l.step(n); err != nil {
			return nil, err
		}
	}
	if err := l.outputs(); err != nil {
		return nil, err
	}
	p := l.plan // a copy, which holds nothing of the graph
	// An op may read a parameter where a plan has to have a value.
	return &p, p.Validate(shapes)
}

// A lowering numbers the values of a plan.
type lowering struct {
	plan  plan.Plan
	taps  Taps
	value map[*gorgonia.Node]int
	param map[*gorgonia.Node]string
}

// inputs are those that are read: a plan asks for no others.
func (l *lowering) inputs(p *Program, spec data.Spec) {
	read := map[*gorgonia.Node]bool{}
	for n := range p.machine.Nodes {
		for _, c := range graph.Children(n) {
			read[c] = true
		}
	}
	for _, n := range l.taps {
		read[n] = true
	}
	for _, name := range p.names {
		if n := p.in[name]; read[n] {
			l.value[n] = len(l.plan.Inputs)
			l.plan.Inputs = append(l.plan.Inputs, plan.Value{Name: name, Shape: spec.In[name].Shape})
		}
	}
}

func (l *lowering) outputs() error {
	for _, name := range sorted(l.taps) {
		v, ok := l.value[l.taps[name]]
		if !ok {
			return fmt.Errorf("tap %q is no value of the forward pass", name)
		}
		l.plan.Outputs = append(l.plan.Outputs, plan.Output{Name: name, Value: v})
	}
	return nil
}

func (l *lowering) step(n *gorgonia.Node) error {
	s, ok := graph.Lower(n)
	if !ok {
		return fmt.Errorf("%s: the operation %v has no place in a plan", n.Name(), n.Op())
	}
	for _, c := range graph.Children(n) {
		if name, ok := l.param[c]; ok {
			s.Params = append(s.Params, name)
			continue
		}
		v, ok := l.value[c]
		if !ok {
			return fmt.Errorf("%s: it reads %s, which is neither a value nor a parameter", n.Name(), c.Name())
		}
		s.In = append(s.In, v)
	}
	l.value[n] = len(l.plan.Inputs) + len(l.plan.Steps)
	l.plan.Steps = append(l.plan.Steps, s)
	return nil
}
