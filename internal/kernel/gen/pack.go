package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// packing brings operands into the order in which tiles read them.
func packing() {
	begin("transpose8", "func(dst *float32, ld int, rows *[8]*float32, blocks int)",
		"transpose8 writes blocks of 8 columns of 8 rows to dst, a column after the other, ld bytes apart.")
	transposing(func(VecVirtual) {})

	begin("deliver8", "func(dst *float32, ld int, rows *[8]*float32, blocks int, bias *[8]float32, mode int)",
		"deliver8 is transpose8 of what a product came to: it adds the bias, and applies ReLU if asked for.")
	bias, least, plus := read(at(load("bias"), 0)), zero(), zero()
	mode := load("mode")
	TESTQ(U32(modeReLU), mode)
	JNZ(LabelRef("begin"))
	VPCMPEQD(plus, plus, plus)
	VPSLLD(Imm(31), plus, plus) // -0, which changes nothing
	VPSRAD(Imm(8), plus, least) // -Inf
	Label("begin")
	transposing(func(column VecVirtual) {
		VADDPS(bias, column, column)
		VMAXPS(column, least, column)
		VADDPS(plus, column, column)
	})

	copyRows("copy8", 1)
	copyRows("copy16", 2)
}

// transposing writes blocks of columns, after f.
func transposing(f func(column VecVirtual)) {
	dst, ld, rows, blocks := load("dst"), load("ld"), load("rows"), load("blocks")
	var row [8]Register
	for i := range row {
		row[i] = GP64()
		MOVQ(Mem{Base: rows, Disp: 8 * i}, row[i])
	}
	i := GP64()
	XORQ(i, i)
	Label("block")
	for _, from := range []int{0, 4} {
		var y [4]VecVirtual // rows r and r+4, side by side
		for r := range y {
			y[r] = YMM()
			VMOVUPS(Mem{Base: row[r], Index: i, Scale: 4, Disp: 4 * from}, y[r].AsX())
			VINSERTF128(Imm(1), Mem{Base: row[r+4], Index: i, Scale: 4, Disp: 4 * from}, y[r], y[r])
		}
		for _, column := range transposed(y) {
			f(column)
			VMOVUPS(column, Mem{Base: dst})
			ADDQ(ld, dst)
		}
	}
	ADDQ(Imm(8), i)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	end()
}

// transposed swaps the rows and columns of both halves of 4 registers.
func transposed(y [4]VecVirtual) (out [4]VecVirtual) {
	var pairs [4]VecVirtual
	for i := 0; i < 4; i += 2 {
		pairs[i], pairs[i+1] = YMM(), YMM()
		VUNPCKLPS(y[i+1], y[i], pairs[i])
		VUNPCKHPS(y[i+1], y[i], pairs[i+1])
	}
	for i := range out {
		out[i] = YMM()
		VSHUFPS(Imm([]uint64{0x44, 0xee}[i%2]), pairs[2+i/2], pairs[i/2], out[i])
	}
	return out
}

// copyRows gathers the starts of rows, up to so many registers of each. What
// the mask leaves out is not read, and becomes 0.
func copyRows(name string, registers int) {
	begin(name, "func(dst, src *float32, ld, n int, mask *int32)",
		name+" writes the starts of n rows of src, which are ld bytes apart, to dst, one after the other, and 0 where the mask is.")
	dst, src, ld, n, mask := load("dst"), load("src"), load("ld"), load("n"), load("mask")
	var masks []VecVirtual
	for i := range registers {
		masks = append(masks, YMM())
		VMOVDQU(at(mask, i*vector), masks[i])
	}
	Label("row")
	for i, m := range masks {
		y := YMM()
		VMASKMOVPS(at(src, i*vector), m, y)
		VMOVUPS(y, at(dst, i*vector))
	}
	ADDQ(ld, src)
	ADDQ(U32(4*vector*registers), dst)
	DECQ(n)
	JNZ(LabelRef("row"))
	end()
}
