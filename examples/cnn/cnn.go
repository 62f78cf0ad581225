package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/progress"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

const (
	labels      = 100 // that the student's owner has
	batch       = 64
	teacherRate = 4e-3
	temperature = 4
	weight      = 0.9 // of what the teacher says
)

// An effort is how much is done.
type effort struct {
	valid         int // images of validation data
	rows          int // of an epoch
	teacherEpochs int
	studentEpochs int
	seeds         int
	rates         []float64
}

var (
	full  = effort{valid: 5000, rows: 100 * batch, teacherEpochs: 20, studentEpochs: 5, seeds: 5, rates: []float64{3e-3, 1e-2, 3e-2}}
	quick = effort{valid: 1000, rows: 100 * batch, teacherEpochs: 4, studentEpochs: 3, seeds: 3, rates: []float64{1e-2}}
)

// A lab is what all the trials share.
type lab struct {
	Options
	effort
	log     io.Writer
	split   data.Split
	teacher *student.Model
}

// run trains the teacher, and compares its students with others.
func run(ctx context.Context, log io.Writer, o Options, e effort) error {
	split, err := images(ctx, o.Data, e.valid)
	if err != nil {
		return err
	}
	l := &lab{Options: o, effort: e, log: log, split: split}
	if err := l.teach(ctx); err != nil {
		return err
	}
	outcomes, err := l.study(ctx)
	if err != nil {
		return err
	}
	return l.conclude(ctx, outcomes)
}

// teach trains the teacher.
func (l *lab) teach(ctx context.Context) (err error) {
	net := student.CNN{Channels: []int{16, 32}, Hidden: []int{128}, Out: 10, Norm: true}
	if l.teacher, err = student.New(net, l.split.Train.Spec(), 1); err != nil {
		return err
	}
	fmt.Fprintf(l.log, "teacher: %d parameters\n", l.teacher.Size())
	run := l.run(l.teacher, l.split.Train, data.Range(0, l.split.Train.Len()), l.teacherEpochs, teacherRate, 1)
	run.Name, run.Dir, run.Resume = "teacher", filepath.Join(l.Out, "teacher"), l.Resume
	_, err = run.Fit(ctx, new(report.Folder), new(progress.Bar))
	return err
}

// A regime is a number of labels that the student's owner has. It has two arms.
type regime struct {
	name               string
	labels             int
	control, distilled string
}

func (l *lab) regimes() []regime {
	return []regime{
		{fmt.Sprintf("%d labels", labels), labels, "control", "distilled"},
		{"all labels", l.split.Train.Len(), "control-all", "distilled-all"},
	}
}

// study trains the student in all ways.
func (l *lab) study(ctx context.Context) (study.Outcomes, error) {
	s := study.Study{
		Rates:   l.rates,
		Seeds:   study.Seeds(l.seeds),
		Test:    inOrder(l.split.Test),
		Dir:     filepath.Join(l.Out, "students"),
		Resume:  l.Resume,
		Observe: l.observe,
	}
	for _, r := range l.regimes() {
		s.Arms = append(s.Arms,
			study.Arm{Name: r.control, Run: func(seed uint64, rate float64) (*distill.Run, error) { return l.control(r, seed, rate) }},
			study.Arm{Name: r.distilled, Run: func(seed uint64, rate float64) (*distill.Run, error) { return l.distilled(r, seed, rate) }})
	}
	return s.Run(ctx)
}

// control trains on the labelled images alone.
func (l *lab) control(r regime, seed uint64, rate float64) (*distill.Run, error) {
	return l.trial(l.split.Train, l.labelled(r, seed), seed, rate)
}

// distilled trains on all images, of which the teacher says something about
// each and the labels about some.
func (l *lab) distilled(r regime, seed uint64, rate float64) (*distill.Run, error) {
	known := make([]bool, l.split.Train.Len())
	for _, i := range l.labelled(r, seed) {
		known[i] = true
	}
	set, err := data.HideLabels(l.split.Train, func(i int) bool { return known[i] })
	if err != nil {
		return nil, err
	}
	run, err := l.trial(set, data.Range(0, set.Len()), seed, rate)
	if err != nil {
		return nil, err
	}
	run.Teacher, run.Terms = teacher.Of(l.teacher), distill.Hinton(temperature, weight)
	return run, nil
}

// labelled are the rows whose labels are known with a seed.
func (l *lab) labelled(r regime, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, 100)).Perm(l.split.Train.Len())[:r.labels]
}

// trial is one run of the student.
func (l *lab) trial(set data.Set, rows []int, seed uint64, rate float64) (*distill.Run, error) {
	net := student.CNN{Channels: []int{4, 8, 16}, Out: 10, Norm: true}
	model, err := student.New(net, set.Spec(), seed)
	if err != nil {
		return nil, err
	}
	run := l.run(model, set, rows, l.studentEpochs, rate, seed)
	run.Every = 500
	return run, nil
}

// run trains a model on some rows of a set, without a teacher.
func (l *lab) run(m *student.Model, set data.Set, rows []int, epochs int, rate float64, seed uint64) *distill.Run {
	train := data.Loader{Set: set, Batch: batch, Seed: seed, Draw: data.Deal{From: rows, N: l.rows}}
	return &distill.Run{
		Student:   m,
		Terms:     []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}},
		Train:     train,
		Valid:     inOrder(l.split.Valid),
		Optimizer: distill.Adam{Rate: distill.Cosine(rate, 0, epochs*train.Len())},
		Epochs:    epochs,
		Seed:      seed,
	}
}

func inOrder(set data.Set) data.Source {
	return data.Loader{Set: set, Batch: 250, InOrder: true}
}

// observe shows a line for each trial, and keeps its logs.
func (l *lab) observe(t study.Trial) []distill.Observer {
	return []distill.Observer{&report.Folder{NoCurves: true}, &line{w: l.log, trial: t}}
}
