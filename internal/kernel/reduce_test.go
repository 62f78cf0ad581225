package kernel

import (
	"math"
	"slices"
	"testing"
)

func TestSumColumns(t *testing.T) {
	paths(t, func(t *testing.T) {
		dst, intact := guarded([]float32{9, 9, 9})
		SumColumns(dst, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 4, 3)
		if want := []float32{22, 26, 30}; !slices.Equal(dst, want) || !intact() {
			t.Errorf("got %v, want %v", dst, want)
		}
	})
}

func TestSumSquares(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 7, 8, 9, 31, 4095, 4096, 20001} {
			x, want := random[float32](n, uint64(n)), 0.0
			for _, v := range x {
				want += float64(v) * float64(v)
			}
			alone := SumSquares(x)
			if math.Abs(alone-want) > 1e-12*want {
				t.Errorf("%d elements: %v, want %v", n, alone, want)
			}
			threaded(func(threads int) {
				if got := SumSquares(x); got != alone {
					t.Errorf("%d elements on %d threads: %v, want %v", n, threads, got, alone)
				}
			})
		}
		if v := SumSquares([]float32{1, 2, float32(math.Inf(-1)), 3}); !math.IsInf(v, 1) {
			t.Errorf("with an infinity: %v", v)
		}
	})
}
