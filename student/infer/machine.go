package infer

import (
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// A machine runs the plan in the arithmetic of the file.
type machine interface {
	// load normalises the first rows samples of x into input i.
	load(i, rows int, x []float32)
	run(rows int)
	// store copies the first rows samples of a value that run computed to y.
	store(i, rows int, y []float32)
}

type typed[F kernel.Float] struct {
	*plan.Machine[F]
	norms []plan.Norm
}

func (m *typed[F]) load(i, rows int, x []float32) { normalize(m.Value(i, rows), x, m.norms[i]) }

func (m *typed[F]) run(rows int) { m.Run(rows) }

func (m *typed[F]) store(i, rows int, y []float32) {
	for j, v := range m.Value(i, rows) {
		y[j] = float32(v)
	}
}

// normalize computes in float64 and rounds once, as it was done in training.
func normalize[F kernel.Float](dst []F, x []float32, n plan.Norm) {
	size := len(n.Mean)
	for i := range dst {
		v := float64(x[i])
		if size > 0 {
			v = (v - n.Mean[i%size]) / n.SD[i%size]
		}
		dst[i] = F(v)
	}
}
