package main

import (
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
}

// rectify replaces v by max(v, 0): of a NaN and 0 that is the NaN here, and of
// -0 and 0, after the sum, 0.
func rectify(v, none VecVirtual) {
	VMAXPS(v, none, v)
	VADDPS(none, v, v)
}

// Ways to compare, of VCMPPS. A NaN is neither less nor greater.
const (
	less      = 0x11
	greater   = 0x1e
	unordered = 0x03
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

// largest is done in 8 places at once.
func largest() {
	begin("greatest", "func(n int, x *float32, top *[8]float32)",
		"greatest replaces each number of top by it or the largest of every eighth of n elements, and by a NaN if one is.")
	n, x, top := load("n"), load("x"), load("top")
	sofar, nan := read(Mem{Base: top}), zero()
	Label("eight")
	v, bad := read(Mem{Base: x}), YMM()
	VCMPPS(Imm(unordered), v, v, bad)
	VORPS(bad, nan, nan)
	VMAXPS(sofar, v, sofar)
	ADDQ(U32(4*vector), x)
	SUBQ(U32(vector), n)
	JNZ(LabelRef("eight"))
	VORPS(nan, sofar, sofar)
	VMOVUPS(sofar, Mem{Base: top})
	end()
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
	half := XMM()
	VEXTRACTF128(Imm(1), sums[0], half)
	low := sums[0].AsX()
	VADDPD(half, low, low)
	VHADDPD(low, low, low)
	Store(low, ReturnIndex(0))
	end()
}
