package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A Run teaches a student. It is plain data, and the same Run, from the same
// student, gives the same bytes.
type Run struct {
	// Name tells the run from others in logs and figures; "" means "run".
	Name string
	// Student is trained in place, by one run at a time. At the end it has the
	// weights of the epoch that was best on Valid, or the last ones without
	// Valid or with Average.Valid. Its inputs, and those of Train and Valid, have one data.Norm.
	Student *student.Model
	// Teacher is never written to. It may be nil, when no term asks for one.
	// From the second step on, one that is not live and has a fingerprint is
	// asked about the next step while this one is taken: in order, one call at a
	// time, on another goroutine, and not while the caller looks at a step.
	Teacher teacher.Teacher
	// Terms are what is minimised: their weighted sum.
	Terms []Term
	// Train is what the student learns from. One that is data.Live, and says by a
	// method Asks what model it asks, asks this student.
	Train data.Source
	// Valid, if it is not nil, is measured after each epoch, and chooses the
	// best one. The teacher is asked about it too: a teacher.Cache has to hold
	// it, or needs its teacher beside it (teacher.Or). It is no test set: keep
	// that for after the last decision.
	Valid data.Source
	// Optimizer changes the weights: SGD, Adam, AdamW, or one's own.
	Optimizer Optimizer
	// Groups are exceptions for some parameters.
	Groups []Group
	// Average, if it has a Model, follows the student.
	Average Average
	// Clip bounds the Euclidean norm of the gradient, taken over all
	// parameters; 0 does not.
	Clip float64
	// Accumulate is how many batches make one optimizer step, as if they were
	// one; 0 means 1. A [student.BatchNorm] sees each of them alone.
	Accumulate int

	// Epochs and MaxSteps bound the training, Budget its time. 0 is no bound;
	// Epochs or MaxSteps is needed. Budget counts from each start.
	Epochs, MaxSteps int
	Budget           time.Duration
	// Patience ends the run after so many epochs without a better one; 0 never.
	Patience int
	// Monitor says what better is; nil is ByAccuracy, of a regression ByRMSE,
	// without labels ByTeacherKL or ByTeacherRMSE, and with neither ByLoss.
	Monitor Monitor

	// Seed is that of dropout and of the parameters that losses have.
	Seed uint64
	// Dir is where the checkpoint is kept, "checkpoint.safetensors"; "" keeps
	// none. It is written after every Every steps (0: each epoch) and when the
	// run ends; where Train is data.Live and has several steps to an epoch, after
	// each epoch too. A folder is that of one run at a time.
	Dir   string
	Every int
	// Resume goes on from the checkpoint in Dir, if there is one. Without it,
	// the run starts anew. Everything else, the student's weights too, is as it
	// was when the run began, and so are Epochs, MaxSteps and Patience; what is
	// not is refused by name. Some of it does not show, and is up to the caller:
	// what a function does, be it a Monitor, a LossFunc, or the dropout in a
	// ModuleFunc, what sources and teachers compute whose Fingerprint is zero or
	// stays as it was, and teachers that are live.
	Resume bool
	// AnyTeacher allows a teacher that is no better on Valid than chance, or than
	// the mean of the labels.
	AnyTeacher bool
	// Log gets warnings; nil discards them.
	Log *slog.Logger
}

// Steps trains, and yields every optimizer step after it was done. Leaving the
// loop ends the run and releases what it holds: the student keeps the weights
// that it has, and with a Dir, the run can be resumed. An error is yielded once,
// with a zero step; one that comes up after the loop was left goes to Log.
func (r *Run) Steps(ctx context.Context) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		s, left := newSession(r), false
		_, err := s.begin(ctx)
		if err == nil {
			err = s.run(ctx, func(step Step) bool {
				left = !yield(step, nil)
				return !left
			})
		}
		switch {
		case err != nil && left:
			r.log().Error("the run was left, and did not end well", "error", err)
		case err != nil:
			yield(Step{}, err)
		}
	}
}

// Fit trains to the end, telling the observers. When it fails, the error comes
// with the result until then.
func (r *Run) Fit(ctx context.Context, observers ...Observer) (*Result, error) {
	if i := slices.Index(observers, nil); i >= 0 {
		return nil, fmt.Errorf("distill: observer %d of Fit is nil; want an Observer", i)
	}
	s := newSession(r)
	plan, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	for i, o := range observers {
		if err := o.Start(plan); err != nil {
			s.release()
			return nil, errors.Join(err, finish(observers[:i], s.result(), err))
		}
	}
	var watched error
	err = s.run(ctx, func(step Step) bool {
		watched = watch(observers, step)
		return watched == nil
	})
	err = errors.Join(watched, err)
	result := s.result()
	return &result, errors.Join(err, finish(observers, result, err))
}

func watch(observers []Observer, step Step) error {
	for _, o := range observers {
		if err := o.Step(step); err != nil {
			return err
		}
	}
	return nil
}

func finish(observers []Observer, result Result, err error) error {
	var all []error
	for _, o := range observers {
		all = append(all, o.Finish(result, err))
	}
	return errors.Join(all...)
}

func (r *Run) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log.With("run", r.name())
}

func (r *Run) name() string { return cmp.Or(r.Name, "run") }
