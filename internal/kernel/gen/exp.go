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

	exps()
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

// exps is in float64: the differences of probabilities that are made of it are
// not to cancel.
func exps() {
	begin("exps", "func(n int, dst *float64, z *float32, invT, top float64, sum *[4]float64)",
		"exps writes exp(z·invT - top) to dst, for n elements of which none is above top/invT, and adds them to the four sums.")
	n, dst, z, to := load("n"), load("dst"), load("z"), load("sum")
	invT, top, sum := YMM(), YMM(), YMM()
	VBROADCASTSD(address("invT"), invT)
	VBROADCASTSD(address("top"), top)
	VMOVUPD(Mem{Base: to}, sum)
	Label("four")
	x := YMM()
	VCVTPS2PD(Mem{Base: z}, x)
	VMULPD(invT, x, x)
	VSUBPD(top, x, x)
	exp64(x)
	VADDPD(x, sum, sum)
	VMOVUPD(x, Mem{Base: dst})
	ADDQ(U32(16), z)
	ADDQ(U32(32), dst)
	SUBQ(U32(4), n)
	JNZ(LabelRef("four"))
	VMOVUPD(sum, Mem{Base: to})
	end()
}

func address(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// exp64 replaces x, of 0 or less, by its exponential: 2^n times the Taylor
// series of what is left, to 1e-14 of it, and 0 where that would be a denormal.
func exp64(x VecVirtual) {
	n, y, keep := YMM(), YMM(), YMM()
	VCMPPD(Imm(notLess), constant64("least64", -708), x, keep)
	VMULPD(constant64("log2e64", math.Log2E), x, n)
	VROUNDPD(Imm(0), n, n)
	VFNMADD231PD(constant64("ln2high64", 6.93147180369123816490e-01), n, x)
	VFNMADD231PD(constant64("ln2low64", 1.90821492927058770002e-10), n, x)
	factorial := 39916800.0 // 11!
	VMOVUPD(constant64("taylor11", 1/factorial), y)
	for i := 10; i >= 0; i-- {
		factorial /= float64(i + 1)
		VFMADD213PD(constant64(fmt.Sprint("taylor", i), 1/factorial), x, y)
	}
	four := XMM()
	VCVTPD2DQY(n, four)
	VPMOVSXDQ(four, n)
	VPADDQ(words("bias64", 8, func(i int) { DATA(8*i, U64(1023)) }), n, n)
	VPSLLQ(Imm(52), n, n)
	VMULPD(n, y, y)
	VANDPD(keep, y, x)
}

const notLess = 0x05 // true for a NaN
