package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// eachVector is a loop over n elements of 4 bytes, a multiple of 8: f is given
// the places of the vectors at hand in the arrays that the parameters point
// to.
func eachVector(params []string, f func(p []Mem)) {
	n, i := load("n"), GP64()
	XORQ(i, i)
	var places []Mem
	for _, name := range params {
		places = append(places, Mem{Base: load(name), Index: i, Scale: 4})
	}
	Label("vector")
	f(places)
	ADDQ(U32(vector), i)
	CMPQ(i, n)
	JLT(LabelRef("vector"))
	end()
}

// A part is the elements at hand of arrays that are gone through together: as
// many as a vector has, or the last few, which the mask has. What is read
// beyond them is 0, and nothing is written there.
type part struct {
	at         Register
	mask, wide VecVirtual // in 4 bytes and in 8, nil for a whole vector
	left       Register   // how many the last few are
}

// eachPart is a loop over n elements, of which width are done at once. The
// label is its own within a function.
func eachPart(label string, n Register, width uint32, f func(part)) {
	at, left := GP64(), GP64()
	XORQ(at, at)
	MOVQ(n, left)
	SUBQ(U32(width), left)
	JLT(LabelRef(label + "Rest"))
	Label(label)
	f(part{at: at})
	ADDQ(U32(width), at)
	SUBQ(U32(width), left)
	JGE(LabelRef(label))
	Label(label + "Rest")
	ADDQ(U32(width), left)
	JZ(LabelRef(label + "Done"))
	f(rest(at, left, width))
	Label(label + "Done")
}

// rest is the part of the last few elements.
func rest(at, left Register, width uint32) part {
	mask, wide := YMM(), YMM()
	VMOVD(left.(GP).As32(), mask.AsX())
	VPBROADCASTD(mask.AsX(), mask)
	VPCMPGTD(words("places", 4, func(i int) { DATA(4*i, U32(i)) }), mask, mask)
	if width == 4 {
		VPMOVSXDQ(mask.AsX(), wide)
	}
	return part{at, mask, wide, left}
}

// single are elements of 4 bytes, as they are.
func (p part) single(x Register) VecVirtual {
	m, y := Mem{Base: x, Index: p.at, Scale: 4}, YMM()
	if p.mask == nil {
		VMOVUPS(m, y)
	} else {
		VMASKMOVPS(m, p.mask, y)
	}
	return y
}

// widened are 4 elements of 4 bytes, in float64.
func (p part) widened(x Register) VecVirtual {
	m, y := Mem{Base: x, Index: p.at, Scale: 4}, YMM()
	if p.mask == nil {
		VCVTPS2PD(m, y)
	} else {
		VMASKMOVPS(m, p.mask.AsX(), y.AsX())
		VCVTPS2PD(y.AsX(), y)
	}
	return y
}

// double are 4 elements of 8 bytes.
func (p part) double(x Register) VecVirtual {
	m, y := Mem{Base: x, Index: p.at, Scale: 8}, YMM()
	if p.mask == nil {
		VMOVUPD(m, y)
	} else {
		VMASKMOVPD(m, p.wide, y)
	}
	return y
}

// putSingle writes elements of 4 bytes, and overwrites y.
func (p part) putSingle(y VecVirtual, x Register) {
	p.put(y, Mem{Base: x, Index: p.at, Scale: 4}, vector)
}

// putNarrowed rounds 4 elements to float32, and overwrites y.
func (p part) putNarrowed(y VecVirtual, x Register) {
	VCVTPD2PSY(y, y.AsX())
	p.put(y.AsX(), Mem{Base: x, Index: p.at, Scale: 4}, vector/2)
}

// putDouble writes 4 elements of 8 bytes, and overwrites y.
func (p part) putDouble(y VecVirtual, x Register) {
	p.put(y, Mem{Base: x, Index: p.at, Scale: 8}, vector/2)
}

// put writes the elements of y, of which a vector has width. The last few are
// written by powers of two: what is masked is written slowly.
func (p part) put(y Register, m Mem, width int) {
	if p.mask == nil {
		VMOVUPS(y, m)
		return
	}
	to, low := GP64(), y.(Vec).AsX()
	LEAQ(m, to)
	for n := width / 2; n > 0; n /= 2 {
		stores++
		next := fmt.Sprint("stored", stores)
		TESTQ(U32(uint32(n)), p.left)
		JZ(LabelRef(next))
		switch size := n * int(m.Scale); size {
		case 16:
			VMOVUPS(low, Mem{Base: to})
			VEXTRACTF128(Imm(1), y, low)
			ADDQ(U32(16), to)
		case 8:
			VMOVQ(low, Mem{Base: to})
			VPSRLDQ(Imm(8), low, low)
			ADDQ(U32(8), to)
		case 4:
			VMOVSS(low, Mem{Base: to})
		}
		Label(next)
	}
}

var stores int // makes labels of their own

// only clears what y has beyond the elements.
func (p part) only(y VecVirtual) {
	if p.mask != nil {
		VANDPD(p.wide, y, y)
	}
}

func read(m Mem) VecVirtual {
	y := YMM()
	VMOVUPS(m, y)
	return y
}

// fields are the first fields of 4 bytes of what the parameter c points to, each
// in all places of a register.
func fields(names ...string) map[string]VecVirtual {
	c, all := load("c"), map[string]VecVirtual{}
	for i, name := range names {
		all[name] = YMM()
		VBROADCASTSS(at(c, i), all[name])
	}
	return all
}

// activations are those with nothing but arithmetic, and all their gradients
// by their outputs y, which round as in the portable code.
func activations() {
	begin("relu", "func(n int, y, x *float32)", "relu is max(x, 0).")
	none := zero()
	eachVector([]string{"y", "x"}, func(p []Mem) {
		v := read(p[1])
		rectify(v, none)
		VMOVUPS(v, p[0])
	})

	begin("reluGrad", "func(n int, dx, y, dy *float32)", "reluGrad is dy where y is above 0.")
	none = zero()
	eachVector([]string{"dx", "y", "dy"}, func(p []Mem) {
		v := read(p[1])
		VCMPPS(Imm(greater), none, v, v)
		VANDPS(p[2], v, v)
		VMOVUPS(v, p[0])
	})

	begin("tanhGrad", "func(n int, dx, y, dy *float32)", "tanhGrad is dy·(1 - y²).")
	one := constant("one", 1)
	eachVector([]string{"dx", "y", "dy"}, func(p []Mem) {
		v, d := read(p[1]), read(one)
		VMULPS(v, v, v)
		VSUBPS(v, d, d)
		VMULPS(p[2], d, d)
		VMOVUPS(d, p[0])
	})

	begin("sigmoidGrad", "func(n int, dx, y, dy *float32)", "sigmoidGrad is dy·y·(1 - y).")
	eachVector([]string{"dx", "y", "dy"}, func(p []Mem) {
		v, d := read(p[1]), read(one)
		VSUBPS(v, d, d)
		VMULPS(p[2], v, v)
		VMULPS(d, v, v)
		VMOVUPS(v, p[0])
	})
	additions()
	clipped()
	leaks()
	hardSwishes()
}

// rectify replaces v by max(v, 0): of a NaN and 0 that is the NaN here, and of
// -0 and 0, after the sum, 0.
func rectify(v, none VecVirtual) {
	VMAXPS(v, none, v)
	VADDPS(none, v, v)
}

// Ways to compare, of VCMPPS and VCMPPD. A NaN is not less, equal or greater.
const (
	equal      = 0x00
	unordered  = 0x03
	notEqual   = 0x04
	notAtMost  = 0x16
	notAtLeast = 0x19
	notLess    = 0x15
	less       = 0x11
	notGreater = 0x1a
	greater    = 0x1e
	atLeast    = 0x1d
)

// sums adds up the rows of a matrix.
func sums() {
	for _, registers := range []int{1, 4} {
		name := map[int]string{1: "sumColumns8", 4: "sumColumns32"}[registers]
		begin(name, "func(dst, x *float32, ld, rows int)", name+" writes the sums of so many columns, whose rows are ld bytes apart.")
		dst, x, ld, rows := load("dst"), load("x"), load("ld"), load("rows")
		var all []VecVirtual
		for range registers {
			all = append(all, zero())
		}
		Label("row")
		for i, y := range all {
			VADDPS(at(x, i*vector), y, y)
		}
		ADDQ(ld, x)
		DECQ(rows)
		JNZ(LabelRef("row"))
		for i, y := range all {
			VMOVUPS(y, at(dst, i*vector))
		}
		end()
	}
}

// squares adds up products in float64, where they are exact.
func squares() {
	begin("squares", "func(n int, x *float32) float64", "squares is the sum of the squares of n elements.")
	n, x := load("n"), load("x")
	sums := []VecVirtual{zero(), zero()}
	Label("eight")
	for i, s := range sums {
		y := YMM()
		VCVTPS2PD(at(x, 4*i), y)
		VFMADD231PD(y, y, s)
	}
	ADDQ(U32(4*vector), x)
	SUBQ(U32(vector), n)
	JNZ(LabelRef("eight"))
	VADDPD(sums[1], sums[0], sums[0])
	Store(total(sums[0]), ReturnIndex(0))
	end()
}

// total is the sum of the 4 places of y, which it overwrites.
func total(y VecVirtual) Register {
	half, low := XMM(), y.AsX()
	VEXTRACTF128(Imm(1), y, half)
	VADDPD(half, low, low)
	VHADDPD(low, low, low)
	return low
}
