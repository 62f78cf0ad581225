package main

import (
	"context"
	"fmt"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/mnist"
)

// An effort is the data, and how much is done with them.
type effort struct {
	title string
	read  func(ctx context.Context, dir string, valid int) (data.Split, error)
	valid int // images of MNIST that choose a rate
	// labels are those that the student's owner has; 0 means all.
	labels        int
	batch         int
	steps         int // of an epoch
	teacherEpochs int
	epochs        int // of a student
	seeds         int
	rates         []float64
}

var efforts = map[string]effort{
	"digits":      {title: "Digits, all labels", read: digits, batch: 32, steps: 160, teacherEpochs: 12, epochs: 4, seeds: 5, rates: rates},
	"digits-100":  {title: "Digits, 100 labels", read: digits, labels: 100, batch: 32, steps: 160, teacherEpochs: 12, epochs: 4, seeds: 5, rates: rates},
	"mnist-1000":  {title: "MNIST, 1000 labels", read: images, valid: 5000, labels: 1000, batch: 64, steps: 200, teacherEpochs: 15, epochs: 5, seeds: 5, rates: rates[1:]},
	"mnist-60000": {title: "MNIST, all labels", read: images, valid: 5000, batch: 64, steps: 200, teacherEpochs: 15, epochs: 5, seeds: 5, rates: rates[1:]},
}

// On MNIST the first was never best, and is left out.
var rates = []float64{5e-3, 2e-2, 8e-2}

// digits are those that come with the library.
func digits(context.Context, string, int) (data.Split, error) { return data.Digits() }

// images are those of MNIST from 0 to 1, with the last of those to train on as
// validation data.
func images(ctx context.Context, dir string, valid int) (s data.Split, err error) {
	all, test, err := mnist.Read(ctx, dir)
	if err != nil {
		return s, err
	}
	rest := all.Len() - valid
	if rest < 1 {
		return s, fmt.Errorf("%q has %d images to train on; want more than the %d of validation data", dir, all.Len(), valid)
	}
	s.Test = test
	if s.Train, err = data.Subset(all, data.Range(0, rest)); err != nil {
		return s, err
	}
	if s.Valid, err = data.Subset(all, data.Range(rest, all.Len())); err != nil {
		return s, err
	}
	norm := map[string]data.Norm{data.Input: {Mean: []float64{0}, SD: []float64{255}}}
	for _, set := range []*data.Set{&s.Train, &s.Valid, &s.Test} {
		if *set, err = data.Normalize(*set, norm); err != nil {
			return s, err
		}
	}
	return s, nil
}

func inOrder(set data.Set) data.Source {
	return data.Loader{Set: set, Batch: 250, InOrder: true}
}
