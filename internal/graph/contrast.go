package graph

import (
	"fmt"
	"math"
	"math/bits"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A Contrast compares rows with a memory of all samples.
type Contrast struct {
	Negatives int     // drawn for each row
	T         float64 // the temperature
	Seed      uint64  // of the draws

	// What the last run saw of the rows that count: their places and embeddings,
	// one after the other, and the norm that it divided by.
	Places []int
	Rows   []float64
	Norm   float64
}

// noise is the ε of the authors' code.
const noise = 1e-7

// Losses are, for each embedding of v (R, D) that counts, by its weight (R),
//
//	-log(p/(p + c)) - Σ_k log(c/(p_k + c)),    p = exp(m·v/T)/norm
//
// with the row m of the memory (N, D) at the sample's place (R), and those at
// places of other samples, drawn by the seed, the step and the place; c is how many
// they are, over N (Tian et al. 2020, 1910.10699, section 3). The norm is that of
// (1), or, where it is 0, what makes the mean of all p here 1/N. There is a gradient
// by v alone.
func (c *Contrast) Losses(v, places, weight, memory, norm, step *gorgonia.Node) (*gorgonia.Node, error) {
	s, m := v.Shape(), memory.Shape()
	switch {
	case len(s) != 2 || len(m) != 2 || s[1] != m[1] || !places.Shape().Eq(s[:1]) || !weight.Shape().Eq(s[:1]) || norm.Shape().TotalSize() != 1:
		return nil, fmt.Errorf("graph: contrast: embeddings are %v, places %v, weights %v, the memory %v, the norm %v; want (R, D), (R), (R), (N, D) and (1)",
			s, places.Shape(), weight.Shape(), m, norm.Shape())
	case m[0] < 2:
		return nil, fmt.Errorf("graph: contrast: there is %d sample; want 2 or more", m[0])
	}
	if err := checkNumber("contrast", "the step", step); err != nil {
		return nil, err
	}
	in := []*gorgonia.Node{v, places, weight, memory, norm, step}
	if v.Dtype() == tensor.Float64 {
		return rowLoss("contrast", contrast[float64](c), 1, in...)
	}
	return rowLoss("contrast", contrast[float32](c), 1, in...)
}

// A contrasting is a Contrast of one dtype, with what it needs while it runs.
type contrasting[F kernel.Float] struct {
	*Contrast
	width     int // of embeddings
	samples   int
	z, memory []F
	rows      []int     // that count
	others    []int     // places: a row's own, then those drawn for it
	scores    []float64 // of each
	v, all    []F       // the rows that count, and their products with all samples
}

func contrast[F kernel.Float](c *Contrast) rowsFunc[F] {
	x := &contrasting[F]{Contrast: c}
	return func(value, grad, z []F, in []gorgonia.Value) {
		x.z, x.memory, x.width = z, floats[F](in[3]), len(z)/len(value)
		x.samples = len(x.memory) / x.width
		x.rows = counted(x.rows[:0], floats[F](in[2]))
		x.see(x.rows, ints(in[1]), x.samples)
		x.score(uint64(scalar(in[5])))
		x.settle(x.scores, float64(floats[F](in[4])[0]), x.samples)
		clear(value)
		clear(grad)
		x.grade(value, grad)
		x.keep()
	}
}

// dense says that it is quicker to multiply all samples with each row than those
// that were drawn: a matrix product is more than eight times as fast.
func (x *contrasting[F]) dense() bool { return x.samples <= 8*(x.Negatives+1) }

// score draws for each row, and finds exp(m·v/T) of all.
func (x *contrasting[F]) score(step uint64) {
	k := x.Negatives + 1
	x.others, x.scores = room(x.others, len(x.rows)*k), room(x.scores, len(x.rows)*k)
	if x.dense() {
		x.multiply()
	}
	kernel.Rows(len(x.rows), k*(costOfExp+x.width), func(from, to int) {
		for i := from; i < to; i++ {
			x.draw(x.others[i*k:(i+1)*k], x.Places[i], x.samples, step)
			for j := i * k; j < (i+1)*k; j++ {
				x.scores[j] = math.Exp(x.product(i, j) / x.T)
			}
		}
	})
}

// multiply finds the products of all rows and all samples.
func (x *contrasting[F]) multiply() {
	n := len(x.rows)
	x.v, x.all = room(x.v, n*x.width), room(x.all, n*x.samples)
	for i := range n {
		copy(x.v[i*x.width:], x.embedding(i))
	}
	kernel.Gemm(false, true, n, x.samples, x.width, x.v, x.memory, x.all, false)
}

// product is m·v of a row and what was drawn for it.
func (x *contrasting[F]) product(i, j int) float64 {
	if x.dense() {
		return float64(x.all[i*x.samples+x.others[j]])
	}
	return dot(x.remembered(j), x.embedding(i))
}

// remembered is what the memory has of a place that was drawn.
func (x *contrasting[F]) remembered(j int) []F {
	at := x.others[j] * x.width
	return x.memory[at : at+x.width]
}

// embedding is that of a row that counts.
func (x *contrasting[F]) embedding(i int) []F {
	at := x.rows[i] * x.width
	return x.z[at : at+x.width]
}

// grade writes the values of the rows that count, and their gradients.
func (x *contrasting[F]) grade(value, grad []F) {
	k := x.Negatives + 1
	kernel.Rows(len(x.rows), costOfExp*k, func(from, to int) {
		for i := from; i < to; i++ {
			value[x.rows[i]] = F(x.likelihood(x.scores[i*k:(i+1)*k], x.samples))
		}
	})
	if !x.dense() {
		x.gather(grad)
		return
	}
	clear(x.all) // of the weights of all samples, from now on
	for j, w := range x.scores {
		x.all[j/k*x.samples+x.others[j]] += F(w / x.T)
	}
	kernel.Gemm(false, false, len(x.rows), x.width, x.samples, x.all, x.memory, x.v, false)
	for i, r := range x.rows {
		copy(grad[r*x.width:], x.v[i*x.width:(i+1)*x.width])
	}
}

// gather adds up the gradient of each row by what was drawn for it.
func (x *contrasting[F]) gather(grad []F) {
	k := x.Negatives + 1
	kernel.Rows(len(x.rows), k*x.width, func(from, to int) {
		sum := make([]float64, x.width)
		for i := from; i < to; i++ {
			clear(sum)
			for j := i * k; j < (i+1)*k; j++ {
				for a, m := range x.remembered(j) {
					sum[a] += x.scores[j] * float64(m)
				}
			}
			for a, v := range sum {
				grad[x.rows[i]*x.width+a] = F(v / x.T)
			}
		}
	})
}

// keep notes the embeddings, for the memory.
func (x *contrasting[F]) keep() {
	x.Rows = x.Rows[:0]
	for i := range x.rows {
		for _, v := range x.embedding(i) {
			x.Rows = append(x.Rows, float64(v))
		}
	}
}

// counted appends the rows whose weight is not 0.
func counted[F kernel.Float](rows []int, weight []F) []int {
	for r, w := range weight {
		if w != 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// room is x with n elements, which hold anything.
func room[E any](x []E, n int) []E {
	if cap(x) < n {
		return make([]E, n)
	}
	return x[:n]
}

// see notes the places of the rows that count.
func (c *Contrast) see(rows, places []int, samples int) {
	c.Places = c.Places[:0]
	for _, r := range rows {
		if places[r] < 0 || places[r] >= samples {
			panic(fmt.Sprintf("row %d is of a sample that is none of the %d which the training data lists", r, samples))
		}
		c.Places = append(c.Places, places[r])
	}
}

// draw writes a sample's place, and those of others, each as likely as any.
func (c *Contrast) draw(dst []int, place, samples int, step uint64) {
	dst[0] = place
	state := Hash(c.Seed, step, uint64(place))
	for i := range dst[1:] {
		state += golden
		other, _ := bits.Mul64(mix(state), uint64(samples-1))
		dst[1+i] = int(other)
		if dst[1+i] >= place {
			dst[1+i]++
		}
	}
}

// settle divides the scores by the norm, which it finds if there is none yet.
func (c *Contrast) settle(scores []float64, norm float64, samples int) {
	if c.Norm = norm; norm == 0 && len(scores) > 0 {
		sum := 0.0
		for _, p := range scores {
			sum += p
		}
		c.Norm = sum / float64(len(scores)) * float64(samples)
	}
	for i := range scores {
		scores[i] /= c.Norm
	}
}

// likelihood is the loss of a row with such scores, the first of which is that of
// its own sample. It leaves its derivatives by the logarithms of the scores.
func (c *Contrast) likelihood(p []float64, samples int) float64 {
	all := float64(c.Negatives) / float64(samples)
	own := p[0] + all + noise
	loss := math.Log(own / p[0])
	p[0] = -(all + noise) / own
	for i, v := range p[1:] {
		any := v + all + noise
		loss += math.Log(any / all)
		p[1+i] = v / any
	}
	return loss
}

// Settle writes the norm of the last run to that of (1).
func (c *Contrast) Settle(norm *tensor.Dense) {
	if norm.Dtype() == tensor.Float64 {
		norm.Float64s()[0] = c.Norm
	} else {
		norm.Float32s()[0] = float32(c.Norm)
	}
}

// Remember moves what the memory (N, D) has at the places of the last run towards
// what was there, by a share of 1-momentum, and gives it the norm 1 again.
func (c *Contrast) Remember(memory *tensor.Dense, momentum float64) {
	if memory.Dtype() == tensor.Float64 {
		remember(c, floats[float64](memory), memory.Shape()[1], momentum)
	} else {
		remember(c, floats[float32](memory), memory.Shape()[1], momentum)
	}
}

func remember[F kernel.Float](c *Contrast, memory []F, d int, momentum float64) {
	row := make([]float64, d)
	for i, at := range c.Places {
		sum := 0.0
		for j, x := range c.Rows[i*d : (i+1)*d] {
			row[j] = float64(momentum*float64(memory[at*d+j])) + float64((1-momentum)*x)
			sum += row[j] * row[j]
		}
		for j, x := range row {
			memory[at*d+j] = F(x / max(math.Sqrt(sum), tiny))
		}
	}
}
