package kernel

// Add writes act(a + b) to y, which may be one of them.
func Add[F Float](y, a, b []F, act Act) {
	a, b = a[:len(y)], b[:len(y)]
	if len(y)*costOf(act) < worth {
		addBlocks(y, a, b, act) // without the allocation of a closure
		return
	}
	each(len(y), costOf(act), func(from, to int) { addBlocks(y[from:to], a[from:to], b[from:to], act) })
}

// addBlocks adds as much at a time as stays in the first cache for the
// activation.
func addBlocks[F Float](y, a, b []F, act Act) {
	const block = 4096
	for from := 0; from < len(y); from += block {
		to := min(from+block, len(y))
		addBlock(y[from:to], a[from:to], b[from:to], act)
	}
}

func addBlock[F Float](y, a, b []F, act Act) {
	done := addFast(y, a, b, act)
	rest := y[done:]
	for i, v := range a[done:] {
		rest[i] = v + b[done+i]
	}
	if act == ReLU {
		y = rest // the assembly knows it
	}
	if act != Identity {
		activate(y, y, act)
	}
}
