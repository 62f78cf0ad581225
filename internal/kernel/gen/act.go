package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func clipped() {
	begin("relu6", "func(n int, y, x *float32)", "relu6 is min(max(x, 0), 6).")
	none, six := zero(), constant("six", 6)
	eachVector([]string{"y", "x"}, func(p []Mem) {
		v, top := read(p[1]), read(six)
		rectify(v, none)
		VMINPS(v, top, v)
		VMOVUPS(v, p[0])
	})

	begin("relu6Grad", "func(n int, dx, y, dy *float32)", "relu6Grad is dy where y is above 0 and below 6.")
	none = zero()
	eachVector([]string{"dx", "y", "dy"}, func(p []Mem) {
		v, inside := read(p[1]), YMM()
		VCMPPS(Imm(greater), none, v, inside)
		VCMPPS(Imm(less), six, v, v)
		VANDPS(inside, v, v)
		VANDPS(p[2], v, v)
		VMOVUPS(v, p[0])
	})
}

func additions() {
	begin("plus", "func(n int, y, a, b *float32)", "plus is a + b.")
	eachVector([]string{"y", "a", "b"}, func(p []Mem) {
		v := read(p[1])
		VADDPS(p[2], v, v)
		VMOVUPS(v, p[0])
	})

	begin("plusRelu", "func(n int, y, a, b *float32)", "plusRelu is max(a + b, 0).")
	none := zero()
	eachVector([]string{"y", "a", "b"}, func(p []Mem) {
		v := read(p[1])
		VADDPS(p[2], v, v)
		rectify(v, none)
		VMOVUPS(v, p[0])
	})
}

func leaks() {
	begin("leaky", "func(n int, dst, by, x *float32, slope float32)", "leaky is x where by is above 0, and elsewhere slope·x.")
	none, slope := zero(), YMM()
	VBROADCASTSS(address("slope"), slope)
	eachVector([]string{"dst", "by", "x"}, func(p []Mem) {
		above, x, less := read(p[1]), read(p[2]), YMM()
		VCMPPS(Imm(greater), none, above, above)
		VMULPS(slope, x, less)
		VBLENDVPS(above, x, less, less)
		VMOVUPS(less, p[0])
	})
}

func hardSwishes() {
	begin("hardSwish", "func(n int, y, x *float32)", "hardSwish is x·min(max(x + 3, 0), 6)/6.")
	none, three, six := zero(), constant("three", 3), constant("six", 6)
	eachVector([]string{"y", "x"}, func(p []Mem) {
		x, v, top := read(p[1]), YMM(), read(six)
		VADDPS(three, x, v)
		VMAXPS(v, none, v)
		VMINPS(v, top, v)
		VMULPS(x, v, v)
		VDIVPS(top, v, v)
		VMOVUPS(v, p[0])
	})

	begin("hardSwishGrad", "func(n int, dx, x, dy *float32)", "hardSwishGrad is 0 where x is below -3, dy from 3 on, and dy·(x/3 + 1/2) between.")
	eachVector([]string{"dx", "x", "dy"}, func(p []Mem) {
		x, d, dy, where := read(p[1]), YMM(), read(p[2]), YMM()
		VDIVPS(three, x, d)
		VADDPS(constant("half", 0.5), d, d)
		VMULPS(dy, d, d)
		VCMPPS(Imm(atLeast), three, x, where)
		VBLENDVPS(where, dy, d, d)
		VCMPPS(Imm(notLess), constant("minus3", -3), x, where)
		VANDPS(where, d, d)
		VMOVUPS(d, p[0])
	})
}

// gates are the activations x·s(x) whose s goes from 0 to 1. They compute in
// float64, so that each is right to 0.51 units in the last place.
func gates() {
	gate("silu", "1/(1 + exp(-x))", func(x VecVirtual) (s, slope VecVirtual) { return sigmoid64(x, nil) })
	gate("geluTanh", "1/(1 + exp(-2·√(2/π)·(x + 0.044715·x³)))", func(x VecVirtual) (s, slope VecVirtual) {
		linear := 2 * math.Sqrt(2/math.Pi)
		square, u, inner := YMM(), YMM(), YMM()
		VMULPD(x, x, square)
		VMOVUPD(constant64("almostCubic", 0.044715*linear), u)
		VFMADD213PD(constant64("almostLinear", linear), square, u)
		VMULPD(x, u, u)
		VMOVUPD(constant64("almostCubic3", 3*0.044715*linear), inner)
		VFMADD213PD(constant64("almostLinear", linear), square, inner)
		return sigmoid64(u, inner)
	})
	gate("gelu", "the normal distribution's Φ(x)", normal64)
}

// gate is an activation x·s of x, given s and its derivative, and the gradient
// of that.
func gate(name, what string, f func(x VecVirtual) (s, slope VecVirtual)) {
	begin(name, "func(n int, y, x *float32)", name+" is x·s, for n elements, where s is "+what+".")
	n, y, x := load("n"), load("y"), load("x")
	eachPart("element", n, 4, func(p part) {
		v := p.widened(x)
		s, _ := f(v)
		VMULPD(v, s, s)
		p.putNarrowed(s, y)
	})
	end()

	begin(name+"Grad", "func(n int, dx, x, dy *float32)", name+"Grad is dy·(s + x·s'), for n elements, where s is "+what+".")
	n, dx, x, dy := load("n"), load("dx"), load("x"), load("dy")
	eachPart("element", n, 4, func(p part) {
		v := p.widened(x)
		s, slope := f(v)
		VMULPD(v, slope, slope)
		VADDPD(slope, s, s)
		VMULPD(p.widened(dy), s, s)
		p.putNarrowed(s, dx)
	})
	end()
}

// sigmoid64 is 1/(1 + exp(-u)), and the derivative of that times inner, that of
// u; a nil inner is 1.
func sigmoid64(u, inner VecVirtual) (s, slope VecVirtual) {
	// With e = exp(-|u|), which does not overflow, it is 1/(1+e) for u above 0
	// and e/(1+e) below, and its derivative e/(1+e)².
	s, slope = YMM(), YMM()
	e, below, one := YMM(), YMM(), YMM()
	VORPD(bits64("sign64", 1<<63), u, e)
	exp64(e)
	VMOVUPD(constant64("one64", 1), one)
	VADDPD(one, e, below)
	VDIVPD(below, one, below)
	VMULPD(below, e, e)
	VMULPD(below, e, slope)
	VBLENDVPD(u, e, below, s)
	if inner != nil {
		VMULPD(inner, slope, slope)
	}
	return s, slope
}

// normal64 is the distribution function of the standard normal distribution,
// and its density exp(-x²/2)/√(2π). What lies beyond |x| is exp(-x²/2)·p(t)·r
// with r = 1/(|x|+4) and t = 8r - 1, where p is the polynomial that meets it in
// Chebyshev's points, to 1.4e-10 of it.
func normal64(x VecVirtual) (s, slope VecVirtual) {
	s, slope = YMM(), YMM()
	e, r, one := YMM(), YMM(), YMM()
	VMULPD(x, x, e)
	VMULPD(constant64("minushalf64", -0.5), e, e)
	exp64(e)
	VMULPD(constant64("density0", 1/math.Sqrt(2*math.Pi)), e, slope)

	VANDPD(bits64("magnitude64", 1<<63-1), x, r)
	VADDPD(constant64("four64", 4), r, r)
	VMOVUPD(constant64("one64", 1), one)
	VDIVPD(r, one, r)
	beyond := beyondPoly(r)
	VMULPD(r, beyond, beyond)
	VMULPD(e, beyond, beyond)
	VSUBPD(beyond, one, one)
	VBLENDVPD(x, beyond, one, s)
	return s, slope
}

// beyondPoly is p(8r - 1): the even terms and the odd ones, by Horner's rule in
// t² each.
func beyondPoly(r VecVirtual) VecVirtual {
	c := []float64{
		0.7552851304017506, 0.6078966419000138, 0.3871374021250258, 0.18652186501597884, 0.06039655188561215,
		0.007540075032192561, -0.003479543470768779, -0.0016301223471870687, 0.00013286058038935216, 0.00022904168058955423,
		-1.0264753841836085e-06, -3.195568500099658e-05, -2.348393276666424e-07, 3.31426365716782e-06,
	}
	t, square := YMM(), YMM()
	VMOVUPD(constant64("eight64", 8), t)
	VFMSUB213PD(constant64("one64", 1), r, t)
	VMULPD(t, t, square)
	horner := func(last int) VecVirtual {
		y := YMM()
		VMOVUPD(constant64(fmt.Sprint("beyond", last), c[last]), y)
		for i := last - 2; i >= 0; i -= 2 {
			VFMADD213PD(constant64(fmt.Sprint("beyond", i), c[i]), square, y)
		}
		return y
	}
	even, odd := horner(12), horner(13)
	VFMADD213PD(even, t, odd)
	return odd
}
