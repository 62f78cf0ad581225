package student

import (
	"slices"

	"github.com/godistill/godistill/internal/plan"
)

// channels tell which axes of parameters count the same things: what a
// convolution makes, its norm scales and the next convolution reads. Such axes
// belong to one space, and lose the same elements or none.
type channels struct {
	spaces []space
	axes   map[string]map[int]stream // of parameters, where they are in a space
}

// A space is a set of axes. What was found to be one space points to it.
type space struct {
	same  int  // another space, or itself
	rigid bool // has to stay as it is: an input, the classes, what is reshaped
}

// A stream is an axis, of the value of a sample or of a parameter, with its
// space. Each of the channels is so many elements beside each other: those of its
// pixels, if the value was flattened.
type stream struct{ space, axis, each int }

// channelsOf follows the channels through a forward pass.
func channelsOf(p *plan.Plan) *channels {
	c := &channels{axes: map[string]map[int]stream{}}
	var values []stream
	for range p.Inputs {
		values = append(values, c.rigid(0))
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		values = append(values, c.step(s, values, p.Shape(s.In[0])))
	}
	for _, out := range p.Outputs {
		if out.Name == "logits" {
			c.stiffen(values[out.Value])
		}
	}
	return c
}

// free is the space of an axis of a parameter, if it may lose elements, and how
// many a channel has.
func (c *channels) free(param string, axis int) (space, each int, ok bool) {
	x, ok := c.axes[param][axis]
	if !ok {
		return 0, 0, false
	}
	space = c.root(x.space)
	return space, x.each, !c.spaces[space].rigid
}

// root is the space that a space was found to be.
func (c *channels) root(space int) int {
	for c.spaces[space].same != space {
		space = c.spaces[space].same
	}
	return space
}

func (c *channels) fresh(axis int) stream {
	n := len(c.spaces)
	c.spaces = append(c.spaces, space{same: n})
	return stream{space: n, axis: axis, each: 1}
}

func (c *channels) rigid(axis int) stream {
	x := c.fresh(axis)
	c.stiffen(x)
	return x
}

func (c *channels) stiffen(x stream) { c.spaces[c.root(x.space)].rigid = true }

// along is x if its channels lie on an axis, and else something rigid.
func (c *channels) along(x stream, axis int) stream {
	if x.axis == axis {
		return x
	}
	c.stiffen(x)
	return c.rigid(axis)
}

// join makes one space of two.
func (c *channels) join(a, b stream) stream {
	if a.axis != b.axis || a.each != b.each {
		c.stiffen(a)
		c.stiffen(b)
		return c.rigid(a.axis)
	}
	from, to := c.root(a.space), c.root(b.space)
	c.spaces[to].rigid = c.spaces[to].rigid || c.spaces[from].rigid
	c.spaces[from].same = to
	return b
}

// note says that an axis of a parameter is that of x.
func (c *channels) note(param string, axis int, x stream) {
	if c.axes[param] == nil {
		c.axes[param] = map[int]stream{}
	}
	x.axis = axis
	if other, ok := c.axes[param][axis]; ok {
		x = c.join(x, other)
	}
	c.axes[param][axis] = x
}

// step is the stream of a step's result. shape is that of what it reads first.
func (c *channels) step(s *plan.Step, values []stream, shape []int) stream {
	x, last := values[s.In[0]], len(shape)-1
	switch s.Op {
	case "conv":
		return c.conv(s, c.along(x, 0), shape[0])
	case "linear":
		y := c.fresh(len(s.Shape) - 1)
		c.note(s.Params[0], 1, c.along(x, last))
		c.noteAll(s.Params, y)
		return y
	case "batchnorm":
		x = c.along(x, 0)
		c.noteAll(s.Params, x)
	case "layernorm":
		if s.Axes > 1 {
			c.stiffen(x)
			return c.rigid(last)
		}
		x = c.along(x, last)
		c.noteAll(s.Params, x)
	case "groupnorm": // a group that loses a channel is another group
		c.stiffen(x)
	case "add":
		return c.join(x, values[s.In[1]])
	case "reshape":
		return c.reshape(x, shape, s.Shape)
	case "maxpool", "avgpool", "globalavgpool":
		return c.along(x, 0)
	}
	return x
}

// noteAll says that the first axis of each parameter is that of x.
func (c *channels) noteAll(params []string, x stream) {
	for _, p := range params {
		c.note(p, 0, x)
	}
}

func (c *channels) conv(s *plan.Step, x stream, in int) stream {
	y := x // one by one
	switch {
	case s.Groups <= 1:
		y = c.fresh(0)
		c.note(s.Params[0], 1, x)
	case s.Groups != in || s.Groups != s.Shape[0]:
		c.stiffen(x)
		y = c.rigid(0)
	}
	c.noteAll(s.Params, y)
	return y
}

// reshape knows what flattens an image.
func (c *channels) reshape(x stream, from, to []int) stream {
	switch {
	case slices.Equal(from, to):
		return x
	case len(to) == 1 && x.axis == 0:
		for _, n := range from[1:] {
			x.each *= n
		}
		return x
	}
	c.stiffen(x)
	return c.rigid(0)
}
