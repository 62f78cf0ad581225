package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// Columns is elements [from, to) of the last axis of x (B, ...).
func Columns(x *gorgonia.Node, from, to int) (*gorgonia.Node, error) {
	if x.Dims() < 2 || from < 0 || to <= from || to > x.Shape()[x.Dims()-1] {
		return nil, fmt.Errorf("graph: columns: x is %v; want (B, ...) with elements %d to %d on its last axis", x.Shape(), from, to)
	}
	if x.Dtype() == tensor.Float64 {
		return columns[float64](x, from, to)
	}
	return columns[float32](x, from, to)
}

func columns[F kernel.Float](x *gorgonia.Node, from, to int) (*gorgonia.Node, error) {
	shape := x.Shape().Clone()
	width, n := shape[len(shape)-1], to-from
	shape[len(shape)-1] = n
	o := &op{name: "columns", shape: shape, wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		y, x := floats[F](o.value), floats[F](v[0])
		for r := range len(y) / n {
			copy(y[r*n:(r+1)*n], x[r*width+from:])
		}
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "columns.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			dx, dy := floats[F](d.value), floats[F](v[0])
			clear(dx)
			for r := range len(dy) / n {
				copy(dx[r*width+from:], dy[r*n:(r+1)*n])
			}
		}
		dx, err := apply[F](d, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// Concat is a (B, ..., C) and b (B, ..., D) side by side: (B, ..., C+D).
func Concat(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	last := a.Dims() - 1
	if a.Dims() < 2 || b.Dims() != a.Dims() || !a.Shape()[:last].Eq(b.Shape()[:last]) {
		return nil, fmt.Errorf("graph: beside: the inputs are %v and %v; want (B, ..., C) and (B, ..., D)", a.Shape(), b.Shape())
	}
	if a.Dtype() == tensor.Float64 {
		return beside[float64](a, b)
	}
	return beside[float32](a, b)
}

func beside[F kernel.Float](a, b *gorgonia.Node) (*gorgonia.Node, error) {
	shape := a.Shape().Clone()
	last := len(shape) - 1
	first, width := shape[last], shape[last]+b.Shape()[last]
	shape[last] = width
	o := &op{name: "beside", shape: shape, wrt: []bool{true, true}}
	o.run = func(v []gorgonia.Value) {
		y, a, b := floats[F](o.value), floats[F](v[0]), floats[F](v[1])
		for r := range len(y) / width {
			row := y[r*width : (r+1)*width]
			copy(row, a[r*first:(r+1)*first])
			copy(row[first:], b[r*(width-first):])
		}
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		da, err := columns[F](dy, 0, first)
		if err != nil {
			return nil, err
		}
		db, err := columns[F](dy, first, width)
		return []*gorgonia.Node{da, db}, err
	}
	return apply[F](o, a, b)
}

// Shift is what x (B, T, ...) has by positions later, at each position: before for
// a negative one, and 0 where there is none.
func Shift(x *gorgonia.Node, by int) (*gorgonia.Node, error) {
	if x.Dims() < 2 {
		return nil, fmt.Errorf("graph: shift: x is %v; want (B, T, ...)", x.Shape())
	}
	if x.Dtype() == tensor.Float64 {
		return shift[float64](x, by)
	}
	return shift[float32](x, by)
}

func shift[F kernel.Float](x *gorgonia.Node, by int) (*gorgonia.Node, error) {
	samples, positions := x.Shape()[0], x.Shape()[1]
	size := x.Shape().TotalSize() / (samples * positions)
	o := &op{name: "shift", shape: x.Shape(), wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		y, x := floats[F](o.value), floats[F](v[0])
		clear(y)
		for s := range samples {
			at, end := s*positions*size, (s+1)*positions*size
			y, x := y[at:end], x[at:end]
			copy(y[min(max(-by, 0)*size, len(y)):], x[min(max(by, 0)*size, len(x)):])
		}
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx, err := shift[F](dy, -by)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// A Latent says how queries, keys and values are cut out of what makes them, in
// multi-head latent attention (DeepSeek-V2, 2405.04434, section 2.1).
type Latent struct {
	Heads  int
	Plain  int // elements of a head of a query or key that know no position
	Turned int // those that do, of which keys of all heads share theirs
	Values int // elements of a head of a value
}

func (l Latent) width() int { return l.Plain + l.Turned }

// row is that of the result.
func (l Latent) row() int { return l.Heads * (2*l.width() + l.Values) }

// LatentHeads is a row of queries, keys and values for [Attention], of queries q
// (B, T, Heads·(Plain+Turned)), keys and values kv (B, T, Heads·(Plain+Values)) and
// what the keys share, shared (B, T, Turned).
func LatentHeads(q, kv, shared *gorgonia.Node, l Latent) (*gorgonia.Node, error) {
	for i, width := range []int{l.Heads * l.width(), l.Heads * (l.Plain + l.Values), l.Turned} {
		if n := []*gorgonia.Node{q, kv, shared}[i]; n.Dims() != 3 || !n.Shape()[:2].Eq(q.Shape()[:2]) || n.Shape()[2] != width {
			return nil, fmt.Errorf("graph: latent heads: input %d is %v; want (B, T, %d)", i, n.Shape(), width)
		}
	}
	if q.Dtype() == tensor.Float64 {
		return latentHeads[float64](q, kv, shared, l)
	}
	return latentHeads[float32](q, kv, shared, l)
}

func latentHeads[F kernel.Float](q, kv, shared *gorgonia.Node, l Latent) (*gorgonia.Node, error) {
	shape := q.Shape().Clone()
	shape[2] = l.row()
	o := &op{name: "latent-heads", shape: shape, wrt: []bool{true, true, true}}
	o.run = func(v []gorgonia.Value) {
		q, kv, shared := floats[F](v[0]), floats[F](v[1]), floats[F](v[2])
		eachLatent(floats[F](o.value), l, func(r int, queries, keys, values []F) {
			copy(queries, q[r*len(queries):])
			for h := range l.Heads {
				from := kv[(r*l.Heads+h)*(l.Plain+l.Values):]
				key := keys[h*l.width() : (h+1)*l.width()]
				copy(key, from[:l.Plain])
				copy(key[l.Plain:], shared[r*l.Turned:])
				copy(values[h*l.Values:(h+1)*l.Values], from[l.Plain:])
			}
		})
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		return latentGrads[F](q, kv, shared, dy, l)
	}
	return apply[F](o, q, kv, shared)
}

// eachLatent calls f for the parts of each row.
func eachLatent[F kernel.Float](x []F, l Latent, f func(r int, queries, keys, values []F)) {
	n, width := l.row(), l.Heads*l.width()
	kernel.Rows(len(x)/n, n, func(from, to int) {
		for r := from; r < to; r++ {
			row := x[r*n : (r+1)*n]
			f(r, row[:width], row[width:2*width], row[2*width:])
		}
	})
}

func latentGrads[F kernel.Float](q, kv, shared, dy *gorgonia.Node, l Latent) ([]*gorgonia.Node, error) {
	grad := func(name string, of *gorgonia.Node, f func(dst []F, r int, queries, keys, values []F)) (*gorgonia.Node, error) {
		d := &op{name: "latent-heads." + name, shape: of.Shape()}
		d.run = func(v []gorgonia.Value) {
			dst := floats[F](d.value)
			eachLatent(floats[F](v[0]), l, func(r int, queries, keys, values []F) { f(dst, r, queries, keys, values) })
		}
		return apply[F](d, dy)
	}
	dq, err := grad("dq", q, func(dst []F, r int, queries, _, _ []F) { copy(dst[r*len(queries):], queries) })
	if err != nil {
		return nil, err
	}
	dkv, err := grad("dkv", kv, func(dst []F, r int, _, keys, values []F) {
		for h := range l.Heads {
			to := dst[(r*l.Heads+h)*(l.Plain+l.Values):]
			copy(to[:l.Plain], keys[h*l.width():])
			copy(to[l.Plain:], values[h*l.Values:(h+1)*l.Values])
		}
	})
	if err != nil {
		return nil, err
	}
	dshared, err := grad("dshared", shared, func(dst []F, r int, _, keys, _ []F) {
		sum := dst[r*l.Turned : (r+1)*l.Turned]
		clear(sum)
		for h := range l.Heads {
			for i, v := range keys[h*l.width()+l.Plain : (h+1)*l.width()] {
				sum[i] += v
			}
		}
	})
	return []*gorgonia.Node{dq, dkv, dshared}, err
}
