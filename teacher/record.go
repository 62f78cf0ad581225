package teacher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/ahead"
)

// A Recording says how much of a teacher's answers [Record] keeps. The zero
// value keeps every bit.
type Recording struct {
	// Signals are the names of those to keep; nil keeps all on the card.
	Signals []string
	// Half rounds the elements of float signals to float16, which halves or
	// quarters the size on disk. A value beyond ±65504 is an error.
	Half bool
	// TopK keeps only so many of the largest of each row of the signals called
	// "logits", prefixed or not, as signals "logits.top", "logits.id" and
	// "logits.lse" (see [TopSuffix]). Of a vocabulary, 20 to 100 are usual. 0 keeps
	// whole rows.
	TopK int
	// Temps are the temperatures at which a loss can use top-k logits; nil
	// means 1 where TopK is set.
	Temps []float64
	// Batch is how many samples the teacher is asked at once; 0 means 64.
	Batch int
	// Shard, of Shards, records one of so many parts of the rows into a directory
	// of its own: machines that know nothing of each other record one each, for
	// [Open] or [Merge] to put together. The first is 0. Shards of 0 means 1, the
	// whole recording.
	Shard, Shards int
	// Workers is how many goroutines read the samples of a batch. 0 means as
	// many as there are processors where the set decodes images, else 1.
	Workers int
	// Progress, unless it is nil, is called before the first batch and after
	// each with the number of rows that are on disk and that there will be, those
	// of the shard.
	Progress func(done, total int)
}

// maxHalf is the largest finite float16.
const maxHalf = 65504

// syncEvery is how many batches may be lost in a power cut.
const syncEvery = 64

// Record asks a teacher about every sample of a set in each of its views,
// keeps the answers in a directory, and opens it. It goes on with a recording
// that was interrupted, wherever that was: the files are those of one that
// never stopped. A directory with a recording of anything else is left alone,
// with an error that wraps [ErrStale] and names what differs; so is a file "rows"
// without a manifest.
//
// It refuses teachers that are live or have no fingerprint, views without
// bound, and answers that [Check] refuses. A panic of the teacher becomes an
// error; one of Progress passes through. The teacher is asked about a batch
// while the one before it is written and the one after it is read: in order, one
// call at a time, and not while Progress is called.
//
// One Record or [Merge] at a time writes to a directory: others fail with
// [ErrBusy], in whatever process, where the file system knows locks. A recording
// that is finished is only read, by as many as like.
func Record(ctx context.Context, t Teacher, set data.Set, dir string, r Recording) (*Cache, error) {
	rec, err := r.prepare(t, set, dir)
	if err != nil {
		return nil, err
	}
	if rec.finished() {
		rec.report(rec.rows)
	} else if err := rec.run(ctx); err != nil {
		return nil, err
	}
	return open([]string{dir}, rec.manifest.Shards > 1)
}

// A recorder is a Record under way. It numbers rows from the first of its shard
// on.
type recorder struct {
	Recording
	teacher  Teacher
	card     Card // what the teacher answers, of what is kept
	stored   Card // what the cache will answer
	set      data.Set
	spec     data.Spec
	dir      string
	manifest manifest
	layout   layout
	first    int // row of the recording that is row 0
	rows     int
}

// prepare validates everything.
func (r Recording) prepare(t Teacher, set data.Set, dir string) (*recorder, error) {
	if t == nil || set == nil {
		return nil, errors.New("teacher: Record has no teacher or no set; want both")
	}
	if dir == "" {
		return nil, errors.New("teacher: Record's dir is empty; want a directory")
	}
	if err := r.setDefaults(); err != nil {
		return nil, err
	}
	rec := &recorder{Recording: r, teacher: t, set: set, spec: set.Spec(), dir: dir}
	total, err := rec.checkSet()
	if err != nil {
		return nil, err
	}
	if err := rec.checkTeacher(); err != nil {
		return nil, err
	}
	rec.manifest = rec.describe(total)
	first, rows := rec.manifest.span()
	rec.first, rec.rows = int(first), int(rows)
	if rec.layout, err = rec.manifest.layout(); err != nil {
		return nil, err
	}
	rec.stored = rec.manifest.card(rec.layout)
	return rec, nil
}

func (r *Recording) setDefaults() error {
	switch {
	case r.Batch < 0:
		return fmt.Errorf("teacher: Recording.Batch is %d; want 0 or more", r.Batch)
	case r.Workers < 0:
		return fmt.Errorf("teacher: Recording.Workers is %d; want 0 or more", r.Workers)
	case r.Shards < 0:
		return fmt.Errorf("teacher: Recording.Shards is %d; want 0 or more", r.Shards)
	}
	r.Batch, r.Shards = cmp.Or(r.Batch, 64), cmp.Or(r.Shards, 1)
	if r.Shard < 0 || r.Shard >= r.Shards {
		return fmt.Errorf("teacher: Recording.Shard is %d of %d Shards; want 0 to %d", r.Shard, r.Shards, r.Shards-1)
	}
	if r.TopK > 0 && r.Temps == nil {
		r.Temps = []float64{1}
	}
	return nil
}

// checkSet is how many rows the whole set has.
func (rec *recorder) checkSet() (rows int, err error) {
	if rec.TopK > 0 && rec.spec.Task != data.Classification {
		return 0, fmt.Errorf("teacher: Recording.TopK is %d for a set of %v; want 0, for the logits are no classes", rec.TopK, rec.spec.Task)
	}
	if rec.spec.Views < 1 {
		return 0, errors.New("teacher: Spec.Views is 0: unbounded views cannot be cached; want 1 or more")
	}
	if rec.spec.Fingerprint == [32]byte{} {
		return 0, errors.New("teacher: Spec.Fingerprint is zero; want a hash of the data")
	}
	n := rec.set.Len()
	if n < 1 || n > math.MaxInt/rec.spec.Views {
		return 0, fmt.Errorf("teacher: Set.Len is %d, with %d views; want 1 sample or more", n, rec.spec.Views)
	}
	rows = n * rec.spec.Views
	if rec.Shards > rows {
		return 0, fmt.Errorf("teacher: Recording.Shards is %d for %d rows; want a row for each", rec.Shards, rows)
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = rec.set.ID(i)
	}
	slices.Sort(ids)
	for i := range n - 1 {
		if ids[i] == ids[i+1] {
			return 0, fmt.Errorf("teacher: Set.ID gives two samples the id %d; want an id for each", ids[i])
		}
	}
	return rows, nil
}

func (rec *recorder) checkTeacher() error {
	card, err := rec.teacher.Card()
	if err != nil {
		return err
	}
	switch {
	case card.Live:
		return errors.New("teacher: Card.Live is true: a live teacher cannot be recorded; want one that has stopped learning")
	case card.Fingerprint == [32]byte{}:
		return errors.New("teacher: Card.Fingerprint is zero; want a hash of what the answers depend on")
	case len(card.Temps) > 0:
		return errors.New("teacher: Card.Temps is not empty: top-k logits cannot be recorded again; want dense logits")
	}
	if rec.Signals != nil {
		kept := map[string]data.Field{}
		for _, name := range rec.Signals {
			f, ok := card.Signals[name]
			if !ok {
				return fmt.Errorf("teacher: Recording.Signals has %q, which is not on the teacher's card", name)
			}
			kept[name] = f
		}
		card.Signals = kept
	}
	rec.card = card
	return card.Validate()
}

func (rec *recorder) describe(rows int) manifest {
	m := describeData(rec.spec)
	m.Format = format
	m.Total, m.Shard, m.Shards = int64(rows), rec.Shard, rec.Shards
	m.Teacher = rec.card.Fingerprint
	m.Classes = append(m.Classes, rec.card.Classes...)
	m.Signals = fields(rec.card.Signals)
	m.Half, m.TopK, m.Temps = rec.Half, rec.TopK, append(m.Temps, rec.Temps...)
	return m
}

// finished says that the directory has all rows as they should be. It does not
// write, so others may be reading them.
func (rec *recorder) finished() bool {
	m, err := readManifest(rec.dir)
	if err != nil || m.Rows == 0 || differing(m.allTraits(rec.manifest)) != nil {
		return false
	}
	file, err := os.Open(filepath.Join(rec.dir, rowsName))
	if err != nil {
		return false
	}
	defer file.Close()
	done, err := rec.good(file)
	if err != nil || done < rec.rows {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Size() == int64(done)*int64(rec.layout.size)
}

// run writes the rows that are missing, then the manifest that says so.
func (rec *recorder) run(ctx context.Context) (err error) {
	f, err := claim(rec.dir, rec.manifest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	done, err := rec.resume(f)
	if err != nil {
		return err
	}
	rec.report(done)
	if err := rec.answer(ctx, f.rows, done); err != nil {
		return err
	}
	return f.say(int64(rec.rows))
}

// answer records all rows from row number done on. While the answers to one
// batch are written, the teacher is asked about the next, and while it answers,
// the batch after that is read.
func (rec *recorder) answer(ctx context.Context, file *os.File, done int) error {
	var all ahead.Maker[answered]
	batches := 0
	for a, err := range all.Make(rec.answers(ctx, done)) {
		if ctx.Err() != nil {
			return fmt.Errorf("teacher: %w", ctx.Err())
		}
		if err != nil {
			return err
		}
		batches++
		last := done+a.batch.N == rec.rows
		all.During(func() { err = rec.write(file, done, a, last || batches%syncEvery == 0) })
		if err != nil {
			return fmt.Errorf("teacher: %w", err)
		}
		done += a.batch.N
		rec.report(done)
	}
	return nil
}

// An answered batch is one with what is stored of the teacher's answer.
type answered struct {
	batch   data.Batch
	signals data.Signals
}

// answers yields the batches from row number done on, with the answers.
func (rec *recorder) answers(ctx context.Context, done int) iter.Seq2[answered, error] {
	return func(yield func(answered, error) bool) {
		var all ahead.Maker[data.Batch]
		for b, err := range all.Make(rec.batches(done)) {
			var s data.Signals
			if err = cmp.Or(err, ctx.Err()); err == nil {
				all.During(func() { s, err = rec.ask(ctx, b) })
			}
			if !yield(answered{b, s}, err) || err != nil {
				return
			}
		}
	}
}

// batches yields the batches from row number done on.
func (rec *recorder) batches(done int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		for ; done < rec.rows; done += rec.Batch {
			b, err := rec.batch(done, min(rec.Batch, rec.rows-done))
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

func (rec *recorder) report(done int) {
	if rec.Progress != nil {
		rec.Progress(done, rec.rows)
	}
}

// resume is how many rows of the file are good. It cuts off the rest, and
// what is left of a batch: asked half of it, a teacher may round differently.
func (rec *recorder) resume(f *folder) (int, error) {
	done, err := rec.good(f.rows)
	if err != nil {
		return 0, err
	}
	if done < rec.rows {
		done -= done % rec.Batch
		err = f.say(0)
	}
	if err == nil {
		err = f.rows.Truncate(int64(done) * int64(rec.layout.size))
	}
	if err != nil {
		return 0, fmt.Errorf("teacher: %w", err)
	}
	return done, nil
}

// good is how many rows a file begins with that need not be recorded again.
func (rec *recorder) good(file *os.File) (int, error) {
	n, err := scan(file, rec.layout.size, int64(rec.rows), func(i int64, row []byte) bool { return intact(row, rec.id(int(i))) })
	return int(n), err
}

// sample is which sample of the set a row is of, and which view: view after view
// of the whole set.
func (rec *recorder) sample(row int) (i int, view uint64) {
	row += rec.first
	return row % rec.set.Len(), uint64(row / rec.set.Len())
}

func (rec *recorder) id(row int) data.ID {
	i, view := rec.sample(row)
	return data.ID{Sample: rec.set.ID(i), View: view}
}

// write writes the rows of a batch, from row number first on, and makes sure
// that they and those before them are on the disk, if sync.
func (rec *recorder) write(file *os.File, first int, a answered, sync bool) error {
	rows := make([]byte, 0, a.batch.N*rec.layout.size)
	for r := range a.batch.N {
		rows = rec.layout.append(rows, a.batch, a.signals, r)
	}
	_, err := file.WriteAt(rows, int64(first)*int64(rec.layout.size))
	if err == nil && sync {
		err = file.Sync()
	}
	return err
}

// batch reads the samples of n rows.
func (rec *recorder) batch(first, n int) (data.Batch, error) {
	b, err := data.NewBatch(rec.spec, rec.Batch)
	if err == nil {
		err = b.AppendAll(rec.set, n, rec.Workers, func(r int) (int, uint64) { return rec.sample(first + r) })
	}
	if err != nil {
		return b, fmt.Errorf("teacher: %w", err)
	}
	return b, nil
}

// ask is what the teacher says, in the form that is stored.
func (rec *recorder) ask(ctx context.Context, b data.Batch) (data.Signals, error) {
	s, err := rec.teach(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := Check(rec.card, b, s); err != nil {
		return nil, err
	}
	kept := data.Signals{}
	for name, f := range rec.card.Signals {
		kept[name] = s[name]
		if err := rec.checkHalf(b, name, s[name]); err != nil {
			return nil, err
		}
		if rec.TopK > 0 && isLogits(name) {
			reduction{rec.TopK, rec.Temps, rec.Half}.reduce(kept, name, f)
		}
	}
	// A log-sum-exp may be too large for its dtype.
	return kept, Check(rec.stored, b, kept)
}

func (rec *recorder) teach(ctx context.Context, b data.Batch) (s data.Signals, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("teacher: the teacher panicked: %v", p)
		}
	}()
	return rec.teacher.Teach(ctx, b)
}

func (rec *recorder) checkHalf(b data.Batch, name string, t *tensor.Dense) error {
	if !rec.Half || t.Dtype() == tensor.Int {
		return nil
	}
	all := floats(t)
	if i := slices.IndexFunc(all, func(v float64) bool { return math.Abs(v) > maxHalf }); i >= 0 {
		id := b.ID[i/rec.card.Signals[name].Size()]
		return fmt.Errorf("teacher: signal %q of %s has %v, which overflows float16; want at most %d, or Recording.Half off",
			name, describe(id), all[i], maxHalf)
	}
	return nil
}
