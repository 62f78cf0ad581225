//go:build !amd64

package kernel

import "runtime"

// Elsewhere there is no assembly, and what is fast does nothing.

func multiply32(product[float32]) bool { return false }

func pack32(tb bool, n, k int, b []float32) []float32 { return nil }

func convolve32(y, x, w, bias, plus []float32, c Conv, images int, act Act) bool { return false }

func convInputGrad32(dx, dy, w []float32, c Conv, images int) bool { return false }

func convWeightGrad32(dw, x, dy []float32, c Conv, images int) bool { return false }

func quartersMaxFast[F Float](y []F, winners []int32, x []F, p *Pool) bool { return false }

func pause(int) { runtime.Gosched() }

func (o *Adam[F]) fast(w, g, m, v []F) int { return 0 }

func (o *SGD[F]) fast(w, g, v []F) int { return 0 }

func widenFast(dst []float32, src []uint16) int { return 0 }

func activateFast[F Float](y, x []F, act Act) int { return 0 }

func activateGradFast[F Float](dx, y, dy []F, act Act) int { return 0 }

func addFast[F Float](y, a, b []F, act Act) int { return 0 }

func momentsFast[F Float](sum, squares, pivot []float64, x []F, size int) bool { return false }

func normalizeFast[F Float](y, x []F, by Channels, size int, least, most float64) bool { return false }

func normSumsFast[F Float](sum, dot []float64, x, dy []F, by Channels, size int, least, most float64) bool {
	return false
}

func normGradFast[F Float](dx, x, dy []F, by Channels, s Slopes, size int, least, most float64) bool {
	return false
}

func sumColumnsFast[F Float](dst, x []F, rows, cols int) int { return 0 }

func sumSquaresFast[F Float](x []F) (done int, sum float64) { return 0, 0 }

func exponentialsFast[F Float](dst []float64, z []F, invT float64) (top, sum float64, ok bool) {
	return 0, 0, false
}

func sumExponentialsFast[F Float](z []F, invT float64) (top, sum float64, ok bool) {
	return 0, 0, false
}

func logarithmsFast(y, x []float64) bool { return false }

func logSoftmaxFast[F Float](dst, z []F, invT, lse float64) bool { return false }

func logSoftmaxGradFast[F Float](dx, y, dy []F, sum float64) bool { return false }

func probabilitiesFast[F Float](dst []F, e []float64, k, less float64) bool { return false }

func differencesFast[F Float](dst []F, x, y []float64, kx, ky float64) bool { return false }

func softFast[F Float](z, target []F, lse, keep, even float64) (loss, sum float64, ok bool) {
	return 0, 0, false
}

func softGradFast[F Float](grad, target []F, e []float64, k, keep, even float64) bool { return false }

func klFast[F Float](grad, z, t []F, q, p distribution, T float64) (sum float64, ok bool) {
	return 0, false
}

func squaresApartFast[F Float](grad, a, b []F, k float64) (sum float64, ok bool) { return 0, false }

func sumAboveFast[F Float](x []F, level float64) (sum float64, ok bool) { return 0, false }

func scaleFast[F Float](dst, src []F, k F) bool { return false }

func (p *int8Job) fast(from, to int) bool { return false }

func quantizeFast(q []int8, x []float32, inverse float32) int { return 0 }

func magnitudeFast(x []float32) (done int, top uint32) { return 0, 0 }

func scaleByFast[F Float](y, x, weight []F, k F) int { return 0 }

func rmsDotFast[F Float](x, weight, dy []F) (done int, dot F) { return 0, 0 }

func rmsGradFast[F Float](dx, sum, x, weight, dy []F, inverse, along F) int { return 0 }

func swigluFast[F Float](y, gate, up []F) int { return 0 }

func swigluGradFast[F Float](dgate, dup, gate, up, dy []F) int { return 0 }

func turnFast[F Float](y, x matrix[F], rows, half int, cos, sin []F) bool { return false }

func attendFast[F Float](x []F, by F) (top, sum F, ok bool) { return 0, 0, false }

func attendGradFast[F Float](x, dp []F, by, lse F) bool { return false }

func (p *panels[F]) tiled() bool { return false }

func (p *panels[F]) packTurnedFast(matrix[F]) bool { return false }

func (p *panels[F]) packFast(matrix[F]) bool { return false }

func (p *panels[F]) multiplyFast(c, a matrix[F], m int, of stretch) bool { return false }

func (p *panels[F]) addTurnedFast(c, a matrix[F], m int, of stretch) bool { return false }
