package kernel

import (
	"sync"
	"unsafe"
)

const (
	tileColumns = 16
	// packedRows is how many elements a panel of A has for each k, whether or not
	// a tile has as many rows.
	packedRows = 8
	// abreast is how many panels of B a tile of AVX-512 takes at once, at most.
	abreast = 3
	// deepest is how many products are summed, at most, before they go to C: a
	// panel of A and one of B are in the first cache together.
	deepest = 176
	// unrolled is after how many products a tile fetches a line ahead.
	unrolled = 4
	// stripSize elements of B and blockSize elements of A, packed, are in the
	// second cache together.
	stripSize, blockSize = 1 << 16, 1 << 17
	// fewPanels of B are too few to be shared.
	fewPanels = 8
	// fewRows panels of A are done together, where they are with all of B.
	fewRows = 4
	// beside is how many panels of B one row is multiplied by at once: with less
	// the adders wait for each other.
	beside = 4
	// perWeight is what a product of one row costs, most of which is to wait for
	// B.
	perWeight = 2
	// narrowRows is how many rows, at most, are multiplied one by one because
	// that costs less than to widen a B of float16.
	narrowRows = 4
	// packedFirst is how many elements B has, at most, for it to be packed before
	// threads share the rows of A, where these are more: all of it stays near the
	// processor, and tiles are as wide as can be.
	packedFirst = 1 << 19
	// chunk is how many elements of A are packed at once, at most.
	chunk = 1 << 20
)

// What a tile does besides, as bits of its mode.
const (
	modeAdd  = 1 << iota // add what C holds
	modeReLU             // after the bias
)

// A job is a product on its way. Tiles are 6 rows and 16 columns of C, or 8 rows
// and 48 columns with AVX-512, or less. Panels of B, of 16 columns, are packed in
// the order in which tiles read them, and so are panels of A, of as many rows as
// a tile, where A is stored the other way round. An element of C is the sum of
// blocks of depth products, in order.
type job struct {
	product[float32]
	wide    bool                 // with AVX-512
	height  int                  // rows of a tile
	depth   int                  // of a block
	span    int                  // of the blocks of B that are packed at once
	columns int                  // panels of B
	edge    [tileColumns]float32 // the bias of the last of them, and zeros

	first, rows int       // the panels of A at hand
	low, high   int       // the products at hand
	left        []float32 // A at hand, packed
	groups      int       // of its panels, to be shared where B has few
	byRows      bool      // they are shared, for A is the larger one
}

func newJob(x product[float32]) job {
	blocks := (x.k + deepest - 1) / deepest
	depth := ((x.k+blocks-1)/blocks + 7) &^ 7
	p := job{product: x, wide: simd512, height: 6, depth: depth, span: min(4*depth, x.k), columns: (x.n + tileColumns - 1) / tileColumns}
	if p.wide {
		p.height = 8
	}
	return p
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// multiply32 computes a product, or says that it has to be done elsewhere.
func multiply32(x product[float32]) bool {
	if !simd || x.m*x.n*x.k == 0 {
		return false
	}
	if x.sideways() {
		multiplySideways(x)
		return true
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
	r := rightPacking{p, Zeros[float32](p.columns * tileColumns * k)}
	r.do(0, p.columns)
	return r.packed
}

func (p *job) run() {
	all := (p.m + p.height - 1) / p.height
	if p.packed == nil && p.half == nil && p.columns < all && p.n*p.k <= packedFirst && p.m*p.n*p.k >= worth {
		packed := borrow[float32](p.columns * tileColumns * p.k)
		defer giveBack(packed)
		r := rightPacking{*p, *packed}
		split(&r, p.columns, tileColumns*len(*packed))
		p.packed = *packed
	}
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
	size := rows * p.height * (high - low)
	if p.ta {
		split((*leftPacking)(p), rows, size*tileColumns)
	}
	if p.byRows = p.packed != nil && p.columns < rows; p.byRows {
		split((*rowTiling)(p), rows, size*p.n)
		return
	}
	if p.columns < fewPanels {
		p.groups = (rows + fewPanels - 1) / fewPanels
	}
	split((*tiling)(p), p.groups*p.columns, size*p.n)
}

// blockRows is how many panels of A stay in the second cache.
func (p *job) blockRows() int { return max(1, blockSize/(packedRows*p.span)) }

// stripPanels is how many panels of B stay there beside them.
func (p *job) stripPanels() int {
	n := max(1, stripSize/(tileColumns*p.span))
	if p.wide {
		n = (n + abreast - 1) / abreast * abreast
	}
	return n
}

// tileRows is how many of the rows that are left a tile takes. The last two share
// them: with few rows a tile waits for its sums.
func tileRows(left, height int) int {
	if left > height && left < 2*height {
		return (left + 1) / 2
	}
	return min(left, height)
}

// rowStart is the first row of a panel of A, as tileRows has them.
func (p *job) rowStart(panel int) int {
	last := (p.m - 1) / p.height
	switch {
	case panel > last:
		return p.m
	case panel == last && panel > 0 && p.m%p.height != 0:
		before := (panel - 1) * p.height
		return before + tileRows(p.m-before, p.height)
	}
	return panel * p.height
}

// leftPacking packs the panels of A at hand, which are columns as it is stored.
type leftPacking job

func (l *leftPacking) do(from, to int) {
	p := (*job)(l)
	for panel := from; panel < to; panel++ {
		top, end := p.rowStart(p.first+panel), p.rowStart(p.first+panel+1)
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

// grain is how many panels a tile takes.
func (t *tiling) grain() int {
	if t.wide {
		return abreast
	}
	return 1
}

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

// rowTiling computes the panels of A at hand for all of B, which is packed.
type rowTiling job

func (t *rowTiling) do(from, to int) {
	for ; from < to; from += fewRows {
		(*job)(t).strip(from, min(from+fewRows, to), 0, t.columns)
	}
}

// strip computes panels of B for the panels [top, end) of A at hand.
func (p *job) strip(top, end, panel, panels int) {
	store := p.scratch(panels)
	defer giveBack(store)
	next := p.below(end)
	for k := p.low; k < p.high; k += p.span {
		n := min(p.span, p.high-k)
		for block := top; block < end; block += p.blockRows() {
			for i := 0; i < panels; {
				c := p.column(panel+i, p.abreast(panel+i, panels-i))
				right := p.right(*store, panel, i, k, n, block > top)
				for j := 1; j < c.panels; j++ {
					p.right(*store, panel, i+j, k, n, block > top)
				}
				if !p.byRows {
					next = ahead{}
					if block == top {
						next = p.after(panel+i+c.panels, k, n)
					}
				}
				c.multiply(right, k, n, block, min(block+p.blockRows(), end), &next)
				i += c.panels
			}
		}
	}
	if p.high == p.k {
		p.activate(p.rowStart(p.first+top), p.rowStart(p.first+end), panel, panels)
	}
}

// abreast is how many of the next panels of B one tile takes.
func (p *job) abreast(panel, panels int) int {
	return panelsAbreast(p.wide, min(panels, p.n/tileColumns-panel)) // those that are full
}

// panelsAbreast is how many of so many panels a tile takes.
func panelsAbreast(wide bool, panels int) int {
	switch {
	case !wide || panels < 2:
		return 1
	case panels == abreast+1:
		return 2 // and 2
	}
	return min(panels, abreast)
}

// An ahead is what will be read next: lines that are step bytes apart, or for
// tiles of several panels as many lines beside each other.
type ahead struct {
	at          uintptr
	step, lines int
}

// below is what the next panels of A are made of, where they are shared.
func (p *job) below(panel int) ahead {
	if !p.byRows || p.ta || panel >= p.rows {
		return ahead{}
	}
	top := p.rowStart(p.first + panel)
	bottom := p.rowStart(p.first + min(panel+fewRows, p.rows))
	return ahead{address(p.a, top*p.k), abreast * line, (bottom - top) * p.k * 4 / (abreast * line)}
}

// after is what the next panels of B are made of.
func (p *job) after(panel, k, n int) ahead {
	beside := 1
	if p.wide {
		beside = abreast
	}
	switch {
	case panel >= p.columns || p.half != nil:
	case p.packed != nil && n == p.k:
		return ahead{address(p.packed, p.place(panel, k)), beside * line, n}
	case p.packed != nil:
		return ahead{address(p.packed, p.place(panel, k)), line, n}
	case !p.tb:
		return ahead{address(p.b, k*p.n+panel*tileColumns), 4 * p.n, n}
	case n == p.k: // its rows are beside each other
		return ahead{address(p.b, panel*tileColumns*n), beside * line, n}
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

// A column is a panel of B, or some beside each other, which take part in many
// tiles.
type column struct {
	*job
	from, width   int // the columns of C
	panels, apart int // how many, and elements between them

	k, depth int // the products of a block
	mode     int
	b, bias  *float32
}

func (p *job) column(panel, panels int) column {
	c := column{job: p, from: panel * tileColumns, panels: panels, apart: p.span * tileColumns}
	c.width = min(panels*tileColumns, p.n-c.from)
	if p.packed != nil {
		c.apart = p.k * tileColumns
	}
	return c
}

// multiply adds n products from k to what the column makes of the panels
// [top, end) of A at hand. right has its elements from k on.
func (c *column) multiply(right []float32, k, n, top, end int, next *ahead) {
	for from := k; from < k+n; from += c.job.depth {
		c.block(from, right[(from-k)*tileColumns:])
		start := c.rowStart(c.first + top)
		for panel := c.first + top; panel < c.first+end; panel++ {
			rows := tileRows(c.m-start, c.height)
			c.compute(panel, start, rows, next)
			start += rows
		}
	}
}

// block goes to the block of products from k, of which right has the elements
// of B.
func (c *column) block(k int, right []float32) {
	p := c.job
	c.b, c.k, c.depth, c.mode, c.bias = unsafe.SliceData(right), k, min(p.depth, p.k-k), 0, nil
	if p.acc || k > 0 {
		c.mode = modeAdd
	}
	if k+c.depth < p.k {
		return
	}
	if p.act == ReLU {
		c.mode |= modeReLU
	}
	switch {
	case p.bias == nil:
	case c.width == c.panels*tileColumns:
		c.bias = &p.bias[c.from]
	default:
		c.bias = &p.edge[0]
	}
}

// compute is the tile of a panel of A, which begins at row top.
func (c *column) compute(panel, top, rows int, next *ahead) {
	if c.width == c.panels*tileColumns {
		c.tile(panel, top, rows, &c.c[top*c.n+c.from], 4*c.n, next)
		return
	}
	var edge [packedRows][tileColumns]float32
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
	switch {
	case rows == 1:
		row16(c.depth, &c.a[top*c.job.k+c.k], c.b, 0, to, c.bias, c.mode)
	case c.left != nil:
		a := &c.left[((panel-c.first)*(c.high-c.low)+c.k-c.low)*packedRows]
		c.ofColumns(rows, a, to, ldc, at, step)
	default:
		c.ofRows(rows, &c.a[top*c.job.k+c.k], 4*c.job.k, to, ldc, at, step)
	}
}

func (c *column) ofRows(rows int, a *float32, lda int, to *float32, ldc int, at uintptr, step int) {
	switch {
	case !c.wide:
		tile6x16(rows, c.depth, a, lda, c.b, 0, to, ldc, c.bias, c.mode, at, step)
	case c.panels == 1:
		tile8x16(rows, c.depth, a, lda, c.b, 0, to, ldc, c.bias, c.mode, at, step)
	case c.panels == 2:
		tile8x32(rows, c.depth, a, lda, c.b, 4*c.apart, to, ldc, c.bias, c.mode, at, step)
	default:
		tile8x48(rows, c.depth, a, lda, c.b, 4*c.apart, to, ldc, c.bias, c.mode, at, step)
	}
}

func (c *column) ofColumns(rows int, a, to *float32, ldc int, at uintptr, step int) {
	switch {
	case !c.wide:
		turned6x16(rows, c.depth, a, c.b, 0, to, ldc, c.bias, c.mode, at, step)
	case c.panels == 1:
		turned8x16(rows, c.depth, a, c.b, 0, to, ldc, c.bias, c.mode, at, step)
	case c.panels == 2:
		turned8x32(rows, c.depth, a, c.b, 4*c.apart, to, ldc, c.bias, c.mode, at, step)
	default:
		turned8x48(rows, c.depth, a, c.b, 4*c.apart, to, ldc, c.bias, c.mode, at, step)
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
	c, n := p.column(panel, panels), min(p.span, p.k-k)
	if panels == beside && p.half != nil {
		for from := k; from < k+n; from += p.depth {
			c.block(from, nil)
			halfRow64(c.depth, &p.a[from], &p.half[p.place(panel, from)], 2*p.k*tileColumns, &p.c[c.from], c.bias, c.mode)
		}
		return
	}
	right := p.right(store, panel, 0, k, n, false)
	for i := 1; i < panels; i++ {
		p.right(store, panel, i, k, n, false)
	}
	for from := k; from < k+n; from += p.depth {
		c.block(from, right[(from-k)*tileColumns:])
		if panels == beside {
			row64(c.depth, &p.a[from], c.b, 4*c.apart, &p.c[c.from], c.bias, c.mode)
		} else {
			c.compute(0, 0, 1, &ahead{})
		}
	}
}
