package main

import (
	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

// A net is a network that both sides have.
type net struct {
	module student.Module
	in     []int // the shape of a sample
	vocab  int   // of a sample of ids; 0 for one of numbers
	// products are the multiplications for a sample in all layers, and first
	// those in the first one, whose inputs get no gradient.
	products, first int
}

// A pair is who learns, and from whom.
type pair struct{ student, teacher net }

var (
	perceptrons = pair{perceptron(784, 800, 800, 10), perceptron(784, 1200, 1200, 10)}
	cnns        = pair{cnn(16, 32), cnn(32, 64)}
	resnets     = pair{resnet(8), resnet(20)}
	languages   = pair{language(128, 336), language(256, 680)}
	tiny        = perceptron(64, 32, 10)
)

// model is the network with weights of its own.
func (n net) model(spec data.Spec, seed uint64) (*student.Model, error) {
	return student.New(n.module, spec, seed)
}

// set is so many random samples.
func (n net) set(rows int) (data.Set, error) {
	if n.vocab > 0 {
		return sentences(rows, n.in[0], n.vocab)
	}
	return randomSet(rows, n.in...)
}

// forward is the arithmetic of one sample through the network, in 1e9.
func (n net) forward() float64 { return 2e-9 * float64(n.products) }

// backward is that of the gradients: by the weights of all layers, and by the
// inputs of all but the first.
func (n net) backward() float64 { return 2e-9 * float64(2*n.products-n.first) }

// layer counts the products of the next layer.
func (n *net) layer(products int) {
	if n.products == 0 {
		n.first = products
	}
	n.products += products
}

// conv counts those of a convolution of a square window, to images of so many
// pixels on each side.
func (n *net) conv(in, out, window, size int) { n.layer(in * out * window * window * size * size) }

// perceptron has layers of these sizes, from that of the input on.
func perceptron(sizes ...int) net {
	last := len(sizes) - 1
	n := net{module: student.MLP{Hidden: sizes[1:last], Out: sizes[last]}, in: sizes[:1]}
	for i, in := range sizes[:last] {
		n.layer(in * sizes[i+1])
	}
	return n
}

// cnn has stages of these channels, for images like those of MNIST.
func cnn(channels ...int) net {
	in, size := 1, 28
	n := net{module: student.CNN{Channels: channels, Out: 10}, in: []int{in, size, size}}
	for _, out := range channels {
		n.conv(in, out, 3, size)
		in, size = out, size/2
	}
	n.layer(in * size * size * 10)
	return n
}

// resnet has so many layers, for images like those of CIFAR.
func resnet(depth int) net {
	in, size := 16, 32
	n := net{module: student.ResNet{Depth: depth, Out: 10}, in: []int{3, size, size}}
	n.conv(3, in, 3, size)
	for stage, out := range []int{16, 32, 64} {
		for range (depth - 2) / 6 {
			if in != out {
				n.conv(in, out, 1, size>>stage) // the shortcut
			}
			n.conv(in, out, 3, size>>stage)
			n.conv(out, out, 3, size>>stage)
			in = out
		}
	}
	n.layer(in * 10)
	return n
}

// language has 4 layers for sequences of 64 ids, of as many. All that is multiplied
// gets a gradient, the embeddings too.
func language(width, inner int) net {
	const layers, vocab, length = 4, 64, 64
	c := lm.Config{Vocab: vocab, Width: width, Inner: inner, Layers: layers, Heads: width / 32, Context: length}
	weights := layers*width*(4*width+3*inner) + width*vocab
	attention := layers * width * (length + 1) // two products with half of the positions
	return net{module: c, in: []int{length}, vocab: vocab, products: length * (weights + attention)}
}
