package distill

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/teacher"
)

// A diary is what was done, in order. Two entries at once are a race.
type diary struct{ lines []string }

func (d *diary) write(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// A watched source writes down what is read, and fails at batch number bad.
type watched struct {
	data.Source
	*diary
	name string
	bad  int
	fail func() error
}

func (w watched) Batches(ctx context.Context, epoch, from int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		n := from
		for b, err := range w.Source.Batches(ctx, epoch, from) {
			w.write("read %s %d.%d", w.name, epoch, n)
			if w.fail != nil && n == w.bad {
				if err := w.fail(); err != nil {
					yield(b, err)
					return
				}
			}
			if !yield(b, err) {
				return
			}
			n++
		}
	}
}

// told is a teacher that tells of each call before it answers.
func told(t teacher.Func, tell func(b data.Batch) error) teacher.Func {
	do := t.Do
	t.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		if err := tell(b); err != nil {
			return nil, err
		}
		return do(ctx, b)
	}
	return t
}

// watchedRun is a run of 2 epochs of 6 steps that writes to a diary.
func watchedRun() (*Run, *diary) {
	d := &diary{}
	r := toyRun[float32]()
	r.Epochs = 2
	r.Train, r.Valid = watched{Source: r.Train, diary: d, name: "train"}, watched{Source: r.Valid, diary: d, name: "valid"}
	r.Teacher = told(wise[float32](), func(b data.Batch) error { d.write("teach %d", b.N); return nil })
	return r, d
}

// story is the diary of a run's steps, from the first on.
func story(t *testing.T, r *Run, d *diary) []string {
	t.Helper()
	if _, err := r.Fit(t.Context(), starting(func() { d.lines = nil }), ObserverFunc(func(s Step) error {
		d.write("step %d", s.N)
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	return d.lines
}

// starting is an observer of the start.
type starting func()

func (f starting) Start(Plan) error             { f(); return nil }
func (starting) Step(Step) error                { return nil }
func (starting) Finish(_ Result, _ error) error { return nil }

// only are the lines that begin with one of the words.
func only(lines []string, words ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !slices.Contains(words, line[:strings.Index(line, " ")])
	})
}

func twoProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// The teacher is asked and the source read one group ahead, but not before the
// first step is done, nor past the end of an epoch: what they see is what they
// see in a run that does all in order.
func TestRunLooksAhead(t *testing.T) {
	twoProcessors(t)
	for _, accumulate := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(accumulate), func(t *testing.T) {
			r, d := watchedRun()
			r.Accumulate = accumulate
			got := story(t, r, d)
			r, d = watchedRun()
			r.Accumulate, r.Teacher = accumulate, teacher.Live(r.Teacher)
			want := story(t, r, d)
			if a, b := only(got, "read", "teach"), only(want, "read", "teach"); !slices.Equal(a, b) {
				t.Errorf("%q\nin order %q", a, b)
			}
			if slices.Equal(got, want) {
				t.Errorf("all was done in order: %q", got)
			}
		})
	}
	r, d := watchedRun()
	r.MaxSteps = 4
	want := []string{
		"read train 0.0", "read train 0.1", "teach 8", "step 1",
		"read train 0.2", "teach 8", "read train 0.3", "teach 8", "step 2",
		"read train 0.4", "teach 8", "step 3",
	}
	if got := story(t, r, d); !slices.Equal(got[:len(want)], want) || len(only(got[len(want):], "read", "step")) != 4 {
		t.Errorf("%q\nwant %q, and a measured step without another batch of train", got, want)
	}
}

// A teacher that may depend on the student, or on what is done between steps,
// is asked after the step was delivered.
func TestTeachersAskedInOrder(t *testing.T) {
	twoProcessors(t)
	unknown := func(t teacher.Teacher) teacher.Teacher {
		f := t.(teacher.Func)
		f.Says.Fingerprint = [32]byte{}
		return f
	}
	for name, change := range map[string]func(teacher.Teacher) teacher.Teacher{"live": teacher.Live, "unknown": unknown} {
		t.Run(name, func(t *testing.T) {
			r, d := watchedRun()
			r.Teacher, r.Valid, r.Epochs = change(r.Teacher), nil, 1
			want := []string{"teach 8", "step 1", "teach 8", "step 2", "teach 8", "step 3", "teach 8", "step 4", "teach 8", "step 5", "teach 6", "step 6"}
			if got := only(story(t, r, d), "teach", "step"); !slices.Equal(got, want) {
				t.Errorf("%q; want %q", got, want)
			}
		})
	}
}

// The teacher answers while the student learns: each waits for the other.
func TestTeacherAnswersMeanwhile(t *testing.T) {
	twoProcessors(t)
	r := toyRun[float32]()
	r.Valid, r.Epochs = nil, 1
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // for one that waits alone
	defer cancel()
	meet := make(chan struct{})
	asked, met, done := 0, 0, 0
	r.Teacher = told(wise[float32](), func(data.Batch) error {
		if asked++; asked > 3 { // the preflight's, and those of steps 1 and 2
			select {
			case meet <- struct{}{}:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	})
	r.Optimizer = SGD{Rate: func(step int) float64 {
		if step == done && step > met && step < 5 { // once in each of steps 2 to 5
			met = step
			select {
			case <-meet:
			case <-ctx.Done():
			}
		}
		return 0.1
	}}
	for step, err := range r.Steps(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		done = step.N
	}
	if met != 4 {
		t.Errorf("they met until step %d; want 4", met)
	}
}

// Looking ahead changes no bit, with whatever sources and teachers.
func TestLookingAheadChangesNothing(t *testing.T) {
	twoProcessors(t)
	for _, change := range []func(*Run){
		func(*Run) {},
		func(r *Run) { r.Accumulate = 4 },
		func(r *Run) { r.Teacher, r.Terms = nil, Hinton(1, 0)[:1] },
		func(r *Run) { r.Train = batches{r.Train.Spec(), allOf(r.Train)} },
	} {
		r := toyRun[float32]()
		change(r)
		got := traceOf(t, r)
		r = toyRun[float32]()
		change(r)
		runtime.GOMAXPROCS(1)
		want := traceOf(t, r)
		runtime.GOMAXPROCS(2)
		sameTrace(t, got, want, 0)
		for i, s := range got.steps {
			if v, w := s.Valid, want.steps[i].Valid; (v == nil) != (w == nil) || v != nil && fmt.Sprint(*v) != fmt.Sprint(*w) {
				t.Errorf("step %d: %+v; want %+v", s.N, v, w)
			}
		}
	}
}

var errBad = errors.New("bad")

// What goes wrong with a batch is told after the step before it. A panic of the
// source is the caller's, and comes where it is known whether a batch is the
// last one.
func TestFailuresAhead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Run)
		steps  int
		want   string
	}{
		"read":                 {func(r *Run) { r.Train = watched{r.Train, &diary{}, "", 3, func() error { return errBad }} }, 3, "bad"},
		"panic of the source":  {func(r *Run) { r.Train = watched{r.Train, &diary{}, "", 3, func() error { panic(errBad) }} }, 2, "panic: bad"},
		"teacher":              {func(r *Run) { r.Teacher = told(wise[float32](), fourth(func() error { return errBad })) }, 3, "bad"},
		"panic of the teacher": {func(r *Run) { r.Teacher = told(wise[float32](), fourth(func() error { panic(errBad) })) }, 3, "distill: the teacher panicked: bad"},
	} {
		for _, processors := range []int{1, 2} {
			t.Run(fmt.Sprint(name, processors), func(t *testing.T) {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
				r := toyRun[float32]()
				r.Valid = nil
				c.change(r)
				if steps, got := outcomeOf(t, r); steps != c.steps || got != c.want {
					t.Errorf("%q after %d steps; want %q after %d", got, steps, c.want, c.steps)
				}
			})
		}
	}
}

// fourth fails at the batch of step 4: the preflight asks about the first too.
func fourth(fail func() error) func(data.Batch) error {
	asked := 0
	return func(data.Batch) error {
		if asked++; asked < 5 {
			return nil
		}
		return fail()
	}
}

// outcomeOf is how many steps a run delivers, and what ends it.
func outcomeOf(t *testing.T, r *Run) (steps int, end string) {
	defer func() {
		if p := recover(); p != nil {
			end = fmt.Sprint("panic: ", p)
		}
	}()
	for _, err := range r.Steps(t.Context()) {
		if err != nil {
			return steps, err.Error()
		}
		steps++
	}
	return steps, ""
}

// Whatever ends a run waits for the teacher, and leaves nothing behind.
func TestNothingIsLeftAhead(t *testing.T) {
	twoProcessors(t)
	for name, leave := range map[string]func(*Run){
		"break": func(r *Run) { traceOf(t, first(r, 3)) },
		"panic of the optimizer": func(r *Run) {
			r.Optimizer = SGD{Rate: func(step int) float64 {
				if step == 3 {
					panic(errBad)
				}
				return 0.1
			}}
			r.Epochs, r.MaxSteps = 0, 1<<40 // too many for the schedule to be looked at
			outcomeOf(t, r)
		},
		"panic of the body": func(r *Run) {
			defer func() { _ = recover() }()
			for step := range r.Steps(t.Context()) {
				if step.N == 3 {
					panic(errBad)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			var busy sync.Mutex
			r := toyRun[float32]()
			r.Teacher = told(wise[float32](), func(data.Batch) error {
				busy.Lock()
				defer busy.Unlock()
				runtime.Gosched()
				return nil
			})
			leave(r)
			if !busy.TryLock() {
				t.Error("the teacher is still at work")
			}
		})
	}
}
