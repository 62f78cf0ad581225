package kernel

// Linear computes y = act(x·wᵀ + bias): x is (rows, in), w (out, in) as in
// PyTorch, bias (out) or nil for none, and y (rows, out). y must not overlap
// the operands.
func Linear[F Float](y, x, w, bias []F, rows, in, out int, act Act) {
	product[F]{tb: true, b: w[:out*in]}.linear(y, x, bias, rows, in, out, act)
}

func (p product[F]) linear(y, x, bias []F, rows, in, out int, act Act) {
	p.m, p.n, p.k = rows, out, in
	p.a, p.c, p.act = x[:rows*in], y[:rows*out], act
	if bias != nil {
		p.bias = bias[:out]
	}
	p.compute()
}

// Packed is a w of [Linear] in the order in which a product reads it, for a w
// that is used more often than it changes. It may be used from many goroutines.
type Packed[F Float] struct {
	in, out   int
	w, packed []F // one of them
}

// Pack returns w (out, in), packed. It may keep w, which must not change.
func Pack[F Float](w []F, in, out int) *Packed[F] {
	p := &Packed[F]{in: in, out: out, w: w[:out*in]}
	if w, ok := any(p.w).([]float32); ok {
		if packed := pack32(true, out, in, w); packed != nil {
			p.w, p.packed = nil, any(packed).([]F)
		}
	}
	return p
}

// Linear is [Linear] with this w, to the last bit.
func (p *Packed[F]) Linear(y, x, bias []F, rows int, act Act) {
	product[F]{tb: true, b: p.w, packed: p.packed}.linear(y, x, bias, rows, p.in, p.out, act)
}
