package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestShare(t *testing.T) {
	place, sizes := Share([]Result{
		{Size: 10, First: 0, Last: 2},
		{Size: 30, First: 0, Last: 1},
		{Size: 20, First: 1, Last: 1},
		{Size: 5, First: 1, Last: 3, Kind: "other"},
		{Size: 18, First: 2, Last: 4}, // the smallest that is large enough: of 20
		{Size: 40, First: 2, Last: 4}, // that of 30 grows
		{Size: 12, First: 3, Last: 3}, // that of 10 grows
		{Size: 1, First: 4, Last: 4, Kind: "other"},
	})
	if want := []int{0, 1, 2, 3, 2, 1, 0, 3}; !slices.Equal(place, want) {
		t.Errorf("results are in buffers %v; want %v", place, want)
	}
	if want := []int{12, 40, 20, 5}; !slices.Equal(sizes, want) {
		t.Errorf("buffers have %v elements; want %v", sizes, want)
	}
}

// No two results are in one place at one time.
func TestShareKeepsApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var all []Result
		for i := range 30 {
			all = append(all, Result{Size: 1 + r.IntN(50), First: i, Last: i + r.IntN(8), Kind: r.IntN(2)})
		}
		place, sizes := Share(all)
		for i, a := range all {
			if a.Size > sizes[place[i]] {
				t.Fatalf("%+v is in a buffer of %d", a, sizes[place[i]])
			}
			for j, b := range all[:i] {
				if place[i] == place[j] && (b.Last >= a.First || a.Kind != b.Kind) {
					t.Fatalf("%+v and %+v share a buffer", a, b)
				}
			}
		}
	}
}

// watched is p with every value as an output, so that none is overwritten.
func watched(p *Plan) *Plan {
	all := *p
	all.Outputs = nil
	for value := range len(p.Inputs) + len(p.Steps) {
		all.Outputs = append(all.Outputs, Output{fmt.Sprint(value), value})
	}
	return &all
}
