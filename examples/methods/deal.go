package main

import "math/rand/v2"

// A deal deals out rows like cards, all of them in a random order, then all in
// another, until an epoch has N: the few labelled ones as often as it takes.
type deal struct {
	From []int
	N    int
}

// Len implements [data.Draw].
func (d deal) Len() int { return d.N }

// Rows implements [data.Draw].
func (d deal) Rows(rng *rand.Rand) []int {
	rows := make([]int, 0, d.N+len(d.From))
	for len(rows) < d.N {
		for _, i := range rng.Perm(len(d.From)) {
			rows = append(rows, d.From[i])
		}
	}
	return rows[:d.N]
}
