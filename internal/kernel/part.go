package kernel

// A matrix is a part of a larger one: row r begins at data[r*apart].
type matrix[F Float] struct {
	data  []F
	apart int
}

// from is the matrix without its first rows.
func (m matrix[F]) from(row int) matrix[F] { return matrix[F]{m.data[row*m.apart:], m.apart} }

// row is the first n elements of a row.
func (m matrix[F]) row(r, n int) []F { return m.data[r*m.apart : r*m.apart+n] }

// panels are the right side B (k, n) of small products, one after the other on one
// thread, in the order in which they read it: with assembly panels of 16 columns,
// as in a job, and else its rows.
type panels[F Float] struct {
	n, k  int
	store []F
}

// tileWidth is how many columns a panel has.
const tileWidth = 16

// panelsSize is the store that panels need.
func panelsSize(n, k int) int { return wholePanels(n) * k }

// wholePanels is n columns with those that fill up the last panel.
func wholePanels(n int) int { return (n + tileWidth - 1) / tileWidth * tileWidth }

// packTurned makes b (n, k), turned, the right side.
func (p *panels[F]) packTurned(b matrix[F], n, k int) {
	p.n, p.k = n, k
	if p.packTurnedFast(b) {
		return
	}
	for j := range n {
		for i, v := range b.row(j, k) {
			p.store[i*n+j] = v
		}
	}
}

// pack makes b (k, n) the right side.
func (p *panels[F]) pack(b matrix[F], n, k int) {
	p.n, p.k = n, k
	if p.packFast(b) {
		return
	}
	for i := range k {
		copy(p.store[i*n:(i+1)*n], b.row(i, n))
	}
}

// A stretch is a part of the right side: its first n columns, and k rows from a
// row on.
type stretch struct{ n, from, k int }

// multiply computes c (m, n) = a·B for a part of B, where a is (m, k).
func (p *panels[F]) multiply(c, a matrix[F], m int, of stretch) {
	if p.multiplyFast(c, a, m, of) {
		return
	}
	for i := range m {
		y := c.row(i, of.n)
		clear(y)
		for l, v := range a.row(i, of.k) {
			p.add(y, v, of.from+l)
		}
	}
}

// addTurned computes c (m, n) += aᵀ·B for a part of B, where a is (k, m).
func (p *panels[F]) addTurned(c, a matrix[F], m int, of stretch) {
	if p.addTurnedFast(c, a, m, of) {
		return
	}
	for l := range of.k {
		for i, v := range a.row(l, m) {
			p.add(c.row(i, of.n), v, of.from+l)
		}
	}
}

// add adds v times a row of B to y.
func (p *panels[F]) add(y []F, v F, row int) {
	b := p.store[row*p.n:]
	for j := range y {
		y[j] += F(v * b[j])
	}
}

// place is where element (row, column) of the right side is.
func (p *panels[F]) place(row, column int) int {
	if p.tiled() {
		return column/tileWidth*tileWidth*p.k + row*tileWidth + column%tileWidth
	}
	return row*p.n + column
}

// setColumn writes a column of the right side.
func (p *panels[F]) setColumn(column int, x []F) {
	at, apart := p.place(0, column), p.n
	if p.tiled() {
		apart = tileWidth
	}
	for i, v := range x[:p.k] {
		p.store[at+i*apart] = v
	}
}

// setRow writes a row of the right side.
func (p *panels[F]) setRow(row int, x []F) {
	for j := 0; j < p.n; j += tileWidth {
		copy(p.store[p.place(row, j):], x[j:min(j+tileWidth, p.n)])
	}
}
