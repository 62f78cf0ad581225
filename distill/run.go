package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
	// Valid. Its inputs, and those of Train and Valid, have one data.Norm.
	Student *student.Model
	// Teacher is never written to. It may be nil, when no term asks for one.
	Teacher teacher.Teacher
	// Terms are what is minimised: their weighted sum.
	Terms []Term
	// Train is what the student learns from.
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
	// Clip bounds the Euclidean norm of the gradient, taken over all
	// parameters; 0 does not.
	Clip float64
	// Accumulate is how many batches make one optimizer step, as if they were
	// one; 0 means 1.
	Accumulate int

	// Epochs and MaxSteps bound the training, Budget its time. 0 is no bound;
	// Epochs or MaxSteps is needed. Budget counts from each start.
	Epochs, MaxSteps int
	Budget           time.Duration
	// Patience ends the run after so many epochs without a better one; 0 never.
	Patience int
	// Monitor says what better is; nil is ByAccuracy, without labels
	// ByTeacherKL, and with neither ByLoss.
	Monitor Monitor

	// Seed is that of dropout and of the parameters that losses have.
	Seed uint64
	// Dir is where the checkpoint is kept, "checkpoint.safetensors"; "" keeps
	// none. It is written after every Every steps (0: each epoch) and when the
	// run ends. A folder is that of one run at a time.
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
	// AnyTeacher allows a teacher that is no better than chance on Valid.
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

// validate says what is wrong with the configuration.
func (r *Run) validate() error {
	switch {
	case r.Student == nil:
		return errors.New("distill: Run.Student is nil; want a student.Model")
	case r.Student.Module() == nil:
		return errors.New("distill: Run.Student is empty; want one that student.New made")
	case r.Train == nil:
		return errors.New("distill: Run.Train is nil; want a data.Source, such as a data.Loader")
	case r.Optimizer == nil:
		return errors.New("distill: Run.Optimizer is nil; want one, such as Adam{Rate: Constant(1e-3)}")
	case r.Epochs == 0 && r.MaxSteps == 0:
		return errors.New("distill: Run.Epochs and Run.MaxSteps are 0; want one of them, or the run has no end")
	case r.Patience > 0 && r.Valid == nil:
		return fmt.Errorf("distill: Run.Patience is %d and Run.Valid is nil; want validation data to be patient about", r.Patience)
	case r.Resume && r.Dir == "":
		return errors.New("distill: Run.Resume is true and Run.Dir is empty; want the folder of the checkpoint")
	}
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"Accumulate", float64(r.Accumulate)}, {"Epochs", float64(r.Epochs)}, {"MaxSteps", float64(r.MaxSteps)},
		{"Patience", float64(r.Patience)}, {"Every", float64(r.Every)}, {"Clip", r.Clip}, {"Budget", float64(r.Budget)},
	} {
		if err := checkFactor("Run."+f.name, f.value); err != nil {
			return err
		}
	}
	if err := checkTerms(r.Terms, r.Accumulate); err != nil {
		return err
	}
	return r.Optimizer.Validate()
}

// validateSchedules checks what depends on the step, over all steps.
func (r *Run) validateSchedules(steps int, card teacher.Card) error {
	learns := false
	for i := range looked(steps) {
		for _, t := range r.Terms {
			if err := t.validate(i); err != nil {
				return err
			}
			if k, ok := t.Loss.(KL); ok && card.Temps != nil {
				if err := k.answered(i, card.Temps); err != nil {
					return err
				}
			}
		}
		if err := r.checkRate(i); err != nil {
			return err
		}
		learns = learns || r.Optimizer.LearningRate(i) > 0
	}
	if !learns && steps > 0 {
		return fmt.Errorf("distill: the learning rate is 0 at each of %d steps; want more than 0", looked(steps))
	}
	return nil
}

// checkRate refuses a learning rate that is negative or not finite.
func (r *Run) checkRate(step int) error {
	return checkAt(step, "the learning rate", r.Optimizer.LearningRate(step))
}

// checkAt is checkFactor for the value of a schedule.
func checkAt(step int, what string, v float64) error {
	if checkFactor("", v) == nil {
		return nil
	}
	return checkFactor(fmt.Sprintf("%s at step %d", what, step), v)
}

// looked is how many steps of a schedule are looked at beforehand: at least
// one where their number is not known, and a million of more.
func looked(steps int) int { return min(max(steps, 1), 1_000_000) }

// checkData refuses data that the student or the teacher was not made for.
func (r *Run) checkData(field string, spec data.Spec, card teacher.Card) error {
	want := r.Student.Spec()
	for _, name := range slices.Sorted(maps.Keys(want.In)) {
		have, ok := spec.In[name]
		if w := want.In[name]; !ok || !have.Shape.Eq(w.Shape) || have.Dtype != w.Dtype {
			return fmt.Errorf("distill: %s has %s; the student wants %q of %v, %v", field, describeInputs(spec.In), name, w.Shape, w.Dtype)
		}
		if a, b := spec.Norm[name], want.Norm[name]; !slices.Equal(a.Mean, b.Mean) || !slices.Equal(a.SD, b.SD) {
			return fmt.Errorf("distill: input %q of %s is %s and that of the student %s; want one data.Norm for all, and a student made from the Spec of normalised data", name, field, describeNorm(a), describeNorm(b))
		}
	}
	if err := sameClasses(field+" and the student", spec.Classes, want.Classes); err != nil {
		return err
	}
	if err := sameClasses(field+" and the teacher", spec.Classes, card.Classes); err != nil {
		return err
	}
	if n, ok := card.Signals[teacher.Logits]; ok && len(spec.Classes) > 0 && len(n.Shape) > 0 && n.Shape[len(n.Shape)-1] != len(spec.Classes) {
		return fmt.Errorf("distill: the teacher's logits are %v for a sample; %s has %d classes", n.Shape, field, len(spec.Classes))
	}
	if n, ok := r.Student.Taps()["logits"]; ok && len(spec.Classes) > 0 && len(n.Shape) > 0 && n.Shape[len(n.Shape)-1] != len(spec.Classes) {
		return fmt.Errorf("distill: the student's logits are %v for a sample; %s has %d classes", n.Shape, field, len(spec.Classes))
	}
	return nil
}

func describeInputs(in map[string]data.Field) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(in)) {
		all = append(all, fmt.Sprintf("%q of %v, %v", name, in[name].Shape, in[name].Dtype))
	}
	if len(all) == 0 {
		return "no inputs"
	}
	return "the inputs " + strings.Join(all, ", ")
}

// describeNorm says what was done to an input, with the first of its elements.
func describeNorm(n data.Norm) string {
	switch {
	case len(n.Mean) == 0 || len(n.SD) == 0:
		return "raw"
	case len(n.Mean) == 1:
		return fmt.Sprintf("(raw - %v) / %v", n.Mean[0], n.SD[0])
	}
	return fmt.Sprintf("(raw - %v ...) / %v ..., of %d elements", n.Mean[0], n.SD[0], len(n.Mean))
}

// sameClasses refuses lists of class names that are both known and differ.
func sameClasses(who string, a, b []string) error {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	if len(a) != len(b) {
		return fmt.Errorf("distill: %s have %d and %d classes; want the same, in the same order", who, len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			return fmt.Errorf("distill: %s call class %d %q and %q; want the same classes in the same order", who, i, a[i], b[i])
		}
	}
	return nil
}

func (r *Run) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log.With("run", r.name())
}

func (r *Run) name() string { return cmp.Or(r.Name, "run") }
