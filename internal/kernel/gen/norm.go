package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// norms are the loops over what is normalised. They compute in float64, in the
// order of operations of the portable code and without fused products: so they
// round alike. Only sums are in another order.
//
// There are two of each: one for elements of one channel, whose coefficients are
// numbers, and one for the channels of a row, each with its own.
func norms() {
	for _, many := range []bool{false, true} {
		moments(many)
		normalize(many)
		normSums(many)
		normGrad(many)
	}
}

// A coefficient is a number in all places, or one of each channel.
type coefficient struct {
	all  VecVirtual
	each Register
}

// of are the coefficients of the elements at hand.
func (c coefficient) of(p part) VecVirtual {
	if c.all != nil {
		return c.all
	}
	return p.double(c.each)
}

// coefficients are parameters of a function.
func coefficients(many bool, names ...string) map[string]coefficient {
	all := map[string]coefficient{}
	for _, name := range names {
		if many {
			all[name] = coefficient{each: load(name)}
		} else {
			all[name] = coefficient{all: broadcast(name)}
		}
	}
	return all
}

// variant is the name of a function, and the type of its coefficients.
func variant(name string, many bool) (string, string) {
	if many {
		return name + "Row", "*float64"
	}
	return name + "Plane", "float64"
}

// A sum is added up in a register, or in memory for each channel.
type sum struct {
	one VecVirtual
	at  Register
}

// sumsOf are the results of a function, or its parameters.
func sumsOf(many bool, names ...string) []sum {
	var all []sum
	for _, name := range names {
		if many {
			all = append(all, sum{at: load(name)})
		} else {
			all = append(all, sum{one: zero()})
		}
	}
	return all
}

// add adds y, which it overwrites.
func (s sum) add(p part, y VecVirtual) {
	if s.one != nil {
		VADDPD(y, s.one, s.one)
		return
	}
	VADDPD(p.double(s.at), y, y)
	p.putDouble(y, s.at)
}

// finish stores the sums that are results.
func finish(sums []sum, names ...string) {
	for i, s := range sums {
		if s.one != nil {
			Store(total(s.one), Return(names[i]))
		}
	}
	end()
}

func sumsSignature(many bool, params string, a, b string) string {
	if many {
		return "func(n int, " + params + ", " + a + ", " + b + " *float64)"
	}
	return "func(n int, " + params + ") (" + a + ", " + b + " float64)"
}

func moments(many bool) {
	name, kind := variant("moments", many)
	begin(name, sumsSignature(many, "x *float32, pivot "+kind, "sum", "squares"),
		name+" adds up x - pivot and its square, over n elements.")
	n, x := load("n"), load("x")
	pivot := coefficients(many, "pivot")["pivot"]
	sums := sumsOf(many, "sum", "squares")
	eachPart("element", n, 4, func(p part) {
		d, square := p.widened(x), YMM()
		VSUBPD(pivot.of(p), d, d)
		p.only(d)
		VMULPD(d, d, square)
		sums[0].add(p, d)
		sums[1].add(p, square)
	})
	finish(sums, "sum", "squares")
}

// affine is d = x - mean, and v = d·scale + shift.
func affine(p part, x Register, c map[string]coefficient) (d, v VecVirtual) {
	d, v = p.widened(x), YMM()
	VSUBPD(c["mean"].of(p), d, d)
	VMULPD(c["scale"].of(p), d, v)
	VADDPD(c["shift"].of(p), v, v)
	return d, v
}

func normalize(many bool) {
	name, kind := variant("normalize", many)
	begin(name, "func(n int, y, x *float32, mean, scale, shift "+kind+", least, most float64)",
		name+" is (x - mean)·scale + shift between least and most, for n elements.")
	n, y, x := load("n"), load("y"), load("x")
	c := coefficients(many, "mean", "scale", "shift")
	least, most := broadcast("least"), broadcast("most")
	eachPart("element", n, 4, func(p part) {
		_, v := affine(p, x, c)
		VMAXPD(v, least, v) // of a NaN and a number, the NaN
		VMINPD(v, most, v)
		p.putNarrowed(v, y)
	})
	end()
}

// passed are the elements of dy where v is not cut off.
func passed(p part, dy Register, v, least, most VecVirtual) VecVirtual {
	d, above := p.widened(dy), YMM()
	VCMPPD(Imm(notAtMost), least, v, above)
	VCMPPD(Imm(notAtLeast), most, v, v)
	VANDPD(above, d, d)
	VANDPD(v, d, d)
	return d
}

func normSums(many bool) {
	name, kind := variant("normSums", many)
	begin(name, sumsSignature(many, "x, dy *float32, mean, scale, shift "+kind+", least, most float64", "sum", "dot"),
		name+" adds up dz and dz·(x - mean), over n elements, where dz is dy where normalize cuts nothing off, and elsewhere 0.")
	n, x, dy := load("n"), load("x"), load("dy")
	c := coefficients(many, "mean", "scale", "shift")
	least, most := broadcast("least"), broadcast("most")
	sums := sumsOf(many, "sum", "dot")
	eachPart("element", n, 4, func(p part) {
		d, v := affine(p, x, c)
		p.only(d)
		dz := passed(p, dy, v, least, most)
		VMULPD(dz, d, d)
		sums[0].add(p, dz)
		sums[1].add(p, d)
	})
	finish(sums, "sum", "dot")
}

func normGrad(many bool) {
	name, kind := variant("normGrad", many)
	begin(name, "func(n int, dx, x, dy *float32, mean, scale, shift, byDz, byX, plus "+kind+", least, most float64)",
		name+" is byDz·dz + byX·(x - mean) + plus, for n elements, with the dz of normSums.")
	n, dx, x, dy := load("n"), load("dx"), load("x"), load("dy")
	c := coefficients(many, "mean", "scale", "shift", "byDz", "byX", "plus")
	least, most := broadcast("least"), broadcast("most")
	eachPart("element", n, 4, func(p part) {
		d, v := affine(p, x, c)
		dz := passed(p, dy, v, least, most)
		VMULPD(c["byDz"].of(p), dz, dz)
		VMULPD(c["byX"].of(p), d, d)
		VADDPD(d, dz, dz)
		VADDPD(c["plus"].of(p), dz, dz)
		p.putNarrowed(dz, dx)
	})
	end()
}
