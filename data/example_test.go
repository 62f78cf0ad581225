package data_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/fstest"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func Example() {
	split, err := data.Digits()
	if err != nil {
		panic(err)
	}
	loader := data.Loader{Set: split.Train, Batch: 64, Seed: 1}
	for batch, err := range loader.Batches(context.Background(), 0, 0) {
		if err != nil {
			panic(err)
		}
		if batch.N < 64 {
			fmt.Println(batch.N, batch.In["x"].Shape(), batch.Label.Shape())
		}
	}
	fmt.Println(loader.Len(), "batches")
	// Output:
	// 9 (64, 8, 8) (64)
	// 18 batches
}

func ExampleLoader() {
	x := tensor.New(tensor.WithShape(5, 1), tensor.WithBacking([]float32{0, 1, 2, 3, 4}))
	set, err := data.NewMemory(data.Signals{"x": x}, nil, nil)
	if err != nil {
		panic(err)
	}
	loader := data.Loader{Set: set, Batch: 3, Seed: 2}
	for epoch := range 2 {
		for batch, err := range loader.Batches(context.Background(), epoch, 0) {
			if err != nil {
				panic(err)
			}
			fmt.Println(epoch, batch.N, batch.In["x"].Data(), batch.Weight.Data())
		}
	}
	// Output:
	// 0 3 [0 2 4] [1 1 1]
	// 0 2 [3 1 0] [1 1 0]
	// 1 3 [2 0 4] [1 1 1]
	// 1 2 [3 1 0] [1 1 0]
}

func ExampleShift() {
	x := tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	set, err := data.NewMemory(data.Signals{"x": x}, nil, nil)
	if err != nil {
		panic(err)
	}
	moved, err := data.Shift{Pixels: 1}.Of(set)
	if err != nil {
		panic(err)
	}
	batch, err := data.NewBatch(moved.Spec(), moved.Spec().Views)
	if err != nil {
		panic(err)
	}
	for view := range uint64(4) {
		if err := batch.Append(moved, 0, view); err != nil {
			panic(err)
		}
		fmt.Println(data.Row[float32](batch.In["x"], int(view)))
	}
	// Output:
	// [1 2 3 4 5 6]
	// [0 1 2 0 4 5]
	// [2 3 0 5 6 0]
	// [0 0 0 1 2 3]
}

func ExampleAugment() {
	dropPixels := data.Augment{
		Name: "drop a tenth of the pixels",
		Do: func(rng *rand.Rand, dst data.Sample) error {
			row := data.Row[float32](dst.Batch.In["x"], dst.Row)
			for i := range row {
				if rng.Float32() < 0.1 {
					row[i] = 0
				}
			}
			return nil
		},
	}
	split, err := data.Digits()
	if err != nil {
		panic(err)
	}
	train, err := dropPixels.Of(split.Train)
	if err != nil {
		panic(err)
	}
	fmt.Println(train.Len(), "samples,", train.Spec().Views, "views: without bound")
	// Output: 1097 samples, 0 views: without bound
}

func ExampleDigits() {
	split, err := data.Digits()
	if err != nil {
		panic(err)
	}
	fmt.Println(split.Train.Len(), split.Valid.Len(), split.Test.Len())

	batch, err := data.NewBatch(split.Test.Spec(), 1)
	if err != nil {
		panic(err)
	}
	if err := batch.Append(split.Test, 0, 0); err != nil {
		panic(err)
	}
	fmt.Println("a", data.Row[int](batch.Label, 0)[0])
	for line := range slices.Chunk(data.Row[float32](batch.In["x"], 0), 8) {
		var text strings.Builder
		for _, v := range line {
			text.WriteByte(" .:oO"[int(4*v)])
		}
		fmt.Printf("|%s|\n", &text)
	}
	// Output:
	// 1097 200 500
	// a 1
	// |  .oo.  |
	// |  :OOo  |
	// |  :OOo  |
	// |  :OO:  |
	// |  OOO.  |
	// | .OOO   |
	// |  oOO   |
	// |  :Oo   |
}

func ExampleReadCSV() {
	table := strings.NewReader("length,width,kind\n5.1,3.5,setosa\n7.0,3.2,versicolor\n6.3,3.3,\n")
	set, err := data.ReadCSV(table, data.CSV{
		Header:  true,
		Label:   "kind",
		Classes: []string{"setosa", "versicolor"},
	})
	if err != nil {
		panic(err)
	}
	norm, err := data.FitNormEach(set)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d samples of mean %.2f\n", set.Len(), norm["x"].Mean)
	// Output: 3 samples of mean [6.13 3.33]
}

func ExampleImageFolder() {
	square := func(shade uint8) *fstest.MapFile {
		img := image.NewGray(image.Rect(0, 0, 3, 3))
		for i := range img.Pix {
			img.Pix[i] = shade
		}
		var file bytes.Buffer
		if err := png.Encode(&file, img); err != nil {
			panic(err)
		}
		return &fstest.MapFile{Data: file.Bytes()}
	}
	// A folder of the disk is os.DirFS("train").
	folder := fstest.MapFS{"dark/1.png": square(51), "light/1.png": square(204), "light/2.png": square(255)}
	set, err := data.ImageFolder{Grey: true}.Open(folder)
	if err != nil {
		panic(err)
	}
	fmt.Println(set.Spec().Classes, set.Spec().In["x"].Shape)
	for batch, err := range (data.Loader{Set: set, Batch: 3, InOrder: true}).Batches(context.Background(), 0, 0) {
		if err != nil {
			panic(err)
		}
		for row := range batch.N {
			fmt.Println(batch.Label.Data().([]int)[row], data.Row[float32](batch.In["x"], row)[0])
		}
	}
	// Output:
	// [dark light] (1, 3, 3)
	// 0 0.2
	// 1 0.8
	// 1 1
}

func ExampleBalance() {
	x := tensor.New(tensor.WithShape(5, 1), tensor.WithBacking([]float32{0, 1, 2, 3, 4}))
	labels := tensor.New(tensor.WithShape(5), tensor.WithBacking([]int{0, 0, 1, 0, 0}))
	set, err := data.NewMemory(data.Signals{"x": x}, labels, []string{"common", "rare"})
	if err != nil {
		panic(err)
	}
	balance, err := data.Balance(set)
	if err != nil {
		panic(err)
	}
	loader := data.Loader{Set: set, Batch: 4, Draw: balance}
	for batch, err := range loader.Batches(context.Background(), 0, 0) {
		if err != nil {
			panic(err)
		}
		fmt.Println(batch.In["x"].Data(), batch.Label.Data())
	}
	// Output:
	// [3 1 0 2] [0 0 0 1]
	// [2 4 2 2] [1 0 1 1]
}

func ExampleStream() {
	words := "a stream has no length"
	stream := data.Stream{
		Each: data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{2}, Dtype: tensor.Float32}}},
		Open: func(context.Context, int) iter.Seq2[data.Record, error] {
			return func(yield func(data.Record, error) bool) {
				id := uint64(0)
				for word := range strings.FieldsSeq(words) {
					record := data.Record{ID: id, Read: func(dst data.Sample) error {
						x := data.Row[float32](dst.Batch.In["x"], dst.Row)
						x[0], x[1] = float32(word[0]-'a'), float32(len(word))
						return nil
					}}
					if !yield(record, nil) {
						return
					}
					id++
				}
			}
		},
		Batch:  3,
		Buffer: 4,
	}
	for batch, err := range stream.Batches(context.Background(), 0, 0) {
		if err != nil {
			panic(err)
		}
		fmt.Println(batch.N, batch.In["x"].Data())
	}
	// Output:
	// 3 [18 6 11 6 13 2]
	// 2 [0 1 7 3 0 0]
}

func ExampleMixup() {
	x := tensor.New(tensor.WithShape(2, 1), tensor.WithBacking([]float32{0, 100}))
	labels := tensor.New(tensor.WithShape(2), tensor.WithBacking([]int{0, 1}))
	set, err := data.NewMemory(data.Signals{"x": x}, labels, []string{"no", "yes"})
	if err != nil {
		panic(err)
	}
	// Of the 3 views, view 0 is the plain sample. A teacher can be recorded on
	// all of them.
	mixed, err := data.Mixup{Views: 3}.Of(set)
	if err != nil {
		panic(err)
	}
	batch, err := data.NewBatch(mixed.Spec(), 3)
	if err != nil {
		panic(err)
	}
	for view := range uint64(3) {
		if err := batch.Append(mixed, 0, view); err != nil {
			panic(err)
		}
		fmt.Printf("%.1f %.3f\n", data.Row[float32](batch.In["x"], int(view)), data.Row[float32](batch.Label, int(view)))
	}
	// Output:
	// [0.0] [1.000 0.000]
	// [89.4] [0.106 0.894]
	// [54.6] [0.454 0.546]
}
