package kernel

import (
	"slices"
	"testing"
)

// Large slices take the place of others that held numbers, on large pages.
func TestZeros(t *testing.T) {
	for range 20 {
		for _, n := range []int{0, 3, largePage / 16, largePage + 5} {
			x := Zeros[float32](n)
			if len(x) != n || slices.ContainsFunc(x, func(v float32) bool { return v != 0 }) {
				t.Fatalf("Zeros(%d) has %d elements, or others than 0", n, len(x))
			}
			for i := range x {
				x[i] = float32(i)
			}
			again := Zeros[float64](n)
			if slices.ContainsFunc(again, func(v float64) bool { return v != 0 }) {
				t.Fatalf("Zeros(%d) of float64 has others than 0", n)
			}
			for i, v := range x {
				if v != float32(i) {
					t.Fatalf("element %d changed to %v", i, v)
				}
			}
		}
	}
}
