package infer

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/godistill/godistill/internal/plan"
	"github.com/godistill/godistill/internal/safetensors"
)

// scaled is a student of 3 inputs whose logits are those times factors.
func scaled(t *testing.T, a, b, c float32) *Predictor {
	return loaded(t, file(t, plan.Header{Plan: &plan.Plan{
		Inputs:  []plan.Value{{Name: "x", Shape: []int{3}}},
		Steps:   []plan.Step{{Op: "linear", In: []int{0}, Params: []string{"w"}, Shape: []int{3}}},
		Outputs: []plan.Output{{Name: "logits", Value: 1}},
	}}, []safetensors.Tensor{safetensors.Of("w", []int{3, 3}, []float32{a, 0, 0, 0, b, 0, 0, 0, c})}))
}

func TestCompare(t *testing.T) {
	before, after := scaled(t, 1, 1, 1), scaled(t, 1, 1.5, 1)
	x := []float32{
		3, 2.5, 0, // 0, then 1
		0, 1, 2,
		5, 1, 1,
		1, 6, 2,
	}
	c := Change{Rows: 4, Agreement: 0.75, Mean: (1.25 + 0.5 + 0.5 + 3) / 12, Max: 3}
	for _, test := range []struct {
		labels        []int
		before, after float64
	}{
		{nil, math.NaN(), math.NaN()},
		{[]int{-1, -1, -1, -1}, math.NaN(), math.NaN()},
		{[]int{0, 2, 0, 2}, 0.75, 0.5},
		{[]int{1, 1, -1, 1}, 1. / 3, 2. / 3},
	} {
		c.Before, c.After = test.before, test.after
		got, err := Compare(before, after, x, test.labels)
		if err != nil || !cmp.Equal(got, c, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-12)) {
			t.Errorf("labels %v: %+v, %v; want %+v", test.labels, got, err, c)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	three, five := scaled(t, 1, 1, 1), loaded(t, file(t, header, tensors[float32]()))
	huge := scaled(t, math.MaxFloat32, 1, 1)
	for _, test := range []struct {
		a, b   *Predictor
		x      []float32
		labels []int
		want   string
	}{
		{three, five, []float32{1, 2, 3}, nil, "from shape [3] to [3], compared with one from [5] to [3]"},
		{three, three, nil, nil, "no rows to compare"},
		{three, three, []float32{1, 2}, nil, "want a multiple of 3"},
		{three, three, []float32{1, 2, 3}, []int{1, 1}, "there are 2 labels; want none, or 1"},
		{three, three, []float32{1, 2, 3}, []int{3}, "label 0 is 3; want -1, or 0 to 2"},
		{three, three, []float32{1, 2, 3}, []int{-2}, "label 0 is -2"},
		{three, huge, []float32{9, 2, 3}, nil, "the logits of row 0 have +Inf"},
		{huge, three, []float32{9, 2, 3}, nil, "the logits of row 0 have +Inf"},
	} {
		if _, err := Compare(test.a, test.b, test.x, test.labels); err == nil ||
			!strings.HasPrefix(err.Error(), "infer: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v; want one with %q", err, test.want)
		}
	}
}

func TestChangeString(t *testing.T) {
	c := Change{Rows: 500, Agreement: 0.998, Mean: 0.01234, Max: 0.25, Before: 0.95, After: 0.948}
	const want = "500 rows: the same class in 99.80%, logits off by 0.0123 on average and 0.25 at most"
	if got := c.String(); got != want+", 95.00% right before and 94.80% after" {
		t.Error(got)
	}
	c.Before = math.NaN()
	if got := c.String(); got != want {
		t.Error(got)
	}
}
