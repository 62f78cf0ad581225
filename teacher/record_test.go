package teacher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func record(t testing.TB, tr Teacher, set data.Set, dir string, r Recording) *Cache {
	t.Helper()
	c, err := Record(context.Background(), tr, set, dir, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// files are the contents of a directory, by name.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(raw)
	}
	return all
}

func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != 2 || len(want) != 2 {
		t.Errorf("%d and %d files; want %s and %s only", len(got), len(want), manifestName, rowsName)
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
}

func TestRecordTwice(t *testing.T) {
	set := toySet{views: 3}
	a, b := t.TempDir(), filepath.Join(t.TempDir(), "new", "er")
	record(t, toy(1), set, a, Recording{TopK: 3, Half: true, Batch: 5})
	record(t, toy(1), set, b, Recording{TopK: 3, Half: true, Batch: 4, Temps: []float64{1}})
	sameFiles(t, files(t, b), files(t, a))
}

// A recording that was killed at any byte goes on to the same files.
func TestRecordKilled(t *testing.T) {
	set, dir := toySet{views: 3}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	want := files(t, dir)
	size, full := c.layout.size, len(want[rowsName])
	unfinished := c.manifest
	unfinished.Rows = 0
	for left := full; left >= full-3*size; left-- {
		for _, m := range []manifest{c.manifest, unfinished} {
			restore(t, dir, m, want[rowsName][:left])
			asked := recordCounting(t, set, dir)
			if wantAsked := asks(left/size, 21); asked != wantAsked {
				t.Fatalf("%d bytes left: the teacher was asked about %d rows; want %d", left, asked, wantAsked)
			}
			sameFiles(t, files(t, dir), want)
		}
	}
}

// asks is how many of total rows are recorded again, in batches of 4.
func asks(good, total int) int {
	if good == total {
		return 0
	}
	return total - good/4*4
}

func restore(t *testing.T, dir string, m manifest, rows string) {
	t.Helper()
	raw, err := json.MarshalIndent(m, "", "  ") // as manifest.write, which waits for the disk
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, manifestName), append(raw, '\n'), 0o644), os.WriteFile(filepath.Join(dir, rowsName), []byte(rows), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// small is a recording whose rows can be damaged at every byte in little time.
var small = Recording{Batch: 4, Signals: []string{Logits}}

// recordCounting makes a small recording, and says how many samples the teacher
// was asked about.
func recordCounting(t *testing.T, set data.Set, dir string) (asked int) {
	t.Helper()
	tr := toy(1)
	do := tr.Do
	tr.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		asked += b.N
		return do(ctx, b)
	}
	c, err := Record(t.Context(), tr, set, dir, small)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return asked
}

// A damaged row, what follows it and what is too much are recorded again.
func TestRecordRepairs(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	want := files(t, dir)
	size := c.layout.size
	for at := range size {
		rows := []byte(want[rowsName])
		rows[5*size+at] ^= 4
		restore(t, dir, c.manifest, string(rows))
		if asked := recordCounting(t, set, dir); asked != 3 {
			t.Fatalf("byte %d: %d rows recorded again; want 3", at, asked)
		}
		sameFiles(t, files(t, dir), want)
	}
	restore(t, dir, c.manifest, want[rowsName]+want[rowsName])
	recordCounting(t, set, dir)
	sameFiles(t, files(t, dir), want)
}

// Rows without a manifest are not of a recording, or nobody knows of which.
func TestRecordLeavesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, rowsName)
	if err := os.WriteFile(path, []byte("my table"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Record(t.Context(), toy(1), toySet{}, dir, small)
	wantError(t, err, fs.ErrExist, path, "without a manifest")
	if got := files(t, dir); len(got) != 1 || got[rowsName] != "my table" {
		t.Errorf("the directory has %q; want the table alone", got)
	}
}

func TestRecordWantsADirectory(t *testing.T) {
	_, err := Record(t.Context(), toy(1), toySet{}, "", small)
	wantError(t, err, nil, "teacher: Record's dir is empty; want a directory")
}

func TestRecordInterrupted(t *testing.T) {
	set, dir := toySet{views: 3}, t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var seen []int
	progress := func(done, total int) {
		if seen = append(seen, done); total != 21 {
			t.Errorf("total %d; want 21", total)
		}
		if done == 8 {
			cancel()
		}
	}
	_, err := Record(ctx, toy(1), set, dir, Recording{Batch: 4, Progress: progress})
	wantError(t, err, context.Canceled)
	_, err = Open(dir)
	wantError(t, err, ErrMissing, dir, "not finished")
	record(t, toy(1), set, dir, Recording{Batch: 4, Progress: progress})
	if want := []int{0, 4, 8, 8, 12, 16, 20, 21}; !slices.Equal(seen, want) {
		t.Errorf("progress %v; want %v", seen, want)
	}
	whole := t.TempDir()
	record(t, toy(1), set, whole, Recording{Batch: 4})
	sameFiles(t, files(t, dir), files(t, whole))
}

func TestRecordStale(t *testing.T) {
	set, dir := toySet{views: 3}, t.TempDir()
	record(t, toy(1), set, dir, Recording{TopK: 3})
	want := files(t, dir)
	retaught := func(change func(*Card)) Teacher {
		tr := toy(1)
		change(&tr.Says)
		return tr
	}
	spec := func(change func(*data.Spec)) data.Set { return toySet{views: 3, spec: change} }
	tests := []struct {
		teacher Teacher
		set     data.Set
		r       Recording
		word    string
	}{
		{toy(2), set, Recording{TopK: 3}, "teacher fingerprint"},
		{toy(1), toySet{views: 3, salt: 1}, Recording{TopK: 3}, "data fingerprint"},
		{toy(1), toySet{views: 4}, Recording{TopK: 3}, "views was 3 when it was recorded and is 4"},
		{toy(1), spec(func(s *data.Spec) { s.Norm = nil }), Recording{TopK: 3}, "preprocessing"},
		{toy(1), spec(func(s *data.Spec) { s.Classes = []string{"b", "a", "c", "d", "e", "f"} }), Recording{TopK: 3}, "classes of the data"},
		{toy(1), spec(func(s *data.Spec) { delete(s.In, "mask") }), Recording{TopK: 3}, "inputs"},
		{retaught(func(c *Card) { c.Classes = nil }), set, Recording{TopK: 3}, "classes"},
		{toy(1), set, Recording{TopK: 3, Signals: []string{Logits}}, "signals"},
		{toy(1), set, Recording{TopK: 3, Half: true}, "Half"},
		{toy(1), set, Recording{TopK: 4}, "TopK"},
		{toy(1), set, Recording{TopK: 3, Temps: []float64{1, 2}}, "Temps"},
	}
	for _, test := range tests {
		_, err := Record(t.Context(), test.teacher, test.set, dir, test.r)
		wantError(t, err, ErrStale, dir, test.word)
		sameFiles(t, files(t, dir), want)
	}
}

func TestRecordRefuses(t *testing.T) {
	set := toySet{}
	says := func(change func(*Card)) Teacher {
		tr := toy(1)
		tr.Says.Signals = map[string]data.Field{Logits: tr.Says.Signals[Logits]}
		change(&tr.Says)
		return tr
	}
	field := func(f data.Field) Teacher { return says(func(c *Card) { c.Signals[Logits] = f }) }
	tests := []struct {
		teacher Teacher
		set     data.Set
		r       Recording
		word    string
	}{
		{nil, set, Recording{}, "no teacher"},
		{toy(1), nil, Recording{}, "no set"},
		{Live(toy(1)), set, Recording{}, "Card.Live is true"},
		{says(func(c *Card) { c.Fingerprint = [32]byte{} }), set, Recording{}, "Card.Fingerprint is zero"},
		{says(func(c *Card) { c.Temps = []float64{1} }), set, Recording{}, "Card.Temps"},
		{says(func(c *Card) { c.Signals = nil }), set, Recording{}, "Card.Signals is empty"},
		{toy(1), toySet{spec: func(s *data.Spec) { s.Views = 0 }}, Recording{}, "unbounded views cannot be cached"},
		{toy(1), toySet{spec: func(s *data.Spec) { s.Views = math.MaxInt }}, Recording{}, "Set.Len"},
		{toy(1), toySet{spec: func(s *data.Spec) { s.Fingerprint = [32]byte{} }}, Recording{}, "Spec.Fingerprint is zero"},
		{toy(1), toySet{spec: func(s *data.Spec) { s.In = nil }}, Recording{}, "no input"},
		{toy(1), toySet{ids: func(i int) uint64 { return uint64(i % 6) }}, Recording{}, "two samples the id 0"},
		{toy(1), set, Recording{Batch: -1}, "Recording.Batch is -1"},
		{toy(1), set, Recording{Workers: -1}, "Recording.Workers is -1; want 0 or more"},
		{toy(1), set, Recording{Shards: -1}, "Recording.Shards is -1; want 0 or more"},
		{toy(1), set, Recording{Shard: 3, Shards: 3}, "Recording.Shard is 3 of 3 Shards; want 0 to 2"},
		{toy(1), set, Recording{Shard: -1, Shards: 3}, "Recording.Shard is -1 of 3 Shards; want 0 to 2"},
		{toy(1), set, Recording{Shard: 1}, "Recording.Shard is 1 of 1 Shards; want 0 to 0"},
		{toy(1), set, Recording{Shards: 8}, "Recording.Shards is 8 for 7 rows; want a row for each"},
		{toy(1), set, Recording{Signals: []string{Logits, "hidden"}}, `"hidden"`},
		{toy(1), set, Recording{Signals: []string{}}, "Card.Signals is empty"},
		{toy(1), set, Recording{TopK: -1}, "Recording.TopK is -1"},
		{toy(1), toySet{spec: func(s *data.Spec) { s.Task = data.Regression }}, Recording{TopK: 2}, "Recording.TopK is 2 for a set of Regression; want 0"},
		{toy(1), toySet{spec: func(s *data.Spec) { s.Task = data.MultiLabel }}, Recording{TopK: 2}, "Recording.TopK is 2 for a set of MultiLabel; want 0"},
		{toy(1), set, Recording{TopK: 7}, "6 classes"},
		{toy(1), set, Recording{TopK: 2, Temps: []float64{}}, "want both or neither"},
		{toy(1), set, Recording{Temps: []float64{4}}, "want both or neither"},
		{toy(1), set, Recording{TopK: 2, Temps: []float64{0}}, "Recording.Temps has 0"},
		{toy(1), set, Recording{TopK: 2, Temps: []float64{math.NaN()}}, "Recording.Temps has NaN"},
		{toy(1), set, Recording{TopK: 2, Temps: []float64{1, 3, 1}}, "Recording.Temps has 1 twice; want each once"},
		{toy(1), set, Recording{TopK: 2, Signals: []string{"features"}}, `no signal is called "logits"`},
		{field(data.Field{Shape: tensor.Shape{2, 3, 4}, Dtype: tensor.Float32}), set, Recording{TopK: 2}, "(C) or (T, C) of a float type; else Recording.TopK of 0"},
		{field(data.Field{Shape: tensor.Shape{6}, Dtype: tensor.Int}), set, Recording{TopK: 2}, "float type"},
		{says(func(c *Card) {
			for i := range 3 {
				c.Signals[fmt.Sprint(i)] = data.Field{Shape: tensor.Shape{1 << 26}, Dtype: tensor.Float64}
			}
		}), set, Recording{}, "more than 1073741824 bytes"},
		{says(func(c *Card) { c.Signals[Logits+IDSuffix] = data.Field{Dtype: tensor.Int} }), set, Recording{TopK: 2}, `"logits.id"`},
		{failing{errors.New("broken")}, set, Recording{}, "broken"},
	}
	for _, test := range tests {
		dir := filepath.Join(t.TempDir(), "cache")
		_, err := Record(t.Context(), test.teacher, test.set, dir, test.r)
		wantError(t, err, nil, test.word)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the directory was created", test.word)
		}
	}
}

func TestRecordChecksAnswers(t *testing.T) {
	answering := func(change func(data.Signals)) Teacher {
		tr := toy(1)
		do := tr.Do
		tr.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
			s, err := do(ctx, b)
			change(s)
			return s, err
		}
		return tr
	}
	set := func(row int, v float64) Teacher {
		return answering(func(s data.Signals) {
			data.Row[float32](s[Logits], row)[5] = float32(v)
		})
	}
	tests := []struct {
		name    string
		teacher Teacher
		r       Recording
		words   []string
	}{
		{"missing", answering(func(s data.Signals) { delete(s, "att") }), Recording{}, []string{`"att" is missing`}},
		{"shape", answering(func(s data.Signals) { s["att"] = s[Logits] }), Recording{}, []string{`"att"`, "dtype"}},
		{"NaN", set(2, math.NaN()), Recording{}, []string{`"logits"`, "sample 94, view 0"}},
		{"infinity", set(1, math.Inf(-1)), Recording{Half: true}, []string{`"logits"`, "sample 97, view 0"}},
		{"panic", answering(func(data.Signals) { panic("oh no") }), Recording{}, []string{"teacher: the teacher panicked: oh no"}},
		{"overflow", set(3, 65505), Recording{Half: true}, []string{`"logits"`, "sample 91, view 0", "65505", "overflows float16"}},
		{"overflow of top-k", set(3, -7e4), Recording{Half: true, TopK: 2}, []string{"sample 91", "overflows float16"}},
		{"overflow of lse", set(2, 3e38), Recording{TopK: 2, Temps: []float64{0.1}}, []string{`"logits.lse"`, "sample 94"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Record(t.Context(), test.teacher, toySet{}, t.TempDir(), test.r)
			wantError(t, err, nil, test.words...)
		})
	}
	record(t, set(3, maxHalf), toySet{}, t.TempDir(), Recording{Half: true})
}

func TestRecordReadsFail(t *testing.T) {
	_, err := Record(t.Context(), toy(1), unreadable{}, t.TempDir(), Recording{})
	wantError(t, err, errUnreadable, "sample 100")
}

var errUnreadable = errors.New("unreadable")

type unreadable struct{ toySet }

func (unreadable) Read(int, uint64, data.Sample) error { return errUnreadable }

func TestManifestIsReadable(t *testing.T) {
	dir := t.TempDir()
	record(t, toy(1), toySet{}, dir, Recording{TopK: 3, Signals: []string{Logits}})
	raw := []byte(files(t, dir)[manifestName])
	for _, want := range []string{`"rows": 7`, `"top_k": 3`, `"teacher": "0901000000`, `"name": "logits"`} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("manifest without %s:\n%s", want, raw)
		}
	}
}
