package kernel

import (
	"slices"
	"testing"
)

func TestAdd(t *testing.T) {
	for _, n := range []int{1, 3, 7, 8, 9, 70, 5001} {
		a, b := odd(n, 1), odd(n, 2)
		for _, act := range []Act{Identity, ReLU, Tanh, leaky02, GELU} {
			want := make([]float32, n)
			for i := range want {
				want[i] = a[i] + b[i]
			}
			paths(t, func(t *testing.T) {
				want := slices.Clone(want)
				Activate(want, want, act)
				threaded(func(threads int) {
					y, intact := guarded(a)
					if Add(y, y, b, act); !same(y, want) || !intact() {
						t.Errorf("%v of %d on %d threads is not act(a + b)", act, n, threads)
					}
					y, intact = guarded(b)
					if Add(y, a, y, act); !same(y, want) || !intact() {
						t.Errorf("%v of %d in place of b is not act(a + b)", act, n)
					}
				})
			})
		}
	}
}
