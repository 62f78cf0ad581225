package kernel

import "sync"

const (
	tileRows    = 6
	tileColumns = 16
	// packedRows is how many elements a panel of A has for each k, of which
	// some are not used.
	packedRows = 8
	// deepest is how many products are summed, at most, before they go to C: a
	// panel of A and one of B are in the first cache together.
	deepest = 336
	// stripPanels panels of B and blockPanels panels of A are in the second
	// cache together.
	stripPanels, blockPanels = 8, 24
	// chunk is how many elements of A are packed at once, where it has many.
	chunk = 1 << 20
)

// What a tile does besides, as bits of its mode.
const (
	modeAdd  = 1 << iota // add what C holds
	modeReLU             // after the bias
)

// A job is a product on its way. Panels of A, of up to 6 rows, and of B, of 16
// columns, are packed in the order in which tiles read them, in blocks of depth
// products. An element of C is the sum of its blocks, in order.
type job struct {
	product[float32]
	depth   int                  // of a block
	columns int                  // panels of B
	edge    [tileColumns]float32 // the bias of the last of them, and zeros

	first, rows int       // the panels of A at hand
	left        []float32 // those, packed
	groups      int       // of them, to be shared where B has few panels
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// multiply32 computes a product, or says that it has to be done elsewhere.
func multiply32(x product[float32]) bool {
	if !simd || x.m*x.n*x.k == 0 {
		return false
	}
	p := jobs.Get().(*job)
	defer jobs.Put(p)
	*p = job{product: x, depth: depthOf(x.k), columns: columnPanels(x.n)}
	if p.bias != nil {
		copy(p.edge[:], p.bias[(p.columns-1)*tileColumns:])
	}
	if p.m == 1 {
		split((*oneRow)(p), p.columns, p.n*p.k)
	} else {
		p.run()
	}
	*p = job{}
	return true
}

// pack32 is op(B), (k, n), as tiles read it, or nil if it is better left alone.
func pack32(tb bool, n, k int, b []float32) []float32 {
	if !simd || n*k == 0 {
		return nil
	}
	p := job{product: product[float32]{tb: tb, n: n, k: k, b: b}, depth: depthOf(k), columns: columnPanels(n)}
	packed := make([]float32, p.columns*tileColumns*k)
	for from := 0; from < k; from += p.depth {
		p.right(packed[from*p.columns*tileColumns:], 0, p.columns, from, min(p.depth, k-from))
	}
	return packed
}

// split does n items of r, on many threads if it is worth it.
func split(r ranger, n, products int) {
	if products < worth {
		r.do(0, n)
	} else {
		parallel(n, r)
	}
}

func (p *job) run() {
	all := rowPanels(p.m)
	left := borrow[float32](packedRows * p.k * min(all, p.mostRows()))
	defer giveBack(left)
	p.left = *left
	for ; p.first < all; p.first += p.rows {
		p.rows = min(p.mostRows(), all-p.first)
		p.groups = 1
		if p.columns < stripPanels {
			p.groups = (p.rows + stripPanels - 1) / stripPanels
		}
		size := p.rows * tileRows * p.k
		split((*leftPacking)(p), p.rows, size*tileColumns)
		split((*tiling)(p), p.groups*p.columns, size*p.n)
	}
}

// mostRows is how many panels of A are packed at once.
func (p *job) mostRows() int { return max(blockPanels, chunk/(packedRows*p.k)) }

// depthOf divides k into blocks of about one size, a multiple of 8.
func depthOf(k int) int {
	blocks := (k + deepest - 1) / deepest
	return ((k+blocks-1)/blocks + 7) &^ 7
}

// columnPanels is how many panels n columns make.
func columnPanels(n int) int { return (n + tileColumns - 1) / tileColumns }

// rowPanels is how many panels m rows make.
func rowPanels(m int) int { return (m + tileRows - 1) / tileRows }

// rowStart is the first row of a panel. The last two share what is left: with
// few rows a tile waits for its sums.
func rowStart(m, panel int) int {
	last := rowPanels(m) - 1
	switch {
	case panel > last:
		return m
	case panel == last && panel > 0 && m%tileRows != 0:
		before := (panel - 1) * tileRows
		return before + (m-before+1)/2
	}
	return panel * tileRows
}

// leftPacking packs the panels of A at hand.
type leftPacking job

func (p *leftPacking) do(from, to int) {
	for panel := from; panel < to; panel++ {
		top, end := rowStart(p.m, p.first+panel), rowStart(p.m, p.first+panel+1)
		for k := 0; k < p.k; k += p.depth {
			n := min(p.depth, p.k-k)
			dst := p.left[(k*p.rows+n*panel)*packedRows:]
			if p.ta {
				copy8(&dst[0], &p.a[k*p.m+top], 4*p.m, n, mask(end-top))
			} else {
				transposeRows(dst, packedRows, p.a[top*p.k+k:], p.k, end-top, n)
			}
		}
	}
}

// packRight packs a panel of B, of n elements from k.
func (p *job) packRight(dst []float32, panel, k, n int) {
	j := panel * tileColumns
	width := min(tileColumns, p.n-j)
	if !p.tb {
		copy16(&dst[0], &p.b[k*p.n+j], 4*p.n, n, mask(width))
		return
	}
	transposeRows(dst, tileColumns, p.b[j*p.k+k:], p.k, min(8, width), n)
	if width <= 8 {
		transposeRows(dst[8:], tileColumns, nil, 0, 0, n)
	} else {
		transposeRows(dst[8:], tileColumns, p.b[(j+8)*p.k+k:], p.k, width-8, n)
	}
}

// transposeRows writes n columns of 8 rows to dst, width elements apart. Those
// after the first few rows are 0.
func transposeRows(dst []float32, width int, src []float32, ld, few, n int) {
	var rows [8]*float32
	for r := range rows {
		rows[r] = &zeros[0]
		if r < few {
			rows[r] = &src[r*ld]
		}
	}
	done := n &^ 7
	if done > 0 {
		transpose8(&dst[0], 4*width, &rows, done/8)
	}
	for i := done; i < n; i++ {
		column := dst[i*width:][:8]
		clear(column)
		for r := range few {
			column[r] = src[r*ld+i]
		}
	}
}

var (
	zeros [deepest]float32
	masks = [2 * tileColumns]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
)

// mask keeps the first n elements.
func mask(n int) *int32 { return &masks[tileColumns-n] }

// right is some panels of B, packed: those of the product, or else in store.
func (p *job) right(store []float32, panel, panels, k, n int) []float32 {
	if p.packed != nil {
		return p.packed[(k*p.columns+n*panel)*tileColumns:]
	}
	for i := range panels {
		p.packRight(store[i*n*tileColumns:], panel+i, k, n)
	}
	return store
}

// scratch has room for panels of B, unless they are packed.
func (p *job) scratch(panels int) *[]float32 {
	if p.packed != nil {
		panels = 0
	}
	return borrow[float32](panels * tileColumns * p.depth)
}

// tiling computes the panels of B for the panels of A at hand, one group of
// them after the other.
type tiling job

func (t *tiling) do(from, to int) {
	p := (*job)(t)
	for from < to {
		group, panel := from/p.columns, from%p.columns
		panels := min(to-from, p.columns-panel, stripPanels)
		top, end := group*p.rows/p.groups, (group+1)*p.rows/p.groups
		p.strip(top, end, panel, panels)
		from += panels
	}
}

// strip computes panels of B for the panels [top, end) of A at hand.
func (p *job) strip(top, end, panel, panels int) {
	store := p.scratch(panels)
	defer giveBack(store)
	for k := 0; k < p.k; k += p.depth {
		n := min(p.depth, p.k-k)
		right := p.right(*store, panel, panels, k, n)
		for block := top; block < end; block += blockPanels {
			for i := range panels {
				t := p.column(panel+i, k, right[i*n*tileColumns:])
				for row := block; row < min(block+blockPanels, end); row++ {
					t.compute(p.first+row, &p.left[(k*p.rows+n*row)*packedRows])
				}
			}
		}
	}
	p.activate(rowStart(p.m, p.first+top), rowStart(p.m, p.first+end), panel, panels)
}

// activate does what tiles do not, for some rows and panels of B.
func (p *job) activate(top, end, panel, panels int) {
	if p.act <= ReLU {
		return
	}
	from, to := panel*tileColumns, min((panel+panels)*tileColumns, p.n)
	for i := top; i < end; i++ {
		y := p.c[i*p.n+from : i*p.n+to]
		Activate(y, y, p.act)
	}
}

// A column is a panel of B in one block, which takes part in many tiles.
type column struct {
	*job
	depth, mode int
	b, bias     *float32
	from, width int
}

func (p *job) column(panel, k int, b []float32) (c column) {
	c.job, c.b, c.depth = p, &b[0], min(p.depth, p.k-k)
	c.from = panel * tileColumns
	c.width = min(tileColumns, p.n-c.from)
	if p.acc || k > 0 {
		c.mode = modeAdd
	}
	if k+c.depth < p.k {
		return c
	}
	if p.act == ReLU {
		c.mode |= modeReLU
	}
	switch {
	case p.bias == nil:
	case c.width == tileColumns:
		c.bias = &p.bias[c.from]
	default:
		c.bias = &p.edge[0]
	}
	return c
}

// compute is the tile of a panel of rows, which are packed at a.
func (c *column) compute(panel int, a *float32) {
	top := rowStart(c.m, panel)
	rows := rowStart(c.m, panel+1) - top
	if c.width == tileColumns {
		c.tile(rows, a, &c.c[top*c.n+c.from], 4*c.n)
		return
	}
	var edge [tileRows][tileColumns]float32
	for r := range rows {
		copy(edge[r][:c.width], c.c[(top+r)*c.n+c.from:])
	}
	c.tile(rows, a, &edge[0][0], 4*tileColumns)
	for r := range rows {
		copy(c.c[(top+r)*c.n+c.from:], edge[r][:c.width])
	}
}

func (c *column) tile(rows int, a, to *float32, ld int) {
	switch rows {
	case 6:
		tile6(c.depth, a, c.b, to, ld, c.bias, c.mode)
	case 5:
		tile5(c.depth, a, c.b, to, ld, c.bias, c.mode)
	case 4:
		tile4(c.depth, a, c.b, to, ld, c.bias, c.mode)
	case 3:
		tile3(c.depth, a, c.b, to, ld, c.bias, c.mode)
	case 2:
		tile2(c.depth, a, c.b, to, ld, c.bias, c.mode)
	case 1:
		row16(c.depth, a, c.b, 0, to, c.bias, c.mode)
	}
}

// oneRow computes panels of B for a product of one row, which is as good as
// packed. Four panels at once keep the adders busy.
type oneRow job

func (o *oneRow) do(from, to int) {
	p := (*job)(o)
	store := p.scratch(4)
	defer giveBack(store)
	for panel := from; panel < to; {
		panels := 1
		if to-panel >= 4 && (panel+4)*tileColumns <= p.n {
			panels = 4
		}
		for k := 0; k < p.k; k += p.depth {
			n := min(p.depth, p.k-k)
			right := p.right(*store, panel, panels, k, n)
			c := p.column(panel, k, right)
			if panels == 4 {
				row64(n, &p.a[k], c.b, 4*n*tileColumns, &p.c[c.from], c.bias, c.mode)
			} else {
				c.compute(0, &p.a[k])
			}
		}
		p.activate(0, 1, panel, panels)
		panel += panels
	}
}
