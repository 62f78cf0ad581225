package kernel

import "math"

// Attention is what causal attention does with the positions of a sample: each
// query sees the keys up to its own position (Vaswani et al. 2017, 1706.03762,
// section 3.2). As many query heads side by side share a head of keys and values
// as there are more of them (Ainslie et al. 2023, 2305.13245).
//
// Only the logarithm of the sum of each row of exponentials is kept: the gradient
// computes scores again, a block of queries at a time (Dao et al. 2022,
// 2205.14135). Memory is linear in the batch and in the number of positions.
type Attention struct {
	Heads  int // of queries
	Shared int // heads of keys and values, which divide Heads
	Width  int // elements of a head of a query or key
	Values int // elements of a head of a value
	// Queries and Keys are the positions of a sample. The queries are the last of
	// them: all in training, those that are new with a cache of keys.
	Queries, Keys int
	Scale         float64 // of the scores, as 1/√Width
}

// Row is the length of a row with the queries of a position, then its keys and then
// its values.
func (a Attention) Row() int { return a.Heads*a.Width + a.Shared*(a.Width+a.Values) }

// Split are the queries, keys and values of such rows.
func Split[F Float](x []F, a Attention) (q, k, v Positions[F]) {
	row, keys, values := a.Row(), a.Heads*a.Width, (a.Heads+a.Shared)*a.Width
	return Positions[F]{x, row}, Positions[F]{x[keys:], row}, Positions[F]{x[values:], row}
}

// Positions are rows of heads, of one position each: row r of a sample begins at
// Data[r*Apart], and its samples are one after the other.
type Positions[F Float] struct {
	Data  []F
	Apart int
}

// part is a head of a sample, from its position on.
func (p Positions[F]) part(row, element int) matrix[F] {
	return matrix[F]{p.Data[row*p.Apart+element:], p.Apart}
}

// queryBlock is how many queries are done at once: with fewer, less is computed
// that they do not see, and with more, tiles are better used.
const queryBlock = 32

// Attend writes attention to y, for a number of samples, and the logarithm of the
// sum of each row of exponentials to lse (samples, Heads, Queries), unless that is
// nil. A rotary that is not nil turns queries and keys first.
func Attend[F Float](y Positions[F], lse []F, q, k, v Positions[F], samples int, a Attention, rotary *Rotary[F]) {
	Rows(samples*a.Shared, a.cost(2), func(from, to int) {
		for i := from; i < to; i++ {
			sample := i / a.Shared
			w := newAttending(sample*a.Queries, sample*a.Keys, i%a.Shared, q, k, v, a, rotary)
			w.y, w.lse = y, lse
			w.forward()
			giveBack(w.scratch)
		}
	})
}

// AttendGrad writes the gradients of q, k and v, given that of what Attend wrote
// and its lse.
func AttendGrad[F Float](dq, dk, dv Positions[F], lse []F, q, k, v, dy Positions[F], samples int, a Attention, rotary *Rotary[F]) {
	Rows(samples*a.Shared, a.cost(5), func(from, to int) {
		for i := from; i < to; i++ {
			sample := i / a.Shared
			w := newAttending(sample*a.Queries, sample*a.Keys, i%a.Shared, q, k, v, a, rotary)
			w.dq, w.dk, w.dv, w.lse, w.dy = dq, dk, dv, lse, dy
			w.backward()
			giveBack(w.scratch)
		}
	})
}

// AttendTexts is [Attend] for samples of any length, as [Texts] has them: each text
// is as it is alone, to the last bit. Queries and Keys of the attention are not used.
func AttendTexts[F Float](y Positions[F], lse []F, q, k, v Positions[F], texts []int, a Attention, rotary *Rotary[F]) {
	a.eachText(texts, 2, func(a Attention, row, shared int) {
		w := newAttending(row, row, shared, q, k, v, a, rotary)
		w.y, w.lse = y, lse
		w.forward()
		giveBack(w.scratch)
	})
}

// AttendTextsGrad is [AttendGrad] for what AttendTexts wrote.
func AttendTextsGrad[F Float](dq, dk, dv Positions[F], lse []F, q, k, v, dy Positions[F], texts []int, a Attention, rotary *Rotary[F]) {
	a.eachText(texts, 5, func(a Attention, row, shared int) {
		w := newAttending(row, row, shared, q, k, v, a, rotary)
		w.dq, w.dk, w.dv, w.lse, w.dy = dq, dk, dv, lse, dy
		w.backward()
		giveBack(w.scratch)
	})
}

// eachText calls do for the shared heads of texts, with the attention of the text.
func (a Attention) eachText(texts []int, products int, do func(a Attention, row, shared int)) {
	n := len(texts) - 1
	a.Queries = texts[n] / n
	a.Keys = a.Queries // on average
	Rows(n*a.Shared, a.cost(products), func(from, to int) {
		for i := from; i < to; i++ {
			row, own := texts[i/a.Shared], a
			own.Queries = texts[i/a.Shared+1] - row
			own.Keys = own.Queries
			do(own, row, i%a.Shared)
		}
	})
}

// Texts appends to dst at which rows texts begin, and where the last one ends, of
// samples of so many positions each: a text begins with a sample, and where the
// number of the row is another than that of the row before. There are no numbers
// where each sample is one text.
func Texts[N int | float32 | float64](dst []int, numbers []N, samples, positions int) []int {
	for r := range samples * positions {
		if r%positions == 0 || len(numbers) > 0 && numbers[r] != numbers[r-1] {
			dst = append(dst, r)
		}
	}
	return append(dst, samples*positions)
}

// cost is that of so many products of one shared head, of which half is seen.
func (a Attention) cost(products int) int {
	return products * a.Heads / a.Shared * a.Queries * (a.Keys + 1) / 2 * max(a.Width, a.Values)
}

// attending is one shared head of one sample at work, with the query heads that
// it serves, one after the other.
type attending[F Float] struct {
	Attention
	row, key, shared int // the first rows of queries and of keys, and the head
	q, k, v          Positions[F]
	rotary           *Rotary[F]
	lse              []F
	y                Positions[F] // forward
	dq, dk, dv, dy   Positions[F] // backward

	scratch *[]F
	free    []F // of it
}

func newAttending[F Float](row, key, shared int, q, k, v Positions[F], a Attention, rotary *Rotary[F]) *attending[F] {
	w := &attending[F]{Attention: a, row: row, key: key, shared: shared, q: q, k: k, v: v, rotary: rotary}
	w.scratch = borrow[F](w.room())
	w.free = *w.scratch
	return w
}

// room is the scratch of backward, which takes more than forward.
func (a Attention) room() int {
	right := 2*panelsSize(a.Keys, a.Width) + panelsSize(a.Width, a.Keys) + panelsSize(a.Keys, a.Values) +
		panelsSize(a.Values, a.Keys) + panelsSize(a.Width, a.Queries) + panelsSize(a.Values, a.Queries)
	return right + 2*(a.Queries+a.Keys)*a.Width + 2*queryBlock*a.Keys + a.Queries
}

func (w *attending[F]) take(n int) []F {
	x := w.free[:n]
	w.free = w.free[n:]
	return x
}

// right is the right side of products, in scratch.
func (w *attending[F]) right(n, k int) panels[F] {
	return panels[F]{n: n, k: k, store: w.take(panelsSize(n, k))}
}

// turned is a head, turned, from the position of its first row on.
func (w *attending[F]) turned(x matrix[F], rows, position int) matrix[F] {
	if w.rotary == nil {
		return x
	}
	y := matrix[F]{w.take(rows * w.Width), w.Width}
	w.rotary.turn(y, x, rows, w.Width, position, w.rotary.sin)
	return y
}

// turnBack makes the gradient of a head of that of a turned one.
func (w *attending[F]) turnBack(dst, src matrix[F], rows, position int) {
	if w.rotary != nil {
		w.rotary.turn(dst, src, rows, w.Width, position, w.rotary.back)
		return
	}
	for r := range rows {
		copy(dst.row(r, w.Width), src.row(r, w.Width))
	}
}

// keys and values are the shared head of p.
func (w *attending[F]) keys(p Positions[F]) matrix[F] {
	return p.part(w.key, w.shared*w.Width)
}

func (w *attending[F]) values(p Positions[F]) matrix[F] {
	return p.part(w.key, w.shared*w.Values)
}

// eachHead calls f for the query heads.
func (w *attending[F]) eachHead(f func(head int)) {
	group := w.Heads / w.Shared
	for h := w.shared * group; h < (w.shared+1)*group; h++ {
		free := w.free
		f(h)
		w.free = free
	}
}

// lseOf is that of the rows of a head, in scratch where none is asked for.
func (w *attending[F]) lseOf(head int) []F {
	if w.lse == nil {
		return w.take(w.Queries)
	}
	at := w.row*w.Heads + head*w.Queries
	return w.lse[at : at+w.Queries]
}

// before is how many keys come before the first query.
func (a Attention) before() int { return a.Keys - a.Queries }

func (w *attending[F]) forward() {
	k := w.turned(w.keys(w.k), w.Keys, 0)
	kt, v := w.right(w.Keys, w.Width), w.right(w.Values, w.Keys)
	kt.packTurned(k, w.Keys, w.Width)
	v.pack(w.values(w.v), w.Values, w.Keys)
	scores := matrix[F]{w.take(queryBlock * w.Keys), w.Keys}
	w.eachHead(func(head int) {
		lse := w.lseOf(head)
		q := w.turned(w.q.part(w.row, head*w.Width), w.Queries, w.before())
		y := w.y.part(w.row, head*w.Values)
		for i := 0; i < w.Queries; i += queryBlock {
			rows := min(queryBlock, w.Queries-i)
			seen := w.before() + i + rows
			kt.multiply(scores, q.from(i), rows, stretch{seen, 0, w.Width})
			weighted(y.from(i), lse[i:i+rows], scores, &v, seen, F(w.Scale))
		}
	})
}

// weighted makes weights of the scores of a block of queries, the last of which sees
// so many keys, and writes the sums of values by them.
func weighted[F Float](y matrix[F], lse []F, scores matrix[F], v *panels[F], seen int, by F) {
	var sums, logs [queryBlock]float64
	rows := len(lse)
	for r := range lse {
		row := scores.row(r, seen)
		lse[r], sums[r] = attendRow(row[:seen-rows+r+1], by)
		clear(row[seen-rows+r+1:])
	}
	v.multiply(y, scores, rows, stretch{v.n, 0, seen})
	logarithms(logs[:rows], sums[:rows])
	for r := range lse {
		y := y.row(r, v.n)
		scale(y, y, F(1/sums[r]))
		lse[r] += F(logs[r])
	}
}

// attendRow makes scores their exponentials, less the largest, and returns that and
// the sum of all.
func attendRow[F Float](x []F, by F) (top F, all float64) {
	top, sum, ok := attendFast(x, by)
	if !ok {
		top = F(largest(x))
		for i, v := range x {
			x[i] = F(math.Exp(float64(by * (v - top))))
			sum += x[i]
		}
	}
	return by * top, float64(sum)
}

// backwards is what the gradients of all query heads of a shared one need.
type backwards[F Float] struct {
	kt, k, vt panels[F] // keys and values, as right sides
	dk, dv    matrix[F]
	p, dp     matrix[F] // probabilities of a block of queries, and their gradient
}

func (w *attending[F]) backward() {
	k := w.turned(w.keys(w.k), w.Keys, 0)
	b := backwards[F]{
		kt: w.right(w.Keys, w.Width), k: w.right(w.Width, w.Keys), vt: w.right(w.Keys, w.Values),
		dk: matrix[F]{w.take(w.Keys * w.Width), w.Width}, dv: w.values(w.dv),
		p: matrix[F]{w.take(queryBlock * w.Keys), w.Keys}, dp: matrix[F]{w.take(queryBlock * w.Keys), w.Keys},
	}
	b.kt.packTurned(k, w.Keys, w.Width)
	b.k.pack(k, w.Width, w.Keys)
	b.vt.packTurned(w.values(w.v), w.Keys, w.Values)
	clear(b.dk.data)
	for r := range w.Keys {
		clear(b.dv.row(r, w.Values))
	}
	w.eachHead(func(head int) { w.headGrad(head, &b) })
	w.turnBack(w.keys(w.dk), b.dk, w.Keys, 0)
}

// headGrad writes the gradient of the queries of a head, and adds to those of keys
// and values, a block of queries at a time: with P the probabilities and S the
// scores, dV += Pᵀ·dY, dP = dY·Vᵀ, dQ = dS·K and dK += dSᵀ·Q.
func (w *attending[F]) headGrad(head int, b *backwards[F]) {
	lse := w.lseOf(head)
	q := w.turned(w.q.part(w.row, head*w.Width), w.Queries, w.before())
	dy := w.dy.part(w.row, head*w.Values)
	dq := matrix[F]{w.take(w.Queries * w.Width), w.Width}
	qs, dys := w.right(w.Width, w.Queries), w.right(w.Values, w.Queries)
	qs.pack(q, w.Width, w.Queries)
	dys.pack(dy, w.Values, w.Queries)
	for i := 0; i < w.Queries; i += queryBlock {
		rows := min(queryBlock, w.Queries-i)
		seen := w.before() + i + rows
		b.kt.multiply(b.p, q.from(i), rows, stretch{seen, 0, w.Width})
		b.vt.multiply(b.dp, dy.from(i), rows, stretch{seen, 0, w.Values})
		for r := range rows {
			n := seen - rows + r + 1
			attendRowGrad(b.p.row(r, n), b.dp.row(r, n), F(w.Scale), lse[i+r])
			clear(b.p.row(r, seen)[n:])
			clear(b.dp.row(r, seen)[n:])
		}
		b.k.multiply(dq.from(i), b.dp, rows, stretch{w.Width, 0, seen})
		qs.addTurned(b.dk, b.dp, seen, stretch{w.Width, i, rows})
		dys.addTurned(b.dv, b.p, seen, stretch{w.Values, i, rows})
	}
	w.turnBack(w.dq.part(w.row, head*w.Width), dq, w.Queries, w.before())
}

// attendRowGrad makes scores x their probabilities, given the logarithm of the sum
// of all exponentials, and the gradient of probabilities that of scores.
func attendRowGrad[F Float](x, dp []F, by, lse F) {
	if attendGradFast(x, dp, by, lse) {
		return
	}
	var dot F
	for i, v := range x {
		x[i] = F(math.Exp(float64(F(by*v) - lse)))
		dot += F(x[i] * dp[i])
	}
	for i, p := range x {
		dp[i] = F(F(by*p) * (dp[i] - dot))
	}
}
