package kernel

// A Cache keeps the keys and values of samples that grow, so that what is new of
// them attends to what was there without that being computed again. They are
// turned once, and lie in the order in which products read them.
//
// One caller at a time may use it.
type Cache[F Float] struct {
	a              Attention
	positions      int
	rotary         *Rotary[F]
	keys, values   []F // of each sample and shared head: (Width, positions) and (positions, Values)
	perKey, perVal int // elements of one

	work newcomers[F]
}

// NewCache has room for so many samples of so many positions each. Queries and
// Keys of the attention are not used. A rotary that is not nil turns queries and
// keys.
func NewCache[F Float](samples, positions int, a Attention, rotary *Rotary[F]) *Cache[F] {
	positions = wholePanels(positions)
	c := &Cache[F]{a: a, positions: positions, rotary: rotary}
	c.perKey, c.perVal = panelsSize(positions, a.Width), panelsSize(a.Values, positions)
	c.keys, c.values = Zeros[F](samples*a.Shared*c.perKey), Zeros[F](samples*a.Shared*c.perVal)
	return c
}

// A Run is new positions of a sample, one after the other.
type Run struct {
	Sample int
	From   int // the first position: those before it were in earlier runs
	Row    int // the row of it
	Rows   int // how many there are
}

// newcomers is the work of a call.
type newcomers[F Float] struct {
	y, q, k, v Positions[F]
	runs       []Run
}

// Attend keeps the keys and values of some runs, whose rows q, k and v have, and
// writes what their queries make of all that the sample has up to them to y. It is
// [Attend] to the last bit, in runs of whatever length.
func (c *Cache[F]) Attend(y, q, k, v Positions[F], runs []Run) {
	cost := 0
	for _, r := range runs {
		a := c.a
		a.Queries, a.Keys = r.Rows, r.From+r.Rows
		cost += a.Shared * a.cost(2)
	}
	c.work = newcomers[F]{y, q, k, v, runs}
	split(c, len(runs)*c.a.Shared, cost)
	c.work = newcomers[F]{}
}

// do does shared heads of runs.
func (c *Cache[F]) do(from, to int) {
	scratch := borrow[F](queryBlock * (c.positions + c.a.Width + 1))
	defer giveBack(scratch)
	scores, rest := (*scratch)[:queryBlock*c.positions], (*scratch)[queryBlock*c.positions:]
	w := growing[F]{Cache: c, scores: matrix[F]{scores, c.positions}, lse: rest[:queryBlock], turned: rest[queryBlock:]}
	for i := from; i < to; i++ {
		w.Run, w.shared = c.work.runs[i/c.a.Shared], i%c.a.Shared
		w.keep()
		w.attend()
	}
}

// growing is one shared head of a run at work.
type growing[F Float] struct {
	*Cache[F]
	Run
	shared int
	kt, v  panels[F] // of the sample's head

	scores      matrix[F]
	lse, turned []F
}

// keep puts the new keys and values to the others.
func (w *growing[F]) keep() {
	i, a := w.Sample*w.a.Shared+w.shared, w.a
	w.kt = panels[F]{n: w.positions, k: a.Width, store: w.keys[i*w.perKey : (i+1)*w.perKey]}
	w.v = panels[F]{n: a.Values, k: w.positions, store: w.values[i*w.perVal : (i+1)*w.perVal]}
	k, v := w.work.k.part(w.Row, w.shared*a.Width), w.work.v.part(w.Row, w.shared*a.Values)
	for from := 0; from < w.Rows; from += queryBlock {
		rows := min(queryBlock, w.Rows-from)
		turned := w.turn(k.from(from), rows, w.From+from)
		for r := range rows {
			w.kt.setColumn(w.From+from+r, turned.row(r, a.Width))
			w.v.setRow(w.From+from+r, v.row(from+r, a.Values))
		}
	}
}

// turn is at most a block of rows of a head, turned, from a position on.
func (w *growing[F]) turn(x matrix[F], rows, position int) matrix[F] {
	if w.rotary == nil {
		return x
	}
	y := matrix[F]{w.turned, w.a.Width}
	w.rotary.turn(y, x, rows, w.a.Width, position, w.rotary.sin)
	return y
}

// attend does the query heads. Scores are computed for whole panels: what is
// beyond the keys that are seen is not read.
func (w *growing[F]) attend() {
	group := w.a.Heads / w.a.Shared
	for head := w.shared * group; head < (w.shared+1)*group; head++ {
		q, y := w.work.q.part(w.Row, head*w.a.Width), w.work.y.part(w.Row, head*w.a.Values)
		for i := 0; i < w.Rows; i += queryBlock {
			rows := min(queryBlock, w.Rows-i)
			seen := w.From + i + rows
			w.kt.multiply(w.scores, w.turn(q.from(i), rows, w.From+i), rows, stretch{wholePanels(seen), 0, w.a.Width})
			weighted(y.from(i), w.lse[:rows], w.scores, &w.v, seen, F(w.a.Scale))
		}
	}
}
