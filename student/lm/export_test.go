package lm

import (
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// Parse is parse, for a fuzz test.
var Parse = parse

// Uniform is uniform, for tests.
var Uniform = uniform

// Draw is what is drawn from logits, for tests.
func Draw[F kernel.Float](s Sampling, z []F, u float64) (id int, logProb float64) {
	return newDrawer[F](s.defaults(), len(z)).draw(z, u)
}

// Grow is the logits after each run of ids, which a cache is fed, where runs are the
// lengths of them.
func Grow(m *student.Model, ids, runs []int) [][]float64 {
	c := m.Module().(Config).defaults()
	if m.Dtype() == tensor.Float64 {
		return grow(newEngine[float64](c, Sampling{}, m), ids, runs)
	}
	return grow(newEngine[float32](c, Sampling{}, m), ids, runs)
}

func grow[F kernel.Float](e *engine[F], ids, runs []int) (all [][]float64) {
	if err := e.refresh(); err != nil {
		panic(err)
	}
	w := newWorker(e)
	w.make(3, len(ids))
	q := &sequence{slot: 1}
	w.active = append(w.active, q)
	for _, n := range runs {
		q.ids = ids[:len(q.ids)+n]
		for len(w.ends) == 0 || q.fed < len(q.ids) {
			w.gather(0)
			row := []float64{}
			for _, z := range w.logits()[:w.Vocab] {
				row = append(row, float64(z))
			}
			if len(w.ends) > 0 {
				all = append(all, row)
			}
		}
	}
	return all
}

// ParseIndex is parseIndex, for a fuzz test.
var ParseIndex = parseIndex
