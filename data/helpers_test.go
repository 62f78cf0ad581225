package data_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

var ctx = context.Background()

// denses lets cmp compare tensors by shape, dtype and values.
var denses = cmp.Transformer("dense", func(t *tensor.Dense) any {
	if t == nil {
		return nil
	}
	return fmt.Sprint(t.Dtype(), t.Shape(), t.Data())
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// dense is a tensor of the given shape over the values.
func dense(values any, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// count is n floats: 1, 2, 3 and so on.
func count[E float32 | float64 | int | uint8](n int) []E {
	v := make([]E, n)
	for i := range v {
		v[i] = E(i + 1)
	}
	return v
}

var classes = []string{"red", "green", "blue", "grey"}

// grid is n images of 3 by 5 pixels that count up from 1, of 4 classes in turn.
func grid(n int) *data.Memory {
	label := make([]int, n)
	for i := range label {
		label[i] = i % len(classes)
	}
	return must(data.NewMemory(data.Signals{data.Input: dense(count[float32](n*15), n, 3, 5)}, dense(label, n), classes))
}

// read is one view of one sample, in a batch of its own.
func read(t testing.TB, set data.Set, i int, view uint64) data.Batch {
	t.Helper()
	b := must(data.NewBatch(set.Spec(), 1))
	if err := b.Append(set, i, view); err != nil {
		t.Fatal(err)
	}
	return b
}

func pixels(t testing.TB, set data.Set, i int, view uint64) []float32 {
	t.Helper()
	return data.Row[float32](read(t, set, i, view).In[data.Input], 0)
}

// drain is what an epoch yields from a batch on, and its error.
func drain(src data.Source, epoch, from int) ([]data.Batch, error) {
	var all []data.Batch
	for b, err := range src.Batches(ctx, epoch, from) {
		if err != nil {
			return all, err
		}
		all = append(all, b)
	}
	return all, nil
}

func ids(batches []data.Batch) []uint64 {
	var all []uint64
	for _, b := range batches {
		for _, id := range b.ID {
			all = append(all, id.Sample)
		}
	}
	return all
}

func wantError(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error is %v; want %q in it", err, part)
	}
}

// fake is a set whose methods a test replaces.
type fake struct {
	data.Set
	spec func(*data.Spec)
	read func(i int, dst data.Sample) error
	id   func(i int) uint64
}

func (f fake) Spec() data.Spec {
	s := f.Set.Spec()
	if f.spec != nil {
		f.spec(&s)
	}
	return s
}

func (f fake) ID(i int) uint64 {
	if f.id != nil {
		return f.id(i)
	}
	return f.Set.ID(i)
}

func (f fake) Read(i int, view uint64, dst data.Sample) error {
	if err := f.Set.Read(i, 0, dst); err != nil || f.read == nil {
		return err
	}
	return f.read(i, dst)
}
