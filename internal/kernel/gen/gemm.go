package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	vector   = 8 // elements of a register of AVX2
	columns  = 16
	unrolled = 4
	// abreast is how many panels of B a tile of AVX-512 takes at once, at most.
	abreast = 3
)

// What a tile does besides, as bits of its mode. They are those of
// gemm_amd64.go.
const (
	modeAdd  = 1 << iota // add what C holds
	modeReLU             // after the bias
)

// products are the inner loops of a matrix product. Each element is a chain of
// fused products and sums over k, in order, whatever the tile: so a row comes
// out the same in all of them, and with registers of any width.
func products() {
	shapes := []product{{rows: 6, panels: 1, lanes: vector}}
	for panels := 1; panels <= abreast; panels++ {
		shapes = append(shapes, product{rows: 8, panels: panels, lanes: 2 * vector})
	}
	for _, t := range shapes {
		tiles(t)
		turned(t)
	}
	row("row16", "float32", 1)
	row("row64", "float32", 4)
}

// A product is a kernel for some rows of C, and some panels of B beside each
// other.
type product struct {
	label        string // what its labels end in
	rows, panels int
	lanes        int                // elements of a register
	left         func(r, i int) Mem // the element of A in row r, i products ahead
	advance      func(n int)        // moves left
	b            rowsApart          // a row is a panel
	offsets      Register           // how far B is from b for each product, in bytes; nil where panels are packed
	narrow       bool               // B is of float16
	c            rowsApart
	fetch        func() // is done every few products
}

// tiles multiplies rows of A, at least 2 and as many as t has at most.
func tiles(t product) {
	name := "tile" + t.size()
	begin(name, "func(rows, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, bias *float32, mode int, next uintptr, step int)",
		fmt.Sprintf("%s computes up to %d rows and %d columns of C from rows of A and packed panels of B. Rows are lda and ldc bytes apart, panels ldb. Meanwhile, it fetches lines that are step bytes apart, from next on, %d beside each other.", name, t.rows, t.panels*columns, t.panels))
	t.byRows(2, product.ofRows)
}

// turned multiplies columns of A, which are packed.
func turned(t product) {
	name := "turned" + t.size()
	begin(name, "func(rows, k int, a, b *float32, ldb int, c *float32, ldc int, bias *float32, mode int, next uintptr, step int)",
		fmt.Sprintf("%s is tile%s of packed columns of A.", name, t.size()))
	t.byRows(2, product.ofColumns)
}

// size is that of a tile.
func (p product) size() string { return fmt.Sprintf("%dx%d", p.rows, p.panels*columns) }

// byRows has a kernel for each number of rows, from the least.
func (p product) byRows(least int, kernel func(product)) {
	rows := load("rows")
	for n := p.rows; n > least; n-- {
		CMPQ(rows, Imm(uint64(n)))
		JEQ(LabelRef(fmt.Sprint("rows", n)))
	}
	for n := least; n <= p.rows; n++ {
		t := p
		t.rows, t.label = n, fmt.Sprint("Of", n)
		Label(fmt.Sprint("rows", n))
		t.c = every("c", "ldc", n)
		kernel(t)
	}
}

// row multiplies one row of A. B is of float32, or of uint16 for float16.
func row(name, of string, panels int) {
	begin(name, fmt.Sprintf("func(k int, a *float32, b *%s, ldb int, c, bias *float32, mode int)", of),
		fmt.Sprintf("%s computes %d columns of a row of C from a row of A and packed panels of B, which are ldb bytes apart.", name, panels*columns))
	a := load("a")
	product{
		rows: 1, panels: panels, lanes: vector,
		narrow:  of == "uint16",
		left:    func(_, i int) Mem { return at(a, i) },
		advance: func(n int) { ADDQ(Imm(uint64(4*n)), a) },
		b:       rowsApart{bases: spaced("b", "ldb", panels), each: 1}, c: single("c"), fetch: func() {},
	}.compute()
}

// ofRows multiplies rows of A as they lie.
func (p product) ofRows() {
	p.b, p.fetch = every("b", "ldb", p.panels), fetching(p.panels)
	a := every("a", "lda", p.rows)
	p.left, p.advance = a.at, func(n int) { a.advance(4 * n) }
	p.compute()
}

// ofColumns multiplies columns of A, which are packed.
func (p product) ofColumns() {
	p.b, p.fetch = every("b", "ldb", p.panels), fetching(p.panels)
	a := load("a")
	p.left = func(r, i int) Mem { return at(a, i*vector+r) }
	p.advance = func(n int) { ADDQ(U32(4*vector*n), a) }
	p.compute()
}

// rowsApart are rows that are some bytes apart. One in so many has a register.
type rowsApart struct {
	bases []Register
	each  int
	apart Register
}

// every has a register for every third row.
func every(first, apart string, rows int) rowsApart {
	all := rowsApart{[]Register{load(first)}, 3, load(apart)}
	for r := 3; r < rows; r += 3 {
		next := GP64()
		LEAQ(Mem{Base: all.bases[len(all.bases)-1], Index: all.apart, Scale: 2}, next)
		ADDQ(all.apart, next)
		all.bases = append(all.bases, next)
	}
	return all
}

func single(row string) rowsApart { return rowsApart{bases: []Register{load(row)}, each: 1} }

// at is element i of row r.
func (a rowsApart) at(r, i int) Mem {
	m := at(a.bases[r/a.each], i)
	if r%a.each > 0 {
		m.Index, m.Scale = a.apart, uint8(r%a.each)
	}
	return m
}

func (a rowsApart) advance(bytes int) {
	for _, r := range a.bases {
		ADDQ(U32(bytes), r)
	}
}

// fetching brings some lines to the second cache each time.
func fetching(lines int) func() {
	next, step := load("next"), load("step")
	return func() {
		for i := range lines {
			PREFETCHT1(at(next, i*columns))
		}
		ADDQ(step, next)
	}
}

// register is a new one.
func (p product) register() VecVirtual {
	if p.lanes == vector {
		return YMM()
	}
	return ZMM()
}

func (p product) zero() VecVirtual {
	if p.lanes == vector {
		return zero()
	}
	z := ZMM()
	VPXORD(z, z, z)
	return z
}

// vectors is how many registers a row of C takes.
func (p product) vectors() int { return p.panels * columns / p.lanes }

func (p product) compute() { p.finish(p.sum()) }

// sum multiplies all.
func (p product) sum() [][]VecVirtual {
	k := load("k")
	sums := make([][]VecVirtual, p.rows)
	for r := range sums {
		for j := range p.panels {
			PREFETCHT0(p.c.at(r, j*columns))
		}
		for range p.vectors() {
			sums[r] = append(sums[r], p.zero())
		}
	}
	SUBQ(Imm(unrolled), k)
	JLT(LabelRef("rest" + p.label))
	Label("several" + p.label)
	for i := range unrolled {
		p.multiply(sums, i)
	}
	p.move(unrolled)
	p.fetch()
	SUBQ(Imm(unrolled), k)
	JGE(LabelRef("several" + p.label))
	Label("rest" + p.label)
	ADDQ(Imm(unrolled), k)
	JZ(LabelRef("done" + p.label))
	Label("one" + p.label)
	p.multiply(sums, 0)
	p.move(1)
	DECQ(k)
	JNZ(LabelRef("one" + p.label))
	Label("done" + p.label)
	return sums
}

// multiply adds the products of k+i. The elements of B stay in registers where
// there is more than one row to share them.
func (p product) multiply(sums [][]VecVirtual, i int) {
	if p.offsets != nil {
		p.b.bases = []Register{behind(p.b.bases[0], at(p.offsets, i))}
	}
	right := make([]Op, p.vectors())
	for j := range right {
		place := p.right(i, j)
		right[j] = place
		if p.rows > 1 {
			v := p.register()
			VMOVUPS(place, v)
			right[j] = v
		}
	}
	for r, row := range sums {
		left := p.register()
		VBROADCASTSS(p.left(r, i), left)
		for j, sum := range row {
			v := right[j]
			if p.narrow {
				wide := YMM()
				VCVTPH2PS(v, wide)
				v = wide
			}
			VFMADD231PS(v, left, sum)
		}
	}
}

// right is vector j of B, i products ahead.
func (p product) right(i, j int) Mem {
	each := columns / p.lanes // vectors of a panel
	if p.offsets != nil {
		return p.b.at(0, j*p.lanes)
	}
	m := p.b.at(j/each, 0)
	m.Disp = p.width() * (i*columns + j%each*p.lanes)
	return m
}

// width is that of an element of B, in bytes.
func (p product) width() int {
	if p.narrow {
		return 2
	}
	return 4
}

func (p product) move(n int) {
	p.advance(n)
	if p.offsets != nil {
		ADDQ(U32(4*n), p.offsets)
	} else {
		p.b.advance(p.width() * n * columns)
	}
}

// finish adds C and the bias, applies ReLU, each if asked for, and stores.
func (p product) finish(sums [][]VecVirtual) {
	mode, bias := load("mode"), load("bias")
	each := func(f func(r, j int)) {
		for r := range sums {
			for j := range sums[r] {
				f(r, j)
			}
		}
	}
	TESTQ(U32(modeAdd), mode)
	JZ(LabelRef("added" + p.label))
	each(func(r, j int) { VADDPS(p.c.at(r, j*p.lanes), sums[r][j], sums[r][j]) })
	Label("added" + p.label)
	TESTQ(bias, bias)
	JZ(LabelRef("biased" + p.label))
	for j := range sums[0] {
		y := p.register()
		VMOVUPS(at(bias, j*p.lanes), y)
		for r := range sums {
			VADDPS(y, sums[r][j], sums[r][j])
		}
	}
	Label("biased" + p.label)
	TESTQ(U32(modeReLU), mode)
	JZ(LabelRef("store" + p.label))
	none := p.zero()
	each(func(r, j int) { rectify(sums[r][j], none) })
	Label("store" + p.label)
	each(func(r, j int) { VMOVUPS(sums[r][j], p.c.at(r, j*p.lanes)) })
	end()
}
