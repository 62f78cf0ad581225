package main

import (
	"context"
	"fmt"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/mnist"
)

// Images are the sets that the arms learn from and are tested on.
type images struct {
	train data.Set // as they are
	moved data.Set // the same, moved by some pixels
	test  data.Set
	// Some and held are the two parts of train, of whoever needs images that he
	// has not learnt from; movedSome is the first of them, moved.
	some, held, movedSome data.Set
}

// read reads MNIST with pixels from 0 to 1.
func read(ctx context.Context, dir string, e effort) (s images, err error) {
	if s.train, s.test, err = mnist.Read(ctx, dir); err != nil {
		return s, err
	}
	n := s.train.Len()
	rest := n - e.heldOut
	if rest < 1 {
		return s, fmt.Errorf("%q has %d images to train on; want more than the %d that are held out", dir, n, e.heldOut)
	}
	if s.some, err = data.Subset(s.train, data.Range(0, rest)); err != nil {
		return s, err
	}
	if s.held, err = data.Subset(s.train, data.Range(rest, n)); err != nil {
		return s, err
	}
	shift := data.Shift{Pixels: e.pixels}
	if s.moved, err = shift.Of(s.train); err != nil {
		return s, err
	}
	if s.movedSome, err = shift.Of(s.some); err != nil {
		return s, err
	}
	norm := map[string]data.Norm{data.Input: {Mean: []float64{0}, SD: []float64{255}}}
	for _, set := range []*data.Set{&s.train, &s.moved, &s.test, &s.some, &s.held, &s.movedSome} {
		if *set, err = data.Normalize(*set, norm); err != nil {
			return s, err
		}
	}
	return s, nil
}

func inOrder(set data.Set) data.Source {
	return data.Loader{Set: set, Batch: 500, InOrder: true}
}
