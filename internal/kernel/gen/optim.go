package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// optimizers are one step for each of n weights, in the order of operations of
// the portable code: so they round alike.
func optimizers() {
	begin("adam", "func(n int, w, grad, m, v *float32, c *[8]float32)", "adam is a step of n weights.")
	c := fields("keep", "decay", "b1", "b2", "c2", "rate", "scale", "epsilon")
	eachVector([]string{"w", "grad", "m", "v"}, func(p []Mem) {
		w, d, m, v := read(p[0]), YMM(), read(p[2]), YMM()
		VMULPS(c["keep"], w, w)
		VMULPS(c["decay"], w, d)
		VADDPS(p[1], d, d)

		change := YMM()
		VSUBPS(m, d, change)
		VMULPS(c["b1"], change, change)
		VADDPS(change, m, m)
		VMOVUPS(m, p[2])

		VMULPS(c["c2"], d, change)
		VMULPS(d, change, change)
		VMULPS(p[3], c["b2"], v)
		VADDPS(change, v, v)
		VMOVUPS(v, p[3])

		VSQRTPS(v, v)
		VMULPS(c["scale"], v, v)
		VADDPS(c["epsilon"], v, v)
		VMULPS(c["rate"], m, m)
		VDIVPS(v, m, m)
		VSUBPS(m, w, w)
		VMOVUPS(w, p[0])
	})

	begin("sgd", "func(n int, w, grad *float32, c *[3]float32)", "sgd is a step of n weights without momentum.")
	c = fields("rate", "decay")
	eachVector([]string{"w", "grad"}, func(p []Mem) {
		w := read(p[0])
		d := decayed(w, p[1], c["decay"])
		VMULPS(c["rate"], d, d)
		VSUBPS(d, w, w)
		VMOVUPS(w, p[0])
	})
	momentum("momentum", false)
	momentum("nesterov", true)
}

func momentum(name string, ahead bool) {
	begin(name, "func(n int, w, grad, v *float32, c *[3]float32)", name+" is a step of n weights.")
	c := fields("rate", "decay", "momentum")
	eachVector([]string{"w", "grad", "v"}, func(p []Mem) {
		w, v := read(p[0]), YMM()
		d := decayed(w, p[1], c["decay"])
		VMULPS(p[2], c["momentum"], v)
		VADDPS(d, v, v)
		VMOVUPS(v, p[2])
		if ahead {
			VMULPS(c["momentum"], v, v)
			VADDPS(v, d, v)
		}
		VMULPS(c["rate"], v, v)
		VSUBPS(v, w, w)
		VMOVUPS(w, p[0])
	})
}

// decayed is g + decay·w.
func decayed(w VecVirtual, g Mem, decay VecVirtual) VecVirtual {
	d := YMM()
	VMULPS(decay, w, d)
	VADDPS(g, d, d)
	return d
}
