package main

import (
	"context"
	"errors"
	"iter"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/teacher"
	"gorgonia.org/tensor"
)

const (
	batches     = 20 // in an epoch of random data
	studentSeed = 1
	teacherSeed = 2
	forever     = 1 << 30
)

// openStep is distillation, step by step, on random data in memory.
func openStep(ctx context.Context, nets pair, t task, dir string) (*subject, error) {
	set, err := nets.student.set(batches * t.Batch)
	if err != nil {
		return nil, err
	}
	run, err := distillation(nets, t, set, dir)
	if err != nil {
		return nil, err
	}
	release := func() error { return nil }
	if t.Cached {
		cache, err := teacher.Record(ctx, run.Teacher, set, filepath.Join(dir, "recorded"), teacher.Recording{})
		if err != nil {
			return nil, err
		}
		run.Teacher, release = cache, cache.Close
	}
	check := *run
	if check.Student, err = nets.student.model(set.Spec(), studentSeed); err != nil {
		return nil, err
	}
	s := &subject{}
	if s.losses, err = firstSteps(ctx, &check, t, dir); err != nil {
		return nil, err
	}
	next, stop := iter.Pull2(run.Steps(ctx))
	s.call = pulled(next)
	s.close = func() { stop(); release() }
	return s, nil
}

// distillation is the run that is timed: a new student, and a teacher that
// knows nothing, which costs as much as one that does. Both are saved.
func distillation(nets pair, t task, train data.Set, dir string) (*distill.Run, error) {
	learns, err := nets.student.model(train.Spec(), studentSeed)
	if err != nil {
		return nil, err
	}
	knows, err := nets.teacher.model(train.Spec(), teacherSeed)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(save(learns, dir, studentFile), save(knows, dir, teacherFile)); err != nil {
		return nil, err
	}
	return &distill.Run{
		Student:    learns,
		Teacher:    teacher.Of(knows),
		AnyTeacher: true,
		Terms:      distill.Hinton(t.Temperature, t.Weight),
		Train:      data.Loader{Set: train, Batch: t.Batch, Seed: 1},
		Optimizer:  distill.Adam{Rate: distill.Constant(t.Rate)},
		MaxSteps:   forever,
	}, nil
}

// pulled is a call that takes the next step of a run.
func pulled(next func() (distill.Step, error, bool)) func() error {
	return func() error {
		_, err, ok := next()
		if !ok {
			return errors.New("the run ended")
		}
		return err
	}
}

// firstSteps trains for some steps, and leaves the batches and the first
// gradient for the peer to compare.
func firstSteps(ctx context.Context, run *distill.Run, t task, dir string) (losses []float64, err error) {
	if err := saveBatches(ctx, run.Train, t.Steps, dir); err != nil {
		return nil, err
	}
	var gradient []float32
	run.Optimizer = keeper{run.Optimizer, &gradient}
	run.MaxSteps = t.Steps
	for step, err := range run.Steps(ctx) {
		if err != nil {
			return nil, err
		}
		losses = append(losses, step.Loss)
	}
	return losses, write(dir, expectedFile, gradient)
}

// A keeper is an optimizer that keeps the gradients of the first step, one
// parameter after the other.
type keeper struct {
	distill.Optimizer
	first *[]float32
}

func (k keeper) Update(step int, rate float64, decay bool, w, g *tensor.Dense, slots []*tensor.Dense) error {
	if step == 0 {
		*k.first = append(*k.first, g.Float32s()...)
	}
	return k.Optimizer.Update(step, rate, decay, w, g, slots)
}
