package student

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
)

// Embed is the rows of table (V, D) that ids, (B) or (B, T) of tensor.Int, name:
// (B, D) or (B, T, D). A run fails on an id that the table does not have.
func (b *Builder) Embed(table, ids *gorgonia.Node) *gorgonia.Node {
	b.given("Embed", table, ids)
	return b.Op(graph.Embed(table, ids))
}

// Linears is several linear layers of one x (B, ..., in), side by side on its last
// axis, in one operation: for each w (out, in) and, unless biases is empty, each
// bias (out).
func (b *Builder) Linears(x *gorgonia.Node, ws, biases []*gorgonia.Node) *gorgonia.Node {
	b.given("Linears", slices.Concat([]*gorgonia.Node{x}, ws, biases)...)
	return b.Op(graph.Linears(x, ws, biases, b.versions(ws)))
}

// versions tells when one of several parameters is written to, nil if one is
// changed by each step.
func (b *Builder) versions(ns []*gorgonia.Node) func() uint64 {
	var all []func() uint64
	for _, n := range ns {
		v := b.version(n)
		if v == nil {
			return nil
		}
		all = append(all, v)
	}
	return func() (sum uint64) { // which grows with each write
		for _, v := range all {
			sum += v()
		}
		return sum
	}
}

// Embedding is the layer of one vector for each id, (B) or (B, T) of tensor.Int,
// with the parameter "weight" (Size, Width), as torch.nn.Embedding has it.
type Embedding struct {
	Size  int  // how many ids there are, from 0
	Width int  // of a vector
	Init  Init // nil is PyTorch's default: the standard normal distribution
}

// Apply adds the layer to the graph.
func (l Embedding) Apply(b *Builder, ids *gorgonia.Node) *gorgonia.Node {
	b.checkCount("Embedding.Size", l.Size, 1)
	b.checkCount("Embedding.Width", l.Width, 1)
	init := l.Init
	if init == nil {
		init = Normal(1)
	}
	return b.Embed(b.Param("weight", init, l.Size, l.Width), ids)
}

// RMSNorm is the layer x/√(mean(x²)+Eps)·weight over the last axis of x (B, ...,
// D) (Zhang and Sennrich 2019, 1910.07467; torch.nn.RMSNorm). Its parameter is
// "weight" (D).
type RMSNorm struct {
	Eps float64 // added to the mean of the squares; 0 means 1e-5
}

// Apply adds the layer to the graph.
func (l RMSNorm) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if x.Dims() < 2 {
		b.fail(fmt.Errorf("the input of RMSNorm is %v; want (B, ..., D)", x.Shape()))
	}
	b.checkEps("RMSNorm", l.Eps)
	eps := l.Eps
	if eps == 0 {
		eps = defaultEps
	}
	return b.Op(graph.RMSNorm(x, b.Param("weight", Ones, x.Shape()[x.Dims()-1]), eps))
}
