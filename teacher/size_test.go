package teacher

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// photos is a set of images of 3x32x32 with so many samples, made of their ids.
type photos int

func (p photos) Len() int      { return int(p) }
func (photos) ID(i int) uint64 { return uint64(i) }
func (photos) Spec() data.Spec {
	return data.Spec{
		In:          map[string]data.Field{data.Input: {Shape: tensor.Shape{3, 32, 32}, Dtype: tensor.Float32}},
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
// rows of 1000 classes, whose inputs are images of 3x32x32 in float32 that a
// loader has just read. Beside it and in turns, it reads the bytes of such rows
// by ReadAt, one after the other, and as many at once as there are processors.
// x_of_plain and x_of_parallel are their times by that of Teach, which also
// compares the inputs, checks the rows and makes float32 of them.
func BenchmarkCacheAtSize(b *testing.B) {
	set := photos(100_000)
	for _, bench := range []struct {
		name string
		r    Recording
	}{{"float32", Recording{Batch: 256}}, {"float16", Recording{Batch: 256, Half: true}}} {
		c := record(b, expert(), set, b.TempDir(), bench.r)
		b.Run(bench.name, func(b *testing.B) { besidePlain(b, c, set) })
	}
}

func besidePlain(b *testing.B, c *Cache, set data.Set) {
	lender := &data.Lender{Loader: data.Loader{Set: set, Batch: 256, Prefetch: -1}}
	var answer data.Signals
	var ours, plain, parallel time.Duration
	row := make([]byte, c.layout.size)
	rows := 0
	epoch := 0
	next, stop := iter.Pull2(lender.Batches(b.Context(), epoch, 0))
	defer func() { stop() }()
	draw := func() data.Batch {
		batch, err, ok := next()
		if !ok {
			stop()
			epoch++
			next, stop = iter.Pull2(lender.Batches(b.Context(), epoch, 0))
			batch, err, _ = next()
		}
		if err != nil {
			b.Fatal(err)
		}
		return batch
	}
	for b.Loop() {
		// Each its own batch: what another has just read is near the processor.
		batch := draw()
		ours += timed(func() {
			var err error
			if answer, err = Ask(b.Context(), c, batch, answer); err != nil {
				b.Fatal(err)
			}
		})
		rows += batch.N
		lender.TakeBack(batch)
		batch = draw()
		plain += timed(func() { readPlain(b, c, batch.ID, row) })
		lender.TakeBack(batch)
		batch = draw()
		parallel += timed(func() { readParallel(b, c, batch.ID) })
		lender.TakeBack(batch)
	}
	b.ReportMetric(plain.Seconds()/ours.Seconds(), "x_of_plain")
	b.ReportMetric(parallel.Seconds()/ours.Seconds(), "x_of_parallel")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(rows), "ns/row")
	b.ReportMetric(0, "ns/op")
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
