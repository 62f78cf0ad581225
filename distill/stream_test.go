package distill

import (
	"bytes"
	"context"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// streamOf streams the samples of a set: of an endless one, again and again.
func streamOf(set data.Set, batch int, endless bool) data.Stream {
	return data.Stream{Each: set.Spec(), Batch: batch, Open: func(context.Context, int) iter.Seq2[data.Record, error] {
		return func(yield func(data.Record, error) bool) {
			for i := 0; endless || i < set.Len(); i++ {
				row := i % set.Len()
				if !yield(data.Record{ID: set.ID(row), Read: func(dst data.Sample) error { return set.Read(row, 0, dst) }}, nil) {
					return
				}
			}
		}
	}}
}

// streamedRun is the toy run on streams, shuffled and in order.
func streamedRun(dir string) *Run {
	r := keptRun(dir)
	train := streamOf(r.Train.(data.Loader).Set, 8, false)
	train.Buffer, train.Seed = 20, 3
	r.Train, r.Valid = train, streamOf(r.Valid.(data.Loader).Set, 9, false)
	return r
}

// A stream of a set is that set in order, and validates as that set does.
func TestStreamIsTheSet(t *testing.T) {
	loaded, streamed := toyRun[float32](), toyRun[float32]()
	train, valid := loaded.Train.(data.Loader), loaded.Valid.(data.Loader)
	train.InOrder = true
	loaded.Train = train
	streamed.Train, streamed.Valid = streamOf(train.Set, 8, false), streamOf(valid.Set, 9, false)
	got, want := traceOf(t, streamed), traceOf(t, loaded)
	sameTrace(t, got, want, 0)
	for i, s := range got.steps {
		w := want.steps[i]
		if diff := cmp.Diff(w.Valid, s.Valid, cmpopts.EquateNaNs()); diff != "" || s.End != w.End || s.Epoch != w.Epoch {
			t.Errorf("step %d is in epoch %d, its end %v; want %d and %v: %s", s.N, s.Epoch, s.End, w.Epoch, w.End, diff)
		}
	}
}

// Stopped after any step, and resumed, a run on a stream is the run that was
// never stopped, whose epochs end where the stream does.
func TestResumeOnAStream(t *testing.T) {
	finish := func(dir string) end {
		r := streamedRun(dir)
		result := fit(t, r)
		return end{checkpoint(t, dir), r.Student.Fingerprint(), result}
	}
	want := finish(t.TempDir())
	if want.result.Steps != 18 || want.result.Epochs != 3 || want.result.Valid == nil {
		t.Errorf("the run ended with %+v; want 3 epochs of 6 steps, measured", want.result)
	}
	for k := 1; k <= 18; k++ {
		dir := t.TempDir()
		for step, err := range streamedRun(dir).Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if step.End != (step.N%6 == 0) || (step.Valid != nil) != step.End {
				t.Errorf("step %d: the end is %v, and it was measured: %v", step.N, step.End, step.Valid != nil)
			}
			if step.N == k {
				break
			}
		}
		sameEnd(t, finish(dir), want)
	}
}

// A stream without an end trains for MaxSteps, and is measured after them.
func TestEndlessStream(t *testing.T) {
	r := toyRun[float32]()
	train := streamOf(r.Train.(data.Loader).Set, 8, true)
	train.Buffer = 30
	r.Train, r.Epochs, r.MaxSteps = train, 0, 25
	got := fit(t, r)
	if got.Steps != 25 || got.Epochs != 0 || got.Why != Finished || got.Valid == nil {
		t.Errorf("the run ended with %+v; want 25 steps in epoch 0, measured", got)
	}
}

func TestStreamsAreCheckedBeforeTheFirstStep(t *testing.T) {
	for want, change := range map[string]func(*data.Stream){
		"data: Stream.Buffer is -1":          func(s *data.Stream) { s.Buffer = -1 },
		"data: Stream.Through[0]: ":          func(s *data.Stream) { s.Through = []func(data.Set) (data.Set, error){data.Mixup{}.Of} },
		"Run.Train: the source is empty":     func(s *data.Stream) { s.Open = streamOf(empty{toySet[float32](9)}, 3, false).Open },
		"data: Spec.In is empty":             func(s *data.Stream) { s.Each.In = nil },
		"data: Stream.Open: epoch 0, record": func(s *data.Stream) { s.Open = nilRecords },
	} {
		r := streamedRun("")
		r.Resume = false
		s := r.Train.(data.Stream)
		change(&s)
		r.Train = s
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
	}
}

type empty struct{ data.Set }

func (empty) Len() int { return 0 }

func nilRecords(context.Context, int) iter.Seq2[data.Record, error] {
	return func(yield func(data.Record, error) bool) { yield(data.Record{}, nil) }
}

// What was recorded of a set answers a stream of the same samples.
func TestStreamOfRecordedAnswers(t *testing.T) {
	run := func(cached bool) []byte {
		r, _, master := digitsRun(t)
		plain := must(data.Subset(must(data.Digits()).Train, []int{5, 900, 3, 77, 21, 400, 8, 63, 1000, 12, 70}))
		s := streamOf(plain, 4, false)
		s.Through = []func(data.Set) (data.Set, error){data.Shift{Pixels: 1}.Of}
		s.Buffer, s.Seed = 6, 9
		if r.Train = s; cached {
			r.Teacher = record(t, master, must(data.Shift{Pixels: 1}.Of(plain)), teacher.Recording{})
		}
		fit(t, r)
		return checkpoint(t, r.Dir)
	}
	if !bytes.Equal(run(false), run(true)) {
		t.Error("the checkpoints differ")
	}
}

// Recorded answers serve samples that are flipped, moved, cut, mixed and drawn
// several times in an epoch: teacher and student see one view.
func TestRecordedAnswersToMixtures(t *testing.T) {
	run := func(cached bool) (*Run, []byte) {
		r, _, _ := digitsRun(t)
		plain := must(data.Subset(must(data.Digits()).Train, []int{5, 900, 3, 77, 21, 400, 8, 63, 1000, 12, 70}))
		set := must(data.Flip{}.Of(plain))
		set = must(data.Crop{Pad: 2, Views: 2}.Of(set))
		set = must(data.Cutout{Views: 2}.Of(set))
		set = must(data.Mixup{Views: 3}.Of(set))
		master := teacher.Of(must(student.New(student.MLP{Hidden: []int{24}, Out: 10}, set.Spec(), 8)), "logits", "l1")
		r.Train = data.Loader{Set: set, Batch: 4, Seed: 6, Draw: must(data.Balance(plain))}
		if r.Teacher = master; cached {
			r.Teacher = record(t, master, set, teacher.Recording{})
		}
		fit(t, r)
		return r, checkpoint(t, r.Dir)
	}
	r, live := run(false)
	if _, cached := run(true); !bytes.Equal(live, cached) {
		t.Error("the checkpoints differ")
	}
	cached := record(t, r.Teacher, r.Train.(data.Loader).Set, teacher.Recording{})
	free := must(data.Mixup{}.Of(must(data.Digits()).Train))
	checkError(t, cached.Covers(free.Spec()), "data with views without bound")
}
