package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/progress"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

const teacherRate = 4e-3

// The channels of the stages, of the teacher and of its students.
var wide, narrow = []int{16, 32, 64}, []int{4, 8, 16}

// A lab is what all the trials share.
type lab struct {
	Options
	effort
	log     io.Writer
	methods []method
	split   data.Split
	teacher *student.Model
	said    *teacher.Cache // its logits
	deep    *teacher.Cache // and what is behind its last stage
	lesson  lesson
}

// run trains the teacher, and a student by each of the methods.
func run(ctx context.Context, log io.Writer, o Options, e effort, methods []method) error {
	split, err := e.read(ctx, o.Data, e.valid)
	if err != nil {
		return err
	}
	if e.labels > split.Train.Len() {
		return fmt.Errorf("there are %d images to train on; want %d, to be labelled", split.Train.Len(), e.labels)
	}
	if e.labels == 0 {
		e.labels = split.Train.Len()
	}
	l := &lab{Options: o, effort: e, log: log, methods: methods, split: split}
	if err := l.teach(ctx); err != nil {
		return err
	}
	if err := l.record(ctx); err != nil {
		return err
	}
	defer l.said.Close()
	defer l.deep.Close()
	outcomes, err := l.study(ctx)
	if err != nil {
		return err
	}
	return l.conclude(ctx, outcomes)
}

// teach trains the teacher on images that are moved by a pixel, and looks at what
// methods want to know of it.
func (l *lab) teach(ctx context.Context) error {
	moved, err := data.Shift{Pixels: 1}.Of(l.split.Train)
	if err != nil {
		return err
	}
	if l.teacher, err = student.New(net{wide, 10}, moved.Spec(), 1); err != nil {
		return err
	}
	fmt.Fprintf(l.log, "teacher: %d parameters\n", l.teacher.Size())
	run := l.run(l.teacher, moved, data.Range(0, moved.Len()), l.teacherEpochs, teacherRate, 1)
	run.Name, run.Dir, run.Resume = "teacher", filepath.Join(l.Out, "teacher"), l.Resume
	run.Terms = []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}}
	if _, err := run.Fit(ctx, new(report.Folder), new(progress.Bar)); err != nil {
		return err
	}
	l.lesson = lesson{steps: l.epochs * l.steps, widths: wide}
	for i := range wide {
		margins, err := distill.OFDMargins(l.teacher, fmt.Sprint("bn", i+1))
		if err != nil {
			return err
		}
		l.lesson.margins = append(l.lesson.margins, margins)
	}
	return nil
}

// record writes down what the teacher says, and what is behind its last stage. What
// is before that is too much to be kept, and it is asked for it.
func (l *lab) record(ctx context.Context) (err error) {
	if l.said, err = l.recording(ctx, "logits"); err != nil {
		return err
	}
	l.deep, err = l.recording(ctx, last...)
	return err
}

// last are the places behind the last stage.
var last = []string{"pool", "stage3"}

func (l *lab) recording(ctx context.Context, taps ...string) (*teacher.Cache, error) {
	dir := filepath.Join(l.Out, taps[0])
	if !l.Resume {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	rows, err := data.Concat(l.split.Train, l.split.Valid)
	if err != nil {
		return nil, err
	}
	return teacher.Record(ctx, teacher.Of(l.teacher, taps...), rows, dir, teacher.Recording{})
}

// shows is the teacher as a method looks at it.
func (l *lab) shows(m method) teacher.Teacher {
	switch {
	case m.Family == labels:
		return nil
	case m.Family == logits:
		return l.said
	case !slices.ContainsFunc(m.At, func(tap string) bool { return !slices.Contains(last, tap) }):
		return l.deep
	}
	return teacher.Of(l.teacher, m.At...)
}

// study trains a student by each method. A graft is another network than the
// student of the others, and so has a study of its own.
func (l *lab) study(ctx context.Context) (all study.Outcomes, err error) {
	for _, graft := range []bool{false, true} {
		s := study.Study{
			Rates:   l.rates,
			Seeds:   study.Seeds(l.seeds),
			Test:    inOrder(l.split.Test),
			Dir:     filepath.Join(l.Out, "students"),
			Resume:  l.Resume,
			Observe: l.observe,
			// Two runs on a thread each are done sooner than one after the other on two.
			Parallel: 2,
		}
		for _, m := range l.methods {
			if m.Graft == graft {
				s.Arms = append(s.Arms, study.Arm{Name: m.Name, Run: func(seed uint64, rate float64) (*distill.Run, error) { return l.trial(m, seed, rate) }})
			}
		}
		if len(s.Arms) == 0 {
			continue
		}
		outcomes, err := s.Run(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, outcomes...)
	}
	return all, nil
}

// trial is one run by a method: on the labelled images where there is no teacher, and
// else on all of them, of which half have labels.
func (l *lab) trial(m method, seed uint64, rate float64) (*distill.Run, error) {
	model, err := l.student(m, seed)
	if err != nil {
		return nil, err
	}
	known := l.labelled(seed)
	rows := known
	if m.Family != labels {
		rows = data.Range(0, l.split.Train.Len())
		if unknown := len(rows) - len(known); unknown > 0 {
			rows = append(rows, slices.Repeat(known, unknown/len(known))...)
		}
	}
	set, err := data.HideLabels(l.split.Train, func(i int) bool { _, ok := slices.BinarySearch(known, i); return ok })
	if err != nil {
		return nil, err
	}
	run := l.run(model, set, rows, l.epochs, rate, seed)
	run.Terms, run.Every, run.Teacher = m.Terms(l.lesson), 1000, l.shows(m)
	return run, nil
}

// student is the same for all methods but a graft.
func (l *lab) student(m method, seed uint64) (*student.Model, error) {
	small := net{narrow, 10}
	if m.Graft {
		return student.Graft{To: small, Tap: "stage3", Head: "fc"}.From(l.teacher, seed)
	}
	return student.New(small, l.split.Train.Spec(), seed)
}

// labelled are the rows whose labels are known with a seed, in their order.
func (l *lab) labelled(seed uint64) []int {
	return slices.Sorted(slices.Values(rand.New(rand.NewPCG(seed, 100)).Perm(l.split.Train.Len())[:l.labels]))
}

// run trains a model on some rows of a set.
func (l *lab) run(m *student.Model, set data.Set, rows []int, epochs int, rate float64, seed uint64) *distill.Run {
	train := data.Loader{Set: set, Batch: l.batch, Seed: seed, Draw: data.Deal{From: rows, N: l.steps * l.batch}}
	return &distill.Run{
		Student:   m,
		Train:     train,
		Valid:     inOrder(l.split.Valid),
		Optimizer: distill.Adam{Rate: distill.Cosine(rate, 0, epochs*l.steps)},
		Epochs:    epochs,
		Seed:      seed,
	}
}

// observe shows a line for each trial, and keeps its logs.
func (l *lab) observe(t study.Trial) []distill.Observer {
	return []distill.Observer{&report.Folder{NoCurves: true}, &line{w: l.log, trial: t}}
}
