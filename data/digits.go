package data

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/tensor"
)

//go:embed digits.csv.gz
var digitsCSV []byte

// A Split is one set of samples in three parts that share none.
type Split struct {
	// Train is learnt from, Valid chooses between what was learnt, and Test
	// is looked at once.
	Train, Valid, Test Set
}

// Digits is 1797 images of handwritten digits, 8 by 8 pixels: the input "x" is
// of shape (8, 8) and float32, from 0 to 1, where Spec.Norm says that it was
// divided by 16. There are 10 classes, "0" to "9". A permutation with a fixed
// seed makes 1097 samples the training set, 200 the validation set and 500 the
// test set; the ids are the lines of the original file, from 0.
//
// The data are E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten
// Digits, UCI Machine Learning Repository, 1998, doi 10.24432/C50P49, under CC
// BY 4.0. DIGITS.md has more.
func Digits() (Split, error) { return digits() }

var digits = sync.OnceValues(func() (Split, error) {
	raw, err := ReadCSV(bytes.NewReader(digitsCSV), CSV{
		Label:   "65",
		Classes: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		Shape:   tensor.Shape{8, 8},
	})
	if err != nil {
		return Split{}, fmt.Errorf("data: embedded digits: %w", err)
	}
	all, err := Normalize(raw, map[string]Norm{Input: {Mean: []float64{0}, SD: []float64{16}}})
	if err != nil {
		return Split{}, err
	}
	rows := generator(1).Perm(all.Len())
	train, err1 := Subset(all, rows[:1097])
	valid, err2 := Subset(all, rows[1097:1297])
	test, err3 := Subset(all, rows[1297:])
	return Split{Train: train, Valid: valid, Test: test}, errors.Join(err1, err2, err3)
})
