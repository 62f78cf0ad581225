package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transformers are the loops over rows between the matrix products of a
// transformer, in float32.
func transformers() {
	attention()
	swiglus()
	rotaries()
	rmsNorms()
}

// broadcast32 is a parameter of 4 bytes in all places.
func broadcast32(name string) VecVirtual {
	y := YMM()
	VBROADCASTSS(address(name), y)
	return y
}

// only32 clears what y has beyond the elements.
func (p part) only32(y VecVirtual) {
	if p.mask != nil {
		VANDPS(p.mask, y, y)
	}
}

// sum32 puts the sum of the places of y in all of them.
func sum32(y VecVirtual) { across(y, func(half VecVirtual) { VADDPS(half, y, y) }) }

func attention() {
	begin("attend8", "func(n int, x *float32, by float32) (top, sum float32)",
		"attend8 makes n elements of x exp(by·(x - top)), where top is the largest, and returns their sum.")
	n, x, by := load("n"), load("x"), broadcast32("by")
	top, sum := greatest32(n, x), zero()
	eachPart("weigh", n, vector, func(p part) {
		y := p.single(x)
		VSUBPS(top, y, y)
		VMULPS(by, y, y)
		exp(y)
		p.only32(y)
		VADDPS(y, sum, sum)
		p.putSingle(y, x)
	})
	sum32(sum)
	Store(top.AsX(), Return("top"))
	Store(sum.AsX(), Return("sum"))
	end()

	begin("attendGrad8", "func(n int, x, dp *float32, by, lse float32)",
		"attendGrad8 makes n elements of x their probabilities exp(by·x - lse), and dp by·x·(dp - Σ x·dp).")
	n, x, by = load("n"), load("x"), broadcast32("by")
	dp, lse, dot := load("dp"), broadcast32("lse"), zero()
	eachPart("weigh", n, vector, func(p part) {
		y := p.single(x)
		VFMSUB213PS(lse, by, y)
		exp(y)
		p.only32(y)
		VFMADD231PS(p.single(dp), y, dot)
		p.putSingle(y, x)
	})
	sum32(dot)
	eachPart("scores", n, vector, func(p part) {
		y, d := p.single(x), p.single(dp)
		VSUBPS(dot, d, d)
		VMULPS(by, y, y)
		VMULPS(y, d, d)
		p.putSingle(d, dp)
	})
	end()
}

// sigmoid32 is 1/(1 + exp(-x)).
func sigmoid32(x VecVirtual) VecVirtual {
	// As in sigmoid.
	e, top := YMM(), YMM()
	VORPS(bits("sign", 1<<31), x, e)
	exp(e)
	VMOVUPS(constant("one", 1), top)
	VBLENDVPS(x, e, top, top)
	VADDPS(constant("one", 1), e, e)
	VDIVPS(e, top, e)
	return e
}

func swiglus() {
	begin("swiglu8", "func(n int, y, gate, up *float32)", "swiglu8 is gate·sigmoid(gate)·up, for n elements.")
	n, y, gate, up := load("n"), load("y"), load("gate"), load("up")
	eachPart("element", n, vector, func(p part) {
		g := p.single(gate)
		s := sigmoid32(g)
		VMULPS(g, s, s)
		VMULPS(p.single(up), s, s)
		p.putSingle(s, y)
	})
	end()

	begin("swigluGrad8", "func(n int, dgate, dup, gate, up, dy *float32)", "swigluGrad8 is the gradient of swiglu8 by gate and up, for n elements.")
	n, gate, up = load("n"), load("gate"), load("up")
	dgate, dup, dy := load("dgate"), load("dup"), load("dy")
	eachPart("element", n, vector, func(p part) {
		g, d := p.single(gate), p.single(dy)
		s, silu, slope := sigmoid32(g), YMM(), YMM()
		// The slope is s + g·s·(1-s) = s + silu·(1-s).
		VMULPS(g, s, silu)
		VMOVUPS(constant("one", 1), slope)
		VSUBPS(s, slope, slope)
		VFMADD213PS(s, silu, slope)
		VMULPS(d, silu, silu)
		VMULPS(p.single(up), d, d)
		VMULPS(slope, d, d)
		p.putSingle(silu, dup)
		p.putSingle(d, dgate)
	})
	end()
}

func rotaries() {
	begin("turnRows", "func(rows, half int, y *float32, ldy int, x *float32, ldx int, cos, sin *float32)",
		"turnRows turns the pairs of rows of x, the elements of which are half, a multiple of 8, apart. Rows are ldx and ldy bytes apart, and those of cos and sin one after the other.")
	rows, half, y, x, cos, sin := load("rows"), load("half"), load("y"), load("x"), load("cos"), load("sin")
	ldx, ldy, i := load("ldx"), load("ldy"), GP64()
	high, wide := GP64(), GP64()
	Label("row")
	XORQ(i, i)
	LEAQ(Mem{Base: x, Index: half, Scale: 4}, high)
	LEAQ(Mem{Base: y, Index: half, Scale: 4}, wide)
	Label("pair")
	element := func(p Register) Mem { return Mem{Base: p, Index: i, Scale: 4} }
	a, b, c, s := read(element(x)), read(element(high)), read(element(cos)), read(element(sin))
	left, right, product := YMM(), YMM(), YMM()
	VMULPS(c, a, left)
	VMULPS(s, b, product)
	VSUBPS(product, left, left)
	VMULPS(c, b, right)
	VMULPS(s, a, product)
	VADDPS(product, right, right)
	VMOVUPS(left, element(y))
	VMOVUPS(right, element(wide))
	ADDQ(U32(vector), i)
	CMPQ(i, half)
	JLT(LabelRef("pair"))
	LEAQ(element(cos), cos)
	LEAQ(element(sin), sin)
	ADDQ(ldx, x)
	ADDQ(ldy, y)
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}

func rmsNorms() {
	begin("scaleBy8", "func(n int, y, x, weight *float32, k float32)", "scaleBy8 is x·k·weight, for n elements.")
	n, y, x, weight, k := load("n"), load("y"), load("x"), load("weight"), broadcast32("k")
	eachPart("element", n, vector, func(p part) {
		v := p.single(x)
		VMULPS(k, v, v)
		VMULPS(p.single(weight), v, v)
		p.putSingle(v, y)
	})
	end()

	begin("rmsDot", "func(n int, x, weight, dy *float32) (dot float32)", "rmsDot is the sum of x·weight·dy, for n elements.")
	n, x, weight = load("n"), load("x"), load("weight")
	dy, dot := load("dy"), zero()
	eachPart("element", n, vector, func(p part) {
		v := p.single(dy)
		VMULPS(p.single(weight), v, v)
		VFMADD231PS(p.single(x), v, dot)
	})
	sum32(dot)
	Store(dot.AsX(), Return("dot"))
	end()

	begin("rmsGrad8", "func(n int, dx, sum, x, weight, dy *float32, inverse, along float32)",
		"rmsGrad8 is weight·dy·inverse - along·x, for n elements, and adds dy·x·inverse to sum.")
	n, x, weight, dy = load("n"), load("x"), load("weight"), load("dy")
	dx, sum, inverse, along := load("dx"), load("sum"), broadcast32("inverse"), broadcast32("along")
	eachPart("element", n, vector, func(p part) {
		v, d, s, part := p.single(x), p.single(dy), p.single(sum), YMM()
		VMULPS(v, d, part)
		VMULPS(inverse, part, part)
		VADDPS(part, s, s)
		VMULPS(p.single(weight), d, d)
		VMULPS(inverse, d, d)
		VMULPS(along, v, v)
		VSUBPS(v, d, d)
		p.putSingle(s, sum)
		p.putSingle(d, dx)
	})
	end()
}
