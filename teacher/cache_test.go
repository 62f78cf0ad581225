package teacher

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// Cache on or off, it is the same run: card and answers are the teacher's.
func TestCacheIsTheTeacher(t *testing.T) {
	set := toySet{views: 3}
	c := record(t, toy(1), set, t.TempDir(), Recording{Batch: 4})
	got, err := c.Card()
	if err != nil {
		t.Fatal(err)
	}
	want := toy(1).Says
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("card %v; want %v", got, want)
	}
	for view := range uint64(3) {
		b := batchOf(t, set, view)
		want, _ := toy(1).Teach(t.Context(), b)
		got, err := c.Teach(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, got, want)
	}
}

func TestCacheOfTopK(t *testing.T) {
	set := toySet{}
	tr := Named{"a": toy(1), "b": toy(2)}
	r := Recording{TopK: 3, Temps: []float64{1, 4}, Signals: []string{"a/logits", "b/logits", "b/att"}}
	c := record(t, tr, set, t.TempDir(), r)
	card, err := c.Card()
	if err != nil {
		t.Fatal(err)
	}
	if whole, _ := tr.Card(); card.Fingerprint == whole.Fingerprint || !slices.Equal(card.Temps, r.Temps) {
		t.Errorf("card %v; want the temperatures and another fingerprint than the teacher's", card)
	}
	b := batchOf(t, set, 0)
	want, _ := tr.Teach(t.Context(), b)
	for _, name := range []string{"a/logits", "b/logits"} {
		reduction{3, r.Temps, false}.reduce(want, name, data.Field{Shape: tensor.Shape{6}, Dtype: tensor.Float32})
	}
	for name := range want {
		if _, ok := card.Signals[name]; !ok {
			delete(want, name)
		}
	}
	got, err := c.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(card, b, got); err != nil || len(got) != 7 {
		t.Errorf("%d signals, error %v; want 7", len(got), err)
	}
	sameBits(t, got, want)
}

func TestCacheInHalf(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, Recording{Half: true})
	if want := rowHead + 2*(6+12+3) + 8 + rowTail; c.layout.size != want {
		t.Errorf("a row has %d bytes; want %d", c.layout.size, want)
	}
	b := batchOf(t, set, 0)
	want, _ := toy(1).Teach(t.Context(), b)
	got, err := c.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Logits, "features", "att"} {
		for i, v := range floats(got[name]) {
			if w := floats(want[name])[i]; math.Abs(v-w) > math.Abs(w)/1024 {
				t.Errorf("%s: element %d is %v; want %v", name, i, v, w)
			}
		}
	}
	sameBits(t, data.Signals{"count": got["count"]}, data.Signals{"count": want["count"]})
}

func TestManyClassesNeedWideIDs(t *testing.T) {
	for classes, want := range map[int]code{1 << 16: u16, 1<<16 + 1: u32} {
		m := manifest{TopK: 2, Temps: []float64{1}}
		columns, err := m.stored(column{name: Logits, field: data.Field{Shape: tensor.Shape{classes}, Dtype: tensor.Float32}})
		if err != nil || columns[1].code != want {
			t.Errorf("%d classes: ids have code %v, error %v; want %v", classes, columns[1].code, err, want)
		}
		ids := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]int{classes - 1, 0}))
		back := room(nil, columns[1].field, 1)
		if err := columns[1].read(columns[1].append(nil, ids, 0), back, 0); err != nil {
			t.Error(err)
		}
		sameBits(t, data.Signals{"": back}, data.Signals{"": ids})
	}
}

func TestCacheRefuses(t *testing.T) {
	set := toySet{views: 3}
	c := record(t, toy(1), set, t.TempDir(), Recording{Signals: []string{Logits}})
	tests := []struct {
		name  string
		is    error
		words []string
		set   data.Set
		view  uint64
		edit  func(*data.Batch)
	}{
		{name: "another set with the same ids", is: ErrStale, words: []string{"sample", "another input", "data.Memory.WithIDs"}, set: toySet{salt: 1}},
		{name: "inputs of another sample", is: ErrStale, words: []string{"another input"}, edit: func(b *data.Batch) {
			b.ID[1], b.ID[2] = b.ID[2], b.ID[1]
		}},
		{name: "one input differs", is: ErrStale, words: []string{"sample 88, view 1"}, view: 1, edit: func(b *data.Batch) {
			r := slices.IndexFunc(b.ID, func(id data.ID) bool { return id.Sample == 88 })
			data.Row[int](b.In["mask"], r)[3]++
		}},
		{name: "unknown id", is: ErrMissing, words: []string{"sample 5, view 0"}, edit: func(b *data.Batch) { b.ID[3].Sample = 5 }},
		{name: "unknown view", is: ErrMissing, words: []string{"view 3"}, view: 3},
		{name: "no input", words: []string{`"mask" is missing`}, edit: func(b *data.Batch) { delete(b.In, "mask") }},
		{name: "short input", words: []string{`"x"`, "(2, 3, 5); want (7, 3, 5)"}, edit: func(b *data.Batch) {
			b.In["x"] = tensor.New(tensor.WithShape(2, 3, 5), tensor.Of(tensor.Float32))
		}},
		{name: "no rows", words: []string{"Batch.N is 0"}, edit: func(b *data.Batch) { b.N = 0 }},
		{name: "too few ids", words: []string{"Batch.ID has 6"}, edit: func(b *data.Batch) { b.ID = b.ID[:6] }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.set == nil {
				test.set = set
			}
			b := batchOf(t, test.set, test.view)
			if test.edit != nil {
				test.edit(&b)
			}
			_, err := c.Teach(t.Context(), b)
			wantError(t, err, test.is, test.words...)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Teach(ctx, batchOf(t, set, 0))
	wantError(t, err, context.Canceled)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Teach(t.Context(), batchOf(t, set, 0))
	wantError(t, err, os.ErrClosed)
}

func TestCovers(t *testing.T) {
	spec := func(change func(*data.Spec)) data.Spec {
		s := toySet{views: 3}.Spec()
		change(&s)
		return s
	}
	c := record(t, toy(1), toySet{views: 3}, t.TempDir(), Recording{})
	for name, s := range map[string]data.Spec{
		"the set":        spec(func(*data.Spec) {}),
		"a subset":       spec(func(s *data.Spec) { s.Fingerprint[0]++ }),
		"without labels": spec(func(s *data.Spec) { s.Label = data.Field{} }),
		"one view":       spec(func(s *data.Spec) { s.Views = 1 }),
		"an empty norm":  spec(func(s *data.Spec) { s.Norm["mask"] = data.Norm{} }),
	} {
		if err := c.Covers(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	tests := []struct {
		spec data.Spec
		is   error
		word string
	}{
		{spec(func(s *data.Spec) { s.Views = 4 }), ErrMissing, "4 views; 3 were recorded"},
		{spec(func(s *data.Spec) { s.Views = 0 }), ErrMissing, "without bound"},
		{spec(func(s *data.Spec) { s.Norm["x"] = data.Norm{Mean: []float64{0.5}, SD: []float64{3}} }), ErrStale,
			`preprocessing was ("x" - [0.5]) / [2] when it was recorded and is ("x" - [0.5]) / [3]`},
		{spec(func(s *data.Spec) { s.Norm = nil }), ErrStale, "and is none"},
		{spec(func(s *data.Spec) { s.Norm["x"] = data.Norm{Mean: make([]float64, 40), SD: make([]float64, 40)} }), ErrStale, "and is SHA-256 "},
		{spec(func(s *data.Spec) { s.Classes = nil }), ErrStale, "classes of the data"},
		{spec(func(s *data.Spec) { s.In["x"] = data.Field{Shape: tensor.Shape{15}, Dtype: tensor.Float32} }), ErrStale, "inputs"},
		{spec(func(s *data.Spec) { s.In["x"] = data.Field{Shape: tensor.Shape{3, 5}, Dtype: tensor.Float64} }), ErrStale, "inputs"},
		{spec(func(s *data.Spec) { s.In["y"] = s.In["x"] }), ErrStale, "inputs"},
	}
	for _, test := range tests {
		wantError(t, c.Covers(test.spec), test.is, test.word)
	}
}

// Whatever byte of a row is damaged, the answer is an error that names it.
func TestCacheCorruptRow(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	rows := files(t, dir)[rowsName]
	b := batchOf(t, set, 0)
	for at := range c.layout.size {
		damaged := []byte(rows)
		damaged[2*c.layout.size+at] ^= 0x10
		restore(t, dir, c.manifest, string(damaged))
		_, err := c.Teach(t.Context(), b)
		wantError(t, err, ErrCorrupt, "sample 94, view 0")
	}
	restore(t, dir, c.manifest, rows[:3*c.layout.size])
	_, err := c.Teach(t.Context(), b)
	wantError(t, err, ErrCorrupt)
}

// A class that does not exist would index a student's logits out of range.
func TestCacheForgedClass(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, Recording{TopK: 2, Signals: []string{Logits}})
	row := []byte(files(t, dir)[rowsName][:c.layout.size])
	ids := rowHead + 2*4
	row[ids] = 6
	binary.LittleEndian.PutUint32(row[len(row)-rowTail:], crc32.ChecksumIEEE(row[:len(row)-rowTail]))
	restore(t, dir, c.manifest, string(row)+files(t, dir)[rowsName][c.layout.size:])
	_, err := c.Teach(t.Context(), batchOf(t, set, 0))
	wantError(t, err, ErrCorrupt, "sample 100, view 0", "class 6 of 6")
}

func TestOpenRefuses(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	good := files(t, dir)
	size := c.layout.size
	rows := good[rowsName]
	edit := func(old, new string) string {
		if !strings.Contains(good[manifestName], old) {
			t.Fatalf("no %s in the manifest", old)
		}
		return strings.Replace(good[manifestName], old, new, 1)
	}
	tests := []struct {
		name, manifest, rows string
		is                   error
		word                 string
	}{
		{"not JSON", "{", rows, ErrCorrupt, manifestName},
		{"format", edit(`"format": 2`, `"format": 1`), rows, ErrCorrupt, "format 1; want 2"},
		{"digest", edit(`"teacher": "09`, `"teacher": "`), rows, ErrCorrupt, "62 characters"},
		{"not hexadecimal", edit(`"teacher": "09`, `"teacher": "xx`), rows, ErrCorrupt, "invalid"},
		{"dtype", edit(`"float32"`, `"float8"`), rows, ErrCorrupt, "dtype"},
		{"shape", edit(`"shape": [
        6`, `"shape": [
        -6`), rows, ErrCorrupt, "shape"},
		{"overflow", edit(`"shape": [
        6`, `"shape": [
        67108864,
        67108864`), rows, ErrCorrupt, "shape"},
		{"views", edit(`"views": 1`, `"views": 0`), rows, ErrCorrupt, "views"},
		{"name twice", edit(`"x"`, `"mask"`), rows, ErrCorrupt, `"mask" is out of order`},
		{"negative", edit(`"rows": 7`, `"rows": -7`), rows, ErrCorrupt, "-7 rows; want 7"},
		{"too many", strings.ReplaceAll(good[manifestName], ": 7", ": 9223372036854775807"), rows, ErrCorrupt, "bytes"},
		{"no rows", edit(`"total": 7`, `"total": 0`), rows, ErrCorrupt, "0 rows of 1 views"},
		{"no shards", edit(`"shards": 1`, `"shards": 0`), rows, ErrCorrupt, "shard 0 of 0"},
		{"shard", edit(`"shard": 0`, `"shard": 1`), rows, ErrCorrupt, "shard 1 of 1"},
		{"shards of nothing", edit(`"shards": 1`, `"shards": 8`), rows, ErrCorrupt, "shard 0 of 8 of 7 rows"},
		{"unfinished", edit(`"rows": 7`, `"rows": 0`), rows, ErrMissing, "not finished"},
		{"short", good[manifestName], rows[:len(rows)-1], ErrCorrupt, "want 7 rows"},
		{"long", good[manifestName], rows + "x", ErrCorrupt, "want 7 rows"},
		{"row twice", good[manifestName], rows[:6*size] + rows[:size], ErrCorrupt, "sample 100, view 0 is there twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			writeFiles(t, dir, test.manifest, test.rows)
			_, err := Open(dir)
			wantError(t, err, test.is, dir, test.word)
		})
	}
	_, err := Open(t.TempDir())
	wantError(t, err, os.ErrNotExist)
	writeFiles(t, dir, good[manifestName], rows)
	if err := os.Remove(filepath.Join(dir, rowsName)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir)
	wantError(t, err, os.ErrNotExist)
}

func writeFiles(t testing.TB, dir, manifest, rows string) {
	t.Helper()
	for name, content := range map[string]string{manifestName: manifest, rowsName: rows} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Rows stand in any order, so shards may be concatenated.
func TestRowsInAnyOrder(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	rows := files(t, dir)[rowsName]
	at := 3 * c.layout.size
	restore(t, dir, c.manifest, rows[at:]+rows[:at])
	turned, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer turned.Close()
	b := batchOf(t, set, 0)
	want, _ := toy(1).Teach(t.Context(), b)
	got, err := turned.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, got, data.Signals{Logits: want[Logits]})
}

func TestManyReaders(t *testing.T) {
	defer goleak.VerifyNone(t)
	set := toySet{views: 3}
	c := record(t, toy(1), set, t.TempDir(), Recording{})
	var wait sync.WaitGroup
	for i := range uint64(8) {
		b := batchOf(t, set, i%3)
		want, _ := toy(1).Teach(t.Context(), b)
		wait.Go(func() {
			for range 20 {
				got, err := c.Teach(t.Context(), b)
				if err != nil {
					t.Error(err)
					return
				}
				sameBits(t, data.Signals{Logits: got[Logits]}, data.Signals{Logits: want[Logits]})
			}
		})
	}
	wait.Wait()
}

func FuzzOpen(f *testing.F) {
	set, dir := toySet{}, f.TempDir()
	record(f, toy(1), set, dir, small)
	dense := files(f, dir)
	f.Add([]byte(dense[manifestName]), []byte(dense[rowsName]))
	dir = f.TempDir()
	record(f, toy(1), set, dir, Recording{TopK: 2, Half: true})
	top := files(f, dir)
	f.Add([]byte(top[manifestName]), []byte(top[rowsName]))
	f.Add([]byte(`{"format":2,"rows":1,"total":1,"shards":1,"views":1}`), []byte{})
	b := batchOf(f, set, 0)
	f.Fuzz(func(t *testing.T, manifest, rows []byte) {
		dir := t.TempDir()
		writeFiles(t, dir, string(manifest), string(rows))
		c, err := Open(dir)
		part, errPart := OpenPart(dir)
		if errPart != nil {
			if err == nil {
				t.Fatalf("Open opens what OpenPart does not: %v", errPart)
			}
			return
		}
		defer part.Close()
		if held, total := part.Rows(); held > total || held*int64(part.layout.size) > int64(len(rows)) {
			t.Fatalf("%d rows of %d in %d bytes", held, total, len(rows))
		}
		if _, err := part.Teach(t.Context(), b); err == nil && len(part.index) < b.N {
			t.Error("it answers what it does not hold")
		}
		if err != nil {
			return
		}
		defer c.Close()
		card, err := c.Card()
		if err != nil || card.Validate() != nil {
			t.Fatalf("card %v, error %v, %v", card, err, card.Validate())
		}
		if s, err := c.Teach(t.Context(), b); err == nil && len(s) != len(card.Signals) {
			t.Errorf("%d signals; want %d", len(s), len(card.Signals))
		}
		if err := c.Covers(set.Spec()); err == nil && len(c.layout.inputs) != 2 {
			t.Error("covers other inputs")
		}
	})
}

// wide is a set of 2000 samples with 16 inputs each.
type wide struct{}

func (wide) Len() int { return 2000 }
func (wide) Spec() data.Spec {
	return data.Spec{
		In:          map[string]data.Field{data.Input: {Shape: tensor.Shape{16}, Dtype: tensor.Float32}},
		Views:       1,
		Fingerprint: [32]byte{1},
	}
}
func (wide) ID(i int) uint64 { return uint64(i) }
func (wide) Read(i int, _ uint64, dst data.Sample) error {
	data.Row[float32](dst.Batch.In[data.Input], dst.Row)[0] = float32(i)
	return nil
}

func thousand(t testing.TB, r Recording) (*Cache, data.Batch) {
	field := data.Field{Shape: tensor.Shape{1000}, Dtype: tensor.Float32}
	tr := Func{Says: logitsCard(field), Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
		s := data.Signals{Logits: room(nil, field, b.N)}
		random := rand.New(rand.NewPCG(b.ID[0].Sample, 2))
		for i := range s[Logits].Data().([]float32) {
			s[Logits].Data().([]float32)[i] = random.Float32()
		}
		return s, nil
	}}
	c := record(t, tr, wide{}, t.TempDir(), r)
	b, err := data.NewBatch(wide{}.Spec(), 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(2000)[:64] {
		if err := b.Append(wide{}, i, 0); err != nil {
			t.Fatal(err)
		}
	}
	return c, b
}

// BenchmarkTeach reads 64 random rows of 1000 classes.
func BenchmarkTeach(b *testing.B) {
	for _, bench := range []struct {
		name string
		r    Recording
	}{{"float32", Recording{}}, {"float16", Recording{Half: true}}, {"top20", Recording{TopK: 20}}} {
		b.Run(bench.name, func(b *testing.B) {
			c, batch := thousand(b, bench.r)
			b.SetBytes(int64(64 * c.layout.size))
			for b.Loop() {
				if _, err := c.Teach(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("ReadAt", func(b *testing.B) {
		c, batch := thousand(b, Recording{})
		row := make([]byte, c.layout.size)
		b.SetBytes(int64(64 * c.layout.size))
		for b.Loop() {
			for _, id := range batch.ID {
				if _, err := c.parts[0].rows.ReadAt(row, int64(id.Sample)*int64(len(row))); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	c, _ := thousand(b, Recording{})
	for b.Loop() {
		again, err := Open(c.parts[0].dir)
		if err != nil {
			b.Fatal(err)
		}
		again.Close()
	}
}
