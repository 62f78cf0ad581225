package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

const (
	temperature = 20  // of the main rows
	weight      = 0.9 // of what the teacher says
	maxNorm     = 2   // of the weights into a unit of the teacher
)

// teacherNet is a teacher with so many units a layer, and studentNet a student,
// which has nothing against overfitting.
func teacherNet(units int) student.MLP {
	net := studentNet(units)
	net.InputDropout, net.Dropout = 0.05, 0.35
	return net
}

func studentNet(units int) student.MLP {
	return student.MLP{Hidden: []int{units, units}, Out: 10, Init: student.He}
}

// A setting is the units a layer of the teacher, the student and a narrow student,
// and how far the teacher's images are moved.
type setting struct{ teacher, student, narrow, pixels int }

var published = setting{1200, 800, 30, 2}

// An effort is how much is done.
type effort struct {
	setting
	teacherEpochs, teacherBatch int
	epochs, batch               int // of a student
	seeds                       int
	// Of the temperatures; 0 seeds leave out all but the first three rows.
	sweepSeeds, sweepEpochs int
	partialEpochs           int       // of students of some classes
	heldOut                 int       // images, where some are
	rates                   []float64 // that -tune compares
}

var (
	full  = effort{setting: published, teacherEpochs: 50, teacherBatch: 256, epochs: 40, batch: 128, seeds: 5, sweepSeeds: 3, sweepEpochs: 10, partialEpochs: 20, heldOut: 10_000}
	quick = effort{setting: published, teacherEpochs: 6, teacherBatch: 256, epochs: 5, batch: 128, seeds: 2, heldOut: 10_000}
	tune  = effort{setting: published, teacherEpochs: 20, teacherBatch: 256, epochs: 20, batch: 128, seeds: 2, heldOut: 10_000, rates: []float64{5e-4, 1e-3, 2e-3}}
)

// A lab is what all arms share.
type lab struct {
	Options
	effort
	log io.Writer
	images
	said []*teacher.Cache // what the teacher of each seed says about images.train
}

// An arm is one way to train a student.
type arm struct {
	name  string
	units int
	T     float64 // 0 is without a teacher
	rate  float64
	set   data.Set
}

// run makes the run of a seed.
func (l *lab) run(a arm, seed uint64, rate float64) (*distill.Run, error) {
	model, err := student.New(studentNet(a.units), a.set.Spec(), seed)
	if err != nil {
		return nil, err
	}
	r := fit(model, a.set, l.batch, l.epochs, seed, rate)
	if a.T > 0 {
		r.Teacher, r.Terms = l.said[seed-1], distill.Hinton(a.T, weight)
	}
	return r, nil
}

// lasting is the lab for students that learn for so many epochs.
func (l *lab) lasting(epochs int) *lab {
	other := *l
	other.epochs = epochs
	return &other
}

// fit is a run with the labels, whose rate falls to 0.
func fit(m *student.Model, set data.Set, batch, epochs int, seed uint64, rate float64) *distill.Run {
	train := data.Loader{Set: set, Batch: batch, Seed: seed}
	return &distill.Run{
		Student:   m,
		Terms:     []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}},
		Train:     train,
		Optimizer: distill.Adam{Rate: distill.Cosine(rate, 0, epochs*train.Len())},
		Epochs:    epochs,
		Seed:      seed,
		Every:     5 * train.Len(),
	}
}

// teach trains a teacher for each seed on images that are moved.
func (l *lab) teach(ctx context.Context, set data.Set) (study.Outcomes, error) {
	return l.study(ctx, l.seeds, study.Arm{
		Name:  "teacher",
		Rates: []float64{1.5e-3},
		Run: func(seed uint64, rate float64) (*distill.Run, error) {
			model, err := student.New(teacherNet(l.setting.teacher), set.Spec(), seed)
			if err != nil {
				return nil, err
			}
			r := fit(model, set, l.teacherBatch, l.teacherEpochs, seed, rate)
			r.Groups = []distill.Group{{Match: "*.weight", MaxNorm: maxNorm}}
			return r, nil
		},
	})
}

// record writes down, once, what each teacher says about a set.
func (l *lab) record(ctx context.Context, teachers []*student.Model, set data.Set) error {
	for i, m := range teachers {
		c, err := teacher.Record(ctx, teacher.Of(m), set, filepath.Join(l.Out, "logits", fmt.Sprintf("seed-%d", i+1)), teacher.Recording{Batch: 500})
		if err != nil {
			return err
		}
		l.said = append(l.said, c)
	}
	return nil
}

// close closes the recordings.
func (l *lab) close() {
	for _, c := range l.said {
		c.Close()
	}
}

// students trains the student of each arm with every seed.
func (l *lab) students(ctx context.Context, seeds int, arms ...arm) (study.Outcomes, error) {
	var all []study.Arm
	for _, a := range arms {
		all = append(all, study.Arm{
			Name:  a.name,
			Rates: []float64{a.rate},
			Run:   func(seed uint64, rate float64) (*distill.Run, error) { return l.run(a, seed, rate) },
		})
	}
	return l.study(ctx, seeds, all...)
}

func (l *lab) study(ctx context.Context, seeds int, arms ...study.Arm) (study.Outcomes, error) {
	s := study.Study{
		Arms:    arms,
		Rates:   l.rates,
		Seeds:   study.Seeds(seeds),
		Test:    inOrder(l.test),
		Dir:     filepath.Join(l.Out, "runs"),
		Resume:  l.Resume,
		Observe: l.observe,
		// Two runs on a thread each are done sooner than one after the other on two.
		Parallel: 2,
	}
	return s.Run(ctx)
}

// observe shows a line for each run, and keeps its logs.
func (l *lab) observe(t study.Trial) []distill.Observer {
	return []distill.Observer{&report.Folder{NoCurves: true}, &line{w: l.log, trial: t}}
}
