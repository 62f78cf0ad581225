package distill

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// The mean of what is below 0, by adding up a density on a fine grid.
func TestOFDMargins(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		spec := data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{3, 6, 5}, Dtype: d}}}
		m := must(student.New(student.Sequence{{Name: "conv", Layer: student.Conv2d{Out: 5, Kernel: 3}}, {Name: "bn", Layer: student.BatchNorm{}}}, spec, 1))
		means, deviations := []float64{0, -1.5, 0.75, 4, 1}, []float64{1, 0.5, -2, 1, 0}
		for p := range m.Params() {
			switch p.Name {
			case "bn.weight":
				_ = copyPadded(p.Value, dense[float64](deviations, 5))
			case "bn.bias":
				_ = copyPadded(p.Value, dense[float64](means, 5))
			}
		}
		got := must(OFDMargins(m, "bn"))
		for i, want := range []float64{-math.Sqrt(2 / math.Pi), below(-1.5, 0.5), below(0.75, 2), -3, 0} {
			if math.Abs(got[i]-want) > 1e-4 {
				t.Errorf("margin %d is %v; want %v", i, got[i], want)
			}
		}
		if err := (OFD{"a", "b", got}).validate(0); err != nil {
			t.Error(err)
		}
		_, err := OFDMargins(m, "conv")
		checkError(t, err, `distill: the teacher has no batch norm "conv" with a weight and a bias`)
	}
	_, err := OFDMargins(nil, "bn")
	checkError(t, err, "distill: OFDMargins has no teacher; want a student.Model")
}

// below is the mean of the part below 0 of a normal distribution.
func below(mean, sd float64) float64 {
	sum, mass := 0.0, 0.0
	for x := -20.0; x < 0; x += 1e-4 {
		p := math.Exp(-(x - mean) * (x - mean) / (2 * sd * sd))
		sum, mass = sum+p*x, mass+p
	}
	return sum / mass
}
