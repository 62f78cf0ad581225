package teacher

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godistill/godistill/data"
)

// shards records the shards of a set, each in batches of its own size.
func shards(t testing.TB, tr Teacher, set data.Set, n int, r Recording) (dirs []string) {
	t.Helper()
	for shard := range n {
		r.Shard, r.Shards, r.Batch = shard, n, 2+shard
		dir := filepath.Join(t.TempDir(), fmt.Sprint("shard", shard))
		record(t, tr, set, dir, r)
		dirs = append(dirs, dir)
	}
	return dirs
}

// missing are the ids that a cache lacks of a set.
func missing(c *Cache, set data.Set) []data.ID { return slices.Collect(c.Missing(set)) }

func TestSpans(t *testing.T) {
	for total := range int64(40) {
		for shards := 1; int64(shards) <= total; shards++ {
			next := int64(0)
			for shard := range shards {
				first, rows := manifest{Total: total, Shard: shard, Shards: shards}.span()
				if least := total / int64(shards); first != next || rows != least && rows != least+1 {
					t.Fatalf("shard %d of %d of %d rows has %d from %d on; want them evenly from %d on", shard, shards, total, rows, first, next)
				}
				next += rows
			}
			if next != total {
				t.Fatalf("%d shards have %d of %d rows", shards, next, total)
			}
		}
	}
}

// Shards, opened together or merged, are the recording in one go.
func TestShardsAreTheRecording(t *testing.T) {
	set, r := toySet{views: 3}, Recording{TopK: 3, Half: true}
	whole := t.TempDir()
	one := record(t, toy(1), set, whole, r)
	for _, n := range []int{1, 2, 3, 8, 21} {
		dirs := shards(t, toy(1), set, n, r)
		slices.Reverse(dirs)
		c, err := Open(dirs...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if held, total := c.Rows(); held != 21 || total != 21 || len(missing(c, set)) != 0 {
			t.Errorf("%d shards hold %d rows of %d; want 21", n, held, total)
		}
		for view := range uint64(3) {
			b := batchOf(t, set, view)
			sameBits(t, answer(t, c, b), answer(t, one, b))
		}
		dst := filepath.Join(t.TempDir(), "merged")
		for range 2 {
			if err := Merge(t.Context(), dst, dirs...); err != nil {
				t.Fatal(err)
			}
			sameFiles(t, files(t, dst), files(t, whole))
		}
	}
}

// Every machine records what it is told to, again if it must, and no more.
func TestShardGoesOn(t *testing.T) {
	set, dir := toySet{views: 3}, t.TempDir()
	r := Recording{Shard: 1, Shards: 3, Batch: 4}
	c := record(t, toy(1), set, dir, r)
	want := files(t, dir)
	rows := want[rowsName]
	if held, total := c.Rows(); held != 7 || total != 21 {
		t.Fatalf("%d rows of %d; want 7 of 21", held, total)
	}
	var seen []string
	r.Progress = func(done, total int) { seen = append(seen, fmt.Sprint(done, "/", total)) }
	restore(t, dir, c.parts[0].manifest, rows[:5*c.layout.size+3])
	record(t, toy(1), set, dir, r)
	sameFiles(t, files(t, dir), want)
	if want := []string{"4/7", "7/7"}; !slices.Equal(seen, want) {
		t.Errorf("progress %v; want %v", seen, want)
	}
	r.Shard = 2
	_, err := Record(t.Context(), toy(1), set, dir, r)
	wantError(t, err, ErrStale, dir, "Recording.Shard was 1 when it was recorded and is 2")
	r.Shard, r.Shards = 1, 4
	_, err = Record(t.Context(), toy(1), set, dir, r)
	wantError(t, err, ErrStale, dir, "Recording.Shards was 3 when it was recorded and is 4")
}

func TestOpenRefusesShards(t *testing.T) {
	set := toySet{views: 3}
	dirs := shards(t, toy(1), set, 3, Recording{TopK: 3})
	other := func(tr Teacher, set data.Set, n int, r Recording) []string {
		return []string{dirs[0], shards(t, tr, set, n, r)[1], dirs[2]}
	}
	unfinished := t.TempDir()
	m, err := readManifest(dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	m.Rows = 0
	restore(t, unfinished, m, files(t, dirs[1])[rowsName])
	tests := []struct {
		dirs  []string
		is    error
		words []string
	}{
		{nil, nil, []string{"teacher: Open has no directories; want 1 or more"}},
		{other(toy(2), set, 3, Recording{TopK: 3}), ErrStale, []string{"teacher fingerprint is"}},
		{other(toy(1), toySet{views: 3, salt: 1}, 3, Recording{TopK: 3}), ErrStale, []string{"data fingerprint is"}},
		{other(toy(1), toySet{views: 2}, 3, Recording{TopK: 3}), ErrStale, []string{"views is 3 and 2"}},
		{other(toy(1), set, 3, Recording{TopK: 2}), ErrStale, []string{"Recording.TopK is 3 and 2"}},
		{other(toy(1), set, 3, Recording{TopK: 3, Half: true}), ErrStale, []string{"Recording.Half is false and true"}},
		{other(toy(1), set, 3, Recording{TopK: 3, Temps: []float64{4}}), ErrStale, []string{"Recording.Temps is [1] and [4]"}},
		{other(toy(1), set, 3, Recording{TopK: 3, Signals: []string{Logits}}), ErrStale, []string{"signals is"}},
		{other(toy(1), set, 4, Recording{TopK: 3}), ErrStale, []string{"Recording.Shards is 3 and 4"}},
		{dirs[:2], ErrMissing, []string{"without shard 2 of 3"}},
		{dirs[1:], ErrMissing, []string{"without shard 0 of 3"}},
		{dirs[1:2], ErrMissing, []string{dirs[1], "without shard 0 of 3"}},
		{[]string{dirs[2], dirs[0]}, ErrMissing, []string{"without shard 1 of 3"}},
		{append([]string{dirs[1]}, dirs...), nil, []string{dirs[1] + " and " + dirs[1] + " are both shard 1 of 3; want each once"}},
		{[]string{dirs[0], unfinished, dirs[2]}, ErrMissing, []string{unfinished, "not finished", "OpenPart"}},
		{[]string{dirs[0], t.TempDir(), dirs[2]}, fs.ErrNotExist, nil},
	}
	for _, test := range tests {
		_, err := Open(test.dirs...)
		wantError(t, err, test.is, test.words...)
		if test.is == ErrStale {
			wantError(t, err, nil, test.dirs[0], test.dirs[1])
		}
		dst := filepath.Join(t.TempDir(), "merged")
		wantError(t, Merge(t.Context(), dst, test.dirs...), test.is, test.words...)
		if _, err := os.Stat(dst); err == nil {
			t.Errorf("%v: Merge made its directory", test.words)
		}
	}
}

// What a part of a recording lacks is refused by its id, and asked by Or.
func TestOpenPart(t *testing.T) {
	set := toySet{views: 3}
	dirs := shards(t, toy(1), set, 3, Recording{})
	c, err := OpenPart(dirs[2], dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if held, total := c.Rows(); held != 14 || total != 21 {
		t.Errorf("%d rows of %d; want 14 of 21", held, total)
	}
	var want []data.ID
	for i := range 7 {
		want = append(want, data.ID{Sample: set.ID(i), View: 1})
	}
	if got := missing(c, set); !slices.Equal(got, want) {
		t.Errorf("missing %v; want %v", got, want)
	}
	for view := range uint64(3) {
		b := batchOf(t, set, view)
		taught, _ := toy(1).Teach(t.Context(), b)
		if view != 1 {
			sameBits(t, answer(t, c, b), taught)
			continue
		}
		_, err := c.Teach(t.Context(), b)
		wantError(t, err, ErrMissing, dirs[0]+" and 1 more", describe(b.ID[0]))
		sameBits(t, answer(t, Or(c, toy(1)), b), taught)
	}
	for range c.Missing(set) {
		break
	}
	if got := missing(c, nil); got != nil {
		t.Errorf("of no set, %v is missing", got)
	}
	var zero Cache
	if held, total := zero.Rows(); held != 0 || total != 0 || missing(&zero, set) != nil {
		t.Error("a Cache that is not open holds or misses something")
	}
}

func TestMergeRefuses(t *testing.T) {
	set := toySet{views: 3}
	dirs := shards(t, toy(1), set, 3, Recording{})
	wantError(t, Merge(t.Context(), "", dirs...), nil, "teacher: Merge's dst is empty; want a directory")
	wantError(t, Merge(t.Context(), dirs[1], dirs...), ErrStale, dirs[1], "Recording.Shards was 3 when it was recorded and is 1")
	other := t.TempDir()
	record(t, toy(2), set, other, Recording{})
	want := files(t, other)
	wantError(t, Merge(t.Context(), other, dirs...), ErrStale, other, "teacher fingerprint")
	sameFiles(t, files(t, other), want)

	dst := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, Merge(ctx, dst, dirs...), context.Canceled)
	_, err := Open(dst)
	wantError(t, err, ErrMissing, "not finished")

	path := filepath.Join(dirs[1], rowsName)
	rows := []byte(files(t, dirs[1])[rowsName])
	rows[len(rows)-1] ^= 1
	if err := os.WriteFile(path, rows, 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, Merge(t.Context(), dst, dirs...), ErrCorrupt, dirs[1], "row 6 of 7 does not match its checksum")
	record(t, toy(1), set, dirs[1], Recording{Shard: 1, Shards: 3})
	if err := Merge(t.Context(), dst, dirs...); err != nil {
		t.Fatal(err)
	}
	whole := t.TempDir()
	record(t, toy(1), set, whole, Recording{})
	sameFiles(t, files(t, dst), files(t, whole))
}

// A merge that was killed wherever is done by another, or by Record.
func TestMergeKilled(t *testing.T) {
	set, whole := toySet{}, t.TempDir()
	c := record(t, toy(1), set, whole, small)
	want := files(t, whole)
	dirs := shards(t, toy(1), set, 3, small)
	unfinished := c.manifest
	unfinished.Rows = 0
	dst := t.TempDir()
	for left := 0; left <= len(want[rowsName]); left += 13 {
		restore(t, dst, unfinished, want[rowsName][:left])
		if err := Merge(t.Context(), dst, dirs...); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, files(t, dst), want)
		restore(t, dst, unfinished, want[rowsName][:left])
		recordCounting(t, set, dst)
		sameFiles(t, files(t, dst), want)
	}
}

// While somebody records, nobody else does, but whoever likes may read.
func TestOneWriter(t *testing.T) {
	set, dir := toySet{views: 3}, t.TempDir()
	dirs := shards(t, toy(1), set, 2, Recording{})
	r := Recording{Batch: 4, Progress: func(done, total int) {
		if done != 12 {
			return
		}
		_, err := Record(t.Context(), toy(1), set, dir, Recording{Batch: 4})
		wantError(t, err, ErrBusy, dir)
		wantError(t, Merge(t.Context(), dir, dirs...), ErrBusy, dir)
		c, err := OpenPart(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if held, total := c.Rows(); held != 12 || total != 21 {
			t.Errorf("%d rows of %d; want 12 of 21", held, total)
		}
		b := batchOf(t, set, 0)
		want, _ := toy(1).Teach(t.Context(), b)
		sameBits(t, answer(t, c, b), want)
	}}
	record(t, toy(1), set, dir, r)
	record(t, toy(1), set, dir, Recording{Batch: 4})
}

// A finished recording is opened whoever holds its lock.
func TestFinishedIsOnlyRead(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	m := c.manifest
	m.Rows = 0
	f, err := claim(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	if asked := recordCounting(t, set, dir); asked != 0 {
		t.Errorf("the teacher was asked about %d rows; want none", asked)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
}

func TestWorkersReadTheSame(t *testing.T) {
	set, a, b := toySet{views: 3}, t.TempDir(), t.TempDir()
	record(t, toy(1), set, a, Recording{Batch: 5})
	record(t, toy(1), set, b, Recording{Batch: 5, Workers: 3})
	sameFiles(t, files(t, b), files(t, a))
}

// Of several rows that cannot be answered the first is named, whoever reads it.
func TestTheFirstErrorIsNamed(t *testing.T) {
	c, b := thousand(t, Recording{TopK: 3})
	for _, r := range []int{9, 30, 31, 50, 63} {
		b.ID[r].View = uint64(r)
	}
	for range 100 {
		_, err := c.Teach(t.Context(), b)
		wantError(t, err, ErrMissing, "view 9")
	}
}

// Many batches, read by all processors, take the memory of one.
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("objects are counted without -short")
	}
	c, b := thousand(t, Recording{})
	old := answer(t, c, b)
	const batches = 3000
	before := measure()
	for range batches {
		old = ask(t, c, b, old)
	}
	after := measure()
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<16 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if each := (after.TotalAlloc - before.TotalAlloc) / batches; each > 1<<10 {
		t.Errorf("an answer of %d bytes makes %d bytes of garbage; want 1 KiB at most", 64*c.layout.size, each)
	}
}
