package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// losses are the loops over the elements of a row. They compute in float64, in
// the order of operations of the portable code, and have no fused products: so
// they round alike, and what is equal cancels. Only sums are in another order.
func losses() {
	scale()
	narrow()
	logProbabilities()
	logProbabilitiesGrad()
	excess()
	difference()
	divergence()
	soft()
	softGrad()
	squaredDifferences()
}

func scale() {
	begin("multiply", "func(n int, dst, src *float32, k float32)", "multiply is k·src, for n elements.")
	n, dst, src, k := load("n"), load("dst"), load("src"), YMM()
	VBROADCASTSS(address("k"), k)
	eachPart("scale", n, vector, func(p part) {
		y := p.single(src)
		VMULPS(k, y, y)
		p.putSingle(y, dst)
	})
	end()
}

func narrow() {
	begin("narrow", "func(n int, dst *float32, e *float64, k, less float64)", "narrow is k·e - less, for n elements.")
	n, dst, e, k, less := load("n"), load("dst"), load("e"), broadcast("k"), broadcast("less")
	eachPart("element", n, 4, func(p part) {
		y := p.double(e)
		VMULPD(k, y, y)
		VSUBPD(less, y, y)
		p.putNarrowed(y, dst)
	})
	end()
}

func logProbabilities() {
	begin("logProbabilities", "func(n int, dst, z *float32, invT, lse float64)", "logProbabilities is z·invT - lse, for n elements.")
	n, dst, z, invT, lse := load("n"), load("dst"), load("z"), broadcast("invT"), broadcast("lse")
	eachPart("element", n, 4, func(p part) {
		y := p.widened(z)
		VMULPD(invT, y, y)
		VSUBPD(lse, y, y)
		p.putNarrowed(y, dst)
	})
	end()
}

func logProbabilitiesGrad() {
	begin("logProbabilitiesGrad", "func(n int, dx, y, dy *float32, sum float64)", "logProbabilitiesGrad is dy - sum·exp(y), for n elements, where y is 0 or less.")
	n, dx, y, dy, sum := load("n"), load("dx"), load("y"), load("dy"), broadcast("sum")
	eachPart("element", n, 4, func(p part) {
		e, d := p.widened(y), p.widened(dy)
		exp64(e)
		VMULPD(sum, e, e)
		VSUBPD(e, d, d)
		p.putNarrowed(d, dx)
	})
	end()
}

func excess() {
	begin("excess", "func(n int, x *float32, level float64) float64", "excess is the sum of x - level over n elements.")
	n, x, level, sum := load("n"), load("x"), broadcast("level"), zero()
	eachPart("element", n, 4, func(p part) {
		d := p.widened(x)
		VSUBPD(level, d, d)
		p.only(d)
		VADDPD(d, sum, sum)
	})
	Store(total(sum), ReturnIndex(0))
	end()
}

func difference() {
	begin("difference", "func(n int, dst *float32, x, y *float64, kx, ky float64)", "difference is kx·x - ky·y, for n elements.")
	n, dst, x, y, kx, ky := load("n"), load("dst"), load("x"), load("y"), broadcast("kx"), broadcast("ky")
	eachPart("element", n, 4, func(p part) {
		a, b := p.double(x), p.double(y)
		VMULPD(kx, a, a)
		VMULPD(ky, b, b)
		VSUBPD(b, a, a)
		p.putNarrowed(a, dst)
	})
	end()
}

func divergence() {
	begin("divergence", "func(n int, grad, z, t *float32, ez, et *float64, c *[6]float64) float64",
		"divergence is the sum over n elements of KL's, and their gradients.")
	n, grad, z, t, ez, et := load("n"), load("grad"), load("z"), load("t"), load("ez"), load("et")
	c := fields64("T", "invT", "lseZ", "lseT", "kZ", "kT")
	sum, none := zero(), zero()
	eachPart("element", n, 4, func(p part) {
		q, pt := p.double(ez), p.double(et)
		VMULPD(c["kZ"], q, q)
		VMULPD(c["kT"], pt, pt)
		VSUBPD(pt, q, q)
		VMULPD(c["T"], q, q)
		p.putNarrowed(q, grad)

		logp, logq := p.widened(t), p.widened(z)
		VMULPD(c["invT"], logp, logp)
		VSUBPD(c["lseT"], logp, logp)
		VMULPD(c["invT"], logq, logq)
		VSUBPD(c["lseZ"], logq, logq)
		VSUBPD(logq, logp, logp)
		VMULPD(pt, logp, logp)
		VCMPPD(Imm(notEqual), none, pt, pt)
		VANDPD(pt, logp, logp)
		VADDPD(logp, sum, sum)
	})
	Store(total(sum), ReturnIndex(0))
	end()
}

// smoothed is keep·target + even.
func smoothed(p part, target Register, keep, even VecVirtual) VecVirtual {
	t := p.widened(target)
	VMULPD(keep, t, t)
	VADDPD(even, t, t)
	return t
}

func soft() {
	begin("smoothed", "func(n int, z, target *float32, lse, keep, even float64) (loss, sum float64)",
		"smoothed is the sum of t·(lse - z) over n elements, with t = keep·target + even, and the sum of t.")
	n, z, target := load("n"), load("z"), load("target")
	lse, keep, even := broadcast("lse"), broadcast("keep"), broadcast("even")
	loss, sum, none := zero(), zero(), zero()
	eachPart("element", n, 4, func(p part) {
		t, v, far := smoothed(p, target, keep, even), p.widened(z), YMM()
		p.only(t)
		VADDPD(t, sum, sum)
		VSUBPD(v, lse, v)
		VMULPD(t, v, v)
		VCMPPD(Imm(notEqual), none, t, far)
		VANDPD(far, v, v)
		VADDPD(v, loss, loss)
	})
	Store(total(loss), Return("loss"))
	Store(total(sum), Return("sum"))
	end()
}

func softGrad() {
	begin("smoothedGrad", "func(n int, grad, target *float32, e *float64, k, keep, even float64)",
		"smoothedGrad is k·e - (keep·target + even), for n elements.")
	n, grad, target, e := load("n"), load("grad"), load("target"), load("e")
	k, keep, even := broadcast("k"), broadcast("keep"), broadcast("even")
	eachPart("element", n, 4, func(p part) {
		y := p.double(e)
		VMULPD(k, y, y)
		VSUBPD(smoothed(p, target, keep, even), y, y)
		p.putNarrowed(y, grad)
	})
	end()
}

func squaredDifferences() {
	begin("squaredDifferences", "func(n int, grad, a, b *float32, k float64) float64",
		"squaredDifferences is the sum of (a-b)² over n elements, and their gradients k·(a-b).")
	n, grad, a, b, k, sum := load("n"), load("grad"), load("a"), load("b"), broadcast("k"), zero()
	eachPart("element", n, 4, func(p part) {
		d, square := p.widened(a), YMM()
		VSUBPD(p.widened(b), d, d)
		VMULPD(d, d, square)
		VADDPD(square, sum, sum)
		VMULPD(k, d, d)
		p.putNarrowed(d, grad)
	})
	Store(total(sum), ReturnIndex(0))
	end()
}

// fields64 are the fields of 8 bytes of what the parameter c points to, each in
// all places of a register.
func fields64(names ...string) map[string]VecVirtual {
	c, all := load("c"), map[string]VecVirtual{}
	for i, name := range names {
		all[name] = YMM()
		VBROADCASTSD(Mem{Base: c, Disp: 8 * i}, all[name])
	}
	return all
}
