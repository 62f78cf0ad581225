// Package infer runs a saved student without the library that trained it: the
// file carries its own forward pass, and this package needs the standard
// library alone.
//
//	p, err := infer.Open("student.safetensors")
//	if err != nil {
//		return err
//	}
//	classes, err := p.Classify(pixels) // raw values: n rows of 64
//	if err != nil {
//		return err
//	}
//	for _, c := range classes {
//		fmt.Printf("%s %.3f\n", c.Name, c.Probability)
//	}
//
// Inputs are the raw values: the normalisation that the student was trained
// with is in the file, and is applied here. A row of a result is the same, to
// the last bit, in whatever batch it is computed. The arithmetic is that of the
// file, float32 or float64, unless a [Precision] says otherwise; what goes in
// and comes out is float32.
//
// A file may come from anyone: it is checked as a whole before it is run. The
// package refuses students whose forward pass could not be lowered, and says
// why.
package infer

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/godistill/godistill/internal/kernel"
)

// logits is the name of the output that Logits, Probabilities and Classify
// look for.
const logits = "logits"

// A Value is an input or an output.
type Value struct {
	Name  string
	Shape []int // of one sample; empty for a single number

	index int // among the values of the plan
	size  int // elements of one sample
}

// A Class is what a row of logits says: its largest element, the first of them
// if there are several.
type Class struct {
	Index       int
	Name        string // empty when the file names no classes
	Probability float32
}

// A Predictor is a student that was loaded. It does not change, and its methods
// may be called from many goroutines.
type Predictor struct {
	inputs, outputs []Value
	classes         []string
	limit           int // samples at once
	machines        sync.Pool
}

// Inputs are what Run wants, in the order of the file.
func (p *Predictor) Inputs() []Value { return clone(p.inputs) }

// Outputs are what Run answers, in the order of the file.
func (p *Predictor) Outputs() []Value { return clone(p.outputs) }

// Classes are the names of the classes in the order of the logits, nil if the
// file has none.
func (p *Predictor) Classes() []string { return slices.Clone(p.classes) }

func clone(values []Value) []Value {
	values = slices.Clone(values)
	for i := range values {
		values[i].Shape = slices.Clone(values[i].Shape)
	}
	return values
}

// Run computes all outputs from all inputs, by name: n rows of each, one after
// the other. It fails on an input that is missing, unknown, not finite, or of
// another number of rows than the first.
func (p *Predictor) Run(in map[string][]float32) (map[string][]float32, error) {
	rows, err := p.check(in)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]float32, len(p.outputs))
	for _, v := range p.outputs {
		out[v.Name] = make([]float32, rows*v.size)
	}
	p.each(rows, func(m machine, from, to int) {
		for _, v := range p.inputs {
			m.load(v.index, to-from, in[v.Name][from*v.size:])
		}
		m.run(to - from)
		for _, v := range p.outputs {
			m.store(v.index, to-from, out[v.Name][from*v.size:])
		}
	})
	return out, nil
}

// check returns the number of rows.
func (p *Predictor) check(in map[string][]float32) (rows int, err error) {
	for i, v := range p.inputs {
		x, ok := in[v.Name]
		if !ok {
			return 0, fmt.Errorf("infer: input %q is missing", v.Name)
		}
		n, err := v.rows(x)
		if err != nil {
			return 0, err
		}
		if i > 0 && n != rows {
			return 0, fmt.Errorf("infer: input %q has %d rows; %q has %d", v.Name, n, p.inputs[0].Name, rows)
		}
		rows = n
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !slices.ContainsFunc(p.inputs, func(v Value) bool { return v.Name == name }) {
			return 0, fmt.Errorf("infer: input %q is unknown; the student has %s", name, names(p.inputs))
		}
	}
	return rows, nil
}

// rows is how many samples x holds.
func (v Value) rows(x []float32) (int, error) {
	if len(x)%v.size != 0 {
		return 0, fmt.Errorf("infer: input %q has %d elements; want a multiple of %d", v.Name, len(x), v.size)
	}
	for i, e := range x {
		if e-e != 0 {
			return 0, fmt.Errorf("infer: input %q is %v at element %d of row %d; want finite values", v.Name, e, i%v.size, i/v.size)
		}
	}
	return len(x) / v.size, nil
}

// each calls chunk for consecutive ranges of rows, with a machine to itself.
func (p *Predictor) each(rows int, chunk func(m machine, from, to int)) {
	m := p.machines.Get().(machine)
	defer p.machines.Put(m)
	for from := 0; from < rows; from += p.limit {
		chunk(m, from, min(from+p.limit, rows))
	}
}

// Logits computes the output "logits" of n samples: n rows of x in, n rows of
// raw scores out. It fails when the student has several inputs or no such
// output, and where Run does.
func (p *Predictor) Logits(x []float32) ([]float32, error) { return p.AppendLogits(nil, x) }

// AppendLogits is Logits that appends to dst, which must not share x's memory.
// With room enough there, it does not allocate.
func (p *Predictor) AppendLogits(dst, x []float32) ([]float32, error) {
	in, out, err := p.classifier()
	if err != nil {
		return nil, err
	}
	rows, err := in.rows(x)
	if err != nil {
		return nil, err
	}
	old := len(dst)
	dst = slices.Grow(dst, rows*out.size)[:old+rows*out.size]
	p.each(rows, func(m machine, from, to int) {
		m.load(in.index, to-from, x[from*in.size:])
		m.run(to - from)
		m.store(out.index, to-from, dst[old+from*out.size:])
	})
	return dst, nil
}

// classifier returns the only input and the logits.
func (p *Predictor) classifier() (in, out *Value, err error) {
	if len(p.inputs) != 1 {
		return nil, nil, fmt.Errorf("infer: the student has the inputs %s; want one, or use Run", names(p.inputs))
	}
	for i := range p.outputs {
		if v := &p.outputs[i]; v.Name == logits && len(v.Shape) > 0 {
			return &p.inputs[0], v, nil
		}
	}
	return nil, nil, fmt.Errorf("infer: the student has the outputs %s; want %q, of one axis or more, or use Run", names(p.outputs), logits)
}

// Probabilities is the softmax over the last axis of Logits. It fails where
// Logits does, and on logits that are not finite.
func (p *Predictor) Probabilities(x []float32) ([]float32, error) {
	z, width, err := p.finite(x)
	if err != nil {
		return nil, err
	}
	for row := range slices.Chunk(z, width) {
		kernel.Softmax(row, row, 1)
	}
	return z, nil
}

// finite is Logits, and their last size. It fails on logits that are not finite.
func (p *Predictor) finite(x []float32) (z []float32, width int, err error) {
	_, out, err := p.classifier()
	if err != nil {
		return nil, 0, err
	}
	if z, err = p.Logits(x); err != nil {
		return nil, 0, err
	}
	for i, e := range z {
		if e-e != 0 {
			return nil, 0, fmt.Errorf("infer: the logits of row %d have %v; want finite values", i/out.size, e)
		}
	}
	return z, out.width(), nil
}

// Classify returns the class of each row of logits: of each sample, or of each
// element of one where the logits have more than one axis. It fails where
// Probabilities does.
func (p *Predictor) Classify(x []float32) ([]Class, error) {
	_, out, err := p.classifier()
	if err != nil {
		return nil, err
	}
	all, err := p.Probabilities(x)
	if err != nil {
		return nil, err
	}
	classes := make([]Class, 0, len(all)/out.width())
	for row := range slices.Chunk(all, out.width()) {
		c := Class{Index: largest(row)}
		c.Probability = row[c.Index]
		if len(p.classes) > 0 {
			c.Name = p.classes[c.Index]
		}
		classes = append(classes, c)
	}
	return classes, nil
}

// largest is where the largest element is, the first of them if there are
// several.
func largest(row []float32) int {
	top := 0
	for i, v := range row {
		if v > row[top] {
			top = i
		}
	}
	return top
}

// width is the last size of a value.
func (v Value) width() int { return v.Shape[len(v.Shape)-1] }

func names(values []Value) string {
	var all []string
	for _, v := range values {
		all = append(all, v.Name)
	}
	return fmt.Sprintf("%q", all)
}
