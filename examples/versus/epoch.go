package main

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/progress"
)

const (
	trained   = 50 * 128 // images
	validated = 1000
)

// openEpoch is distillation on images, epoch by epoch: with shifted views,
// shuffling, a progress bar, and metrics on validation data.
func openEpoch(ctx context.Context, t task, dir string) (*subject, error) {
	train, err := images(trained, 1, dir, trainImages, trainLabels)
	if err != nil {
		return nil, err
	}
	valid, err := images(validated, 2, dir, validImages, validLabels)
	if err != nil {
		return nil, err
	}
	shifted, err := data.Shift{Pixels: 1}.Of(train)
	if err != nil {
		return nil, err
	}
	run, err := distillation(perceptrons, t, shifted, dir)
	if err != nil {
		return nil, err
	}
	run.Valid = data.Loader{Set: valid, Batch: t.Batch, InOrder: true}
	next, stop := iter.Pull2(epochs(ctx, run))
	return &subject{call: pulled(next), close: stop}, nil
}

var errLeft = errors.New("nobody waits for the next epoch")

// epochs yields the last step of each.
func epochs(ctx context.Context, run *distill.Run) iter.Seq2[distill.Step, error] {
	return func(yield func(distill.Step, error) bool) {
		_, err := run.Fit(ctx, &progress.Bar{W: io.Discard}, distill.ObserverFunc(func(s distill.Step) error {
			if s.End && !yield(s, nil) {
				return errLeft
			}
			return nil
		}))
		if err != nil && !errors.Is(err, errLeft) {
			yield(distill.Step{}, err)
		}
	}
}
