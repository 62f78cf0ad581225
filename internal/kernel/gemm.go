package kernel

const (
	// width is how many columns of C a tile has. Two rows of three sums keep
	// both adders busy; with a fourth column the compiler runs out of registers
	// and the tile runs at half the speed.
	width = 3
	// depth is how many products are summed before they are added to C: a panel
	// of B stays in the first cache, and rounding errors grow more slowly.
	depth = 256
	// few is the number of rows below which packing B costs more than it saves.
	few = 8
)

// worth is the number of products below which a second thread costs more than
// it brings. Tests change it.
var worth = 1 << 20

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) if acc, where op(A) is
// (m, k), op(B) is (k, n) and C is (m, n). With ta, A is stored as (k, m); with
// tb, B is stored as (n, k). C must not overlap A or B.
//
// Each element is summed over k in an order that depends on k alone.
func Gemm[F Float](ta, tb bool, m, n, k int, a, b, c []F, acc bool) {
	product[F]{ta: ta, tb: tb, acc: acc, m: m, n: n, k: k, a: a[:m*k], b: b[:k*n], c: c[:m*n]}.compute()
}

// A product is C = act(op(A)·op(B) + bias), or, if acc, C is added before the
// bias is.
type product[F Float] struct {
	ta, tb, acc bool
	m, n, k     int
	a, b, c     []F
	packed      []F      // op(B) as Pack made it, nil if it was left alone
	half        []uint16 // op(B) as PackHalf made it, nil if it did not
	bias        []F      // nil for none
	act         Act
}

func (p product[F]) compute() {
	if fast, ok := any(p).(product[float32]); ok && multiply32(fast) {
		return
	}
	if p.ta {
		t := borrow[F](p.m * p.k)
		defer giveBack(t)
		transpose(*t, p.a, p.k, p.m)
		p.a = *t
	}
	if !p.acc {
		clear(p.c)
	}
	panels := (p.n + width - 1) / width
	if p.m*p.n*p.k < worth {
		p.do(0, panels)
		return
	}
	shared := p // moves to the heap
	parallel(panels, &shared)
}

// do computes some panels of B, each of width columns.
func (p *product[F]) do(first, last int) {
	left, right := first*width, min(last*width, p.n)
	for from := 0; from < p.k; from += depth {
		to := min(from+depth, p.k)
		if p.tb && p.m < few {
			p.addDots(left, right, from, to)
		} else {
			p.addPanels(left, right, from, to)
		}
	}
	for i := range p.m {
		y := p.c[i*p.n+left : i*p.n+right]
		if p.bias != nil {
			for j, v := range p.bias[left:right] {
				y[j] += v
			}
		}
		Activate(y, y, p.act)
	}
}

// addPanels adds the products of [from, to) to the columns [left, right) of C,
// a panel of B at a time, padded with zeros.
func (p *product[F]) addPanels(left, right, from, to int) {
	var store [depth][width]F
	panel := store[:to-from]
	m, n, k, a, c := p.m, p.n, p.k, p.a, p.c
	for j := left; j < right; j += width {
		cols := min(width, right-j)
		if p.tb {
			packRows(panel, p.b[j*k+from:], k, cols)
		} else {
			packColumns(panel, p.b[from*n+j:], n, cols)
		}
		i := 0
		for ; i+2 <= m; i += 2 {
			c0, c1 := c[i*n+j:][:cols], c[(i+1)*n+j:][:cols]
			addTile2(c0, c1, a[i*k+from:i*k+to], a[(i+1)*k+from:(i+1)*k+to], panel)
		}
		if i < m {
			addTile1(c[i*n+j:][:cols], a[i*k+from:i*k+to], panel)
		}
	}
}

// addDots is addPanels with B (n, k) left as it is.
func (p *product[F]) addDots(left, right, from, to int) {
	row := func(j int) []F {
		j = min(j, right-1) * p.k // past the last row, any will do
		return p.b[j+from : j+to]
	}
	for i := range p.m {
		x, y := p.a[i*p.k+from:i*p.k+to], p.c[i*p.n:(i+1)*p.n]
		for j := left; j < right; j += 4 {
			sums := dot4(x, row(j), row(j+1), row(j+2), row(j+3))
			for d := range min(4, right-j) {
				y[j+d] += sums[d]
			}
		}
	}
}

// packRows gathers the starts of cols rows of b, which are k apart.
func packRows[F Float](p [][width]F, b []F, k, cols int) {
	if cols < width {
		clear(p)
	}
	for j := range cols {
		for i, v := range b[j*k:][:len(p)] {
			p[i][j] = v
		}
	}
}

// packColumns gathers the first cols columns of b, whose rows are n apart.
func packColumns[F Float](p [][width]F, b []F, n, cols int) {
	if cols < width {
		clear(p)
	}
	for i := range p {
		copy(p[i][:], b[i*n:][:cols])
	}
}

// addTile2 adds the products of two rows of A with a panel to two rows of C.
//
// The conversions keep the compiler from fusing products and sums, which it
// could do in one loop and not in another: all must round alike.
func addTile2[F Float](c0, c1, a0, a1 []F, p [][width]F) {
	a0, a1 = a0[:len(p)], a1[:len(p)]
	var s00, s01, s02, s10, s11, s12 F
	for i := range p {
		b, x, y := &p[i], a0[i], a1[i]
		s00 += F(x * b[0])
		s10 += F(y * b[0])
		s01 += F(x * b[1])
		s11 += F(y * b[1])
		s02 += F(x * b[2])
		s12 += F(y * b[2])
	}
	add(c0, s00, s01, s02)
	add(c1, s10, s11, s12)
}

// addTile1 is addTile2 for the last of an odd number of rows.
func addTile1[F Float](c, a []F, p [][width]F) {
	a = a[:len(p)]
	var s0, s1, s2 F
	for i := range p {
		b, x := &p[i], a[i]
		s0 += F(x * b[0])
		s1 += F(x * b[1])
		s2 += F(x * b[2])
	}
	add(c, s0, s1, s2)
}

// dot4 is the dot products of x with four rows of B.
func dot4[F Float](x, b0, b1, b2, b3 []F) [4]F {
	b0, b1, b2, b3 = b0[:len(x)], b1[:len(x)], b2[:len(x)], b3[:len(x)]
	var s0, s1, s2, s3 F
	for i, v := range x {
		s0 += F(v * b0[i])
		s1 += F(v * b1[i])
		s2 += F(v * b2[i])
		s3 += F(v * b3[i])
	}
	return [4]F{s0, s1, s2, s3}
}

// add adds as many of the three sums to c as it has room for.
func add[F Float](c []F, s0, s1, s2 F) {
	if len(c) > 2 {
		c[2] += s2
	}
	if len(c) > 1 {
		c[1] += s1
	}
	c[0] += s0
}

// transpose writes src (rows, cols) to dst (cols, rows).
func transpose[F Float](dst, src []F, rows, cols int) {
	const block = 8 // columns at once: a cache line is read whole
	for j := 0; j < cols; j += block {
		w := min(block, cols-j)
		for i := range rows {
			for d, v := range src[i*cols+j:][:w] {
				dst[(j+d)*rows+i] = v
			}
		}
	}
}
