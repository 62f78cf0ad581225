package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
)

// routing refuses a step without one, or z that is not (T, experts).
func (s *Step) routing(z []int) error {
	if s.Routing == nil {
		return errors.New("it has no routing")
	}
	if err := s.Routing.Check(); err != nil {
		return err
	}
	if len(z) != 2 || z[1] != s.Routing.Experts {
		return fmt.Errorf("an input of shape %v; want (T, %d)", z, s.Routing.Experts)
	}
	return nil
}

func routeShape(s *Step, in, params [][]int) ([]int, error) {
	if err := s.routing(in[0]); err != nil {
		return nil, err
	}
	if !slices.Equal(params[0], in[0][1:]) {
		return nil, fmt.Errorf("a bias of shape %v on an input of shape %v; want (experts)", params[0], in[0])
	}
	return in[0], nil
}

func route[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.Route(out, values[c.in[0]], c.params[0], *c.step.Routing)
}

func balanceShape(s *Step, in, _ [][]int) ([]int, error) {
	if err := s.routing(in[0]); err != nil {
		return nil, err
	}
	if !slices.Equal(in[0], in[1]) {
		return nil, fmt.Errorf("inputs of shapes %v and %v; want one shape", in[0], in[1])
	}
	return in[0][:1], segmented(in, 2)
}

func balance[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.Balance(out, values[c.in[0]], values[c.in[1]], c.texts(values, 2, out), *c.step.Routing)
}

// expertsShape takes x (T, D), weights (T, E), and as params the E gates (inner, D),
// then the E ups (inner, D), and then the E downs (D, inner).
func expertsShape(s *Step, in, params [][]int) ([]int, error) {
	x, w := in[0], in[1]
	n := len(params) / 3
	if len(x) != 2 || len(params) != 3*n || !slices.Equal(w, []int{x[0], n}) {
		return nil, fmt.Errorf("inputs of shapes %v and %v, with %d parameters; want (T, D), (T, experts), and 3 of each", x, w, len(params))
	}
	for i, p := range params {
		want := []int{params[0][0], x[1]}
		if i >= 2*n {
			slices.Reverse(want)
		}
		if !slices.Equal(p, want) {
			return nil, fmt.Errorf("parameter %q of shape %v; want %v", s.Params[i], p, want)
		}
	}
	return x, nil
}

// packExperts packs the gate and the up of an expert as one.
func packExperts[F kernel.Float](c *call[F], pack Packer[F]) error {
	n := len(c.params) / 3
	for e := range n {
		inner := len(c.params[e]) / c.width
		sides, err := pack(slices.Concat(c.params[e], c.params[n+e]), c.width, 2*inner)
		if err != nil {
			return err
		}
		back, err := pack(c.params[2*n+e], inner, c.width)
		if err != nil {
			return err
		}
		c.experts = append(c.experts, kernel.Expert[F]{Sides: sides, Back: back, Inner: inner})
	}
	c.params = nil
	return nil
}

func mix[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.Mix(out, values[c.in[0]], values[c.in[1]], c.experts, c.width)
}

func columnsShape(s *Step, in, _ [][]int) ([]int, error) {
	x := in[0]
	if len(x) == 0 || len(s.Shape) == 0 {
		return nil, fmt.Errorf("an input of shape %v, of which %v is wanted; want (..., D) both", x, s.Shape)
	}
	last, n := len(x)-1, s.Shape[len(s.Shape)-1]
	if s.From < 0 || n < 1 || n > x[last] || s.From > x[last]-n {
		return nil, fmt.Errorf("%d elements from %d on of an input of shape %v; want some of the last axis", n, s.From, x)
	}
	return append(slices.Clone(x[:last]), n), nil
}

func columns[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.Columns(out, values[c.in[0]], c.from[len(c.from)-1], c.step.From, c.width)
}

func besideShape(_ *Step, in, _ [][]int) ([]int, error) {
	a, b := in[0], in[1]
	last := len(a) - 1
	if last < 0 || len(b) != len(a) || !slices.Equal(a[:last], b[:last]) || b[last] > maxSize || a[last] > maxSize {
		return nil, fmt.Errorf("inputs of shapes %v and %v; want (..., C) and (..., D)", a, b)
	}
	return append(slices.Clone(a[:last]), a[last]+b[last]), nil
}

func beside[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.SideBySide(out, values[c.in[0]], values[c.in[1]], c.from[len(c.from)-1], c.width)
}

func shiftShape(_ *Step, in, _ [][]int) ([]int, error) { return in[0], segmented(in, 1) }

func shift[F kernel.Float](c *call[F], values [][]F, out []F) {
	by := min(max(c.step.By, -c.from[0]), c.from[0])
	kernel.Shift(out, values[c.in[0]], c.texts(values, 1, out), by, product(c.from[1:]))
}

func latentHeadsShape(s *Step, in, _ [][]int) ([]int, error) {
	l := s.Latent
	const most = 1 << 20
	if l == nil || min(l.Heads, l.Plain, l.Turned, l.Values) < 1 || max(l.Heads, l.Plain, l.Turned, l.Values) > most {
		return nil, fmt.Errorf("a latent of %+v; want sizes from 1 to %d", l, most)
	}
	for i, width := range []int{l.Heads * l.Width(), l.Heads * (l.Plain + l.Values), l.Turned} {
		if x := in[i]; len(x) != 2 || x[0] != in[0][0] || x[1] != width {
			return nil, fmt.Errorf("input %d of shape %v; want (T, %d)", i, x, width)
		}
	}
	return []int{in[0][0], l.Row()}, nil
}

func latentHeads[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.LatentHeads(out, values[c.in[0]], values[c.in[1]], values[c.in[2]], *c.step.Latent)
}
