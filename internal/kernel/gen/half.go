package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// halves are the kernels for weights of float16, beside those of float32: where
// there is more than one row, panels are widened first.
func halves() {
	row("halfRow64", "uint16", 4)

	begin("widen", "func(n int, dst *float32, src *uint16)", "widen converts n elements of float16, a multiple of 8, which is exact.")
	n, dst, src := load("n"), load("dst"), load("src")
	Label("vector")
	y := YMM()
	VCVTPH2PS(Mem{Base: src}, y)
	VMOVUPS(y, Mem{Base: dst})
	ADDQ(Imm(2*vector), src)
	ADDQ(Imm(4*vector), dst)
	SUBQ(Imm(vector), n)
	JNZ(LabelRef("vector"))
	end()
}
