package kernel

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLogSumExp(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		z    []float64
		invT float64
		want float64
	}{
		{nil, 1, -inf},
		{[]float64{-inf, -inf, -inf}, 1, -inf},
		{[]float64{3, inf, 1}, 1, inf},
		{[]float64{3, -inf, -inf}, 0.5, 1.5},
		{[]float64{1e4, 1e4, -1e4}, 1, 1e4 + math.Ln2},
		{[]float64{-1e4, -1e4, -1e4}, 0.25, -2500 + math.Log(3)},
		{[]float64{0, math.Log(2), math.Log(5)}, 1, math.Log(8)},
	} {
		if got := LogSumExp(test.z, test.invT); got != test.want && !(math.Abs(got-test.want) < 1e-12) {
			t.Errorf("LogSumExp(%v, %v) = %v, want %v", test.z, test.invT, got, test.want)
		}
	}
	if got := LogSumExp([]float32{1, float32(math.NaN()), 2}, 1); got == got {
		t.Errorf("LogSumExp of a NaN is %v", got)
	}
}

func TestSoftmax(t *testing.T) {
	z := []float32{0, float32(math.Inf(-1)), 1e4, 1e4}
	if Softmax(z, z, 1); !slices.Equal(z, []float32{0, 0, 0.5, 0.5}) {
		t.Errorf("got %v", z)
	}
	none := []float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	if LogSoftmax(none, none, 1); !math.IsNaN(none[1]) {
		t.Errorf("without any finite logit: got %v, want NaN", none)
	}
}

func TestSoftmaxProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SliceOfN(rapid.Float64Range(-1e4, 1e4), 3, 9).Draw(t, "z")
		invT := rapid.Float64Range(0.01, 10).Draw(t, "invT")
		shift := rapid.Float64Range(-100, 100).Draw(t, "shift")
		p, logp, moved := make([]float64, len(z)), make([]float64, len(z)), make([]float64, len(z))
		Softmax(p, z, invT)
		LogSoftmax(logp, z, invT)
		for i := range z {
			moved[i] = z[i] + shift
		}
		Softmax(moved, moved, invT)
		sum := 0.0
		for i := range z {
			sum += p[i]
			if math.Abs(p[i]-math.Exp(logp[i])) > 1e-9 {
				t.Fatalf("probability %d is %v, its logarithm %v", i, p[i], logp[i])
			}
			if math.Abs(p[i]-moved[i]) > 1e-9 {
				t.Fatalf("a shift of the logits moves probability %d from %v to %v", i, p[i], moved[i])
			}
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Fatalf("the probabilities sum to %v", sum)
		}
	})
}
