package data

import "math/rand/v2"

// A Deal is a [Draw] that deals out rows like cards, all of them in a random
// order, then all in another, until an epoch has N: the few labelled ones as often
// as it takes.
type Deal struct {
	From []int // rows of the set
	N    int   // rows of an epoch
}

// Len implements [Draw]. It is 0, which a [Loader] refuses, where there is nothing
// to deal from.
func (d Deal) Len() int {
	if len(d.From) == 0 {
		return 0
	}
	return d.N
}

// Rows implements [Draw].
func (d Deal) Rows(rng *rand.Rand) []int {
	n := max(d.Len(), 0)
	rows := make([]int, 0, n+len(d.From))
	for len(rows) < n {
		for _, i := range rng.Perm(len(d.From)) {
			rows = append(rows, d.From[i])
		}
	}
	return rows[:n]
}
