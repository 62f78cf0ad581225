package teacher

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// photos are 100,000 images of a shape, made of their ids.
type photos struct{ shape tensor.Shape }

func (photos) Len() int        { return 100_000 }
func (photos) ID(i int) uint64 { return uint64(i) }
func (p photos) Spec() data.Spec {
	return data.Spec{
		In:          map[string]data.Field{data.Input: {Shape: p.shape, Dtype: tensor.Float32}},
		Views:       1,
		Fingerprint: [32]byte{2},
	}
}
func (photos) Read(i int, _ uint64, dst data.Sample) error {
	noise(uint64(i), data.Row[float32](dst.Batch.In[data.Input], dst.Row))
	return nil
}

// noise fills a row with numbers from 0 to 1, those of a seed.
func noise(seed uint64, row []float32) {
	x := seed*0x9e3779b97f4a7c15 + 1
	for i := range row {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		row[i] = float32(x>>40) / (1 << 24)
	}
}

// expert is a teacher with 1000 classes.
func expert() Func {
	field := data.Field{Shape: tensor.Shape{1000}, Dtype: tensor.Float32}
	return Func{Says: logitsCard(field), Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
		s := data.Signals{Logits: room(nil, field, b.N)}
		for r, id := range b.ID {
			noise(id.Sample+1<<32, data.Row[float32](s[Logits], r))
		}
		return s, nil
	}}
}

// BenchmarkCacheAtSize reads random batches of 256 rows from a cache of 100,000
// rows of 1000 classes, of images in float32 that a loader has just read. Beside
// it and in turns, it reads the bytes of other such rows by ReadAt, one after the
// other, and as many at once as there are processors. x_of_plain and
// x_of_parallel are their times by that of the cache, which also compares the
// inputs, checks the rows and makes float32 of them.
func BenchmarkCacheAtSize(b *testing.B) {
	for _, shape := range []tensor.Shape{{28, 28}, {3, 32, 32}} {
		for name, r := range map[string]Recording{"float32": {Batch: 256}, "float16": {Batch: 256, Half: true}} {
			b.Run(fmt.Sprintf("%v/%s", shape, name), func(b *testing.B) {
				besidePlain(b, record(b, expert(), photos{shape}, b.TempDir(), r), photos{shape})
			})
		}
	}
}

func besidePlain(b *testing.B, c *Cache, set data.Set) {
	lender := &data.Lender{Loader: data.Loader{Set: set, Batch: 256, DropLast: true, Prefetch: -1}}
	var answer data.Signals
	var ours, plain, parallel time.Duration
	row := make([]byte, c.layout.size)
	rows := 0
	for batch := range endless(b, lender) {
		switch rows++; rows % 3 { // each its own batch: what was just read is near the processor
		case 0:
			ours += timed(func() {
				var err error
				if answer, err = Ask(b.Context(), c, batch, answer); err != nil {
					b.Fatal(err)
				}
			})
		case 1:
			plain += timed(func() { readPlain(b, c, batch.ID, row) })
		case 2:
			parallel += timed(func() { readParallel(b, c, batch.ID) })
		}
		lender.TakeBack(batch)
	}
	b.ReportMetric(plain.Seconds()/ours.Seconds(), "x_of_plain")
	b.ReportMetric(parallel.Seconds()/ours.Seconds(), "x_of_parallel")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(rows/3*256), "ns/row")
	b.ReportMetric(0, "ns/op")
}

// endless yields three batches in each turn of a benchmark, epoch after epoch.
func endless(b *testing.B, source data.Source) iter.Seq[data.Batch] {
	return func(yield func(data.Batch) bool) {
		for epoch, n := 0, 0; ; epoch++ {
			for batch, err := range source.Batches(b.Context(), epoch, 0) {
				if err != nil {
					b.Fatal(err)
				}
				if n%3 == 0 && !b.Loop() || !yield(batch) {
					return
				}
				n++
			}
		}
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func readParallel(t testing.TB, c *Cache, ids []data.ID) {
	var all sync.WaitGroup
	for ids := range slices.Chunk(ids, (len(ids)-1)/runtime.GOMAXPROCS(0)+1) {
		all.Go(func() { readPlain(t, c, ids, make([]byte, c.layout.size)) })
	}
	all.Wait()
}

func readPlain(t testing.TB, c *Cache, ids []data.ID, row []byte) {
	for _, id := range ids {
		if _, err := c.parts[0].rows.ReadAt(row, int64(id.Sample)*int64(len(row))); err != nil {
			t.Error(err)
		}
	}
}
