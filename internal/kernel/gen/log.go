package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func logarithms() {
	begin("logs", "func(n int, y, x *float64)", "logs is the natural logarithm of n elements, to 1 unit in the last place.")
	n, y, x := load("n"), load("y"), load("x")
	eachPart("log", n, 4, func(p part) { p.putDouble(log64(p.double(x)), y) })
	end()
}

// log64 is the logarithm of x, which it overwrites (FreeBSD, e_log.c): with x =
// 2^k·(1+f) and 1+f between √½ and √2, it is k·ln 2 + log(1+f).
func log64(x VecVirtual) VecVirtual {
	special, value := exceptions64(x)
	k, f := split64(x)
	s, z, r, half := YMM(), YMM(), YMM(), YMM()
	VADDPD(constant64("two64", 2), f, s)
	VDIVPD(s, f, s)
	VMULPD(s, s, z)
	VMOVUPD(constant64("log64last", 1.479819860511658591e-01), r)
	for i, c := range []float64{
		1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
		2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01,
	} {
		VFMADD213PD(constant64(fmt.Sprint("log64", i), c), z, r)
	}
	VMULPD(z, r, r)
	// k·high - ((f²/2 - (s·(f²/2 + r) + k·low)) - f), the small before the large.
	VMULPD(f, f, half)
	VMULPD(constant64("half64", 0.5), half, half)
	VADDPD(half, r, r)
	VMULPD(s, r, r)
	VFMADD231PD(constant64("ln2low64", ln2Low), k, r)
	VSUBPD(r, half, half)
	VSUBPD(f, half, half)
	VFMSUB132PD(constant64("ln2high64", ln2High), half, k)
	VBLENDVPD(special, value, k, k)
	return k
}

// exceptions64 says which places of x are not finite and above 0, and their
// logarithms: that of 0 is -Inf, of what is less a NaN, of +Inf or a NaN itself.
func exceptions64(x VecVirtual) (special, value VecVirtual) {
	special, value = YMM(), YMM()
	none, which := zero(), YMM()
	VCMPPD(Imm(equal), none, x, which)
	VMOVUPD(bits64("none64", math.Float64bits(math.Inf(-1))), value)
	VBLENDVPD(which, value, x, value)
	VCMPPD(Imm(less), none, x, which)
	VORPD(which, value, value) // all bits are a NaN
	VCMPPD(Imm(equal), bits64("infinite64", math.Float64bits(math.Inf(1))), x, which)
	VCMPPD(Imm(notGreater), none, x, special)
	VORPD(which, special, special)
	return special, value
}

// split64 takes apart x = 2^k·(1+f). A denormal x is made larger first.
func split64(x VecVirtual) (k, f VecVirtual) {
	k, f = YMM(), YMM()
	tiny, more, larger := YMM(), YMM(), YMM()
	VCMPPD(Imm(less), constant64("normal64", 0x1p-1022), x, tiny)
	VMULPD(constant64("scale64", 0x1p54), x, larger)
	VBLENDVPD(tiny, larger, x, x)
	VANDPD(constant64("scaled64", 54), tiny, more)

	// Counted from √½ instead of 1, the bits of the exponent are k, and those
	// of the fraction are what 1+f is above √½.
	half := math.Float64bits(math.Sqrt2 / 2)
	VPADDQ(bits64("fromhalf64", math.Float64bits(1)-half), x, x)
	VPAND(bits64("fraction64", 1<<52-1), x, f)
	VPADDQ(bits64("roothalf64", half), f, f)
	VSUBPD(constant64("one64", 1), f, f)
	VPSRLQ(Imm(52), x, k)
	VPOR(bits64("whole64", math.Float64bits(0x1p52)), k, k)
	VSUBPD(constant64("bias52", 0x1p52+1023), k, k)
	VSUBPD(more, k, k)
	return k, f
}
