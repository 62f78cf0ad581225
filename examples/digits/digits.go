package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/progress"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

const batch = 64

// A lab is what all the trials share.
type lab struct {
	Options
	log     io.Writer
	split   data.Split
	teacher *student.Model
	logits  *teacher.Cache
}

// run trains the teacher, records what it says, and studies both regimes.
func run(ctx context.Context, log io.Writer, o Options) error {
	split, err := data.Digits()
	if err != nil {
		return err
	}
	l := &lab{Options: o, log: log, split: split}
	if err := l.teach(ctx); err != nil {
		return err
	}
	defer l.logits.Close()
	regimes := []regime{
		{Name: "100 labels", dir: "100-labels", Labels: 100},
		{Name: "all labels", dir: "all-labels", Labels: split.Train.Len()},
	}
	for i := range regimes {
		if err := l.study(ctx, &regimes[i]); err != nil {
			return err
		}
	}
	return l.conclude(ctx, regimes)
}

// teach trains the teacher on shifted digits, and records its logits.
func (l *lab) teach(ctx context.Context) error {
	shifted, err := data.Shift{Pixels: 1}.Of(l.split.Train)
	if err != nil {
		return err
	}
	net := student.MLP{Hidden: []int{256, 256}, Out: 10, Dropout: 0.1}
	if l.teacher, err = student.New(net, shifted.Spec(), 1); err != nil {
		return err
	}
	const epochs = 60
	train := data.Loader{Set: shifted, Batch: batch, Seed: 1}
	run := distill.Run{
		Name:      "teacher",
		Student:   l.teacher,
		Terms:     []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}},
		Train:     train,
		Valid:     l.inOrder(l.split.Valid),
		Optimizer: distill.Adam{Rate: distill.Cosine(4e-3, 0, epochs*train.Len())},
		Epochs:    epochs,
		Seed:      1,
		Dir:       filepath.Join(l.Out, "teacher"),
		Resume:    l.Resume,
	}
	fmt.Fprintf(l.log, "teacher: %d parameters\n", l.teacher.Size())
	if _, err := run.Fit(ctx, new(report.Folder), new(progress.Bar)); err != nil {
		return err
	}
	return l.record(ctx)
}

// record writes down the teacher's logits, of the rows that students train on
// and of those that choose among them.
func (l *lab) record(ctx context.Context) error {
	dir := filepath.Join(l.Out, "logits")
	if !l.Resume {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	rows, err := data.Concat(l.split.Train, l.split.Valid)
	if err != nil {
		return err
	}
	l.logits, err = teacher.Record(ctx, teacher.Of(l.teacher), rows, dir, teacher.Recording{})
	return err
}

func (l *lab) inOrder(set data.Set) data.Source {
	return data.Loader{Set: set, Batch: 100, InOrder: true}
}

// A regime is a number of labels that the student's owner has.
type regime struct {
	Name   string
	Labels int

	dir      string
	outcomes study.Outcomes
}

// The arms of a study.
const (
	control   = "control"
	distilled = "distilled"
)

// study compares the student with and without its teacher.
func (l *lab) study(ctx context.Context, r *regime) error {
	s := study.Study{
		Arms: []study.Arm{
			{Name: control, Run: func(seed uint64, rate float64) (*distill.Run, error) { return l.control(r, seed, rate) }},
			{Name: distilled, Run: func(seed uint64, rate float64) (*distill.Run, error) { return l.distilled(r, seed, rate) }},
		},
		Rates:   []float64{1e-2, 2e-2, 4e-2, 8e-2},
		Seeds:   study.Seeds(l.Seeds),
		Test:    l.inOrder(l.split.Test),
		Dir:     filepath.Join(l.Out, r.dir),
		Resume:  l.Resume,
		Observe: func(t study.Trial) []distill.Observer { return l.observe(r, t) },
	}
	var err error
	r.outcomes, err = s.Run(ctx)
	return err
}

// control trains on the labelled rows alone, read over and over until there
// are as many as the distilled student sees.
func (l *lab) control(r *regime, seed uint64, rate float64) (*distill.Run, error) {
	labelled, err := data.Subset(l.split.Train, l.drawn(r, seed))
	if err != nil {
		return nil, err
	}
	set, err := data.Repeat(labelled, l.split.Train.Len())
	if err != nil {
		return nil, err
	}
	return l.trial(set, []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}}, nil, seed, rate)
}

// distilled trains on all rows, of which the teacher says something about each
// and the labels about some.
func (l *lab) distilled(r *regime, seed uint64, rate float64) (*distill.Run, error) {
	known := make([]bool, l.split.Train.Len())
	for _, i := range l.drawn(r, seed) {
		known[i] = true
	}
	set, err := data.HideLabels(l.split.Train, func(i int) bool { return known[i] })
	if err != nil {
		return nil, err
	}
	return l.trial(set, distill.Hinton(l.Temperature, l.Weight), l.logits, seed, rate)
}

// trial is one run of the student.
func (l *lab) trial(set data.Set, terms []distill.Term, t teacher.Teacher, seed uint64, rate float64) (*distill.Run, error) {
	net := student.MLP{Hidden: []int{16}, Out: 10}
	model, err := student.New(net, set.Spec(), seed)
	if err != nil {
		return nil, err
	}
	train := data.Loader{Set: set, Batch: batch, Seed: seed}
	return &distill.Run{
		Student:   model,
		Teacher:   t,
		Terms:     terms,
		Train:     train,
		Valid:     l.inOrder(l.split.Valid),
		Optimizer: distill.Adam{Rate: distill.Cosine(rate, 0, l.Epochs*train.Len())},
		Epochs:    l.Epochs,
		Seed:      seed,
		Every:     500,
	}, nil
}

// observe shows a line for each trial, and keeps its logs.
func (l *lab) observe(r *regime, t study.Trial) []distill.Observer {
	return []distill.Observer{&report.Folder{NoCurves: true}, &line{w: l.log, text: fmt.Sprintf("%s, %v", r.Name, t), trial: t}}
}
