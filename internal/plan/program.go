package plan

import (
	"fmt"

	"github.com/godistill/godistill/internal/kernel"
)

// A Param is a parameter: its elements, row-major.
type Param[F kernel.Float] struct {
	Shape []int
	Data  []F
}

// A Program is a plan that was bound to parameters. It does not change, and may
// be used from many goroutines.
type Program[F kernel.Float] struct {
	sizes  []int     // elements of each value of one sample
	calls  []call[F] // the results are the values after the inputs
	place  []int     // the memory of each value, among buffers
	memory []int     // elements of each buffer, for one sample
}

// A call is a step that was bound to its parameters.
type call[F kernel.Float] struct {
	run    func(c *call[F], values [][]F, out []F) // nil for a step that another does
	in     []int
	params [][]F
	weight Weight[F] // of a linear step
	act    kernel.Act
	width  int // last size of the result, 1 for a single number
	step   Step
	from   []int // shape of its first input

	// Of a norm: how many elements a channel has or, of a layer norm, what is
	// normalised together, and what a batch norm does.
	size int
	by   kernel.Channels

	rotary  *kernel.Rotary[F] // of attention, nil for none
	experts []kernel.Expert[F]
}

// A Weight is the w (out, in) of linear steps, in a form of its own.
type Weight[F kernel.Float] interface {
	// Linear computes y = act(x·wᵀ + bias), as [kernel.Linear] does.
	Linear(y, x, bias []F, rows int, act kernel.Act)
}

// A Packer brings a w (out, in) into its form, or says why it has none.
type Packer[F kernel.Float] func(w []F, in, out int) (Weight[F], error)

// AsIs is the packer that leaves weights where they are: for those that will
// have changed before it has paid to pack them.
func AsIs[F kernel.Float](w []F, in, out int) (Weight[F], error) { return &asIs[F]{w, in, out}, nil }

type asIs[F kernel.Float] struct {
	w       []F
	in, out int
}

func (a *asIs[F]) Linear(y, x, bias []F, rows int, act kernel.Act) {
	kernel.Linear(y, x, a.w, bias, rows, a.in, a.out, act)
}

// Compile validates a plan and binds it to params, whose memory it may keep.
// The weights of linear steps become what pack makes of them, or if it is nil
// what [kernel.Pack] does. A batch norm behind a linear step is done with it,
// by other weights, where nothing else reads what stands between them.
func Compile[F kernel.Float](p *Plan, params map[string]Param[F], pack Packer[F]) (*Program[F], error) {
	if pack == nil {
		pack = func(w []F, in, out int) (Weight[F], error) { return kernel.Pack(w, in, out), nil }
	}
	shapes := make(map[string][]int, len(params))
	for name, param := range params {
		shapes[name] = param.Shape
	}
	if err := p.Validate(shapes); err != nil {
		return nil, err
	}
	g := new(Program[F])
	for _, in := range p.Inputs {
		g.sizes = append(g.sizes, product(in.Shape))
	}
	live := p.live()
	ops, folds := table[F](), p.folds(live)
	for i, s := range p.Steps {
		c, err := newCall(p, i, params)
		if err != nil {
			return nil, err
		}
		if c.run = ops[s.Op].run; !live[i] {
			c.run, c.params = nil, nil
		}
		if layer, ok := folds[i]; ok {
			if c, err = fold(len(p.Inputs)+layer, &g.calls[layer], &c); err != nil {
				return nil, refused(i, s, err)
			}
		}
		g.sizes = append(g.sizes, product(s.Shape))
		g.calls = append(g.calls, c)
	}
	for i := range g.calls {
		c := &g.calls[i]
		bind := ops[c.step.Op].bind
		if c.run == nil || bind == nil {
			continue
		}
		if err := bind(c, pack); err != nil {
			return nil, refused(i, c.step, err)
		}
	}
	g.place, g.memory = Share(g.results(p))
	return g, nil
}

// newCall is a step with its parameters, and nothing that runs it.
func newCall[F kernel.Float](p *Plan, i int, params map[string]Param[F]) (c call[F], err error) {
	s := p.Steps[i]
	act, _ := s.act() // was validated
	c = call[F]{in: s.In, act: act, width: 1, step: s, from: p.Shape(s.In[0])}
	if n := len(s.Shape); n > 0 {
		c.width = s.Shape[n-1]
	}
	for _, name := range s.Params {
		param := params[name]
		if len(param.Data) != product(param.Shape) {
			return c, fmt.Errorf("plan: step %d (%q): parameter %q has %d elements; its shape is %v", i, s.Op, name, len(param.Data), param.Shape)
		}
		c.params = append(c.params, param.Data)
	}
	return c, nil
}

// live says which steps an output depends on.
func (p *Plan) live() []bool {
	inputs := len(p.Inputs)
	read := make([]bool, inputs+len(p.Steps))
	for _, out := range p.Outputs {
		read[out.Value] = true
	}
	for i := len(p.Steps) - 1; i >= 0; i-- {
		if read[inputs+i] {
			for _, v := range p.Steps[i].In {
				read[v] = true
			}
		}
	}
	return read[inputs:]
}

// results are the values as they need memory: inputs from the beginning, outputs
// to the end, and none what is not computed.
func (g *Program[F]) results(p *Plan) []Result {
	all := make([]Result, len(g.sizes))
	inputs := len(p.Inputs)
	for i, size := range g.sizes {
		all[i] = Result{Size: size, First: max(i-inputs, -1), Last: max(i-inputs, -1)}
		if i >= inputs && g.calls[i-inputs].run == nil {
			all[i].Size = 0
		}
	}
	for i, c := range g.calls {
		if c.run == nil {
			continue
		}
		for _, v := range c.in {
			all[v].Last = max(all[v].Last, i)
		}
	}
	for _, out := range p.Outputs {
		all[out.Value].Last = len(g.calls)
	}
	return all
}

// refused says that the first parameter of a step is not what it should be.
func refused(i int, s Step, err error) error {
	return fmt.Errorf("plan: step %d (%q): parameter %q %w", i, s.Op, s.Params[0], err)
}

// product is the size of a shape that was validated.
func product(shape []int) int {
	size, _ := sizeOf(shape)
	return size
}

// Rows is how many samples a machine computes at once: enough for the kernels
// to be fast, few enough for the values to stay near the processor.
func (g *Program[F]) Rows() int {
	const most, elements = 256, 1 << 20
	total := 0
	for _, size := range g.memory {
		total += size
	}
	return max(1, min(most, elements/total))
}

// A Machine has the memory for one run of a program at a time.
type Machine[F kernel.Float] struct {
	program *Program[F]
	rows    int
	memory  [][]F // of rows samples
	values  [][]F // each value, of the samples of this run
	bound   [][]F // inputs that are somewhere else, nil for others
}

// Machine returns a new machine.
func (g *Program[F]) Machine() *Machine[F] {
	m := &Machine[F]{program: g, rows: g.Rows(), values: make([][]F, len(g.sizes)), bound: make([][]F, len(g.sizes))}
	for _, size := range g.memory {
		m.memory = append(m.memory, kernel.Zeros[F](m.rows*size))
	}
	return m
}

// Use makes the machine run another program of the same plan.
func (m *Machine[F]) Use(g *Program[F]) { m.program = g }

// Bind makes the next runs read input i from x, and not from the machine's
// memory, unless x is nil. What was bound before is let go.
func (m *Machine[F]) Bind(i int, x []F) { m.bound[i], m.values[i] = x, x }

// Value is input or output i of the first rows samples, of shape (rows, shape...),
// in the machine's memory: an input until the next run, an output after it. rows
// is Rows at most.
func (m *Machine[F]) Value(i, rows int) []F {
	return m.memory[m.program.place[i]][:rows*m.program.sizes[i]]
}

// Result is value i, an input or an output, of the first rows samples after a
// run. It is read only: an input may be where it was bound.
func (m *Machine[F]) Result(i, rows int) []F {
	if m.bound[i] != nil {
		return m.bound[i]
	}
	return m.Value(i, rows)
}

// Run computes every step from the inputs, of which rows samples are valid.
func (m *Machine[F]) Run(rows int) {
	if rows == 0 {
		return
	}
	inputs := len(m.values) - len(m.program.calls)
	for i := range m.values {
		switch m.values[i] = m.bound[i]; {
		case m.bound[i] != nil || i >= inputs && m.program.calls[i-inputs].run == nil:
		default:
			m.values[i] = m.Value(i, rows)
		}
	}
	for i := range m.program.calls {
		c := &m.program.calls[i]
		if c.run != nil {
			c.run(c, m.values, m.values[inputs+i])
		}
	}
}
