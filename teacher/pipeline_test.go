package teacher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

func processors(t testing.TB, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// A hookedSet calls a function before each read.
type hookedSet struct {
	toySet
	hook func() error
}

func (s hookedSet) Read(i int, view uint64, dst data.Sample) error {
	if err := s.hook(); err != nil {
		return err
	}
	return s.toySet.Read(i, view, dst)
}

// hooked is a toy teacher that calls a function before each answer.
func hooked(hook func() error) Func {
	tr := toy(1)
	do := tr.Do
	tr.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		if err := hook(); err != nil {
			return nil, err
		}
		return do(ctx, b)
	}
	return tr
}

// While the teacher is asked about a batch the next is read, here each waits for
// the other, and when a batch is on disk the next has been answered. The files
// are those of a recording that does all in order.
func TestRecordLooksAhead(t *testing.T) {
	defer goleak.VerifyNone(t)
	processors(t, 3)
	read, rows, asked := make(chan int), 0, 0
	set := hookedSet{toySet{views: 3}, func() error {
		if rows++; rows > 4 && rows%4 == 1 { // the first row of a batch
			read <- rows
		}
		return nil
	}}
	tr := hooked(func() error {
		if asked++; asked < 6 {
			if row := <-read; row != 4*asked+1 {
				t.Errorf("row %d is read next to question %d", row, asked)
			}
		}
		return nil
	})
	progress := func(done, total int) {
		if want := min(done/4+1, 6); done > 0 && asked != want {
			t.Errorf("%d rows are on disk and %d batches answered; want %d", done, asked, want)
		}
	}
	dir, want := t.TempDir(), t.TempDir()
	record(t, tr, set, dir, Recording{Batch: 4, Progress: progress})
	processors(t, 1)
	record(t, toy(1), toySet{views: 3}, want, Recording{Batch: 4})
	sameFiles(t, files(t, dir), files(t, want))
}

// What was answered before a failure is on disk, and a failure is told when its
// batch would be. Nothing is left behind.
func TestRecordFails(t *testing.T) {
	broken := errors.New("broken")
	after := func(n int, fail func() error) func() error {
		return func() error {
			if n--; n >= 0 {
				return nil
			}
			return fail()
		}
	}
	failing := func() error { return broken }
	panicking := func() error { panic(broken) }
	whole := t.TempDir()
	record(t, toy(1), toySet{views: 3}, whole, Recording{Batch: 4})
	want := files(t, whole)[rowsName]
	for name, c := range map[string]struct {
		asked, read int // before it fails
		fail        func() error
	}{
		"the teacher":           {3, 30, failing},
		"a teacher that panics": {3, 30, panicking},
		"the set":               {9, 14, failing},
		"a set that panics":     {9, 14, panicking},
	} {
		for n := 1; n <= 2; n++ {
			t.Run(fmt.Sprintf("%s, %d processors", name, n), func(t *testing.T) {
				defer goleak.VerifyNone(t)
				processors(t, n)
				dir := t.TempDir()
				var seen []int
				tr, set := hooked(after(c.asked, c.fail)), hookedSet{toySet{views: 3}, after(c.read, c.fail)}
				progress := func(done, _ int) { seen = append(seen, done) }
				_, err := Record(t.Context(), tr, set, dir, Recording{Batch: 4, Progress: progress})
				wantError(t, err, nil, "broken")
				rows := files(t, dir)[rowsName]
				if !slices.Equal(seen, []int{0, 4, 8, 12}) || rows != want[:len(want)/21*12] {
					t.Errorf("progress %v and %d bytes; want 12 rows", seen, len(rows))
				}
			})
		}
	}
}

// A teacher is not asked for nothing.
func TestRecordCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tr := hooked(func() error { t.Error("the teacher is asked"); return nil })
	_, err := Record(ctx, tr, toySet{}, t.TempDir(), Recording{})
	wantError(t, err, context.Canceled, "teacher: ")
}

func TestRecordCannotWrite(t *testing.T) {
	defer goleak.VerifyNone(t)
	processors(t, 2)
	rec, err := Recording{Batch: 4}.prepare(toy(1), toySet{views: 3}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "read only")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	wantError(t, rec.answer(t.Context(), file, 0), nil, "teacher: ", path)
}

func TestRecordProgressPanics(t *testing.T) {
	defer goleak.VerifyNone(t)
	processors(t, 2)
	defer func() {
		if p := recover(); p != "enough" {
			t.Errorf("panic %v; want that of Progress", p)
		}
	}()
	_, err := Record(t.Context(), toy(1), toySet{views: 3}, t.TempDir(), Recording{Batch: 4, Progress: func(done, _ int) {
		if done == 8 {
			panic("enough")
		}
	}})
	t.Errorf("error %v; want a panic", err)
}

// BenchmarkRecord is 64 batches of 256 samples of the size of MNIST, and what
// the teacher alone takes for them.
func BenchmarkRecord(b *testing.B) {
	const batch, batches, size = 256, 64, 784
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, batch*batches*size)
	for i := range x {
		x[i] = rng.Float32()
	}
	set, err := data.NewMemory(data.Signals{data.Input: tensor.New(tensor.WithShape(batch*batches, size), tensor.WithBacking(x))}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	m, err := student.New(student.MLP{Hidden: []int{1200, 1200}, Out: 10}, set.Spec(), 1)
	if err != nil {
		b.Fatal(err)
	}
	rows := func(b *testing.B) { b.ReportMetric(float64(batch*batches*b.N)/b.Elapsed().Seconds(), "rows/s") }
	b.Run("record", func(b *testing.B) {
		for b.Loop() {
			record(b, Of(m), set, b.TempDir(), Recording{Batch: batch}).Close()
		}
		rows(b)
	})
	b.Run("teacher", func(b *testing.B) {
		one := data.Batch{N: batch, ID: make([]data.ID, batch), In: data.Signals{
			data.Input: tensor.New(tensor.WithShape(batch, size), tensor.WithBacking(x[:batch*size])),
		}}
		for b.Loop() {
			for range batches {
				answer(b, Of(m), one)
			}
		}
		rows(b)
	})
}
