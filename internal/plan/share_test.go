package plan

import (
	"errors"
	"fmt"
	"math"
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

// What no output depends on is neither computed nor given memory.
func TestRunsWhatOutputsNeed(t *testing.T) {
	p := &Plan{
		Inputs: []Value{{"x", []int{3}}},
		Steps: []Step{
			{Op: "activation", In: []int{0}, Act: "relu", Shape: []int{3}},
			{Op: "linear", In: []int{1}, Params: []string{"wide"}, Shape: []int{500}}, // dead
			{Op: "activation", In: []int{2}, Act: "tanh", Shape: []int{500}},          // dead
			{Op: "activation", In: []int{1}, Act: "sigmoid", Shape: []int{3}},
		},
		Outputs: []Output{{"y", 4}},
	}
	g, err := Compile(p, map[string]Param[float32]{"wide": {[]int{500, 3}, make([]float32, 1500)}}, func([]float32, int, int) (Weight[float32], error) {
		return nil, errors.New("was packed")
	})
	if err != nil {
		t.Fatal(err)
	}
	if total := slices.Max(g.memory); total > 3 {
		t.Errorf("a buffer has %d elements; want 3 at most", total)
	}
	m := g.Machine()
	copy(m.Value(0, 2), []float32{-1, 0, 1, 2, -2, 3})
	m.Run(2)
	for i, want := range []float64{0.5, 0.5, 0.7310586, 0.8807971, 0.5, 0.9525741} {
		if got := float64(m.Result(4, 2)[i]); math.Abs(got-want) > 1e-6 {
			t.Errorf("element %d is %v; want %v", i, got, want)
		}
	}
}
