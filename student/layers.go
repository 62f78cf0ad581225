package student

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// Act is an activation: a function of each element.
type Act kernel.Act

// The activations, as PyTorch has them.
const (
	Identity  = Act(kernel.Identity)  // x
	ReLU      = Act(kernel.ReLU)      // max(x, 0)
	Tanh      = Act(kernel.Tanh)      // (exp(x) - exp(-x)) / (exp(x) + exp(-x))
	Sigmoid   = Act(kernel.Sigmoid)   // 1 / (1 + exp(-x))
	ReLU6     = Act(kernel.ReLU6)     // min(max(x, 0), 6)
	LeakyReLU = Act(kernel.LeakyReLU) // x above 0, and x/100 below; Leaky has another slope
	ELU       = Act(kernel.ELU)       // x above 0, and exp(x) - 1 below
	HardSwish = Act(kernel.HardSwish) // x·ReLU6(x+3)/6
	SiLU      = Act(kernel.SiLU)      // x·Sigmoid(x), also known as Swish
	GELU      = Act(kernel.GELU)      // x·Φ(x), with the normal distribution's Φ
	GELUTanh  = Act(kernel.GELUTanh)  // GELU by tanh, as torch.nn.GELU(approximate="tanh")
)

// Leaky is the LeakyReLU of that slope below 0: a millionth to 16, rounded to a
// millionth. With any other slope it is no activation, and refused by whoever
// is given it.
func Leaky(slope float64) Act { return Act(kernel.Leaky(slope)) }

// String is the name of the activation.
func (a Act) String() string { return kernel.Act(a).String() }

// A Layer makes one node of another. It is plain data; its parameters live in
// the builder's scope.
type Layer interface {
	Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node
}

// Linear is the layer act(x·Wᵀ + b), on the last axis of x, with parameters
// "weight" (Out, in) and "bias" (Out).
type Linear struct {
	Out    int  // width of the output, 1 or more
	Act    Act  // applied to the sum
	NoBias bool // leaves b out
	// Init is that of the weight, with a bias of 0; nil is PyTorch's default
	// for both: uniform within 1/√in.
	Init Init
}

// Apply adds the layer to the graph.
func (l Linear) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if l.Out < 1 {
		b.fail(fmt.Errorf("Linear.Out is %d; want 1 or more", l.Out))
	}
	if x.Dims() < 2 {
		b.fail(fmt.Errorf("the input of Linear is %v; want (B, ..., in)", x.Shape()))
	}
	in := x.Shape()[x.Dims()-1]
	weight, bias := l.Init, Init(Zeros)
	if weight == nil {
		weight, bias = Torch, Uniform(1/math.Sqrt(float64(in)))
	}
	w := b.Param("weight", weight, l.Out, in)
	if l.NoBias {
		return b.Linear(x, w, nil, l.Act)
	}
	return b.Linear(x, w, b.Param("bias", bias, l.Out), l.Act)
}

// Activation is an activation as a layer of its own.
type Activation struct{ Act Act }

// Apply adds the layer to the graph.
func (l Activation) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node { return b.Activate(x, l.Act) }

// Dropout zeroes elements with probability Rate, 0 or more and below 1, while
// training, and divides the others by 1-Rate.
type Dropout struct{ Rate float64 }

// Apply adds the layer to the graph.
func (l Dropout) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node { return b.Dropout(x, l.Rate) }

// Flatten makes (B, n) of any (B, ...).
type Flatten struct{}

// Apply adds the layer to the graph.
func (Flatten) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if x.Dims() == 2 {
		return x
	}
	return b.Reshape(x, x.Shape()[0], x.Shape().TotalSize()/x.Shape()[0])
}

// A Named layer is a layer with its scope.
type Named struct {
	Name  string
	Layer Layer
}

// A Sequence is a module of layers, one after the other, from the input
// [data.Input] to the tap "logits". The output of every layer is a tap of the
// layer's name.
type Sequence []Named

// Forward applies the layers.
func (s Sequence) Forward(b *Builder, in Taps) Taps {
	x := in[data.Input]
	if x == nil {
		b.fail(fmt.Errorf("a Sequence wants the input %q", data.Input))
	}
	if len(s) == 0 {
		b.fail(fmt.Errorf("a Sequence wants one layer or more"))
	}
	taps := Taps{}
	for i, l := range s {
		if taps[l.Name] != nil || l.Name == "logits" && i < len(s)-1 {
			b.fail(fmt.Errorf("the layer name %q is taken; want names that differ in a Sequence, for each is a tap", l.Name))
		}
		x = b.Layer(l.Name, l.Layer, x)
		taps[l.Name] = x
	}
	taps["logits"] = x
	return taps
}

// MLP is a multilayer perceptron: flattened input, hidden layers l1, l2, ... with
// activation and dropout, and a last linear layer of Out logits.
type MLP struct {
	Hidden []int // widths of the hidden layers
	Out    int   // number of logits
	Act    Act   // of the hidden layers; Identity, the zero value, means ReLU
	// InputDropout is the dropout rate of the input, and Dropout that after each
	// hidden layer.
	InputDropout, Dropout float64
	// Init is that of every Linear.
	Init Init
}

// Forward applies the layers. Its taps are "l1", "l2", ..., after activation and
// before dropout, and "logits".
func (m MLP) Forward(b *Builder, in Taps) Taps {
	act := m.Act
	if act == Identity {
		act = ReLU
	}
	layers := Sequence{{"flatten", Flatten{}}}
	if m.InputDropout != 0 {
		layers = append(layers, Named{"drop", Dropout{Rate: m.InputDropout}})
	}
	for i, width := range m.Hidden {
		name := fmt.Sprintf("l%d", i+1)
		layers = append(layers, Named{name, Linear{Out: width, Act: act, Init: m.Init}})
		if m.Dropout != 0 {
			layers = append(layers, Named{"drop" + name[1:], Dropout{Rate: m.Dropout}})
		}
	}
	last := fmt.Sprintf("l%d", len(m.Hidden)+1)
	return append(layers, Named{last, Linear{Out: m.Out, Init: m.Init}}).Forward(b, in)
}
