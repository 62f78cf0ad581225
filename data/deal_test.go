package data

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// All rows are dealt before one is dealt again.
func TestDeal(t *testing.T) {
	d := Deal{From: []int{4, 7, 8, 11, 30}, N: 13}
	rows := d.Rows(rand.New(rand.NewPCG(1, 2)))
	if len(rows) != d.Len() {
		t.Fatalf("%d rows were dealt; want %d", len(rows), d.Len())
	}
	for first := 0; first+5 <= len(rows); first += 5 {
		if round := slices.Sorted(slices.Values(rows[first : first+5])); !slices.Equal(round, d.From) {
			t.Errorf("%v were dealt in a round; want each of %v", round, d.From)
		}
	}
	if slices.Equal(rows[:5], rows[5:10]) {
		t.Errorf("two rounds have the order %v; want two orders", rows[:5])
	}
	if d := (Deal{N: 7}); d.Len() != 0 || len(d.Rows(rand.New(rand.NewPCG(1, 2)))) != 0 {
		t.Error("of no rows some were dealt; want none")
	}
}
