package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	vector   = 8 // elements of a register
	columns  = 2 * vector
	unrolled = 4
)

// What a tile does besides, as bits of its mode. They are those of
// gemm_amd64.go.
const (
	modeAdd  = 1 << iota // add what C holds
	modeReLU             // after the bias
)

// products are the inner loops of a matrix product. Each element is a chain of
// fused products and sums over k, in order, whatever the tile: so a row comes
// out the same in all of them.
func products() {
	for rows := 2; rows <= 6; rows++ {
		tile(rows)
		turned(rows)
	}
	row("row16", "float32", 1)
	row("row64", "float32", 4)
}

// A product is a kernel for some rows of C, and some panels of B beside each
// other.
type product struct {
	rows    int
	left    func(r, i int) Mem // the element of A in row r, i products ahead
	advance func(n int)        // moves left
	b       []Register
	narrow  bool // B is of float16
	c       rowsApart
	fetch   func() // is done every few products
}

// tile multiplies rows of A.
func tile(rows int) {
	begin(fmt.Sprintf("tile%d", rows), "func(k int, a *float32, lda int, b, c *float32, ldc int, bias *float32, mode int, next uintptr, step int)",
		fmt.Sprintf("tile%d computes %d rows and 16 columns of C from rows of A and a packed panel of B. Rows are lda and ldc bytes apart. Meanwhile, it fetches lines that are step bytes apart, from next on.", rows, rows))
	a := every("a", "lda", rows)
	product{
		rows: rows,
		left: a.at,
		advance: func(n int) {
			for _, r := range a.thirds {
				ADDQ(Imm(uint64(4*n)), r)
			}
		},
		b: []Register{load("b")}, c: every("c", "ldc", rows), fetch: fetching(),
	}.compute()
}

// turned multiplies columns of A, which are packed.
func turned(rows int) {
	begin(fmt.Sprintf("turned%d", rows), "func(k int, a, b, c *float32, ldc int, bias *float32, mode int, next uintptr, step int)",
		fmt.Sprintf("turned%d is tile%d of packed columns of A.", rows, rows))
	a := load("a")
	product{
		rows:    rows,
		left:    func(r, i int) Mem { return at(a, i*vector+r) },
		advance: func(n int) { ADDQ(U32(4*vector*n), a) },
		b:       []Register{load("b")}, c: every("c", "ldc", rows), fetch: fetching(),
	}.compute()
}

// row multiplies one row of A. B is of float32, or of uint16 for float16.
func row(name, of string, panels int) {
	begin(name, fmt.Sprintf("func(k int, a *float32, b *%s, ldb int, c, bias *float32, mode int)", of),
		fmt.Sprintf("%s computes %d columns of a row of C from a row of A and packed panels of B, which are ldb bytes apart.", name, panels*columns))
	a := load("a")
	product{
		rows:    1,
		narrow:  of == "uint16",
		left:    func(_, i int) Mem { return at(a, i) },
		advance: func(n int) { ADDQ(Imm(uint64(4*n)), a) },
		b:       spaced("b", "ldb", panels), c: rowsApart{thirds: []Register{load("c")}}, fetch: func() {},
	}.compute()
}

// rowsApart are rows that are some bytes apart. Every third is in a register.
type rowsApart struct {
	thirds []Register
	apart  Register
}

func every(first, apart string, rows int) rowsApart {
	all := rowsApart{[]Register{load(first)}, load(apart)}
	for r := 3; r < rows; r += 3 {
		next := GP64()
		LEAQ(Mem{Base: all.thirds[0], Index: all.apart, Scale: 2}, next)
		ADDQ(all.apart, next)
		all.thirds = append(all.thirds, next)
	}
	return all
}

// at is element i of row r.
func (a rowsApart) at(r, i int) Mem {
	m := at(a.thirds[r/3], i)
	if r%3 > 0 {
		m.Index, m.Scale = a.apart, uint8(r%3)
	}
	return m
}

// fetching brings a line to the second cache each time.
func fetching() func() {
	next, step := load("next"), load("step")
	return func() {
		PREFETCHT1(at(next, 0))
		ADDQ(step, next)
	}
}

func (p product) compute() {
	k := load("k")
	sums := make([][]VecVirtual, p.rows)
	for r := range sums {
		PREFETCHT0(p.c.at(r, 0))
		for range 2 * len(p.b) {
			sums[r] = append(sums[r], zero())
		}
	}
	SUBQ(Imm(unrolled), k)
	JLT(LabelRef("rest"))
	Label("several")
	for i := range unrolled {
		p.multiply(sums, i)
	}
	p.move(unrolled)
	p.fetch()
	SUBQ(Imm(unrolled), k)
	JGE(LabelRef("several"))
	Label("rest")
	ADDQ(Imm(unrolled), k)
	JZ(LabelRef("done"))
	Label("one")
	p.multiply(sums, 0)
	p.move(1)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("done")
	p.finish(sums)
}

// multiply adds the products of k+i. The elements of B stay in registers where
// there is more than one row to share them.
func (p product) multiply(sums [][]VecVirtual, i int) {
	right := make([]Op, len(sums[0]))
	for j := range right {
		place := Mem{Base: p.b[j/2], Disp: p.size() * (i*columns + j%2*vector)}
		right[j] = place
		if len(sums) > 1 {
			right[j] = read(place)
		}
	}
	for r, row := range sums {
		left := YMM()
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

// size is that of an element of B, in bytes.
func (p product) size() int {
	if p.narrow {
		return 2
	}
	return 4
}

func (p product) move(n int) {
	p.advance(n)
	for _, b := range p.b {
		ADDQ(U32(p.size()*n*columns), b)
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
	JZ(LabelRef("added"))
	each(func(r, j int) { VADDPS(p.c.at(r, j*vector), sums[r][j], sums[r][j]) })
	Label("added")
	TESTQ(bias, bias)
	JZ(LabelRef("biased"))
	for j := range sums[0] {
		y := YMM()
		VMOVUPS(at(bias, j*vector), y)
		for r := range sums {
			VADDPS(y, sums[r][j], sums[r][j])
		}
	}
	Label("biased")
	TESTQ(U32(modeReLU), mode)
	JZ(LabelRef("store"))
	none := zero()
	each(func(r, j int) { rectify(sums[r][j], none) })
	Label("store")
	each(func(r, j int) { VMOVUPS(sums[r][j], p.c.at(r, j*vector)) })
	end()
}
