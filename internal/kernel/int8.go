package kernel

import (
	"math"
	"sync"
)

// MaxInt8Inputs is how many inputs an [Int8] may have: the sum of so many
// products of 127·127 fits an int32.
const MaxInt8Inputs = math.MaxInt32 / (127 * 127)

const (
	int8Columns = 16 // of a panel
	int8Group   = 4  // inputs that are multiplied into one sum at once
	int8Beside  = 4  // panels that one row is multiplied by at once
)

// Int8 is a w of [Linear] in integers from -127 to 127, a quarter of the bytes,
// with a scale for each row: its largest magnitude is 127. It may be used from
// many goroutines.
type Int8 struct {
	in, out int
	depth   int       // in, and zeros
	packed  []int8    // panels of rows, each by groups of inputs
	scales  []float32 // of each row, and zeros
}

// PackInt8 rounds w (out, in) to integers, each row by its own scale, and packs
// it. in is MaxInt8Inputs at most, and w finite.
func PackInt8(w []float32, in, out int) *Int8 {
	panels := (out + int8Columns - 1) / int8Columns
	p := &Int8{in: in, out: out, depth: (in + 7) &^ 7}
	p.packed = Zeros[int8](panels * int8Columns * p.depth)
	p.scales = make([]float32, panels*int8Columns)
	row := make([]int8, p.depth)
	for j := range out {
		p.scales[j] = quantize(row, w[j*in:(j+1)*in])
		panel := p.packed[j/int8Columns*int8Columns*p.depth:]
		for i, v := range row {
			panel[(i/int8Group*int8Columns+j%int8Columns)*int8Group+i%int8Group] = v
		}
	}
	return p
}

// Linear is [Linear] with the rounded w and each row of x rounded in the same
// way, by a scale of its own: y = act(x̂·ŵᵀ + bias). Products are summed
// exactly. A row that is not finite becomes NaN.
func (w *Int8) Linear(y, x, bias []float32, rows int, act Act) {
	q, scales := borrow[int8](rows*w.depth), borrow[float32](rows)
	defer giveBack(q)
	defer giveBack(scales)
	p := int8Jobs.Get().(*int8Job)
	defer int8Jobs.Put(p)
	*p = int8Job{Int8: w, y: y[:rows*w.out], x: x[:rows*w.in], rows: rows, act: act, q: *q, xScales: *scales}
	if bias != nil {
		p.bias = bias[:w.out]
		copy(p.edge[:], bias[w.out&^(int8Columns-1):])
	}
	p.beside = 1
	if rows == 1 {
		p.beside = int8Beside
	}
	split((*quantizing)(p), rows, 4*len(p.x))
	split(p, (len(w.scales)/int8Columns+p.beside-1)/p.beside, rows*len(w.packed))
	*p = int8Job{}
}

// An int8Job is a product on its way.
type int8Job struct {
	*Int8
	y, x, bias []float32
	edge       [int8Columns]float32 // the bias of a last panel that is not full
	beside     int                  // panels that are computed at once
	rows       int
	act        Act
	q          []int8    // x, rounded, each row with zeros behind
	xScales    []float32 // of each row
}

var int8Jobs = sync.Pool{New: func() any { return new(int8Job) }}

// quantizing rounds rows of x.
type quantizing int8Job

func (p *quantizing) do(from, to int) {
	for r := from; r < to; r++ {
		p.xScales[r] = quantize(p.q[r*p.depth:(r+1)*p.depth], p.x[r*p.in:(r+1)*p.in])
	}
}

// do computes some panels for all rows.
func (p *int8Job) do(from, to int) {
	from, to = from*p.beside, min(to*p.beside, len(p.scales)/int8Columns)
	if !p.fast(from, to) {
		for panel := from; panel < to; panel++ {
			for r := range p.rows {
				p.dots(r, panel)
			}
		}
	}
	left, right := from*int8Columns, min(to*int8Columns, p.out)
	for r := range p.rows {
		y := p.y[r*p.out+left : r*p.out+right]
		Activate(y, y, p.act)
	}
}

// dots computes a panel for one row.
func (p *int8Job) dots(r, panel int) {
	const group = int8Columns * int8Group
	var sums [int8Columns]int32
	x, w := p.q[r*p.depth:(r+1)*p.depth], p.packed[panel*int8Columns*p.depth:]
	for ; len(x) > 0; x, w = x[int8Group:], w[group:] {
		x0, x1, x2, x3 := int32(x[0]), int32(x[1]), int32(x[2]), int32(x[3])
		w := (*[group]int8)(w)
		for j := range sums {
			sums[j] += x0*int32(w[4*j]) + x1*int32(w[4*j+1]) + x2*int32(w[4*j+2]) + x3*int32(w[4*j+3])
		}
	}
	for j := panel * int8Columns; j < min((panel+1)*int8Columns, p.out); j++ {
		v := float32(float32(sums[j%int8Columns]) * float32(p.xScales[r]*p.scales[j]))
		if p.bias != nil {
			v += p.bias[j]
		}
		p.y[r*p.out+j] = v
	}
}

// quantize rounds x to q by a scale, which it returns, so that x is nearly
// scale·q, and 127 is the largest magnitude. Zeros fill q. The scale of what is
// not finite is NaN; of what is next to nothing it is 0.
func quantize(q []int8, x []float32) (scale float32) {
	const tiny = 0x1p-100 // the inverse of less might be infinite
	top := magnitude(x)
	if !(top >= tiny && top <= math.MaxFloat32) {
		clear(q)
		return top - top // 0, or else NaN
	}
	inverse := 127 / top
	done := quantizeFast(q, x, inverse)
	for i, v := range x[done:] {
		q[done+i] = int8(math.RoundToEven(float64(v * inverse)))
	}
	clear(q[len(x):])
	return top / 127
}

// magnitude is the largest |x|, or a NaN if there is one: the largest bits, but
// for the sign.
func magnitude(x []float32) float32 {
	done, top := magnitudeFast(x)
	for _, v := range x[done:] {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(top)
}
