package distill

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// bound scales the weights into a unit, a row of w (out, ...), so that their
// Euclidean norm is not above the limit (Hinton et al. 2012, 1207.0580, section 2,
// where they are a column). A vector has a weight for each unit, and is left as
// it is.
func bound(w *tensor.Dense, limit float64) {
	if w.Dims() < 2 {
		return
	}
	if w.Dtype() == tensor.Float32 {
		boundRows(floats[float32](w), w.Shape()[0], limit)
	} else {
		boundRows(floats[float64](w), w.Shape()[0], limit)
	}
}

func boundRows[T floating](w []T, rows int, limit float64) {
	size := len(w) / rows
	kernel.Rows(rows, size, func(from, to int) {
		for i := from; i < to; i++ {
			row := w[i*size : (i+1)*size]
			if norm := math.Sqrt(kernel.SumSquares(row)); norm > limit {
				scale(row, limit/norm)
			}
		}
	})
}
