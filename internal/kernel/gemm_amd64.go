package kernel

import (
	"sync"
	"unsafe"
)

const (
	tileRows    = 6
	tileColumns = 16
	// packedRows is how many elements a panel of A has for each k, of which
	// some are not used.
	packedRows = 8
	// deepest is how many products are summed, at most, before they go to C: a
	// panel of A and one of B are in the first cache together.
	deepest = 336
	// unrolled is after how many products a tile fetches a line ahead.
	unrolled = 4
	// stripSize elements of B and blockSize elements of A, packed, are in the
	// second cache together.
	stripSize, blockSize = 1 << 16, 1 << 17
	// fewPanels of B are too few to be shared.
	fewPanels = 8
	// beside is how many panels of B one row is multiplied by at once: with less
	// the adders wait for each other.
	beside = 4
	// perWeight is what a product of one row costs, most of which is to wait for
	// B.
	perWeight = 2
	// narrowRows is how many rows, at most, are multiplied one by one because
	// that costs less than to widen a B of float16.
	narrowRows = 4
	// chunk is how many elements of A are packed at once, at most.
	chunk = 1 << 20
)

// What a tile does besides, as bits of its mode.
const (
	modeAdd  = 1 << iota // add what C holds
	modeReLU             // after the bias
)

// A job is a product on its way. Tiles are 6 rows and 16 columns of C, or less.
// Panels of B, of 16 columns, are packed in the order in which tiles read them,
// and so are panels of A, of 6 rows, where A is stored the other way round. An
// element of C is the sum of blocks of depth products, in order.
type job struct {
	product[float32]
	depth   int                  // of a block
	span    int                  // of the blocks of B that are packed at once
	columns int                  // panels of B
	edge    [tileColumns]float32 // the bias of the last of them, and zeros

	first, rows int       // the panels of A at hand
	low, high   int       // the products at hand
	left        []float32 // A at hand, packed
	groups      int       // of its panels, to be shared where B has few
}

func newJob(x product[float32]) job {
	blocks := (x.k + deepest - 1) / deepest
	depth := ((x.k+blocks-1)/blocks + 7) &^ 7
	return job{product: x, depth: depth, span: min(4*depth, x.k), columns: (x.n + tileColumns - 1) / tileColumns}
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// multiply32 computes a product, or says that it has to be done elsewhere.
func multiply32(x product[float32]) bool {
	if !simd || x.m*x.n*x.k == 0 {
		return false
	}
	p := jobs.Get().(*job)
	defer jobs.Put(p)
	*p = newJob(x)
	if p.bias != nil {
		copy(p.edge[:], p.bias[(p.columns-1)*tileColumns:])
	}
	if p.m == 1 || p.half != nil && p.m <= narrowRows {
		p.rowByRow()
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
	p := newJob(product[float32]{tb: tb, n: n, k: k, b: b})
	packed := Zeros[float32](p.columns * tileColumns * k)
	for panel := range p.columns {
		p.packRight(packed[panel*tileColumns*k:], panel, 0, k)
	}
	return packed
}

func (p *job) run() {
	all := rowPanels(p.m)
	if !p.ta {
		p.some(0, all, 0, p.k)
		return
	}
	most := max(p.blockRows(), chunk/(packedRows*p.span))
	left := borrow[float32](packedRows * p.span * min(all, most))
	defer giveBack(left)
	p.left = *left
	for first := 0; first < all; first += most {
		for low := 0; low < p.k; low += p.span {
			p.some(first, min(most, all-first), low, min(low+p.span, p.k))
		}
	}
}

// some does some panels of A, and some of the products.
func (p *job) some(first, rows, low, high int) {
	p.first, p.rows, p.low, p.high, p.groups = first, rows, low, high, 1
	if p.columns < fewPanels {
		p.groups = (rows + fewPanels - 1) / fewPanels
	}
	size := rows * tileRows * (high - low)
	if p.ta {
		split((*leftPacking)(p), rows, size*tileColumns)
	}
	split((*tiling)(p), p.groups*p.columns, size*p.n)
}

// blockRows is how many panels of A stay in the second cache.
func (p *job) blockRows() int { return max(1, blockSize/(packedRows*p.span)) }

// stripPanels is how many panels of B stay there beside them.
func (p *job) stripPanels() int { return max(1, stripSize/(tileColumns*p.span)) }

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

// leftPacking packs the panels of A at hand, which are columns as it is stored.
type leftPacking job

func (p *leftPacking) do(from, to int) {
	for panel := from; panel < to; panel++ {
		top, end := rowStart(p.m, p.first+panel), rowStart(p.m, p.first+panel+1)
		n := p.high - p.low
		copy8(&p.left[panel*n*packedRows], &p.a[p.low*p.m+top], 4*p.m, n, mask(end-top))
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
	for half := 0; half < tileColumns; half += 8 {
		start := min(half, width-1) // past the last row, any will do
		transposeRows(dst[half:], p.b[(j+start)*p.k+k:], p.k, width-start, n)
	}
}

// transposeRows writes n columns of 8 rows of src, which are ld elements apart,
// to each 16 of dst. Where there are fewer rows, the last one stands for those
// that lack.
func transposeRows(dst, src []float32, ld, few, n int) {
	var rows [8]*float32
	for r := range rows {
		rows[r] = &src[min(r, few-1)*ld]
	}
	done := n &^ 7
	if done > 0 {
		transpose8(&dst[0], 4*tileColumns, &rows, done/8)
	}
	for i := done; i < n; i++ {
		column := dst[i*tileColumns:][:8]
		for r := range column {
			column[r] = src[min(r, few-1)*ld+i]
		}
	}
}

var masks = [2 * tileColumns]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// mask keeps the first n elements.
func mask(n int) *int32 { return &masks[tileColumns-n] }

// right is n elements from k of panel i of a strip of B, packed: those of the
// product, or else in store, where they are packed unless they are there.
func (p *job) right(store []float32, strip, i, k, n int, there bool) []float32 {
	if p.packed != nil {
		return p.packed[p.place(strip+i, k):]
	}
	store = store[i*p.span*tileColumns:]
	switch {
	case there:
	case p.half != nil:
		widen(n*tileColumns, &store[0], &p.half[p.place(strip+i, k)])
	default:
		p.packRight(store, strip+i, k, n)
	}
	return store
}

// place is where element k of a panel of B is, packed.
func (p *job) place(panel, k int) int { return (panel*p.k + k) * tileColumns }

// scratch has room for panels of B, unless they are packed.
func (p *job) scratch(panels int) *[]float32 {
	if p.packed != nil {
		panels = 0
	}
	return borrow[float32](panels * tileColumns * p.span)
}

// tiling computes the panels of B for the panels of A at hand, one group of
// them after the other.
type tiling job

func (t *tiling) do(from, to int) {
	p := (*job)(t)
	for from < to {
		group, panel := from/p.columns, from%p.columns
		panels := min(to-from, p.columns-panel, p.stripPanels())
		top, end := group*p.rows/p.groups, (group+1)*p.rows/p.groups
		p.strip(top, end, panel, panels)
		from += panels
	}
}

// strip computes panels of B for the panels [top, end) of A at hand.
func (p *job) strip(top, end, panel, panels int) {
	store := p.scratch(panels)
	defer giveBack(store)
	for k := p.low; k < p.high; k += p.span {
		n := min(p.span, p.high-k)
		for block := top; block < end; block += p.blockRows() {
			for i := range panels {
				right := p.right(*store, panel, i, k, n, block > top)
				var next ahead
				if block == top {
					next = p.after(panel+i, k, n)
				}
				p.panel(panel+i, k, n, right, block, min(block+p.blockRows(), end), next)
			}
		}
	}
	if p.high == p.k {
		p.activate(rowStart(p.m, p.first+top), rowStart(p.m, p.first+end), panel, panels)
	}
}

// panel adds n products from k to what a panel of B makes of the panels
// [top, end) of A at hand.
func (p *job) panel(panel, k, n int, right []float32, top, end int, next ahead) {
	for from := k; from < k+n; from += p.depth {
		c := p.column(panel, from)
		c.b = &right[(from-k)*tileColumns]
		for row := top; row < end; row++ {
			c.compute(p.first+row, &next)
		}
	}
}

// An ahead is what will be read next: lines that are step bytes apart.
type ahead struct {
	at          uintptr
	step, lines int
}

// after is what the panel after this one is made of.
func (p *job) after(panel, k, n int) ahead {
	panel++
	switch {
	case panel >= p.columns || p.half != nil:
	case p.packed != nil:
		return ahead{address(p.packed, p.place(panel, k)), line, n}
	case !p.tb:
		return ahead{address(p.b, k*p.n+panel*tileColumns), 4 * p.n, n}
	case n == p.k: // its rows are beside each other
		return ahead{address(p.b, panel*tileColumns*n), line, n}
	}
	return ahead{}
}

// line is the size of a cache's line, in bytes.
const line = 64

// address is where x[i] is. Nothing is done with it but to fetch what is there:
// should it move, no harm is done.
func address(x []float32, i int) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(x))) + uintptr(4*i)
}

// take is what a tile of so many products fetches: a part of it, or where all
// was taken, what it reads anyway.
func (a *ahead) take(depth int, b *float32) (at uintptr, step int) {
	if a.lines <= 0 {
		return uintptr(unsafe.Pointer(b)), 0
	}
	at, step = a.at, a.step
	lines := depth / unrolled
	a.at += uintptr(lines * step)
	a.lines -= lines
	return at, step
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
	k, depth    int // the products
	from, width int // the columns
	mode        int
	b, bias     *float32
}

func (p *job) column(panel, k int) (c column) {
	c.job, c.k, c.depth = p, k, min(p.depth, p.k-k)
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

// compute is the tile of a panel of A.
func (c *column) compute(panel int, next *ahead) {
	top := rowStart(c.m, panel)
	rows := rowStart(c.m, panel+1) - top
	if c.width == tileColumns {
		c.tile(panel, top, rows, &c.c[top*c.n+c.from], 4*c.n, next)
		return
	}
	var edge [tileRows][tileColumns]float32
	for r := range rows {
		copy(edge[r][:c.width], c.c[(top+r)*c.n+c.from:])
	}
	c.tile(panel, top, rows, &edge[0][0], 4*tileColumns, next)
	for r := range rows {
		copy(c.c[(top+r)*c.n+c.from:], edge[r][:c.width])
	}
}

// tile calls the kernel for so many rows. One row is never alone among others.
func (c *column) tile(panel, top, rows int, to *float32, ldc int, next *ahead) {
	at, step := next.take(c.depth, c.b)
	if c.left != nil {
		a := &c.left[((panel-c.first)*(c.high-c.low)+c.k-c.low)*packedRows]
		switch rows {
		case 6:
			turned6(c.depth, a, c.b, to, ldc, c.bias, c.mode, at, step)
		case 5:
			turned5(c.depth, a, c.b, to, ldc, c.bias, c.mode, at, step)
		case 4:
			turned4(c.depth, a, c.b, to, ldc, c.bias, c.mode, at, step)
		case 3:
			turned3(c.depth, a, c.b, to, ldc, c.bias, c.mode, at, step)
		case 2:
			turned2(c.depth, a, c.b, to, ldc, c.bias, c.mode, at, step)
		}
		return
	}
	a, lda := &c.a[top*c.job.k+c.k], 4*c.job.k
	switch rows {
	case 6:
		tile6(c.depth, a, lda, c.b, to, ldc, c.bias, c.mode, at, step)
	case 5:
		tile5(c.depth, a, lda, c.b, to, ldc, c.bias, c.mode, at, step)
	case 4:
		tile4(c.depth, a, lda, c.b, to, ldc, c.bias, c.mode, at, step)
	case 3:
		tile3(c.depth, a, lda, c.b, to, ldc, c.bias, c.mode, at, step)
	case 2:
		tile2(c.depth, a, lda, c.b, to, ldc, c.bias, c.mode, at, step)
	case 1:
		row16(c.depth, a, c.b, 0, to, c.bias, c.mode)
	}
}

// rowByRow is run for a few rows.
func (p *job) rowByRow() {
	a, c, m := p.a, p.c, p.m
	p.m = 1
	for i := range m {
		p.a, p.c = a[i*p.k:(i+1)*p.k], c[i*p.n:(i+1)*p.n]
		split((*oneRow)(p), (p.columns+beside-1)/beside, perWeight*p.n*p.k)
	}
}

// oneRow computes groups of panels of B for a product of one row, which is as
// good as packed.
type oneRow job

func (o *oneRow) do(from, to int) {
	p := (*job)(o)
	store := p.scratch(beside)
	defer giveBack(store)
	for panel, end := from*beside, min(to*beside, p.columns); panel < end; {
		panels := 1
		if (panel+beside)*tileColumns <= p.n {
			panels = beside
		}
		for k := 0; k < p.k; k += p.span {
			p.row(panel, panels, k, *store)
		}
		p.activate(0, 1, panel, panels)
		panel += panels
	}
}

// row adds the products of a span from k to a panel, or to those beside it too.
func (p *job) row(panel, panels, k int, store []float32) {
	n := min(p.span, p.k-k)
	if panels == beside && p.half != nil {
		for from := k; from < k+n; from += p.depth {
			c := p.column(panel, from)
			halfRow64(c.depth, &p.a[from], &p.half[p.place(panel, from)], 2*p.k*tileColumns, &p.c[c.from], c.bias, c.mode)
		}
		return
	}
	apart := p.span
	if p.packed != nil {
		apart = p.k
	}
	right := p.right(store, panel, 0, k, n, false)
	for i := 1; i < panels; i++ {
		p.right(store, panel, i, k, n, false)
	}
	for from := k; from < k+n; from += p.depth {
		c := p.column(panel, from)
		c.b = &right[(from-k)*tileColumns]
		if panels == beside {
			row64(c.depth, &p.a[from], c.b, 4*apart*tileColumns, &p.c[c.from], c.bias, c.mode)
		} else {
			c.compute(0, &ahead{})
		}
	}
}
