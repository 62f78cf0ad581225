package data_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// questions answers three of them for four samples.
var questions = []float64{1, 0, 1, 0, 0, 0, 0.25, 1, 1, 1, 1, 1}

func TestTargets(t *testing.T) {
	x := data.Signals{"x": dense(count[float32](20), 4, 5)}
	for name, test := range map[string]struct {
		set  *data.Memory
		task data.Task
		want *tensor.Dense // the label of sample 2
	}{
		"several questions": {must(data.NewMultiLabel(x, dense(questions, 4, 3), []string{"a", "b", "c"})), data.MultiLabel, dense([]float64{0.25, 1, 1}, 1, 3)},
		"one question":      {must(data.NewMultiLabel(x, dense([]float32{0, 1, 0.5, 0}, 4), []string{"a"})), data.MultiLabel, dense([]float32{0.5}, 1)},
		"a number":          {must(data.NewRegression(x, dense([]float32{1, -2, 1e9, 4}, 4), nil)), data.Regression, dense([]float32{1e9}, 1)},
		"numbers":           {must(data.NewRegression(x, dense(count[float64](12), 4, 3), []string{"a", "b", "c"})), data.Regression, dense([]float64{7, 8, 9}, 1, 3)},
		"a map of numbers":  {must(data.NewRegression(x, dense(count[float32](60), 4, 3, 5), nil)), data.Regression, dense(count[float32](45)[30:], 1, 3, 5)},
		"pixels":            {must(data.NewMemory(x, dense(count[int](60), 4, 3, 5), nil)), data.Classification, dense(count[int](45)[30:], 1, 3, 5)},
	} {
		got := read(t, test.set, 2, 0)
		if diff := cmp.Diff(test.want, got.Label, denses); diff != "" || test.set.Spec().Task != test.task {
			t.Errorf("%s: task %v, labels %s", name, test.set.Spec().Task, diff)
		}
		if ints := test.want.Dtype() == tensor.Int; ints != got.Weight.Shape().Eq(got.Label.Shape()) && got.Label.Dims() > 1 {
			t.Errorf("%s: weights %v of labels %v", name, got.Weight.Shape(), got.Label.Shape())
		}
	}
}

func TestTargetsRefuse(t *testing.T) {
	x := data.Signals{"x": dense(count[float32](15), 3, 5)}
	for want, set := range map[string]func() (*data.Memory, error){
		"data: Spec.Label is of int; want floats for MultiLabel": func() (*data.Memory, error) {
			return data.NewMultiLabel(x, dense([]int{0, 1, 1}, 3), nil)
		},
		"data: Spec.Label is of int; want floats for Regression": func() (*data.Memory, error) {
			return data.NewRegression(x, dense([]int{0, 1, 1}, 3), nil)
		},
		"data: Spec.Label has shape (4, 5); want () or (C) for MultiLabel": func() (*data.Memory, error) {
			return data.NewMultiLabel(x, dense(make([]float32, 60), 3, 4, 5), nil)
		},
		"data: Spec.Classes has 2 names, but a label has 3 values": func() (*data.Memory, error) {
			return data.NewMultiLabel(x, dense(make([]float32, 9), 3, 3), []string{"a", "b"})
		},
		"data: Spec.Classes has 2 names, but a label has 1 values": func() (*data.Memory, error) {
			return data.NewRegression(x, dense(make([]float32, 3), 3), []string{"a", "b"})
		},
		"sample 1: label is 1.5 at element 2; want 0 to 1": func() (*data.Memory, error) {
			return data.NewMultiLabel(x, dense([]float32{0, 1, 0, 1, 0, 1.5, 1, 1, 1}, 3, 3), nil)
		},
		"sample 2: label is -0.5 at element 0; want 0 to 1": func() (*data.Memory, error) {
			return data.NewMultiLabel(x, dense([]float64{0, 1, -0.5}, 3), nil)
		},
		"sample 2: label is not finite at element 0": func() (*data.Memory, error) {
			return data.NewRegression(x, dense([]float64{0, 1, math.Inf(1)}, 3), nil)
		},
	} {
		_, err := set()
		wantError(t, err, want)
	}
	_, err := data.NewBatch(data.Spec{In: map[string]data.Field{"x": {Dtype: tensor.Float32}}, Task: 7}, 3)
	wantError(t, err, "data: Spec.Task is 7; want Classification, MultiLabel or Regression")
}

// One set for two tasks is two sets.
func TestTaskTellsSetsApart(t *testing.T) {
	x, y := data.Signals{"x": dense(count[float32](20), 4, 5)}, dense(questions, 4, 3)
	yes, numbers := must(data.NewMultiLabel(x, y, nil)), must(data.NewRegression(x, y, nil))
	if yes.Spec().Fingerprint == numbers.Spec().Fingerprint {
		t.Error("a fingerprint for two tasks")
	}
	other := must(numbers.WithIDs([]uint64{4, 5, 6, 7}))
	_, err := data.Concat(yes, other)
	wantError(t, err, "set 1 has other task than set 0")
	must(data.Concat(numbers, other))
	_, err = data.HideLabels(numbers, func(int) bool { return true })
	wantError(t, err, "data: HideLabels of a set for Regression; want Classification")
}

func TestTaskString(t *testing.T) {
	if got := data.Task(9).String(); got != "Task(9)" {
		t.Error(got)
	}
}
