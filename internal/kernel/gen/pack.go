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
	dst, ld, rows, blocks := load("dst"), load("ld"), load("rows"), load("blocks")
	var row [8]Register
	for i := range row {
		row[i] = GP64()
		MOVQ(Mem{Base: rows, Disp: 8 * i}, row[i])
	}
	i := GP64()
	XORQ(i, i)
	Label("block")
	var y [8]VecVirtual
	for r := range y {
		y[r] = YMM()
		VMOVUPS(Mem{Base: row[r], Index: i, Scale: 4}, y[r])
	}
	for _, column := range transposed(y) {
		VMOVUPS(column, Mem{Base: dst})
		ADDQ(ld, dst)
	}
	ADDQ(Imm(8), i)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	end()

	copyRows("copy8", 1)
	copyRows("copy16", 2)
}

// transposed swaps the rows and columns of 8 registers.
func transposed(y [8]VecVirtual) (out [8]VecVirtual) {
	var pairs, fours [8]VecVirtual
	for i := 0; i < 8; i += 2 {
		pairs[i], pairs[i+1] = YMM(), YMM()
		VUNPCKLPS(y[i+1], y[i], pairs[i])
		VUNPCKHPS(y[i+1], y[i], pairs[i+1])
	}
	for i := 0; i < 8; i += 4 {
		for j := range 4 {
			fours[i+j] = YMM()
			VSHUFPS(Imm([]uint64{0x44, 0xee}[j%2]), pairs[i+2+j/2], pairs[i+j/2], fours[i+j])
		}
	}
	for i := range 4 {
		out[i], out[4+i] = YMM(), YMM()
		VPERM2F128(Imm(0x20), fours[4+i], fours[i], out[i])
		VPERM2F128(Imm(0x31), fours[4+i], fours[i], out[4+i])
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
