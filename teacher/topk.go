package teacher

import (
	"sort"

	"github.com/x448/float16"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// What a signal of logits is answered as where only the k largest of each row
// were recorded: these suffixes follow its name, as in "logits.top".
const (
	// TopSuffix marks the k largest raw logits in descending order: (N, k), or
	// (N, T, k) of token rows.
	TopSuffix = ".top"
	// IDSuffix marks their classes, in TopSuffix's shape, of tensor.Int. Among
	// equal logits the lower class comes first.
	IDSuffix = ".id"
	// LSESuffix marks log Σ exp(z/T) over the whole row for each T of
	// Card.Temps, (N, len(Temps)) or (N, T, len(Temps)): what makes the
	// probabilities of the top classes exact.
	LSESuffix = ".lse"
)

// A reduction makes top-k logits of dense ones.
type reduction struct {
	k     int
	temps []float64
	half  bool // the logits are going to be rounded to float16
}

// reduce adds the top-k form of logits s[name], of field f, to s.
func (r reduction) reduce(s data.Signals, name string, f data.Field) {
	logits := floats(s[name])
	if r.half {
		// Of the rounded row, or the top probabilities could exceed a sum of 1.
		for i, v := range logits {
			logits[i] = float64(float16.Fromfloat32(float32(v)).Float32())
		}
	}
	n, classes := s[name].Shape()[0], f.Shape[len(f.Shape)-1]
	var top, lse []float64
	var ids []int
	for ; len(logits) > 0; logits = logits[classes:] {
		row := logits[:classes]
		for _, c := range largest(row, r.k) {
			top, ids = append(top, row[c]), append(ids, c)
		}
		for _, T := range r.temps {
			lse = append(lse, kernel.LogSumExp(row, 1/T))
		}
	}
	tops := append([]int{n}, withLast(f, r.k).Shape...)
	s[name+TopSuffix] = dense(withLast(f, r.k), n, top)
	s[name+IDSuffix] = tensor.New(tensor.WithShape(tops...), tensor.WithBacking(ids))
	s[name+LSESuffix] = dense(withLast(f, len(r.temps)), n, lse)
}

// largest are the indices of the k largest of z, in descending order.
func largest(z []float64, k int) []int {
	best := make([]int, 0, k+1)
	for c, v := range z {
		if len(best) == k && v <= z[best[k-1]] {
			continue
		}
		at := sort.Search(len(best), func(i int) bool { return z[best[i]] < v })
		best = append(best, 0)
		copy(best[at+1:], best[at:])
		best[at] = c
		best = best[:min(len(best), k)]
	}
	return best
}

// withLast is f with another size of the last axis.
func withLast(f data.Field, n int) data.Field {
	last := len(f.Shape) - 1
	return data.Field{Shape: append(f.Shape[:last:last], n), Dtype: f.Dtype}
}
