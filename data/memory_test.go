package data_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestMemoryReadsEveryDtype(t *testing.T) {
	in := data.Signals{
		"bytes":  dense(count[uint8](12), 3, 4),
		"single": dense(count[float32](3), 3),
		"double": dense(count[float64](15), 3, 5),
		"tokens": dense(count[int](9), 3, 3),
	}
	label := dense([]int{0, 1, -1, 2, -1, 0, 3, 3, 3, 1, 2, 3}, 3, 4)
	m := must(data.NewMemory(in, label, classes))
	m = must(m.WithIDs([]uint64{70, 60, 50}))
	m = must(m.WithWeights(dense([]float32{1, 0, 1, 0, 2, 2, 2, 2, 0, 0, 0, 0.5}, 3, 4)))
	want := data.Batch{
		N:  1,
		ID: []data.ID{{Sample: 60}},
		In: data.Signals{
			"bytes":  dense([]float32{5, 6, 7, 8}, 1, 4),
			"single": dense([]float32{2}, 1),
			"double": dense([]float64{6, 7, 8, 9, 10}, 1, 5),
			"tokens": dense([]int{4, 5, 6}, 1, 3),
		},
		Label:  dense([]int{-1, 0, 3, 3}, 1, 4),
		Weight: dense([]float32{2, 2, 2, 2}, 1, 4),
	}
	if diff := cmp.Diff(want, read(t, m, 1, 0), denses); diff != "" {
		t.Error(diff)
	}
	if got := m.Spec().In["bytes"].Dtype; got != tensor.Float32 {
		t.Errorf("bytes are announced as %v; want float32", got)
	}
}

func TestMemorySoftLabels(t *testing.T) {
	label := dense([]float64{0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0, 0.5, 0, 0.2505, 0.25}, 3, 4)
	m := must(data.NewMemory(data.Signals{"x": dense(count[float32](9), 3, 3)}, label, classes))
	b := read(t, m, 2, 0)
	if diff := cmp.Diff(dense([]float64{0.5, 0, 0.2505, 0.25}, 1, 4), b.Label, denses); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(dense([]float32{1}, 1), b.Weight, denses); diff != "" {
		t.Error(diff)
	}
}

func TestNewMemoryRefuses(t *testing.T) {
	x := dense(count[float32](15), 3, 5)
	bad := func(v float32) *tensor.Dense {
		values := count[float32](15)
		values[7] = v
		return dense(values, 3, 5)
	}
	turned := dense(count[float32](15), 5, 3)
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		in      data.Signals
		label   *tensor.Dense
		classes []string
		want    string
	}{
		{"no inputs", nil, nil, nil, "Spec.In is empty"},
		{"nil input", data.Signals{"x": nil}, nil, nil, `input "x" is nil`},
		{"scalar", data.Signals{"x": tensor.New(tensor.FromScalar(float32(1)))}, nil, nil, "want a leading axis"},
		{"transpose", data.Signals{"x": turned}, nil, nil, "is a view or a transpose"},
		{"dtype", data.Signals{"x": dense([]int64{1, 2, 3}, 3)}, nil, nil, `Spec.In["x"] has dtype int64`},
		{"lengths", data.Signals{"a": x, "b": dense(count[float32](4), 4)}, nil, nil, `input "b" has 4 samples; the inputs before it have 3`},
		{"label length", data.Signals{"x": x}, dense([]int{0, 1, 2, 3}, 4), nil, "label has 4 samples"},
		{"label shape", data.Signals{"x": x}, dense(make([]int, 180), 3, 4, 3, 5), nil, "Spec.Label has shape (4, 3, 5); want (), (T) or (H, W)"},
		{"soft shape", data.Signals{"x": x}, dense(count[float32](3), 3), nil, "want (C) for soft labels"},
		{"soft classes", data.Signals{"x": x}, dense(count[float32](9), 3, 3), classes, "4 names, but a label has 3 values"},
		{"same class", data.Signals{"x": x}, nil, []string{"a", "b", "a"}, `Spec.Classes has "a" twice`},
		{"nan", data.Signals{"x": bad(float32(math.NaN()))}, nil, nil, `row 1, sample 1: input "x" is not finite at element 2`},
		{"infinity", data.Signals{"x": x, "a": bad(float32(math.Inf(-1)))}, nil, nil, `input "a" is not finite at element 2`},
		{"nan label", data.Signals{"x": x}, dense([]float64{0, 1, 0, 1, math.NaN(), 0, 0, 0, 0}, 3, 3), nil, "sample 1: label is not finite at element 1"},
		{"soft below 0", data.Signals{"x": x}, dense([]float32{1, 0, 0, 5, -3, 0, 0, 0, 1}, 3, 3), nil, "sample 1: label is -3 at element 1; want 0 or more"},
		{"soft sum of 2", data.Signals{"x": x}, dense([]float64{1, 0, 0, 0, 0, 0, 0.5, 1, 0.5}, 3, 3), nil, "sample 2: label has the sum 2; want 1, or all zeros for no label"},
		{"high label", data.Signals{"x": x}, dense([]int{0, 3, 4}, 3), classes, "sample 2: label is 4; want -1 to 3"},
		{"low label", data.Signals{"x": x}, dense([]int{0, -2, 4}, 3), nil, "sample 1: label is -2; want -1 or more"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := data.NewMemory(test.in, test.label, test.classes)
			wantError(t, err, test.want)
		})
	}
}

func TestMemoryOptionsRefuse(t *testing.T) {
	m := grid(3)
	_, err := m.WithIDs([]uint64{1, 2})
	wantError(t, err, "2 ids for 3 samples")
	_, err = m.WithIDs([]uint64{5, 6, 5})
	wantError(t, err, "rows 0 and 2 both have id 5")
	_, err = m.WithWeights(nil)
	wantError(t, err, "is nil")
	_, err = m.WithWeights(dense(count[float32](4), 4))
	wantError(t, err, "has 4 samples")
	_, err = m.WithWeights(dense(count[float64](3), 3))
	wantError(t, err, "want float32")
	_, err = m.WithWeights(dense(count[float32](12), 3, 4))
	wantError(t, err, "of shape (4)")
	_, err = m.WithWeights(dense([]float32{1, -1, 0}, 3))
	wantError(t, err, "sample 1: weight is -1")
	b := must(data.NewBatch(m.Spec(), 3))
	wantError(t, b.Append(m, 3, 0), "row 3 of a set of 3")
}

func TestZeroMemory(t *testing.T) {
	m := new(data.Memory)
	if s := m.Spec(); m.Len() != 0 || s.Fingerprint != [32]byte{} {
		t.Errorf("a zero Memory has %d samples and the fingerprint %x; want none", m.Len(), s.Fingerprint)
	}
	wantError(t, data.Loader{Set: m, Batch: 3}.Validate(), "data: Loader.Set is empty")
	_, err := m.WithWeights(dense(count[float32](3), 3))
	wantError(t, err, "data: WithWeights of an empty set")
	b := must(data.NewBatch(grid(3).Spec(), 3))
	wantError(t, m.Read(0, 0, data.Sample{Batch: &b}), "row 0 of a set of 0")
}

func TestMemoryFingerprint(t *testing.T) {
	values := count[float32](15)
	values[14]++
	label := []int{0, 1, 2}
	x, y := dense(count[float32](15), 3, 5), dense(label, 3)
	base := must(data.NewMemory(data.Signals{"x": x}, y, classes))
	others := map[string]*data.Memory{
		"value":   must(data.NewMemory(data.Signals{"x": dense(values, 3, 5)}, y, classes)),
		"shape":   must(data.NewMemory(data.Signals{"x": dense(count[float32](15), 3, 5, 1)}, y, classes)),
		"dtype":   must(data.NewMemory(data.Signals{"x": dense(count[float64](15), 3, 5)}, y, classes)),
		"bytes":   must(data.NewMemory(data.Signals{"x": dense(count[uint8](15), 3, 5)}, y, classes)),
		"name":    must(data.NewMemory(data.Signals{"y": x}, y, classes)),
		"label":   must(data.NewMemory(data.Signals{"x": x}, dense([]int{0, 1, 3}, 3), classes)),
		"none":    must(data.NewMemory(data.Signals{"x": x}, nil, classes)),
		"classes": must(data.NewMemory(data.Signals{"x": x}, y, classes[:3])),
		"ids":     must(base.WithIDs([]uint64{0, 1, 3})),
		"weights": must(base.WithWeights(dense([]float32{1, 1, 2}, 3))),
	}
	seen := map[[32]byte]string{base.Spec().Fingerprint: "base"}
	for name, m := range others {
		print := m.Spec().Fingerprint
		if other, ok := seen[print]; ok {
			t.Errorf("%s and %s share a fingerprint", name, other)
		}
		seen[print] = name
	}
	again := must(data.NewMemory(data.Signals{"x": dense(count[float32](15), 3, 5)}, dense(label, 3), classes))
	if again.Spec().Fingerprint != base.Spec().Fingerprint {
		t.Error("equal sets have different fingerprints")
	}
}

// Nil, which stands beside the error of whatever makes a Memory, is empty too.
func TestNilMemory(t *testing.T) {
	var none *data.Memory
	wantError(t, data.Loader{Set: none, Batch: 3}.Validate(), "data: Loader.Set is empty; want 1 sample or more")
	_, err := data.Flip{}.Of(none)
	wantError(t, err, "data: Flip.Input is")
}
