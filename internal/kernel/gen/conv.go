package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// convolutions are the inner loops over images that were framed by zeros: what
// a tap of a window sees of them is as far from what the first one sees as its
// offset says, for all places of the window.
func convolutions() {
	windows(product{rows: 6, panels: 1, lanes: vector})
	for panels := 1; panels <= abreast; panels++ {
		windows(product{rows: 8, panels: panels, lanes: 2 * vector})
	}
	dots(3, 2, vector)
	dots(4, 4, 2*vector)
	rowMoving("moveRows", false)
	rowMoving("joinRows", true)
	rowHalving()
}

// windows multiplies rows of weights by what taps see.
func windows(t product) {
	name := "window" + t.size()
	begin(name, "func(rows, k int, a *float32, lda int, b *float32, offsets *int32, c *float32, ldc int)",
		fmt.Sprintf("%s computes up to %d rows and %d columns of C from rows of A and k rows of B, which begin as many bytes behind b as offsets say. Rows of A and C are lda and ldc bytes apart.", name, t.rows, t.panels*columns))
	t.byRows(1, func(p product) {
		a := every("a", "lda", p.rows)
		p.left, p.advance = a.at, func(n int) { a.advance(4 * n) }
		p.b, p.offsets, p.fetch = single("b"), load("offsets"), func() {}
		p.store(p.sum())
	})
}

// behind is where something begins that is some bytes behind base.
func behind(base Register, offset Mem) Register {
	r := GP64()
	MOVLQSX(offset, r)
	ADDQ(base, r)
	return r
}

// store writes C.
func (p product) store(sums [][]VecVirtual) {
	for r := range sums {
		for j, v := range sums[r] {
			VMOVUPS(v, p.c.at(r, j*p.lanes))
		}
	}
	end()
}

// dots sums products over the places of a window: C[r][t] is the sum over n
// elements, a multiple of 16, of row r of A times what tap t sees. There are 16
// sums for each, which are added up in the same order in registers of any width.
func dots(rows, taps, lanes int) {
	t := product{rows: rows, lanes: lanes}
	name := fmt.Sprintf("dots%dx%d", rows, taps)
	begin(name, "func(rows, n int, a *float32, lda int, b *float32, offsets *int32, c *float32, ldc int, mode int)",
		fmt.Sprintf("%s computes up to %d rows and %d columns of C: the sums over n elements, a multiple of 16, of rows of A times rows of B, which begin as many bytes behind b as offsets say. Rows of A and C are lda and ldc bytes apart.", name, rows, taps))
	t.byRows(1, func(p product) {
		p.dots(taps)
	})
}

func (p product) dots(taps int) {
	const whole = 2 * vector // elements at once
	a, b, offsets, n := every("a", "lda", p.rows), load("b"), load("offsets"), load("n")
	see := make([]Register, taps)
	for t := range see {
		see[t] = behind(b, at(offsets, t))
	}
	parts := whole / p.lanes
	sums := make([][][]VecVirtual, p.rows) // of row, tap and part
	for r := range sums {
		sums[r] = make([][]VecVirtual, taps)
		for t := range sums[r] {
			for range parts {
				sums[r][t] = append(sums[r][t], p.zero())
			}
		}
	}
	i := GP64()
	XORQ(i, i)
	Label("several" + p.label)
	for part := range parts {
		left := make([]VecVirtual, p.rows)
		for r := range left {
			left[r] = p.register()
			VMOVUPS(a.at(r, part*p.lanes), left[r])
		}
		for t := range see {
			right := p.register()
			VMOVUPS(Mem{Base: see[t], Index: i, Scale: 4, Disp: 4 * part * p.lanes}, right)
			for r := range left {
				VFMADD231PS(right, left[r], sums[r][t][part])
			}
		}
	}
	a.advance(4 * whole)
	ADDQ(U32(whole), i)
	SUBQ(U32(whole), n)
	JNZ(LabelRef("several" + p.label))
	totals := make([]VecVirtual, p.rows)
	for r := range sums {
		var eight []VecVirtual // sums of each tap
		for t := range see {
			eight = append(eight, p.fold(sums[r][t]))
		}
		totals[r] = addUp(eight)
	}
	each := func(f func(x VecVirtual, c Mem)) {
		for r, x := range totals {
			f(x, p.c.at(r, 0))
		}
	}
	mode := load("mode")
	TESTQ(U32(modeAdd), mode)
	JZ(LabelRef("write" + p.label))
	each(func(x VecVirtual, c Mem) {
		y := XMM()
		if taps == 2 {
			VMOVSD(c, y)
		} else {
			VMOVUPS(c, y)
		}
		VADDPS(y, x, x)
	})
	Label("write" + p.label)
	each(func(x VecVirtual, c Mem) {
		if taps == 2 {
			VMOVLPS(x, c)
		} else {
			VMOVUPS(x, c)
		}
	})
	end()
}

// fold adds the second 8 of 16 sums to the first.
func (p product) fold(sums []VecVirtual) VecVirtual {
	low := YMM()
	if p.lanes == vector {
		VADDPS(sums[1], sums[0], low)
		return low
	}
	high := YMM()
	VEXTRACTF64X4(Imm(1), sums[0], high)
	VADDPS(high, sums[0].AsY(), low)
	return low
}

// addUp is the sums of 2 or 4 registers of 8, beside each other.
func addUp(eight []VecVirtual) VecVirtual {
	first := pairs(eight[0], eight[1])
	second := first
	if len(eight) == 4 {
		second = pairs(eight[2], eight[3])
	}
	y, high := pairs(first, second), XMM()
	VEXTRACTF128(Imm(1), y, high)
	VADDPS(high, y.AsX(), high)
	return high
}

// pairs adds elements of a, and of b, that are beside each other.
func pairs(a, b VecVirtual) VecVirtual {
	y := YMM()
	VHADDPS(b, a, y)
	return y
}

// rowMoving copies rows between arrays in which they are apart differently, and
// adds others to them if join is set.
func rowMoving(name string, join bool) {
	params, doc := "", "moveRows copies rows of some elements, 1 or more, from src to dst, where they are lds and ldd bytes apart: (x + change[0] max change[1]) + change[2]. mask has the elements that the last vector of a row has, and gap those between it and the next that become 0."
	if join {
		params, doc = "more *float32, ", "joinRows is moveRows of x + change[0] plus an element of more, whose rows are as far apart as those of dst."
	}
	begin(name, "func(rows, width int, dst *float32, ldd int, "+params+"src *float32, lds int, mask, gap *int32, change *[3]float32)", doc)
	rows, dst, ldd, src, lds := load("rows"), load("dst"), load("ldd"), load("src"), load("lds")
	change, mask, last, gap, none := load("change"), load("mask"), YMM(), YMM(), zero()
	VMOVDQU(at(mask, 0), last)
	VMOVDQU(at(load("gap"), 0), gap)
	var changes [3]VecVirtual
	for i := range changes {
		changes[i] = YMM()
		VBROADCASTSS(at(change, i), changes[i])
	}
	var more Register
	if join {
		more = load("more")
	}
	width := load("width")
	i, left := GP64(), GP64()
	here := func(p Register) Mem { return Mem{Base: p, Index: i, Scale: 4} }
	step := func(read func(from Mem) VecVirtual, write func(y VecVirtual, to Mem)) {
		y := read(here(src))
		VADDPS(changes[0], y, y)
		if join {
			VADDPS(read(here(more)), y, y)
		}
		VMAXPS(y, changes[1], y)
		VADDPS(changes[2], y, y)
		write(y, here(dst))
	}
	Label("row")
	XORQ(i, i)
	MOVQ(width, left)
	SUBQ(Imm(vector), left)
	JLE(LabelRef("rest"))
	Label("vector")
	step(read, func(y VecVirtual, to Mem) { VMOVUPS(y, to) })
	ADDQ(Imm(vector), i)
	SUBQ(Imm(vector), left)
	JG(LabelRef("vector"))
	Label("rest")
	step(func(from Mem) VecVirtual {
		y := YMM()
		VMASKMOVPS(from, last, y)
		return y
	}, func(y VecVirtual, to Mem) { VMASKMOVPS(y, last, to) })
	DECQ(rows)
	JZ(LabelRef("done"))
	fillGap(gap, none, dst, width)
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	if join {
		ADDQ(ldd, more)
	}
	JMP(LabelRef("row"))
	Label("done")
	end()
}

// fillGap writes zeros between rows.
func fillGap(gap, none VecVirtual, row, width Register) {
	VMASKMOVPS(none, gap, Mem{Base: row, Index: width, Scale: 4})
}

// rowHalving copies every second element of rows.
func rowHalving() {
	begin("halveRows", "func(rows, width int, dst *float32, ldd int, src *float32, lds int, last, kept, gap *int32)",
		"halveRows copies every second element of rows, from the first on, width of each, from src to dst, where rows are lds and ldd bytes apart. last and kept are masks of the 16 elements that the last vector of a row is made of, of those that it has, and of those between rows that become 0.")
	rows, dst, ldd, src, lds := load("rows"), load("dst"), load("ldd"), load("src"), load("lds")
	width, mask := load("width"), load("last")
	low, high, kept, gap, none := YMM(), YMM(), YMM(), YMM(), zero()
	VMOVDQU(at(load("kept"), 0), kept)
	VMOVDQU(at(load("gap"), 0), gap)
	VMOVDQU(at(mask, 0), low)
	VMOVDQU(at(mask, vector), high)
	to, from, left := GP64(), GP64(), GP64()
	even := func(a, b VecVirtual) VecVirtual {
		VSHUFPS(Imm(0x88), b, a, a)
		VPERMPD(Imm(0xd8), a, a)
		return a
	}
	Label("row")
	MOVQ(dst, to)
	MOVQ(src, from)
	MOVQ(width, left)
	SUBQ(Imm(vector), left)
	JLE(LabelRef("rest"))
	Label("vector")
	VMOVUPS(even(read(at(from, 0)), read(at(from, vector))), at(to, 0))
	ADDQ(Imm(4*vector), to)
	ADDQ(Imm(8*vector), from)
	SUBQ(Imm(vector), left)
	JG(LabelRef("vector"))
	Label("rest")
	a, b := YMM(), YMM()
	VMASKMOVPS(at(from, 0), low, a)
	VMASKMOVPS(at(from, vector), high, b)
	y := even(a, b)
	VMASKMOVPS(y, kept, at(to, 0))
	DECQ(rows)
	JZ(LabelRef("done"))
	fillGap(gap, none, dst, width)
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	JMP(LabelRef("row"))
	Label("done")
	end()
}
