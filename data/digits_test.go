package data_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestDigits(t *testing.T) {
	split := must(data.Digits())
	seen := make(map[uint64]bool)
	classes := make(map[int]int)
	for _, set := range []data.Set{split.Train, split.Valid, split.Test} {
		for _, b := range must(drain(data.Loader{Set: set, Batch: 100}, 0, 0)) {
			for r, id := range b.ID {
				if seen[id.Sample] {
					t.Errorf("sample %d is in two parts", id.Sample)
				}
				seen[id.Sample] = true
				classes[data.Row[int](b.Label, r)[0]]++
				for _, v := range data.Row[float32](b.In["x"], r) {
					if v < 0 || v > 1 {
						t.Fatalf("sample %d has a pixel of %v", id.Sample, v)
					}
				}
			}
		}
	}
	if split.Train.Len() != 1097 || split.Valid.Len() != 200 || split.Test.Len() != 500 || len(seen) != 1797 {
		t.Errorf("split into %d, %d and %d", split.Train.Len(), split.Valid.Len(), split.Test.Len())
	}
	// The counts are those of the data's own description.
	want := map[int]int{0: 178, 1: 182, 2: 177, 3: 183, 4: 181, 5: 182, 6: 181, 7: 179, 8: 174, 9: 180}
	if diff := cmp.Diff(want, classes); diff != "" {
		t.Error(diff)
	}
}

func TestDigitsSpec(t *testing.T) {
	got := must(data.Digits()).Train.Spec()
	// Results that are published rely on the split as well as on the data.
	if print := fmt.Sprintf("%x", got.Fingerprint[:6]); print != "12048c48578f" {
		t.Errorf("the training set has fingerprint %s", print)
	}
	got.Fingerprint = [32]byte{}
	want := data.Spec{
		In:      map[string]data.Field{"x": {Shape: tensor.Shape{8, 8}, Dtype: tensor.Float32}},
		Label:   data.Field{Dtype: tensor.Int},
		Classes: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		Norm:    map[string]data.Norm{"x": {Mean: []float64{0}, SD: []float64{16}}},
		Views:   1,
	}
	dtypes := cmp.Comparer(func(a, b tensor.Dtype) bool { return a == b })
	if diff := cmp.Diff(want, got, dtypes, cmp.Comparer(tensor.Shape.Eq)); diff != "" {
		t.Error(diff)
	}
}
