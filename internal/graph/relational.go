package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A relation is a loss of n rows as a whole, of a student's x (n, d) and a
// teacher's t (n, e). It returns its value, and writes the gradient by x, every
// element.
type relation[F kernel.Float] func(s *scratch[F], grad, x, t []F, n int) float64

// together applies a relation to the rows of x (R, ...) and t (R, ...) whose
// weight (R) is not 0: others are not there. Its values (R) are all the same, so
// that their mean is the loss.
func together(name string, single relation[float32], double relation[float64], x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	rows := x.Shape()[:1]
	switch {
	case x.Dims() < 2 || t.Dims() < 2 || t.Shape()[0] != rows[0] || !weight.Shape().Eq(rows):
		return nil, fmt.Errorf("graph: %s: the student's side is %v, the teacher's %v, the weights %v; want (R, ...), (R, ...) and (R)",
			name, x.Shape(), t.Shape(), weight.Shape())
	case x.Dtype() == tensor.Float64:
		return relate(name, double, x, t, weight)
	}
	return relate(name, single, x, t, weight)
}

func relate[F kernel.Float](name string, f relation[F], x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	shape := x.Shape()
	grad, s := make([]F, shape.TotalSize()), &scratch[F]{}
	o := &op{name: name, shape: shape[:1].Clone(), wrt: []bool{true, false, false}}
	o.run = func(v []gorgonia.Value) {
		value := F(s.counted(f, grad, floats[F](v[0]), floats[F](v[1]), floats[F](v[2])))
		for r, dst := 0, floats[F](o.value); r < len(dst); r++ {
			dst[r] = value
		}
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: name + ".dx", shape: shape}
		d.run = func(v []gorgonia.Value) {
			sum := 0.0
			for _, g := range floats[F](v[0]) {
				sum += float64(g)
			}
			kernel.ScaleRows(floats[F](d.value), grad, []F{F(sum)})
		}
		dx, err := apply[F](d, dy, y) // y orders it behind the forward pass
		return []*gorgonia.Node{dx, nil, nil}, err
	}
	return apply[F](o, x, t, weight)
}

// A scratch is memory for the values in between, which is kept from run to run.
type scratch[F kernel.Float] struct {
	own  shelf[F]
	wide shelf[float64]
	rows []int
}

// take is room for n numbers, which hold anything.
func (s *scratch[F]) take(n int) []F { return s.own.take(n) }

// A shelf has room for some slices, in the order in which they are asked for.
type shelf[E any] struct {
	all  [][]E
	next int
}

func (s *shelf[E]) take(n int) []E {
	if s.next == len(s.all) {
		s.all = append(s.all, nil)
	}
	s.all[s.next] = room(s.all[s.next], n)
	s.next++
	return s.all[s.next-1]
}

// counted is the relation of the rows that count: they are brought together, and
// their gradients put back.
func (s *scratch[F]) counted(f relation[F], grad, x, t, weight []F) float64 {
	s.own.next, s.wide.next, s.rows = 0, 0, counted(s.rows[:0], weight)
	clear(grad)
	n, d := len(s.rows), len(x)/len(weight)
	if n == 0 {
		return 0
	}
	g := s.take(n * d)
	value := f(s, g, s.pick(x, len(weight)), s.pick(t, len(weight)), n)
	for i, r := range s.rows {
		copy(grad[r*d:(r+1)*d], g[i*d:])
	}
	return value
}

// pick copies those of all rows of x that count.
func (s *scratch[F]) pick(x []F, all int) []F {
	d := len(x) / all
	dst := s.take(len(s.rows) * d)
	for i, r := range s.rows {
		copy(dst[i*d:(i+1)*d], x[r*d:])
	}
	return dst
}

// gram is x·xᵀ, (n, n).
func (s *scratch[F]) gram(x []F, n int) []F {
	g := s.take(n * n)
	kernel.Gemm(false, true, n, n, len(x)/n, x, x, g, false)
	return g
}

// gramGrad writes (dg + dgᵀ)·x: the gradient of x by that of its Gram matrix, to
// which it adds its transpose.
func gramGrad[F kernel.Float](dx, dg, x []F, n int) {
	for i := range n {
		for j := range i + 1 {
			both := dg[i*n+j] + dg[j*n+i]
			dg[i*n+j], dg[j*n+i] = both, both
		}
	}
	kernel.Gemm(false, false, n, len(x)/n, n, dg, x, dx, false)
}

// tiny is the norm below which a direction is none: PyTorch's F.normalize divides
// by it, and we give no gradient.
const tiny = 1e-12

// normalize divides each of n rows of x by its norm, in place, and leaves the
// norms in norm.
func normalize[F kernel.Float](x []F, norm []float64) {
	d := len(x) / len(norm)
	for i := range norm {
		row := x[i*d : (i+1)*d]
		norm[i] = math.Sqrt(kernel.SumSquares(row))
		for k, v := range row {
			row[k] = F(float64(v) / max(norm[i], tiny))
		}
	}
}

// normalizeGrad makes the gradient dy of rows y, which were divided by their
// norms, one of what they were: (dy - y(y·dy))/norm, in place.
func normalizeGrad[F kernel.Float](dy, y []F, norm []float64) {
	d := len(y) / len(norm)
	for i, r := range norm {
		dy, y := dy[i*d:(i+1)*d], y[i*d:(i+1)*d]
		along := dot(y, dy)
		for k, g := range dy {
			dy[k] = 0
			if r > tiny {
				dy[k] = F((float64(g) - float64(float64(y[k])*along)) / r)
			}
		}
	}
}

func dot[F kernel.Float](a, b []F) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// smooth is ½d² up to |d| = 1 and |d| - ½ beyond, with its derivative: PyTorch's
// smooth_l1_loss.
func smooth(d float64) (value, slope float64) {
	if a := math.Abs(d); a >= 1 {
		return a - 0.5, math.Copysign(1, d)
	}
	return 0.5 * d * d, d
}

// Similarity is (1/n²)·‖Ĝ(t) - Ĝ(x)‖², where Ĝ is the Gram matrix of the n rows
// that count with each of its rows divided by its norm (Tung and Mori 2019,
// 1907.09682, equation 4). Values are as [together] has them.
func Similarity(x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return together("similarity", similarity[float32], similarity[float64], x, t, weight)
}

func similarity[F kernel.Float](s *scratch[F], grad, x, t []F, n int) float64 {
	g, want, norm := s.gram(x, n), s.gram(t, n), s.wide.take(n)
	normalize(want, norm)
	normalize(g, norm)
	sum, k := 0.0, 1/float64(n*n)
	for i, v := range g {
		d := float64(v) - float64(want[i])
		sum += d * d
		want[i] = F(2 * k * d)
	}
	normalizeGrad(want, g, norm)
	gramGrad(grad, want, x, n)
	return k * sum
}

// Distances is the mean, over all pairs of the n rows that count, of the smooth
// L1 of the difference of their distances in x and in t, each divided by the mean
// distance there (Park et al. 2019, 1904.05068, section 3.2.1). Values are as
// [together] has them: one row has none.
func Distances(x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return together("distances", distances[float32], distances[float64], x, t, weight)
}

func distances[F kernel.Float](s *scratch[F], grad, x, t []F, n int) float64 {
	clear(grad)
	if n < 2 {
		return 0
	}
	d, want := s.wide.take(n*n), s.wide.take(n*n)
	mean, wanted := apart(d, x, n), apart(want, t, n)
	sum, along, k := 0.0, 0.0, 1/float64(n*n)
	for i, v := range d {
		value, slope := smooth(v/mean - want[i]/wanted)
		sum, along, want[i] = sum+value, along+float64(slope*v), k*slope
	}
	shift := k * along / (mean * float64(n*(n-1))) // of all distances, by their mean
	size := len(x) / n
	kernel.Rows(n, n*size, func(from, to int) {
		for i := from; i < to; i++ {
			for j := range n {
				if v := d[i*n+j]; v*v > tiny {
					pull(grad[i*size:(i+1)*size], x[i*size:], x[j*size:], 2*(want[i*n+j]-shift)/(mean*v))
				}
			}
		}
	})
	return k * sum
}

// pull adds w·(a-b) to dst.
func pull[F kernel.Float](dst, a, b []F, w float64) {
	for k := range dst {
		dst[k] += F(w * (float64(a[k]) - float64(b[k])))
	}
}

// apart writes the distances of all pairs of n rows, (n, n), and returns the mean
// of those of different rows. A square below 1e-12 counts as that, as in the
// authors' code.
func apart[F kernel.Float](d []float64, x []F, n int) float64 {
	size := len(x) / n
	kernel.Rows(n, n*size, func(from, to int) {
		for i := from; i < to; i++ {
			for j := range n {
				sum := 0.0
				for k, v := range x[i*size : (i+1)*size] {
					v := float64(v) - float64(x[j*size+k])
					sum += v * v
				}
				d[i*n+j] = math.Sqrt(max(sum, tiny))
			}
			d[i*n+i] = 0
		}
	})
	sum := 0.0
	for _, v := range d {
		sum += v
	}
	return sum / float64(n*(n-1))
}

// Angles is the mean, over all triples of the n rows that count, of the smooth
// L1 of the difference of the cosines that two of them make at the third in x
// and in t (Park et al. 2019, 1904.05068, section 3.2.2). Values are as
// [together] has them.
func Angles(x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return together("angles", angles[float32], angles[float64], x, t, weight)
}

func angles[F kernel.Float](s *scratch[F], grad, x, t []F, n int) float64 {
	clear(grad)
	size, sum, k := len(x)/n, 0.0, 1/float64(n*n*n)
	e, de, theirs := s.take(len(x)), s.take(len(x)), s.take(len(t))
	norm, next := s.wide.take(n), s.own.next
	for at := range n {
		s.own.next = next
		from(theirs, t, at, norm)
		from(e, x, at, norm)
		cos, want := s.gram(e, n), s.gram(theirs, n)
		for i, v := range cos {
			value, slope := smooth(float64(v) - float64(want[i]))
			sum, want[i] = sum+value, F(k*slope)
		}
		gramGrad(de, want, e, n)
		normalizeGrad(de, e, norm)
		for i := range n {
			for j, g := range de[i*size : (i+1)*size] {
				grad[i*size+j] += g
				grad[at*size+j] -= g
			}
		}
	}
	return k * sum
}

// from writes the directions from one of the rows of x to all of them.
func from[F kernel.Float](e, x []F, at int, norm []float64) {
	size := len(x) / len(norm)
	here := x[at*size : (at+1)*size]
	for i := range norm {
		for j, v := range x[i*size : (i+1)*size] {
			e[i*size+j] = v - here[j]
		}
	}
	normalize(e, norm)
}

// Neighbours is the mean over all pairs (i, j) of the n rows that count of
// p·log((p+ε)/(q+ε)), where p and q say how likely a row of t, and of x, has j
// for a neighbour of i: (cosine + 1)/2, of sum 1 over j (Passalis and Tefas
// 2018, 1803.10837, section 3). ε is 1e-7. Values are as [together]
// has them.
func Neighbours(x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return together("neighbours", neighbours[float32], neighbours[float64], x, t, weight)
}

// nearly is the ε of the authors' code.
const nearly = 1e-7

func neighbours[F kernel.Float](s *scratch[F], grad, x, t []F, n int) float64 {
	norm := s.wide.take(n)
	theirs := s.cosines(t, norm)
	p := s.likely(s.gram(theirs, n), n)
	y := s.cosines(x, norm)
	g := s.gram(y, n)
	q := s.likely(g, n)
	sum, k := 0.0, 1/float64(n*n)
	for i := range n {
		p, q, dg := p[i*n:(i+1)*n], q[i*n:(i+1)*n], g[i*n:(i+1)*n]
		total, along := rowTotal(dg), 0.0
		for j, v := range p {
			sum += v * math.Log((v+nearly)/(q[j]+nearly))
			p[j] = -k * v / (q[j] + nearly)
			along += float64(p[j] * q[j])
		}
		for j, dp := range p {
			dg[j] = F((dp - along) / total)
		}
	}
	gramGrad(grad, g, y, n)
	cosinesGrad(grad, y, norm)
	return k * sum
}

// cosines are the rows of x divided by their norms, and a little more.
func (s *scratch[F]) cosines(x []F, norm []float64) []F {
	y, d := s.take(len(x)), len(x)/len(norm)
	for i := range norm {
		row := x[i*d : (i+1)*d]
		norm[i] = math.Sqrt(kernel.SumSquares(row))
		for k, v := range row {
			y[i*d+k] = F(float64(v) / (norm[i] + nearly))
		}
	}
	return y
}

// cosinesGrad makes the gradient of cosines one of what they were, in place. A
// row of zeros has none.
func cosinesGrad[F kernel.Float](dy, y []F, norm []float64) {
	d := len(y) / len(norm)
	for i, r := range norm {
		dy, y := dy[i*d:(i+1)*d], y[i*d:(i+1)*d]
		along := dot(y, dy)
		for k, g := range dy {
			dy[k] = 0
			if r > tiny {
				dy[k] = F(float64(g)/(r+nearly) - float64(float64(y[k])*along)/r)
			}
		}
	}
}

// likely makes cosines, in each of n rows, numbers of sum 1.
func (s *scratch[F]) likely(g []F, n int) []float64 {
	p := s.wide.take(len(g))
	for i := range n {
		total := rowTotal(g[i*n : (i+1)*n])
		for j, v := range g[i*n : (i+1)*n] {
			p[i*n+j] = (float64(v) + 1) / total
		}
	}
	return p
}

// rowTotal is the sum of cosine + 1.
func rowTotal[F kernel.Float](row []F) (sum float64) {
	for _, v := range row {
		sum += float64(v) + 1
	}
	return sum
}

// Congruence is ‖K(t) - K(x)‖/n², where K are the kernels of all pairs of the n
// rows that count, Σ_p series[p]·(a·b)^p (Peng et al. 2019, ICCV, section 3,
// with the norm for its square, as in torchdistill). Values are as [together] has
// them.
func Congruence(x, t, weight *gorgonia.Node, series []float64) (*gorgonia.Node, error) {
	return together("congruence", congruence[float32](series), congruence[float64](series), x, t, weight)
}

func congruence[F kernel.Float](series []float64) relation[F] {
	return func(s *scratch[F], grad, x, t []F, n int) float64 {
		g, theirs := s.gram(x, n), s.gram(t, n)
		differ := s.wide.take(n * n)
		for i, v := range g {
			value, slope := power(series, float64(v))
			want, _ := power(series, float64(theirs[i]))
			differ[i], g[i] = value-want, F(slope)
		}
		norm := math.Sqrt(kernel.SumSquares(differ))
		k := 1 / float64(n*n)
		for i, d := range differ {
			g[i] *= F(k * d / max(norm, math.SmallestNonzeroFloat64))
		}
		gramGrad(grad, g, x, n)
		return k * norm
	}
}

// power is a power series at v, with its derivative.
func power(series []float64, v float64) (value, slope float64) {
	for p := len(series) - 1; p >= 0; p-- {
		slope = float64(slope*v) + value
		value = float64(value*v) + series[p]
	}
	return value, slope
}
