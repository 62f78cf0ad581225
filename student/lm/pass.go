package lm

import "github.com/godistill/godistill/internal/kernel"

// rooms are what a pass writes to, for passIDs rows.
type rooms[F kernel.Float] struct {
	x, h, y []F // (rows, Width): what goes from layer to layer, and what is added to it
	wide    []F // what layers side by side make
	inner   []F // what comes of that
	logits  []F // (rows, Vocab)

	// Of experts.
	routes, shares []F // (rows, Experts): before and after routing
	made           []F // (rows, Width): what they make of rows
}

func newRooms[F kernel.Float](c Config, a kernel.Attention) rooms[F] {
	wide, inner := max(a.Row(), 2*c.Inner), max(a.Heads*a.Values, c.Inner)
	var r rooms[F]
	if m := c.Mixture; m != nil {
		widest := max(1, m.Shared) * m.ExpertWidth
		wide, inner = max(wide, 2*widest), max(inner, widest)
		all := make([]F, passIDs*(2*m.Experts+c.Width))
		r.routes, all = all[:passIDs*m.Experts], all[passIDs*m.Experts:]
		r.shares, r.made = all[:passIDs*m.Experts], all[passIDs*m.Experts:]
	}
	if c.Latent != nil {
		inner = max(inner, c.Queries)
	}
	rows := make([]F, 3*passIDs*c.Width)
	r.x, r.h, r.y = rows[:passIDs*c.Width], rows[passIDs*c.Width:2*passIDs*c.Width], rows[2*passIDs*c.Width:]
	r.wide, r.inner, r.logits = make([]F, passIDs*wide), make([]F, passIDs*inner), make([]F, passIDs*c.Vocab)
	return r
}

// logits computes those after the sequences that end, (ends, Vocab).
func (w *worker[F]) logits() []F {
	n := len(w.ids)
	x, h := w.rooms.x[:n*w.Width], w.rooms.h[:n*w.Width]
	for i, id := range w.ids {
		copy(x[i*w.Width:(i+1)*w.Width], w.weights.table[id*w.Width:])
	}
	for i := range w.weights.blocks {
		b := &w.weights.blocks[i]
		kernel.RMSNorm(h, nil, x, b.before, w.Eps)
		kernel.Add(x, x, w.attend(&b.attention, h, w.caches[i]), kernel.Identity)
		kernel.RMSNorm(h, nil, x, b.between, w.Eps)
		kernel.Add(x, x, w.think(b, h), kernel.Identity)
	}
	ends := 0
	for _, r := range w.runs[:len(w.ends)] { // those of the others come last
		copy(h[ends*w.Width:(ends+1)*w.Width], x[(r.Row+r.Rows-1)*w.Width:])
		ends++
	}
	h = h[:ends*w.Width]
	kernel.RMSNorm(h, nil, h, w.weights.norm, w.Eps)
	w.weights.head.apply(w.rooms.logits, h, ends)
	return w.rooms.logits
}

// attend is what attention makes of rows.
func (w *worker[F]) attend(b *attention[F], x []F, cache *kernel.Cache[F]) []F {
	n, a := len(w.ids), w.attention
	var q, k, v kernel.Positions[F]
	if b.latent != nil {
		q, k = w.latentParts(b, x)
		v = k // whose first elements they are
	} else {
		b.in.apply(w.rooms.wide, x, n)
		q, k, v = kernel.Split(w.rooms.wide, a)
	}
	y, out := w.rooms.inner, w.rooms.y[:len(x)]
	cache.Attend(kernel.Positions[F]{Data: y, Apart: a.Heads * a.Values}, q, k, v, w.runs)
	b.out.apply(out, y, n)
	return out
}

// latentParts are the queries of rows, and what their keys and values are made of.
func (w *worker[F]) latentParts(b *attention[F], x []F) (q, c kernel.Positions[F]) {
	n, a := len(w.ids), w.attention
	made, kept := w.rooms.wide[:n*a.Heads*a.Width], w.rooms.wide[n*a.Heads*a.Width:]
	b.latent.apply(kept, x, n)
	for r := range n {
		c := kept[r*a.Width : r*a.Width+a.Values]
		kernel.RMSNorm(c, nil, c, b.latentNorm, w.Eps)
	}
	if b.down != nil {
		low := w.rooms.inner[:n*w.Queries]
		b.down.apply(low, x, n)
		kernel.RMSNorm(low, nil, low, b.downNorm, w.Eps)
		x = low
	}
	b.in.apply(made, x, n)
	return kernel.Positions[F]{Data: made, Apart: a.Heads * a.Width}, kernel.Positions[F]{Data: kept, Apart: a.Width}
}

// think is what a block's feed-forward network, or its experts, make of rows.
func (w *worker[F]) think(b *block[F], x []F) []F {
	y := w.rooms.y[:len(x)]
	if b.mixture == nil {
		w.gated(&b.feed, y, x)
		return y
	}
	m := b.mixture
	n := len(w.ids) * w.Experts
	z, shares := w.rooms.routes[:n], w.rooms.shares[:n]
	m.gate.apply(z, x, len(w.ids))
	kernel.Route(shares, z, m.bias, w.routing())
	kernel.Mix(y, x, shares, m.each, w.Width)
	if m.shared != nil {
		made := w.rooms.made[:len(x)]
		w.gated(m.shared, made, x)
		kernel.Add(y, y, made, kernel.Identity)
	}
	return y
}

// gated is down(SiLU(gate(x))·up(x)).
func (w *worker[F]) gated(f *feed[F], y, x []F) {
	rows := len(x) / w.Width
	sides := w.rooms.wide[:rows*2*f.inner]
	f.sides.apply(sides, x, rows)
	kernel.SwiGLU(w.rooms.inner, sides, f.inner)
	f.back.apply(y, w.rooms.inner, rows)
}
