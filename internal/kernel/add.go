package kernel

// Add writes act(a + b) to y, which may be one of them.
func Add[F Float](y, a, b []F, act Act) {
	a, b = a[:len(y)], b[:len(y)]
	each(len(y), costOf(act), func(from, to int) {
		const block = 4096 // stays in the first cache for the activation
		for ; from < to; from += block {
			end := min(from+block, to)
			addBlock(y[from:end], a[from:end], b[from:end], act)
		}
	})
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
