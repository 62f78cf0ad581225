package main

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"gorgonia.org/tensor"
)

// What is left for the peer.
const (
	studentFile  = "student.safetensors"
	teacherFile  = "teacher.safetensors"
	expectedFile = "want.f32"
	inputsFile   = "x.f32"
	idsFile      = "x.i64"
	labelsFile   = "y.i64"
	trainImages  = "train.u8"
	validImages  = "valid.u8"
	trainLabels  = "train.i64"
	validLabels  = "valid.i64"
)

// random are n numbers from 0 to 1, always the same.
func random(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()
	}
	return x
}

func classes(n int, seed uint64) []int {
	rng := rand.New(rand.NewPCG(seed, 3))
	y := make([]int, n)
	for i := range y {
		y[i] = rng.IntN(10)
	}
	return y
}

// randomSet is a set of samples of the given shape, of 10 classes.
func randomSet(rows int, shape ...int) (data.Set, error) {
	size := rows * tensor.Shape(shape).TotalSize()
	x := tensor.New(tensor.WithShape(append([]int{rows}, shape...)...), tensor.WithBacking(random(size)))
	return data.NewMemory(data.Signals{data.Input: x}, tensor.New(tensor.WithShape(rows), tensor.WithBacking(classes(rows, 1))), nil)
}

// sentences are random ids, each with a random one after it.
func sentences(rows, length, vocab int) (data.Set, error) {
	ids := func(seed uint64) *tensor.Dense {
		return tensor.New(tensor.WithShape(rows, length), tensor.WithBacking(tokens(rows*length, vocab, seed)))
	}
	return data.NewMemory(data.Signals{data.Input: ids(1)}, ids(2), nil)
}

func tokens(n, vocab int, seed uint64) []int {
	rng := rand.New(rand.NewPCG(seed, 5))
	ids := make([]int, n)
	for i := range ids {
		ids[i] = rng.IntN(vocab)
	}
	return ids
}

// images is a set of random bytes in the shape of MNIST, scaled to 0 to 1, with
// files of the same.
func images(rows int, seed uint64, dir, xs, ys string) (data.Set, error) {
	rng := rand.New(rand.NewPCG(seed, 4))
	pixels := make([]byte, rows*28*28)
	for i := range pixels {
		pixels[i] = byte(rng.Uint32())
	}
	y := classes(rows, seed)
	if err := errors.Join(write(dir, xs, pixels), write(dir, ys, int64s(y))); err != nil {
		return nil, err
	}
	x := tensor.New(tensor.WithShape(rows, 28, 28), tensor.WithBacking(pixels))
	set, err := data.NewMemory(data.Signals{data.Input: x}, tensor.New(tensor.WithShape(rows), tensor.WithBacking(y)), nil)
	if err != nil {
		return nil, err
	}
	return data.Normalize(set, map[string]data.Norm{data.Input: {Mean: []float64{0}, SD: []float64{255}}})
}

func save(m *student.Model, dir, name string) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	return errors.Join(m.Save(f), f.Close())
}

// saveBatches writes the first batches of a source, one after the other.
func saveBatches(ctx context.Context, src data.Source, n int, dir string) error {
	var x []float32
	var ids, y []int
	for batch, err := range src.Batches(ctx, 0, 0) {
		if err != nil {
			return err
		}
		if in := batch.In[data.Input]; in.Dtype() == tensor.Int {
			ids = append(ids, in.Ints()...)
		} else {
			x = append(x, in.Float32s()...)
		}
		y = append(y, batch.Label.Ints()...)
		if n--; n == 0 {
			break
		}
	}
	name, inputs := inputsFile, any(x)
	if ids != nil {
		name, inputs = idsFile, int64s(ids)
	}
	return errors.Join(write(dir, name, inputs), write(dir, labelsFile, int64s(y)))
}

func int64s(y []int) []int64 {
	wide := make([]int64, len(y))
	for i, v := range y {
		wide[i] = int64(v)
	}
	return wide
}

// write writes numbers, lowest byte first.
func write(dir, name string, numbers any) error {
	b, err := binary.Append(nil, binary.LittleEndian, numbers)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), b, 0o666)
}

func first(ctx context.Context, src data.Source) (batch data.Batch, err error) {
	for batch, err = range src.Batches(ctx, 0, 0) {
		break
	}
	return batch, err
}
