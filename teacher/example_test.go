package teacher_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/teacher"
)

// numbers are the samples 0 to 4.
type numbers struct{}

func (numbers) Len() int        { return 5 }
func (numbers) ID(i int) uint64 { return uint64(i) }
func (numbers) Spec() data.Spec {
	return data.Spec{
		In:          map[string]data.Field{data.Input: {Dtype: tensor.Float32}},
		Views:       1,
		Fingerprint: sha256.Sum256([]byte("numbers")),
	}
}
func (numbers) Read(i int, _ uint64, dst data.Sample) error {
	data.Row[float32](dst.Batch.In[data.Input], dst.Row)[0] = float32(i)
	return nil
}

// parity is a rule that knows even numbers from odd ones.
var parity = teacher.Func{
	Says: teacher.Card{
		Signals:     map[string]data.Field{teacher.Logits: {Shape: tensor.Shape{2}, Dtype: tensor.Float32}},
		Classes:     []string{"even", "odd"},
		Fingerprint: sha256.Sum256([]byte("parity 1")),
	},
	Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
		logits := tensor.New(tensor.WithShape(b.N, 2), tensor.Of(tensor.Float32))
		for r := range b.N {
			n := int(data.Row[float32](b.In[data.Input], r)[0])
			data.Row[float32](logits, r)[n%2] = 3
		}
		return data.Signals{teacher.Logits: logits}, nil
	},
}

// A rule is recorded once; then the cache answers in its place.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "parity")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	recorded, err := teacher.Record(ctx, parity, numbers{}, dir, teacher.Recording{Batch: 3})
	if err != nil {
		log.Fatal(err)
	}
	recorded.Close()

	cache, err := teacher.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	if err := cache.Covers(numbers{}.Spec()); err != nil {
		log.Fatal(err)
	}
	loader := data.Loader{Set: numbers{}, Batch: 4, InOrder: true}
	for batch, err := range loader.Batches(ctx, 0, 0) {
		if err != nil {
			log.Fatal(err)
		}
		signals, err := cache.Teach(ctx, batch)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(batch.N, signals[teacher.Logits].Data())
	}
	// Output:
	// 4 [3 0 0 3 3 0 0 3]
	// 1 [3 0]
}

// Two teachers that are sure of different classes: the mean of their
// probabilities keeps both, the mean of their logits does not.
func ExampleMean() {
	sure := func(z ...float32) teacher.Teacher {
		f := parity
		f.Do = func(context.Context, data.Batch) (data.Signals, error) {
			return data.Signals{teacher.Logits: tensor.New(tensor.WithShape(1, 2), tensor.WithBacking(z))}, nil
		}
		return f
	}
	batch := data.Batch{N: 1, ID: make([]data.ID, 1)}
	for _, pool := range []teacher.Pool{teacher.PoolLogits, teacher.PoolProbabilities} {
		mean := teacher.Mean{Teachers: []teacher.Teacher{sure(12, 0), sure(0, 6)}, Pool: pool}
		signals, err := mean.Teach(context.Background(), batch)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%.2f\n", signals[teacher.Logits].Data())
	}
	// Output:
	// [6.00 3.00]
	// [-0.69 -0.70]
}

// What was recorded is read, and the rest is asked.
func ExampleOr() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "parity")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cache, err := teacher.Record(ctx, parity, numbers{}, dir, teacher.Recording{})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	seven := data.Batch{
		N:  1,
		ID: []data.ID{{Sample: 7}},
		In: data.Signals{data.Input: tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{7}))},
	}
	_, err = cache.Teach(ctx, seven)
	fmt.Println(errors.Is(err, teacher.ErrMissing))
	signals, err := teacher.Or(cache, parity).Teach(ctx, seven)
	fmt.Println(signals[teacher.Logits].Data(), err)
	// Output:
	// true
	// [0 3] <nil>
}

// Three machines record a shard each, in a directory of its own; then the shards
// are one cache. Here the machines take turns.
func ExampleOpen_shards() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "parity")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var dirs []string
	for machine := range 3 {
		shard := filepath.Join(dir, fmt.Sprint("shard", machine))
		c, err := teacher.Record(ctx, parity, numbers{}, shard, teacher.Recording{Shard: machine, Shards: 3})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Rows())
		c.Close()
		dirs = append(dirs, shard)
	}

	part, err := teacher.OpenPart(dirs[0], dirs[2]) // one is late
	if err != nil {
		log.Fatal(err)
	}
	defer part.Close()
	for id := range part.Missing(numbers{}) {
		fmt.Println("missing:", id.Sample)
	}

	cache, err := teacher.Open(dirs...)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	fmt.Println(cache.Rows())
	// Output:
	// 2 5
	// 2 5
	// 1 5
	// missing: 2
	// missing: 3
	// 5 5
}

// Two teachers side by side.
func ExampleNamed() {
	card, err := teacher.Named{"rule": parity, "other": parity}.Card()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.Classes, card.Signals["rule/logits"].Shape, len(card.Signals))
	// Output:
	// [even odd] (2) 2
}
