package data_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestNewBatch(t *testing.T) {
	in := map[string]data.Field{
		"img":  {Shape: tensor.Shape{3, 5}, Dtype: tensor.Float32},
		"age":  {Dtype: tensor.Float64},
		"text": {Shape: tensor.Shape{4}, Dtype: tensor.Int},
	}
	for _, test := range []struct {
		name          string
		label         data.Field
		want, weights *tensor.Dense
	}{
		{"none", data.Field{}, nil, dense(make([]float32, 3), 3)},
		{"class", data.Field{Dtype: tensor.Int}, dense([]int{-1, -1, -1}, 3), dense(make([]float32, 3), 3)},
		{
			"classes", data.Field{Shape: tensor.Shape{2}, Dtype: tensor.Int},
			dense([]int{-1, -1, -1, -1, -1, -1}, 3, 2), dense(make([]float32, 6), 3, 2),
		},
		{
			"soft", data.Field{Shape: tensor.Shape{2}, Dtype: tensor.Float32},
			dense(make([]float32, 6), 3, 2), dense(make([]float32, 3), 3),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := data.Batch{
				ID: []data.ID{},
				In: data.Signals{
					"img":  dense(make([]float32, 45), 3, 3, 5),
					"age":  dense(make([]float64, 3), 3),
					"text": dense(make([]int, 12), 3, 4),
				},
				Label:  test.want,
				Weight: test.weights,
			}
			got := must(data.NewBatch(data.Spec{In: in, Label: test.label}, 3))
			if diff := cmp.Diff(want, got, denses); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewBatchRefuses(t *testing.T) {
	field := func(d tensor.Dtype, shape ...int) map[string]data.Field {
		return map[string]data.Field{"x": {Shape: shape, Dtype: d}}
	}
	ok := field(tensor.Float32, 3)
	for _, test := range []struct {
		name string
		spec data.Spec
		rows int
		want string
	}{
		{"rows", data.Spec{In: ok}, 0, "batch of 0 rows; want 1 to"},
		{"inputs", data.Spec{}, 1, "Spec.In is empty"},
		{"dtype", data.Spec{In: field(tensor.Complex64, 3)}, 1, `Spec.In["x"] has dtype complex64`},
		{"axis", data.Spec{In: field(tensor.Int, 3, 0)}, 1, "want axes of 1 or more"},
		{"negative", data.Spec{In: field(tensor.Int, -3, -5)}, 1, "want axes of 1 or more"},
		{"overflow", data.Spec{In: field(tensor.Int, 1<<30, 1<<30, 1<<30)}, 16, "at most"},
		{"views", data.Spec{In: ok, Views: -1}, 1, "Spec.Views is -1"},
		{"label", data.Spec{In: ok, Label: data.Field{Dtype: tensor.Bool}}, 1, "Spec.Label has dtype bool"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := data.NewBatch(test.spec, test.rows)
			wantError(t, err, test.want)
		})
	}
}

func TestAppend(t *testing.T) {
	set := must(data.Shift{}.Of(grid(4)))
	b := must(data.NewBatch(set.Spec(), 2))
	for _, i := range []int{3, 1} {
		if err := b.Append(set, i, 5); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]data.ID{{Sample: 3, View: 5}, {Sample: 1, View: 5}}, b.ID); diff != "" || b.N != 2 {
		t.Error(b.N, diff)
	}
	wantError(t, b.Append(set, 0, 0), "no room for more than 2 samples")
	wantError(t, b.Append(nil, 0, 0), "nil")
	wantError(t, new(data.Batch).Append(set, 0, 0), "no room for more than 0 samples")
}

// Rows that many goroutines read are those that Append reads one by one.
func TestAppendAll(t *testing.T) {
	set := must(data.Shift{}.Of(grid(7)))
	at := func(r int) (int, uint64) { return 3 * r % 7, uint64(r % 3) }
	want := must(data.NewBatch(set.Spec(), 9))
	for r := range 6 {
		i, view := at(r)
		if err := want.Append(set, i, view); err != nil {
			t.Fatal(err)
		}
	}
	for _, goroutines := range []int{0, 1, 3, 99} {
		b := must(data.NewBatch(set.Spec(), 9))
		if err := b.Append(set, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := b.AppendAll(set, 5, goroutines, func(r int) (int, uint64) { return at(r + 1) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b, denses); diff != "" {
			t.Error(diff)
		}
		wantError(t, b.AppendAll(set, 4, goroutines, at), "no room")
		wantError(t, b.AppendAll(set, -1, goroutines, at), "no room")
		wantError(t, b.AppendAll(nil, 1, goroutines, at), "nil")
		wantError(t, b.AppendAll(set, 1, -1, at), "AppendAll has -1 goroutines; want 0 or more")
		wantError(t, b.AppendAll(grid(4), 3, goroutines, func(r int) (int, uint64) { return 3 + r, 0 }), "row 4 of a set of 4")
	}
}

// A set that writes nothing has samples of zeros that count once and have no
// label.
func TestAppendPreparesTheRow(t *testing.T) {
	b := must(data.NewBatch(grid(3).Spec(), 3))
	for i := range 2 {
		if err := b.Append(silent{grid(3)}, i, 0); err != nil {
			t.Fatal(err)
		}
	}
	want := data.Batch{
		N:      2,
		ID:     []data.ID{{Sample: 0}, {Sample: 1}},
		In:     data.Signals{"x": dense(make([]float32, 45), 3, 3, 5)},
		Label:  dense([]int{-1, -1, -1}, 3),
		Weight: dense([]float32{1, 1, 0}, 3),
	}
	if diff := cmp.Diff(want, b, denses); diff != "" {
		t.Error(diff)
	}
}

type silent struct{ data.Set }

func (silent) Read(int, uint64, data.Sample) error { return nil }

func TestRow(t *testing.T) {
	x := dense(count[float32](12), 3, 4)
	if diff := cmp.Diff([]float32{5, 6, 7, 8}, data.Row[float32](x, 1)); diff != "" {
		t.Error(diff)
	}
	if row := data.Row[int](x, 1); row != nil {
		t.Errorf("row of another type is %v", row)
	}
	if row := data.Row[int](nil, 1); row != nil {
		t.Errorf("row of nil is %v", row)
	}
}

// A batch of another spec has no room for a sample.
func TestAppendRefusesAnotherSpec(t *testing.T) {
	bare := must(data.NewMemory(data.Signals{data.Input: dense(count[float32](60), 4, 3, 5)}, nil, nil))
	soft := must(data.NewMemory(data.Signals{data.Input: dense(count[float32](60), 4, 3, 5)}, dense(make([]float32, 16), 4, 4), classes))
	wide := must(data.NewMemory(data.Signals{data.Input: dense(count[float32](72), 4, 3, 6)}, nil, nil))
	double := must(data.NewMemory(data.Signals{data.Input: dense(count[float64](60), 4, 3, 5)}, nil, nil))
	two := must(data.NewMemory(data.Signals{data.Input: dense(count[float32](60), 4, 3, 5), "y": dense(count[float32](12), 4, 3)}, nil, nil))
	other := must(data.NewMemory(data.Signals{"y": dense(count[float32](60), 4, 3, 5)}, nil, nil))
	for _, test := range []struct {
		of, set data.Set
		want    string
	}{
		{bare, wide, `data: row 1: input "x" of the set is (3, 6), float32, and that of the batch (3, 5), float32; want a batch of its Spec`},
		{bare, double, `data: row 1: input "x" of the set is (3, 5), float64, and that of the batch (3, 5), float32`},
		{bare, two, "data: row 1: the set has 2 inputs and the batch 1"},
		{bare, other, `data: row 1: input "y" of the set is not in the batch`},
		{bare, soft, "data: row 1: one of set and batch has labels"},
		{grid(4), bare, "data: row 1: one of set and batch has labels"},
		{grid(4), soft, "data: row 1: the label of the set is (4), float32, and that of the batch (), int"},
	} {
		b := must(data.NewBatch(test.of.Spec(), 2))
		wantError(t, b.Append(test.set, 1, 0), test.want)
	}
}
