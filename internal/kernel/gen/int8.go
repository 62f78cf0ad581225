package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// group is how many bytes of a row are multiplied into one sum at once.
const group = 4

// int8s are the kernels for weights and inputs of int8, from -127 to 127. The
// sums are exact: VPMADDUBSW takes |x| and w with the sign of x, and two
// products of 127·127 are still no more than an int16 holds.
func int8s() {
	int8Tile("int8Row64", 1, 4)
	for rows := 1; rows <= 4; rows++ {
		int8Tile(fmt.Sprintf("int8Tile%d", rows), rows, 1)
	}
	rounding()
}

// rounding finds the scale of a row, and brings it to int8.
func rounding() {
	begin("quantize8", "func(n int, q *int8, x *float32, inverse float32)",
		"quantize8 rounds x·inverse to integers, of n elements, a multiple of 8.")
	n, q, x, inverse := load("n"), load("q"), load("x"), YMM()
	VBROADCASTSS(address("inverse"), inverse)
	Label("vector")
	y, half := read(Mem{Base: x}), XMM()
	VMULPS(inverse, y, y)
	VCVTPS2DQ(y, y)
	VEXTRACTI128(Imm(1), y, half)
	low := y.AsX()
	VPACKSSDW(half, low, low)
	VPACKSSWB(low, low, low)
	VMOVQ(low, Mem{Base: q})
	ADDQ(Imm(vector), q)
	ADDQ(Imm(4*vector), x)
	SUBQ(Imm(vector), n)
	JNZ(LabelRef("vector"))
	end()

	begin("magnitudes", "func(n int, x *float32, top *[8]uint32)",
		"magnitudes writes the largest bits without a sign of every eighth of n elements, a multiple of 8.")
	n, x, most := load("n"), load("x"), zero()
	unsigned := YMM()
	VPCMPEQD(unsigned, unsigned, unsigned)
	VPSRLD(Imm(1), unsigned, unsigned)
	Label("vector")
	y = YMM()
	VPAND(Mem{Base: x}, unsigned, y)
	VPMAXUD(y, most, most)
	ADDQ(Imm(4*vector), x)
	SUBQ(Imm(vector), n)
	JNZ(LabelRef("vector"))
	VMOVDQU(most, Mem{Base: load("top")})
	end()
}

// int8Tile is a kernel for some rows of x, and some panels of w beside each
// other.
func int8Tile(name string, rows, panels int) {
	begin(name, "func(groups int, x *int8, ldx int, w *int8, ldw int, y *float32, ldy int, xScale, wScale, bias *float32)",
		fmt.Sprintf("%s computes %d rows and %d columns of y from rows of x and packed panels of w. Rows and panels are ld bytes apart; groups is even.", name, rows, panels*columns))
	groups := load("groups")
	x, w := spaced("x", "ldx", rows), spaced("w", "ldw", panels)
	ones := YMM()
	VPCMPEQW(ones, ones, ones)
	VPABSW(ones, ones)
	sums := make([][]VecVirtual, rows)
	for r := range sums {
		for range 2 * panels {
			sums[r] = append(sums[r], zero())
		}
	}
	Label("groups")
	for i := range 2 {
		int8Multiply(sums, x, w, i, ones)
	}
	for _, p := range x {
		ADDQ(Imm(2*group), p)
	}
	for _, p := range w {
		ADDQ(U32(2*group*columns), p)
	}
	SUBQ(Imm(2), groups)
	JNZ(LabelRef("groups"))
	int8Finish(sums)
}

// int8Multiply adds the products of group i.
func int8Multiply(sums [][]VecVirtual, x, w []Register, i int, ones VecVirtual) {
	var right []VecVirtual
	if len(sums) > 1 {
		for j := range sums[0] {
			right = append(right, read(int8Place(w, i, j)))
		}
	}
	for r, row := range sums {
		left, size := YMM(), YMM()
		VPBROADCASTD(Mem{Base: x[r], Disp: group * i}, left)
		VPABSB(left, size)
		for j, sum := range row {
			v := YMM()
			if right == nil {
				VMOVDQU(int8Place(w, i, j), v)
				VPSIGNB(left, v, v)
			} else {
				VPSIGNB(left, right[j], v)
			}
			VPMADDUBSW(v, size, v)
			VPMADDWD(ones, v, v)
			VPADDD(v, sum, sum)
		}
	}
}

func int8Place(w []Register, i, j int) Mem {
	return Mem{Base: w[j/2], Disp: group * (i*columns + j%2*vector)}
}

// int8Finish scales the sums, adds the bias if there is one, and stores.
func int8Finish(sums [][]VecVirtual) {
	y := spaced("y", "ldy", len(sums))
	xScale, wScale, bias := load("xScale"), load("wScale"), load("bias")
	for r, row := range sums {
		scale := YMM()
		VBROADCASTSS(at(xScale, r), scale)
		for j, sum := range row {
			both := YMM()
			VMULPS(at(wScale, j*vector), scale, both)
			VCVTDQ2PS(sum, sum)
			VMULPS(both, sum, sum)
		}
	}
	TESTQ(bias, bias)
	JZ(LabelRef("store"))
	for _, row := range sums {
		for j, sum := range row {
			VADDPS(at(bias, j*vector), sum, sum)
		}
	}
	Label("store")
	for r, row := range sums {
		for j, sum := range row {
			VMOVUPS(sum, at(y[r], j*vector))
		}
	}
	end()
}
