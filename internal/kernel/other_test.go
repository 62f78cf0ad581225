//go:build !amd64

package kernel

import "testing"

const able512 = false

func use(t testing.TB, fast bool) {
	t.Helper()
	if fast {
		t.Skip("there is no assembly for this CPU")
	}
}

func useWide(t testing.TB, wide bool) { use(t, wide) }

// What can be done at most is not known here.

func measurePeak(threads, n int) float64 { return 0 }

func measureSweep(threads, bytes, n int) float64 { return 0 }
