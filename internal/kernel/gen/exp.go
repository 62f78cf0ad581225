package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// constants by name, each in memory once.
var constants = map[string]Mem{}

// constant is a number in all 8 places of a vector.
func constant(name string, v float32) Mem {
	return words(name, 4, func(i int) { DATA(4*i, F32(v)) })
}

// constant64 is a number in all 4 places of a vector.
func constant64(name string, v float64) Mem {
	return words(name, 8, func(i int) { DATA(8*i, F64(v)) })
}

// bits is an integer in all 8 places of a vector.
func bits(name string, v uint32) Mem {
	return words(name, 4, func(i int) { DATA(4*i, U32(v)) })
}

// bits64 is an integer in all 4 places of a vector.
func bits64(name string, v uint64) Mem {
	return words(name, 8, func(i int) { DATA(8*i, U64(v)) })
}

func words(name string, size int, data func(i int)) Mem {
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 32 / size {
		data(i)
	}
	constants[name] = m
	return m
}

// exponentials are the functions that need one. What x is padded with does no
// harm.
func exponentials() {
	sign := bits("sign", 1<<31)
	one := constant("one", 1)

	begin("sigmoid", "func(n int, y, x *float32)", "sigmoid is 1/(1 + exp(-x)), to 2.5 units in the last place.")
	eachVector([]string{"y", "x"}, func(p []Mem) {
		// With e = exp(-|x|), which does not overflow, it is 1/(1+e) for x
		// above 0 and e/(1+e) below.
		x, e, top := read(p[1]), YMM(), YMM()
		VORPS(sign, x, e)
		exp(e)
		VBLENDVPS(x, e, read(one), top)
		VADDPS(one, e, e)
		VDIVPS(e, top, e)
		VMOVUPS(e, p[0])
	})

	begin("tanh", "func(n int, y, x *float32)", "tanh is the hyperbolic tangent, to 2.5 units in the last place.")
	eachVector([]string{"y", "x"}, func(p []Mem) {
		// With e = exp(-2|x|), it is (1-e)/(1+e) and the sign of x. Near 0,
		// where that cancels, a polynomial in x² is better (Cephes, tanhf).
		x, size, e, large, square, small := read(p[1]), YMM(), YMM(), YMM(), YMM(), YMM()
		VORPS(sign, x, e)
		VXORPS(sign, e, size)
		VADDPS(e, e, e)
		exp(e)
		VMOVUPS(one, large)
		VSUBPS(e, large, large)
		VADDPS(one, e, e)
		VDIVPS(e, large, large)
		VMULPS(x, x, square)
		VMOVUPS(constant("tanh0", -5.70498872745e-3), small)
		for i, c := range []float32{2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1} {
			VFMADD213PS(constant(fmt.Sprint("tanh", i+1), c), square, small)
		}
		VMULPS(square, small, small)
		VFMADD213PS(x, x, small)
		VCMPPS(Imm(less), constant("near", 0.625), size, size)
		VANDPS(sign, x, x)
		VORPS(x, large, large)
		VBLENDVPS(size, small, large, large)
		VMOVUPS(large, p[0])
	})

	weights("weigh", "func(n int, dst *float64, z *float32, invT float64) (top, sum float64)", true)
	weights("sumWeights", "func(n int, z *float32, invT float64) (top, sum float64)", false)
}

// exp replaces x, of 0 or less, by its exponential, to 1 unit in the last place
// (Cephes, expf). A NaN stays one.
func exp(x VecVirtual) {
	n, r, y, half := YMM(), YMM(), YMM(), YMM()
	VMOVUPS(constant("least", -104), y)
	VMAXPS(x, y, x) // of a NaN and a number, the NaN
	VMULPS(constant("log2e", math.Log2E), x, n)
	VROUNDPS(Imm(0), n, n)
	VMOVAPS(x, r)
	VFNMADD231PS(constant("ln2high", 0.693359375), n, r)
	VFNMADD231PS(constant("ln2low", -2.12194440e-4), n, r)
	VMOVUPS(constant("exp0", 1.9875691500e-4), y)
	for i, c := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		VFMADD213PS(constant(fmt.Sprint("exp", i+1), c), r, y)
	}
	VMULPS(r, r, half)
	VFMADD213PS(r, half, y)
	VADDPS(constant("one", 1), y, y)
	// 2^n may be a denormal, so that it comes in two parts.
	VCVTPS2DQ(n, n)
	VPSRAD(Imm(1), n, half)
	VPSUBD(half, n, n)
	for _, part := range []VecVirtual{half, n} {
		VPADDD(bits("bias", 127), part, part)
		VPSLLD(Imm(23), part, part)
		VMULPS(part, y, y)
	}
	VMOVAPS(y, x)
}

// weights are in float64: the differences of probabilities that are made of
// them are not to cancel.
func weights(name, signature string, kept bool) {
	begin(name, signature, name+" is the largest of n elements of z·invT, and the sum of exp(z·invT - top) over all.")
	n, z := load("n"), load("z")
	top, sum, invT := greatest(n, z), zero(), broadcast("invT")
	VMULPD(invT, top, top)
	var dst Register
	if kept {
		dst = load("dst")
	}
	eachPart("weigh", n, 4, func(p part) {
		x := p.widened(z)
		VMULPD(invT, x, x)
		VSUBPD(top, x, x)
		exp64(x)
		p.only(x)
		VADDPD(x, sum, sum)
		if kept {
			p.putDouble(x, dst)
		}
	})
	Store(top.AsX(), Return("top"))
	Store(total(sum), Return("sum"))
	end()
}

// greatest is the largest of n elements of z in float64 in all places, -Inf
// without any, and a NaN if one is.
func greatest(n, z Register) VecVirtual {
	top := greatest32(n, z)
	VCVTPS2PD(top.AsX(), top)
	return top
}

// greatest32 is greatest in float32.
func greatest32(n, z Register) VecVirtual {
	top, nan, none := YMM(), zero(), bits("none", math.Float32bits(float32(math.Inf(-1))))
	VMOVUPS(none, top)
	eachPart("greatest", n, vector, func(p part) {
		v, bad := p.single(z), YMM()
		if p.mask != nil {
			VMOVUPS(none, bad)
			VBLENDVPS(p.mask, v, bad, v)
		}
		VCMPPS(Imm(unordered), v, v, bad)
		VORPS(bad, nan, nan)
		VMAXPS(top, v, top)
	})
	across(top, func(half VecVirtual) { VMAXPS(half, top, top) })
	across(nan, func(half VecVirtual) { VORPS(half, nan, nan) })
	VORPS(nan, top, top)
	return top
}

// across calls join for y with its halves, pairs and neighbours swapped, one
// after the other: what it joins, all places then have.
func across(y VecVirtual, join func(half VecVirtual)) {
	half := YMM()
	for _, swap := range []func(y, to Op){
		func(y, to Op) { VPERM2F128(Imm(0x01), y, y, to) },
		func(y, to Op) { VPERMILPS(Imm(0x4e), y, to) },
		func(y, to Op) { VPERMILPS(Imm(0xb1), y, to) },
	} {
		swap(y, half)
		join(half)
	}
}

// broadcast is a parameter of 8 bytes in all places.
func broadcast(name string) VecVirtual {
	y := YMM()
	VBROADCASTSD(address(name), y)
	return y
}

func address(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// exp64 replaces x, of 0 or less, by its exponential, to 1 unit in the last
// place, and by 0 where that would be a denormal: 2^n times 1 + r + r²·q(r) of
// the remainder r. A NaN, made of a float32 or of infinities, stays one.
func exp64(x VecVirtual) {
	shifted, n, keep, square := YMM(), YMM(), YMM(), YMM()
	VCMPPD(Imm(notLess), constant64("least64", -708), x, keep)
	// Where a unit in the last place is 1, the sum is rounded to an integer,
	// whose bits are the last.
	VMOVUPD(constant64("integers64", 0x1.8p52), shifted)
	VFMADD231PD(constant64("log2e64", math.Log2E), x, shifted)
	VSUBPD(constant64("integers64", 0x1.8p52), shifted, n)
	VFNMADD231PD(constant64("ln2high64", ln2High), n, x)
	VFNMADD231PD(constant64("ln2low64", ln2Low), n, x)
	VMULPD(x, x, square)
	y := exp64poly(x, square)
	VFMADD213PD(x, square, y)
	VADDPD(constant64("one64", 1), y, y)
	VPSLLQ(Imm(52), shifted, shifted)
	VPADDQ(shifted, y, y)
	VANDPD(keep, y, x)
}

// exp64poly is the polynomial that meets (exp(x)-1-x)/x² in Chebyshev's points
// for half of log 2 on both sides of 0. Its terms are added in pairs, and pairs
// of these: one after the other, each would wait for the last.
func exp64poly(x, square VecVirtual) VecVirtual {
	c := []float64{
		0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
		0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07, 2.510038549551032e-08,
	}
	pair := func(i int) VecVirtual {
		y := YMM()
		VMOVUPD(constant64(fmt.Sprint("exp64", i+1), c[i+1]), y)
		VFMADD213PD(constant64(fmt.Sprint("exp64", i), c[i]), x, y)
		return y
	}
	four := func(i int) VecVirtual {
		low, high := pair(i), pair(i+2)
		VFMADD213PD(low, square, high)
		return high
	}
	fourth, y := YMM(), pair(8)
	VMULPD(square, square, fourth)
	VFMADD213PD(four(4), fourth, y)
	VFMADD213PD(four(0), fourth, y)
	return y
}

// The logarithm of 2: what has few bits, so that a product with an exponent is
// exact, and the remainder.
const (
	ln2High = 6.93147180369123816490e-01
	ln2Low  = 1.90821492927058770002e-10
)
