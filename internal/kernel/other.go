//go:build !amd64

package kernel

import (
	"math"
	"runtime"
)

// Elsewhere there is no assembly, and what is fast does nothing.

func multiply32(product[float32]) bool { return false }

func pack32(tb bool, n, k int, b []float32) []float32 { return nil }

func pause(int) { runtime.Gosched() }

func (o *Adam[F]) fast(w, g, m, v []F) int { return 0 }

func (o *SGD[F]) fast(w, g, v []F) int { return 0 }

func activateFast[F Float](y, x []F, act Act) int { return 0 }

func activateGradFast[F Float](dx, y, dy []F, act Act) int { return 0 }

func sumColumnsFast[F Float](dst, x []F, rows, cols int) int { return 0 }

func sumSquaresFast[F Float](x []F) (done int, sum float64) { return 0, 0 }

func largestFast[F Float](z []F) (done int, top F) { return 0, F(math.Inf(-1)) }

func exponentialsFast[F Float](dst []float64, z []F, invT, top float64) (sum float64, ok bool) {
	return 0, false
}

func (p *int8Job) fast(from, to int) bool { return false }

func quantizeFast(q []int8, x []float32, inverse float32) int { return 0 }

func magnitudeFast(x []float32) (done int, top uint32) { return 0, 0 }
