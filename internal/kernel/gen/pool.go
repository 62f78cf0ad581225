package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// pools are the inner loops of pooling.
func pools() {
	begin("quartersMax8", "func(rows, width int, dst, src *float32, lds int, winners *int32, places *[5][8]int32, last, kept *int32)",
		"quartersMax8 writes the largest of each 2x2 elements of pairs of rows of src, which are lds bytes apart, to rows of dst, width of each, one after the other, and which it was to winners, if that is not nil. places are those of the first 8 upper left elements, as far as the other three are from them, and as far as a pair of rows is from the next. last and kept are masks of the 16 elements that the last vector of a row is made of, and of those that it has.")
	rows, dst, src, lds, winners := load("rows"), load("dst"), load("src"), load("lds"), load("winners")
	width, places, last := load("width"), load("places"), load("last")
	low, high, kept := YMM(), YMM(), YMM()
	VMOVDQU(at(load("kept"), 0), kept)
	VMOVDQU(at(last, 0), low)
	VMOVDQU(at(last, vector), high)
	start, place := YMM(), YMM() // of the upper left elements, in the plane
	VMOVDQU(at(places, 0), start)
	upper, lower, left := GP64(), GP64(), GP64()
	q := quarters{upper: upper, lower: lower, places: places, place: place}

	Label("row")
	VMOVDQA(start, place)
	MOVQ(src, upper)
	ADDQ(lds, src)
	MOVQ(src, lower)
	ADDQ(lds, src)
	MOVQ(width, left)
	SUBQ(Imm(vector), left)
	JLE(LabelRef("rest"))
	Label("vector")
	top, won := q.best(func(_ int, from Mem) VecVirtual { return read(from) })
	VMOVUPS(top, at(dst, 0))
	ADDQ(Imm(4*vector), dst)
	TESTQ(winners, winners)
	JZ(LabelRef("next"))
	VMOVDQU(won, at(winners, 0))
	ADDQ(Imm(4*vector), winners)
	Label("next")
	VPADDD(words("sixteen", 4, func(i int) { DATA(4*i, U32(2*vector)) }), place, place)
	ADDQ(Imm(8*vector), upper)
	ADDQ(Imm(8*vector), lower)
	SUBQ(Imm(vector), left)
	JG(LabelRef("vector"))
	Label("rest")
	top, won = q.best(func(i int, from Mem) VecVirtual {
		y := YMM()
		VMASKMOVPS(from, []VecVirtual{low, high}[i], y)
		return y
	})
	ADDQ(Imm(vector), left)
	VMASKMOVPS(top, kept, at(dst, 0))
	LEAQ(Mem{Base: dst, Index: left, Scale: 4}, dst)
	TESTQ(winners, winners)
	JZ(LabelRef("done"))
	VMASKMOVPS(won, kept, at(winners, 0))
	LEAQ(Mem{Base: winners, Index: left, Scale: 4}, winners)
	Label("done")
	VPADDD(at(places, 4*vector), start, start)
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}

// quarters are 8 times 2x2 elements.
type quarters struct {
	upper, lower, places Register
	place                VecVirtual
}

// best are the largest of each, and their places. read is given which half of a
// row is read, and from where.
func (q quarters) best(read func(i int, from Mem) VecVirtual) (top, won VecVirtual) {
	for i, row := range []Register{q.upper, q.lower} {
		a, b := read(0, at(row, 0)), read(1, at(row, vector))
		for j, sides := range []uint64{0x88, 0xdd} { // left, and right
			v := YMM()
			VSHUFPS(Imm(sides), b, a, v)
			if i+j == 0 {
				top, won = v, YMM()
				VMOVDQA(q.place, won)
				continue
			}
			above, none, place := YMM(), YMM(), YMM()
			VCMPPS(Imm(greater), top, v, above)
			VCMPPS(Imm(unordered), v, v, none)
			VORPS(none, above, above)
			VPADDD(at(q.places, vector*(2*i+j)), q.place, place)
			VBLENDVPS(above, v, top, top)
			VBLENDVPS(above, place, won, won)
		}
	}
	VPERMPD(Imm(0xd8), top, top)
	VPERMQ(Imm(0xd8), won, won)
	return top, won
}
