package text

import "container/heap"

// A pair is two tokens beside each other.
type pair [2]int

// A merge is what a pair becomes. Those of lower rank come first.
type merge struct {
	rank, token int
}

// merge merges the tokens of a word, in place. Candidates wait in a queue, so
// that a word of n bytes takes n·log n steps.
func (b *BPE) merge(tokens []int) []int {
	if len(tokens) < 2 {
		return tokens
	}
	w := newWord(tokens, b.merges)
	for len(w.queue) > 0 {
		if c := heap.Pop(&w.queue).(candidate); w.stands(c) {
			w.join(c)
		}
	}
	n := 0
	for i := 0; i < len(tokens); i = w.next[i] {
		tokens[n] = tokens[i]
		n++
	}
	return tokens[:n]
}

// A word is the tokens that are left of one: a list whose places are those of
// their first bytes.
type word struct {
	merges map[pair]merge
	tokens []int // None where one was merged into the one before
	prev   []int
	next   []int // the place after the last is len(tokens)
	queue  queue
}

func newWord(tokens []int, merges map[pair]merge) *word {
	places := make([]int, 2*len(tokens))
	w := &word{merges: merges, tokens: tokens, prev: places[:len(tokens)], next: places[len(tokens):]}
	for i := range tokens {
		w.prev[i], w.next[i] = i-1, i+1
	}
	for i := range tokens {
		w.offer(i)
	}
	return w
}

// at is the merge of the token at a place with the one after it.
func (w *word) at(i int) (merge, bool) {
	if i < 0 || w.tokens[i] == None || w.next[i] == len(w.tokens) {
		return merge{}, false
	}
	m, ok := w.merges[pair{w.tokens[i], w.tokens[w.next[i]]}]
	return m, ok
}

func (w *word) offer(i int) {
	if m, ok := w.at(i); ok {
		heap.Push(&w.queue, candidate{m, i})
	}
}

// stands says whether the tokens of a candidate are still there.
func (w *word) stands(c candidate) bool {
	m, ok := w.at(c.at)
	return ok && m == c.merge
}

func (w *word) join(c candidate) {
	right := w.next[c.at]
	after := w.next[right]
	w.tokens[c.at], w.tokens[right] = c.token, None
	if w.next[c.at] = after; after < len(w.tokens) {
		w.prev[after] = c.at
	}
	w.offer(w.prev[c.at])
	w.offer(c.at)
}

// A candidate is a merge at a place.
type candidate struct {
	merge
	at int
}

// A queue is a heap of candidates: the lowest rank first, and of several the
// first in the word.
type queue []candidate

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(c any)   { *q = append(*q, c.(candidate)) }

func (q queue) Less(i, j int) bool {
	if q[i].rank != q[j].rank {
		return q[i].rank < q[j].rank
	}
	return q[i].at < q[j].at
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	*q = (*q)[:last]
	return c
}
