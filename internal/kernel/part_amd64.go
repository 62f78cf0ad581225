package kernel

import "unsafe"

// tiled says that panels lie one after the other, and not rows.
func (p *panels[F]) tiled() bool { return vectorized[F]() }

func (p *panels[F]) packTurnedFast(b matrix[F]) bool {
	if !vectorized[F]() {
		return false
	}
	src := singles(b.data)
	for j := 0; j < p.n; j += tileColumns {
		dst, width := singles(p.store[j*p.k:]), min(tileColumns, p.n-j)
		for half := 0; half < tileColumns; half += 8 {
			first := min(half, width-1) // past the last row, any will do
			transposeRows(dst[half:], src[(j+first)*b.apart:], b.apart, width-first, p.k)
		}
	}
	return true
}

func (p *panels[F]) packFast(b matrix[F]) bool {
	if !vectorized[F]() {
		return false
	}
	for j := 0; j < p.n; j += tileColumns {
		copy16(start(p.store[j*p.k:]), start(b.data[j:]), 4*b.apart, p.k, mask(min(tileColumns, p.n-j)))
	}
	return true
}

// singles is x, which is of float32.
func singles[F Float](x []F) []float32 { return unsafe.Slice(start(x), len(x)) }

func (p *panels[F]) multiplyFast(c, a matrix[F], m int, of stretch) bool {
	if !vectorized[F]() {
		return false
	}
	for from := 0; from < of.k; from += deepest {
		t := p.tiles(matrix[float32]{singles(c.data), c.apart}, of, from)
		t.a, t.lda = start(a.data[from:]), a.apart
		if from > 0 {
			t.mode = modeAdd
		}
		t.all(m)
	}
	return true
}

func (p *panels[F]) addTurnedFast(c, a matrix[F], m int, of stretch) bool {
	if !vectorized[F]() {
		return false
	}
	height := tileHeight()
	left := borrow[float32](packedRows * min(of.k, deepest) * ((m + height - 1) / height))
	defer giveBack(left)
	for from := 0; from < of.k; from += deepest {
		t := p.tiles(matrix[float32]{singles(c.data), c.apart}, of, from)
		for top, at := 0, 0; top < m; {
			rows := tileRows(m-top, height)
			copy8(&(*left)[at], start(a.data[from*a.apart+top:]), 4*a.apart, t.depth, mask(rows))
			top, at = top+rows, at+packedRows*t.depth
		}
		t.a, t.turned, t.mode = &(*left)[0], true, modeAdd
		t.all(m)
	}
	return true
}

func tileHeight() int {
	if simd512 {
		return 8
	}
	return 6
}

// tiles are those of one product of a stretch, of at most deepest products.
type tiles struct {
	c      matrix[float32]
	n      int
	depth  int
	mode   int
	b      []float32 // of the first panel
	apart  int       // elements between panels
	a      *float32
	lda    int  // elements between its rows
	turned bool // a is columns, packed
}

func (p *panels[F]) tiles(c matrix[float32], of stretch, from int) tiles {
	return tiles{
		c: c, n: of.n, depth: min(deepest, of.k-from),
		b: singles(p.store[(of.from+from)*tileColumns:]), apart: p.k * tileColumns,
	}
}

// all does m rows.
func (t *tiles) all(m int) {
	for j := 0; j < t.n; {
		width := min(tileColumns, t.n-j)
		beside := panelsAbreast(simd512, (t.n-j)/tileColumns)
		if width == tileColumns {
			width = beside * tileColumns
		}
		t.column(j, width, beside, m)
		j += width
	}
}

// column does m rows of some columns.
func (t *tiles) column(j, width, beside, m int) {
	height, b := tileHeight(), &t.b[j/tileColumns*t.apart]
	for top, panel := 0, 0; top < m; panel++ {
		rows := tileRows(m-top, height)
		if width < tileColumns {
			t.edge(b, top, j, width, panel, rows)
		} else {
			t.tile(b, &t.c.data[top*t.c.apart+j], t.c.apart, top, panel, rows, beside)
		}
		top += rows
	}
}

// edge is a tile of fewer columns than one has.
func (t *tiles) edge(b *float32, top, j, width, panel, rows int) {
	var edge [packedRows][tileColumns]float32
	for r := range rows {
		copy(edge[r][:width], t.c.row(top+r, j+width)[j:])
	}
	t.tile(b, &edge[0][0], tileColumns, top, panel, rows, 1)
	for r := range rows {
		copy(t.c.row(top+r, j+width)[j:], edge[r][:width])
	}
}

// tile calls the kernel for so many rows and panels.
func (t *tiles) tile(b, c *float32, ldc, top, panel, rows, beside int) {
	next, ldb := uintptr(unsafe.Pointer(b)), 4*t.apart
	ldc *= 4
	if t.turned {
		a := (*float32)(unsafe.Add(unsafe.Pointer(t.a), 4*packedRows*t.depth*panel))
		if rows == 1 {
			t.lastColumn(a, b, c, beside)
			return
		}
		switch {
		case !simd512:
			turned6x16(rows, t.depth, a, b, 0, c, ldc, nil, t.mode, next, 0)
		case beside == 1:
			turned8x16(rows, t.depth, a, b, 0, c, ldc, nil, t.mode, next, 0)
		case beside == 2:
			turned8x32(rows, t.depth, a, b, ldb, c, ldc, nil, t.mode, next, 0)
		default:
			turned8x48(rows, t.depth, a, b, ldb, c, ldc, nil, t.mode, next, 0)
		}
		return
	}
	a := (*float32)(unsafe.Add(unsafe.Pointer(t.a), 4*t.lda*top))
	switch {
	case rows == 1:
		for i := range beside {
			row16(t.depth, a, behind(b, i*t.apart), 0, behind(c, i*tileColumns), nil, t.mode)
		}
	case !simd512:
		tile6x16(rows, t.depth, a, 4*t.lda, b, 0, c, ldc, nil, t.mode, next, 0)
	case beside == 1:
		tile8x16(rows, t.depth, a, 4*t.lda, b, 0, c, ldc, nil, t.mode, next, 0)
	case beside == 2:
		tile8x32(rows, t.depth, a, 4*t.lda, b, ldb, c, ldc, nil, t.mode, next, 0)
	default:
		tile8x48(rows, t.depth, a, 4*t.lda, b, ldb, c, ldc, nil, t.mode, next, 0)
	}
}

// lastColumn is a tile of one packed column of A.
func (t *tiles) lastColumn(a, b, c *float32, beside int) {
	var row [deepest]float32
	for i := range t.depth {
		row[i] = *behind(a, i*packedRows)
	}
	for i := range beside {
		row16(t.depth, &row[0], behind(b, i*t.apart), 0, behind(c, i*tileColumns), nil, t.mode)
	}
}

// behind is n elements behind p.
func behind(p *float32, n int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*n)) }
