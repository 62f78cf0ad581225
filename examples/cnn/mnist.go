package main

import (
	"context"
	"fmt"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/mnist"
)

// images reads MNIST, with the last of those to train on as validation data. The
// others have 9 views each: as they are, or moved by a pixel.
func images(ctx context.Context, dir string, valid int) (s data.Split, err error) {
	all, test, err := mnist.Read(ctx, dir)
	if err != nil {
		return s, err
	}
	s.Test = test
	rest := all.Len() - valid
	if rest < labels {
		return s, fmt.Errorf("%q has %d images to train on; want %d to be labelled and %d of validation data", dir, all.Len(), labels, valid)
	}
	if s.Train, err = data.Subset(all, data.Range(0, rest)); err != nil {
		return s, err
	}
	if s.Valid, err = data.Subset(all, data.Range(rest, all.Len())); err != nil {
		return s, err
	}
	if s.Train, err = (data.Shift{Pixels: 1}).Of(s.Train); err != nil {
		return s, err
	}
	return scaled(s)
}

// scaled takes off the mean of MNIST's pixels, and divides by their standard
// deviation.
func scaled(s data.Split) (_ data.Split, err error) {
	norm := map[string]data.Norm{data.Input: {Mean: []float64{0.1307 * 255}, SD: []float64{0.3081 * 255}}}
	for _, set := range []*data.Set{&s.Train, &s.Valid, &s.Test} {
		if *set, err = data.Normalize(*set, norm); err != nil {
			return s, err
		}
	}
	return s, nil
}
