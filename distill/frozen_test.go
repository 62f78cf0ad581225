package distill

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// nudge changes one weight of a model.
func nudge(m *student.Model) {
	for p := range m.Params() {
		p.Value.Float32s()[0]++
		p.Touch()
		return
	}
}

// nameless is a teacher that has no fingerprint.
func nameless() teacher.Func {
	t := wise[float32]()
	t.Says.Fingerprint = [32]byte{}
	delete(t.Says.Signals, "hidden")
	do := t.Do
	t.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		s, err := do(ctx, b)
		delete(s, "hidden")
		return s, err
	}
	return t
}

// frozenRun is a run whose teacher has a part in what the master says.
func frozenRun(with func(master teacher.Teacher) teacher.Teacher) (*Run, *student.Model) {
	r := toyRun[float32]()
	master := toyStudent(r.Train.Spec(), 0, 9)
	r.Teacher, r.AnyTeacher = with(teacher.Of(master)), true
	r.Terms = Hinton(2, 0)[:1]
	return r, master
}

// However a teacher is put together, that it changed is seen, and that it did not.
func TestAnyTeacherStaysAsItWas(t *testing.T) {
	for name, test := range map[string]struct {
		with   func(teacher.Teacher) teacher.Teacher
		exempt bool
	}{
		"alone": {func(t teacher.Teacher) teacher.Teacher { return t }, false},
		"named": {func(t teacher.Teacher) teacher.Teacher { return teacher.Named{"a": wise[float32](), "b": t} }, false},
		"mean": {func(t teacher.Teacher) teacher.Teacher {
			return teacher.Mean{Teachers: []teacher.Teacher{t, wise[float32]()}}
		}, false},
		"or":                {func(t teacher.Teacher) teacher.Teacher { return teacher.Or(t, t) }, false},
		"beside a live one": {func(t teacher.Teacher) teacher.Teacher { return teacher.Named{"a": teacher.Live(t), "b": t} }, false},
		"beside an unknown": {func(t teacher.Teacher) teacher.Teacher { return teacher.Named{"a": nameless(), "b": t} }, false},
		"mean with unknown": {func(t teacher.Teacher) teacher.Teacher {
			return teacher.Mean{Teachers: []teacher.Teacher{nameless(), t}}
		}, false},
		"mean of named means": {func(t teacher.Teacher) teacher.Teacher {
			return teacher.Named{"a": teacher.Mean{Teachers: []teacher.Teacher{nameless(), t}}}
		}, false},
		"live": {teacher.Live, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := frozenRun(test.with)
			fit(t, r)
			r, master := frozenRun(test.with)
			_, err := r.Fit(t.Context(), ObserverFunc(func(s Step) error {
				if s.N == 7 {
					nudge(master)
				}
				return nil
			}))
			if errors.Is(err, ErrTeacherChanged) == test.exempt || test.exempt && err != nil {
				t.Errorf("error %v; want %v: %t", err, ErrTeacherChanged, !test.exempt)
			}
		})
	}
}

// A teacher that lost its card has changed.
func TestTeacherLosesItsCard(t *testing.T) {
	calls := 0
	r, _ := frozenRun(func(t teacher.Teacher) teacher.Teacher { return forgetful{t, &calls} })
	result, err := r.Fit(t.Context())
	if want := ErrTeacherChanged.Error() + ": " + errForgotten.Error(); !errors.Is(err, ErrTeacherChanged) || !errors.Is(err, errForgotten) || err.Error() != want || result.Steps != 1 {
		t.Errorf("error %v after %d steps; want %s, once, after 1", err, result.Steps, want)
	}
}

// forgetful is a teacher that has a card only once.
type forgetful struct {
	teacher.Teacher
	calls *int
}

var errForgotten = errors.New("where did I put it")

func (f forgetful) Card() (teacher.Card, error) {
	if *f.calls++; *f.calls > 1 {
		return teacher.Card{}, errForgotten
	}
	return f.Teacher.Card()
}

// However a run ends, the teacher is looked at.
func TestTeacherIsLookedAtAtTheEnd(t *testing.T) {
	tired := errors.New("tired")
	for name, do := range map[string]func(*Run, *student.Model) error{
		"finished": func(r *Run, m *student.Model) error {
			return fitNudged(t.Context(), r, m, nil)
		},
		"an observer's error": func(r *Run, m *student.Model) error {
			return fitNudged(t.Context(), r, m, func() error { return tired })
		},
		"cancelled": func(r *Run, m *student.Model) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			return fitNudged(ctx, r, m, func() error { cancel(); return nil })
		},
		"diverged": func(r *Run, m *student.Model) error {
			r.Clip, r.Optimizer = 0, SGD{Rate: Constant(1e30)}
			err := fitNudged(t.Context(), r, m, nil)
			if !errors.Is(err, ErrDiverged) {
				t.Errorf("error %v; want %v", err, ErrDiverged)
			}
			return err
		},
		"no data": func(r *Run, m *student.Model) error {
			list := allOf(r.Train)
			list[2].Weight = nil
			r.Train = batches{r.Train.Spec(), list}
			err := fitNudged(t.Context(), r, m, nil)
			checkError(t, err, "a batch has no weights")
			return err
		},
		"break": func(r *Run, m *student.Model) error {
			var out bytes.Buffer
			r.Log = slog.New(slog.NewTextHandler(&out, nil))
			for range r.Steps(t.Context()) {
				nudge(m)
				break
			}
			if strings.Contains(out.String(), ErrTeacherChanged.Error()) {
				return ErrTeacherChanged
			}
			return nil
		},
		"mutual": func(r *Run, m *student.Model) (last error) {
			other := toyRun[float32]()
			other.Terms = Hinton(2, 0.5)
			for steps, err := range Mutual(t.Context(), other, r) {
				if last = err; err == nil && steps[0].N == 1 {
					nudge(m)
				}
			}
			return last
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, master := frozenRun(func(t teacher.Teacher) teacher.Teacher { return t })
			err := do(r, master)
			if !errors.Is(err, ErrTeacherChanged) || strings.Count(err.Error(), ErrTeacherChanged.Error()) != 1 {
				t.Errorf("error %v; want %v, once", err, ErrTeacherChanged)
			}
		})
	}
}

// fitNudged is a Fit after whose first step the teacher has another weight.
func fitNudged(ctx context.Context, r *Run, m *student.Model, then func() error) error {
	_, err := r.Fit(ctx, ObserverFunc(func(s Step) error {
		if s.N > 1 {
			return nil
		}
		nudge(m)
		if then == nil {
			return nil
		}
		return then()
	}))
	return err
}

// A peer that is not said to be live is found out after one step, not at the end.
func TestMutualSeesAPeerThatLearns(t *testing.T) {
	runs := peers(1, 2)
	runs[1].Teacher, runs[1].AnyTeacher = teacher.Named{"a": teacher.Of(runs[0].Student)}, true
	steps := 0
	var last error
	for _, last = range Mutual(t.Context(), runs...) {
		steps++
	}
	if !errors.Is(last, ErrTeacherChanged) || steps != 1 {
		t.Errorf("error %v after %d of the loop; want %v alone", last, steps, ErrTeacherChanged)
	}
}

// The fingerprint is there to be printed, of a teacher that has to keep it.
func TestFingerprintIsReported(t *testing.T) {
	r, master := frozenRun(func(t teacher.Teacher) teacher.Teacher { return t })
	p, _, err := look(t, r)
	if card := must(teacher.Of(master).Card()); err != nil || p.TeacherFingerprint != card.Fingerprint || p.TeacherFingerprint == [32]byte{} {
		t.Errorf("error %v, fingerprint %s; want %s", err, hex.EncodeToString(p.TeacherFingerprint[:]), hex.EncodeToString(card.Fingerprint[:]))
	}
	r, _ = frozenRun(teacher.Live)
	if p, _, err := look(t, r); err != nil || p.TeacherFingerprint != [32]byte{} {
		t.Errorf("error %v, %+v; want no fingerprint of what changes", err, *p)
	}
}
