package teacher

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// isLogits says whether a signal is logits by its name, its teacher's prefix
// aside.
func isLogits(name string) bool {
	return name == Logits || strings.HasSuffix(name, "/"+Logits)
}

// checkLogits says why a field cannot be logits.
func checkLogits(name string, f data.Field) error {
	if len(f.Shape) != 1 && len(f.Shape) != 2 || f.Dtype == tensor.Int {
		return fmt.Errorf("teacher: signal %q has shape %v and dtype %s; want (C) or (T, C) of a float type", name, f.Shape, dtypeName(f.Dtype))
	}
	return checkField("signal", name, f)
}

// floats is a copy of the elements of t, which is of a float type.
func floats(t *tensor.Dense) []float64 {
	switch all := t.Data().(type) {
	case []float32:
		return convert[float64](all)
	case []float64:
		return convert[float64](all)
	}
	return nil
}

// dense is a tensor of n samples of a field.
func dense(f data.Field, n int, values []float64) *tensor.Dense {
	shape := tensor.WithShape(append([]int{n}, f.Shape...)...)
	if f.Dtype == tensor.Float32 {
		return tensor.New(shape, tensor.WithBacking(convert[float32](values)))
	}
	return tensor.New(shape, tensor.WithBacking(values))
}

func convert[To, From float32 | float64](from []From) []To {
	to := make([]To, len(from))
	for i, v := range from {
		to[i] = To(v)
	}
	return to
}

// logSoftmax makes log (share · softmax) of z.
func logSoftmax(z []float64, share float64) {
	// Shifted first: next to a large logit the logarithm of the sum is lost.
	top := slices.Max(z)
	for c := range z {
		z[c] -= top
	}
	toLog := math.Log(share) - kernel.LogSumExp(z, 1)
	for c := range z {
		z[c] += toLog
	}
}
