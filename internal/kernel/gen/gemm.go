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
		name := fmt.Sprintf("tile%d", rows)
		begin(name, "func(k int, a, b, c *float32, ldc int, bias *float32, mode int)",
			fmt.Sprintf("%s computes %d rows and 16 columns of C, whose rows are ldc bytes apart, from packed panels of A and B.", name, rows))
		b, c, ldc := load("b"), load("c"), load("ldc")
		rowsOfC := []Register{c}
		for len(rowsOfC) < rows {
			next := GP64()
			MOVQ(rowsOfC[len(rowsOfC)-1], next)
			ADDQ(ldc, next)
			rowsOfC = append(rowsOfC, next)
		}
		tile([]Register{b}, rowsOfC, vector)
	}
	for _, panels := range []int{1, 4} {
		name := fmt.Sprintf("row%d", panels*columns)
		begin(name, "func(k int, a, b *float32, ldb int, c, bias *float32, mode int)",
			fmt.Sprintf("%s computes %d columns of a row of C from a row of A and packed panels of B, which are ldb bytes apart.", name, panels*columns))
		b, ldb := []Register{load("b")}, load("ldb")
		for len(b) < panels {
			next := GP64()
			MOVQ(b[len(b)-1], next)
			ADDQ(ldb, next)
			b = append(b, next)
		}
		tile(b, []Register{load("c")}, 1)
	}
}

// tile is the body of a kernel for some rows of C, and some panels of B beside
// each other. A has stride elements for each k.
func tile(b, c []Register, stride int) {
	k, a := load("k"), load("a")
	sums := make([][]VecVirtual, len(c))
	for r := range c {
		PREFETCHT0(at(c[r], 0))
		for range 2 * len(b) {
			sums[r] = append(sums[r], zero())
		}
	}
	SUBQ(Imm(unrolled), k)
	JLT(LabelRef("rest"))
	Label("several")
	for i := range unrolled {
		multiply(sums, a, b, i, stride)
	}
	advance(a, b, unrolled, stride)
	SUBQ(Imm(unrolled), k)
	JGE(LabelRef("several"))
	Label("rest")
	ADDQ(Imm(unrolled), k)
	JZ(LabelRef("done"))
	Label("one")
	multiply(sums, a, b, 0, stride)
	advance(a, b, 1, stride)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("done")
	finish(sums, c)
}

// multiply adds the products of k+i. The elements of B stay in registers where
// there is more than one row to share them.
func multiply(sums [][]VecVirtual, a Register, b []Register, i, stride int) {
	var right []Op
	for j := range sums[0] {
		var v Op = at(b[j/2], i*columns+j%2*vector)
		if len(sums) > 1 {
			y := YMM()
			VMOVUPS(v, y)
			v = y
		}
		right = append(right, v)
	}
	for r, row := range sums {
		left := YMM()
		VBROADCASTSS(at(a, i*stride+r), left)
		for j, sum := range row {
			VFMADD231PS(right[j], left, sum)
		}
	}
}

func advance(a Register, b []Register, n, stride int) {
	ADDQ(U32(4*n*stride), a)
	for _, p := range b {
		ADDQ(U32(4*n*columns), p)
	}
}

// finish adds C and the bias, applies ReLU, each if asked for, and stores.
func finish(sums [][]VecVirtual, c []Register) {
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
	each(func(r, j int) { VADDPS(at(c[r], j*vector), sums[r][j], sums[r][j]) })
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
	each(func(r, j int) { VMOVUPS(sums[r][j], at(c[r], j*vector)) })
	end()
}
