package data_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestNormalize(t *testing.T) {
	m := must(data.NewMemory(data.Signals{
		"a": dense([]float32{2, 4, 6, 8, 10, 12}, 2, 3),
		"b": dense([]float64{1, 2, 3, 4, 5, 6}, 2, 3),
		"c": dense([]float32{1, 2}, 2),
	}, nil, nil))
	norms := map[string]data.Norm{
		"a": {Mean: []float64{2}, SD: []float64{4}},
		"b": {Mean: []float64{1, 2, 3}, SD: []float64{1, 2, 4}},
	}
	set := must(data.Normalize(m, norms))
	got := read(t, set, 1, 0).In
	want := data.Signals{
		"a": dense([]float32{1.5, 2, 2.5}, 1, 3),
		"b": dense([]float64{3, 1.5, 0.75}, 1, 3),
		"c": dense([]float32{2}, 1),
	}
	if diff := cmp.Diff(want, got, denses); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(norms, set.Spec().Norm); diff != "" {
		t.Error(diff)
	}
	if m.Spec().Norm != nil {
		t.Error("the inner set's Norm changed")
	}
}

func TestNormalizeRefuses(t *testing.T) {
	one := []float64{1}
	tokens := must(data.NewMemory(data.Signals{"x": dense([]int{1, 2, 3}, 3)}, nil, nil))
	done := must(data.Normalize(grid(3), map[string]data.Norm{"x": {Mean: one, SD: one}}))
	for _, test := range []struct {
		set  data.Set
		name string
		norm data.Norm
		want string
	}{
		{nil, "x", data.Norm{}, "nil"},
		{grid(3), "y", data.Norm{}, `input "y" is unknown; the set has ["x"]`},
		{tokens, "x", data.Norm{Mean: one, SD: one}, "has dtype int"},
		{done, "x", data.Norm{Mean: one, SD: one}, "is normalised already"},
		{grid(3), "x", data.Norm{Mean: one}, "1 means and 0 SDs"},
		{grid(3), "x", data.Norm{Mean: count[float64](4), SD: count[float64](4)}, "want none, 1 or 15"},
		{grid(3), "x", data.Norm{Mean: one, SD: []float64{0}}, "SD above 0"},
		{grid(3), "x", data.Norm{Mean: []float64{math.NaN()}, SD: one}, "want finite"},
		{grid(3), "x", data.Norm{Mean: one, SD: []float64{math.Inf(1)}}, "want finite"},
	} {
		_, err := data.Normalize(test.set, map[string]data.Norm{test.name: test.norm})
		wantError(t, err, test.want)
	}
}

func TestFitNorm(t *testing.T) {
	// A mean of 1e8 cancels in sums of squares.
	x := dense([]float64{1e8 + 1, 7, 1e8 + 3, 7, 1e8 + 8, 7}, 3, 2)
	m := must(data.NewMemory(data.Signals{"x": x, "ids": dense([]int{1, 2, 3}, 3)}, nil, nil))
	sd := math.Sqrt(26.0 / 3)
	want := map[string]data.Norm{"x": {Mean: []float64{1e8 + 4, 7}, SD: []float64{sd, 1}}}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6 })
	if diff := cmp.Diff(want, must(data.FitNormEach(m)), near); diff != "" {
		t.Error(diff)
	}
	whole := must(data.FitNorm(grid(4)))["x"]
	if n := 60.0; whole.Mean[0] != 30.5 || math.Abs(whole.SD[0]-math.Sqrt((n*n-1)/12)) > 1e-9 {
		t.Errorf("norm of 1 to 60 is %v", whole)
	}
	_, err := data.FitNorm(nil)
	wantError(t, err, "nil")
}

func TestFittedSetHasMeanZero(t *testing.T) {
	raw := grid(9)
	set := must(data.Normalize(raw, must(data.FitNormEach(raw))))
	again := must(data.FitNormEach(set))["x"]
	zero := func(v float64) bool { return math.Abs(v) < 1e-6 }
	if slices.ContainsFunc(again.Mean, func(v float64) bool { return !zero(v) }) ||
		slices.ContainsFunc(again.SD, func(v float64) bool { return !zero(v - 1) }) {
		t.Errorf("a fitted set has norm %v", again)
	}
}

func TestFitNormPlanes(t *testing.T) {
	in := data.Signals{"x": dense(count[float32](360), 6, 3, 5, 4), "y": dense(count[float64](24), 6, 4), "n": dense(count[int](6), 6)}
	set := must(data.NewMemory(in, nil, nil))
	norms := must(data.FitNormPlanes(set))
	if len(norms) != 2 || len(norms["x"].Mean) != 60 || len(norms["y"].Mean) != 1 {
		t.Fatalf("norms are %v", norms)
	}
	for i, mean := range norms["x"].Mean {
		plane := must(data.NewMemory(data.Signals{"x": dense(planeOf(in["x"].Float32s(), i/20), 6, 20)}, nil, nil))
		want := must(data.FitNorm(plane))["x"]
		if math.Abs(mean-want.Mean[0]) > 1e-9 || math.Abs(norms["x"].SD[i]-want.SD[0]) > 1e-9 {
			t.Fatalf("element %d has mean %v, SD %v; want those of its plane, %v", i, mean, norms["x"].SD[i], want)
		}
	}
	if _, err := data.Normalize(set, norms); err != nil {
		t.Error(err)
	}
	got := must(data.Norm{Mean: []float64{1, 2, 3}, SD: []float64{4, 5, 6}}.Spread(data.Field{Shape: tensor.Shape{3, 1, 4}}))
	want := data.Norm{Mean: []float64{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}, SD: []float64{4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, shape := range []tensor.Shape{{3, 4}, {4, 3, 5}, nil} {
		_, err := data.Norm{Mean: []float64{1, 2, 3}, SD: []float64{4, 5, 6}}.Spread(data.Field{Shape: shape})
		wantError(t, err, "data: Norm of 3 means and 3 SDs for images of shape")
	}
	_, err := data.FitNormPlanes(nil)
	wantError(t, err, "nil")
}

// planeOf is plane c of 6 images of 3 planes of 20.
func planeOf(x []float32, c int) (all []float32) {
	for i := range 6 {
		all = append(all, x[i*60+c*20:][:20]...)
	}
	return all
}

func TestSpreadRefusesSizes(t *testing.T) {
	norm := data.Norm{Mean: []float64{0, 1, 2}, SD: []float64{1, 2, 3}}
	for _, shape := range []tensor.Shape{{3, -2, 4}, {3, 0, 4}, {3, 1 << 31, 1 << 31}} {
		_, err := norm.Spread(data.Field{Shape: shape, Dtype: tensor.Float32})
		wantError(t, err, "data: Norm.Spread: the field has shape")
	}
}
