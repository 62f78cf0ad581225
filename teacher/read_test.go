package teacher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

// The row of an id is what the index says, whether it is a grid or nearly one.
func TestFind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, views := rapid.Uint64Range(1, 9).Draw(t, "samples"), rapid.Uint64Range(1, 4).Draw(t, "views")
		step := rapid.SampledFrom([]uint64{1, 3, 1 << 60}).Draw(t, "step")
		first := rapid.SampledFrom([]uint64{0, 5, math.MaxUint64 - 8*step}).Draw(t, "first")
		c := &Cache{manifest: manifest{Views: views}}
		for row := range n * views {
			c.index = append(c.index, entry{data.ID{Sample: first + row%n*step, View: row / n}, int64(row)})
		}
		even := true
		switch i := rapid.IntRange(0, len(c.index)-1).Draw(t, "at"); rapid.IntRange(0, 3).Draw(t, "change") {
		case 1:
			c.index[i].row, c.index[0].row = c.index[0].row, c.index[i].row
			even = i == 0
		case 2:
			c.index[i].id.View += 9
			even = false
		case 3:
			c.index = slices.Delete(c.index, i, i+1)
			even = false
		}
		slices.SortFunc(c.index, func(a, b entry) int { return compareIDs(a.id, b.id) })
		c.grid = gridOf(c.index, views)
		if even != (c.grid.samples > 0) && (even || len(c.index) == int(n*views)) {
			t.Errorf("grid %v of %v", c.grid, c.index)
		}
		for range 40 {
			beside := rapid.SampledFrom([]uint64{0, 0, 1, math.MaxUint64}).Draw(t, "beside")
			id := data.ID{
				Sample: first + step*rapid.Uint64Range(0, n).Draw(t, "sample") + beside,
				View:   rapid.Uint64Range(0, views).Draw(t, "view"),
			}
			i := slices.IndexFunc(c.index, func(e entry) bool { return e.id == id })
			row, ok := c.find(id)
			if ok != (i >= 0) || ok && row != c.index[i].row {
				t.Fatalf("%v is row %d, %v in %v", id, row, ok, c.index)
			}
		}
	})
}

// counted is a set of 500 samples whose input is their number, and wide a
// teacher of so many numbers that a block has some rows, or one.
type counted struct{}

func (counted) Len() int        { return 500 }
func (counted) ID(i int) uint64 { return uint64(2 * i) }
func (counted) Spec() data.Spec {
	return data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{3}, Dtype: tensor.Float32}}, Views: 1, Fingerprint: [32]byte{4}}
}
func (counted) Read(i int, _ uint64, dst data.Sample) error {
	data.Row[float32](dst.Batch.In[data.Input], dst.Row)[1] = float32(i)
	return nil
}

func widely(size int) Func {
	f := data.Field{Shape: tensor.Shape{size}, Dtype: tensor.Float32}
	return Func{Says: logitsCard(f), Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
		s := data.Signals{Logits: room(nil, f, b.N)}
		for r, id := range b.ID {
			noise(id.Sample, data.Row[float32](s[Logits], r))
		}
		return s, nil
	}}
}

// Rows are the same in blocks of whatever size, on any number of processors, and
// of several that are bad the first is named.
func TestBlocks(t *testing.T) {
	for _, size := range []int{3, blockBytes / 4 / 5, blockBytes/4 - 6, blockBytes / 4} {
		processors(t, 4)
		c := record(t, widely(size), counted{}, t.TempDir(), Recording{Batch: 500})
		for _, n := range []int{1, 3, 4} {
			processors(t, n)
			t.Run(fmt.Sprintf("%d of %d", n, size), func(t *testing.T) {
				b := batchOf(t, counted{}, 0)
				if got, want := answer(t, c, b)[Logits], answer(t, widely(size), b)[Logits]; !slices.Equal(got.Float32s(), want.Float32s()) {
					t.Error("another answer than the teacher's")
				}
				for _, bad := range []int{499, 333, 17, 4, 0} {
					data.Row[float32](b.In[data.Input], bad)[2]++
					_, err := c.Teach(t.Context(), b)
					wantError(t, err, ErrStale, describe(b.ID[bad])+" has")
				}
				b.ID[3].Sample = 7
				data.Row[float32](b.In[data.Input], 0)[2]--
				_, err := c.Teach(t.Context(), b)
				wantError(t, err, ErrMissing, "sample 7, view 0")
			})
		}
	}
}

// Each processor reads a file of its own, and none stays open.
func TestFilesOfAPart(t *testing.T) {
	processors(t, 3)
	set, dir := toySet{}, t.TempDir()
	record(t, toy(1), set, dir, Recording{})
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &c.parts[0]
	all := []*os.File{p.file(0), p.file(1), p.file(2)}
	if all[0] == all[1] || all[1] == all[2] || p.file(4) != all[2] {
		t.Errorf("files %v; want three", all)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	for i, file := range all {
		if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("file %d: error %v; want one of a closed file", i, err)
		}
	}
}
