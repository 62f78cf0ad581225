package kernel

// Columns writes elements [from, from+n) of each row of x (rows, width) to y
// (rows, n).
func Columns[F Float](y, x []F, width, from, n int) {
	for r := range len(y) / n {
		copy(y[r*n:(r+1)*n], x[r*width+from:])
	}
}

// SideBySide writes the rows of a (rows, first) and of b (rows, width-first) side by
// side to y (rows, width).
func SideBySide[F Float](y, a, b []F, first, width int) {
	for r := range len(y) / width {
		row := y[r*width : (r+1)*width]
		copy(row, a[r*first:(r+1)*first])
		copy(row[first:], b[r*(width-first):])
	}
}

// Shift writes to each row of y what x has so many rows later in the same text, as
// [Texts] has them: before for a negative number, and 0 where there is none.
func Shift[F Float](y, x []F, texts []int, by, size int) {
	clear(y)
	for i, from := range texts[:len(texts)-1] {
		y, x := y[from*size:texts[i+1]*size], x[from*size:texts[i+1]*size]
		copy(y[min(max(-by, 0)*size, len(y)):], x[min(max(by, 0)*size, len(x)):])
	}
}

// A Latent says how queries, keys and values are cut out of what makes them, in
// multi-head latent attention (DeepSeek-V2, 2405.04434, section 2.1).
type Latent struct {
	Heads  int `json:"heads"`
	Plain  int `json:"plain"`  // elements of a head of a query or key that know no position
	Turned int `json:"turned"` // those that do, of which keys of all heads share theirs
	Values int `json:"values"` // elements of a head of a value
}

// Width is that of a head of a query or key.
func (l Latent) Width() int { return l.Plain + l.Turned }

// Row is the length of a row with queries, keys and values.
func (l Latent) Row() int { return l.Heads * (2*l.Width() + l.Values) }

// LatentHeads writes rows of queries, keys and values to y, of queries q (rows,
// Heads·(Plain+Turned)), keys and values kv (rows, Heads·(Plain+Values)) and what
// the keys share, shared (rows, Turned).
func LatentHeads[F Float](y, q, kv, shared []F, l Latent) {
	l.each(len(y), func(r int) {
		queries, keys, values := latentRow(y, l, r)
		copy(queries, q[r*len(queries):])
		for h := range l.Heads {
			from := kv[(r*l.Heads+h)*(l.Plain+l.Values):]
			key := keys[h*l.Width() : (h+1)*l.Width()]
			copy(key, from[:l.Plain])
			copy(key[l.Plain:], shared[r*l.Turned:])
			copy(values[h*l.Values:(h+1)*l.Values], from[l.Plain:])
		}
	})
}

// LatentHeadsGrad writes the gradients of q, kv and shared, given that of what
// LatentHeads writes. One that is nil is left out.
func LatentHeadsGrad[F Float](dq, dkv, dshared, dy []F, l Latent) {
	l.each(len(dy), func(r int) {
		queries, keys, values := latentRow(dy, l, r)
		if dq != nil {
			copy(dq[r*len(queries):], queries)
		}
		for h := range l.Heads {
			key := keys[h*l.Width() : (h+1)*l.Width()]
			if dkv != nil {
				to := dkv[(r*l.Heads+h)*(l.Plain+l.Values):]
				copy(to, key[:l.Plain])
				copy(to[l.Plain:], values[h*l.Values:(h+1)*l.Values])
			}
			if dshared != nil {
				sum := dshared[r*l.Turned : (r+1)*l.Turned]
				if h == 0 {
					clear(sum)
				}
				for i, v := range key[l.Plain:] {
					sum[i] += v
				}
			}
		}
	})
}

// each calls do for the rows of so many elements.
func (l Latent) each(elements int, do func(r int)) {
	Rows(elements/l.Row(), l.Row(), func(from, to int) {
		for r := from; r < to; r++ {
			do(r)
		}
	})
}

// latentRow are the parts of row r.
func latentRow[F Float](x []F, l Latent, r int) (queries, keys, values []F) {
	width := l.Heads * l.Width()
	row := x[r*l.Row() : (r+1)*l.Row()]
	return row[:width], row[width : 2*width], row[2*width:]
}
