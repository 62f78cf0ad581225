package plan

import (
	"fmt"
	"math"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
)

// Attention is what an attention step does besides its sizes; see
// [kernel.Attention] and [kernel.NewRotary].
type Attention struct {
	Heads  int     `json:"heads"`  // of queries
	Shared int     `json:"shared"` // of keys and values
	Width  int     `json:"width"`  // of a head of a query or key
	Values int     `json:"values"` // of a head of a value
	Scale  float64 `json:"scale"`  // of scores

	Turned int     `json:"turned,omitempty"` // elements of a head that a rotary turns, 0 for none
	Theta  float64 `json:"theta,omitempty"`  // of the rotary
	Beside bool    `json:"beside,omitempty"` // its pairs are beside each other

	Stretch *kernel.Stretch `json:"stretch,omitempty"` // of its frequencies, nil for none
}

func (a Attention) kernel(positions int) kernel.Attention {
	return kernel.Attention{
		Heads: a.Heads, Shared: a.Shared, Width: a.Width, Values: a.Values, Scale: a.Scale,
		Queries: positions, Keys: positions,
	}
}

// check wants sizes whose products fit an int.
func (a *Attention) check() error {
	const most = 1 << 20
	switch {
	case a == nil:
		return fmt.Errorf("it has no attention")
	case min(a.Heads, a.Shared, a.Width, a.Values) < 1 || max(a.Heads, a.Width, a.Values) > most || a.Heads%a.Shared != 0:
		return fmt.Errorf("%d heads of width %d, with %d of keys and values of width %d; want 1 to %d, and a divisor of the heads", a.Heads, a.Width, a.Shared, a.Values, most)
	case a.Turned < 0 || a.Turned > a.Width || a.Turned%2 != 0 || a.Turned > 0 && !(a.Theta > 0):
		return fmt.Errorf("a rotary of %d elements of a head of %d, with theta %v; want an even number of them, and above 0", a.Turned, a.Width, a.Theta)
	case a.Scale-a.Scale != 0 || math.IsInf(a.Theta, 0):
		return fmt.Errorf("scale %v and theta %v; want finite numbers", a.Scale, a.Theta)
	}
	return a.Stretch.Check()
}

// mostPositions bounds the time that a file may ask for, which grows with their
// square, and scratch.
const mostPositions = 1 << 17

func attentionShape(s *Step, in, params [][]int) ([]int, error) {
	a, x := s.Attention, in[0]
	if err := a.check(); err != nil {
		return nil, err
	}
	if row := a.kernel(1).Row(); len(x) != 2 || x[1] != row || x[0] > mostPositions {
		return nil, fmt.Errorf("an input of shape %v; want (T, %d), of %d positions at most", x, row, mostPositions)
	}
	return []int{x[0], a.Heads * a.Values}, segmented(in, 1)
}

// segmented wants segments (T) after so many inputs, the first (T, ...), if there are
// more.
func segmented(in [][]int, inputs int) error {
	if len(in[0]) < 1 || len(in) > inputs && !slices.Equal(in[inputs], in[0][:1]) {
		return fmt.Errorf("inputs of shapes %v; want (T, ...), and segments (T)", in)
	}
	return nil
}

// texts is where texts begin in the samples of a result, with the segments that come
// after so many inputs if there are more.
func (c *call[F]) texts(values [][]F, inputs int, out []F) []int {
	var segments []F
	if len(c.in) > inputs {
		segments = values[c.in[inputs]]
	}
	return kernel.Texts(nil, segments, len(out)/product(c.step.Shape), c.from[0])
}

func bindAttention[F kernel.Float](c *call[F], _ Packer[F]) error {
	if a := c.step.Attention; a.Turned > 0 {
		c.rotary = kernel.NewRotary[F](c.from[0], kernel.Angles{Width: a.Turned, Theta: a.Theta, Beside: a.Beside, Stretch: a.Stretch})
	}
	return nil
}

func attention[F kernel.Float](c *call[F], values [][]F, out []F) {
	a, x := c.step.Attention.kernel(c.from[0]), values[c.in[0]]
	q, k, v := kernel.Split(x, a)
	y := kernel.Positions[F]{Data: out, Apart: a.Heads * a.Values}
	if len(c.in) > 1 {
		kernel.AttendTexts(y, nil, q, k, v, c.texts(values, 1, out), a, c.rotary)
		return
	}
	kernel.Attend(y, nil, q, k, v, len(x)/product(c.from), a, c.rotary)
}

func embedShape(s *Step, in, params [][]int) ([]int, error) {
	if table := params[0]; len(table) != 2 || table[0] > kernel.MaxIDs {
		return nil, fmt.Errorf("a table of shape %v; want (ids, width), and %d ids at most", table, kernel.MaxIDs)
	}
	return append(slices.Clone(in[0]), params[0][1]), nil
}

// embed makes NaN of what is no id: who has the errors to tell checks before.
func embed[F kernel.Float](c *call[F], values [][]F, out []F) {
	table := c.params[0]
	size := len(table) / c.width
	for i, v := range values[c.in[0]] {
		y := out[i*c.width : (i+1)*c.width]
		if id := int(v); v >= 0 && v < F(size) && F(id) == v {
			copy(y, table[id*c.width:])
			continue
		}
		for j := range y {
			y[j] = F(math.NaN())
		}
	}
}

func rmsNormShape(s *Step, in, params [][]int) ([]int, error) {
	x := in[0]
	if len(x) == 0 {
		return nil, fmt.Errorf("an input without axes; want (..., D)")
	}
	return x, s.checkNorm(params, x[len(x)-1:], 1)
}

func rmsNorm[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.RMSNorm(out, nil, values[c.in[0]], c.params[0], c.step.Eps)
}

func swiGLUShape(s *Step, in, params [][]int) ([]int, error) {
	x := slices.Clone(in[0])
	if len(x) == 0 || x[len(x)-1]%2 != 0 {
		return nil, fmt.Errorf("an input of shape %v; want (..., 2·D)", x)
	}
	x[len(x)-1] /= 2
	return x, nil
}

func swiGLU[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.SwiGLU(out, values[c.in[0]], c.width)
}

// mostLinears is how many layers one step has side by side, at most.
const mostLinears = 16

// linearsShape takes weights (out, in), and as many biases (out) or none.
func linearsShape(s *Step, in, params [][]int) ([]int, error) {
	x := in[0]
	n := weightsOf(params)
	if n == 0 || len(params) != n && len(params) != 2*n || len(x) == 0 {
		return nil, fmt.Errorf("parameters of shapes %v on an input of shape %v; want some (out, in), and as many (out) or none", params, x)
	}
	out := 0
	for i, w := range params[:n] {
		if w[1] != x[len(x)-1] || w[0] > maxSize {
			return nil, fmt.Errorf("a weight of shape %v on an input of shape %v; want (out, in) and (..., in)", w, x)
		}
		if len(params) > n && !slices.Equal(params[n+i], w[:1]) {
			return nil, fmt.Errorf("a bias of shape %v beside a weight of shape %v; want (out)", params[n+i], w)
		}
		out += w[0]
	}
	return append(slices.Clone(x[:len(x)-1]), out), nil
}

// weightsOf is how many parameters come before the biases.
func weightsOf(params [][]int) int {
	n := slices.IndexFunc(params, func(p []int) bool { return len(p) != 2 })
	if n < 0 {
		return len(params)
	}
	return n
}

// packLinears makes one weight of all, and one bias.
func packLinears[F kernel.Float](c *call[F], pack Packer[F]) (err error) {
	in := c.from[len(c.from)-1]
	var w, bias []F
	for _, p := range c.params {
		if len(w) < c.width*in {
			w = append(w, p...)
		} else {
			bias = append(bias, p...)
		}
	}
	c.weight, err = pack(w, in, c.width)
	c.params = [][]F{nil, bias}
	return err
}
