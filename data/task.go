package data

import (
	"fmt"

	"gorgonia.org/tensor"
)

// A Task is what there is to learn: what the labels of a set mean, and with that
// what a student of it is measured by.
type Task int

const (
	// Classification is one class of several for each row. Labels are of
	// tensor.Int, or probabilities.
	Classification Task = iota
	// MultiLabel is yes or no to each of a number of questions. Labels are
	// floats, (C) or () of one question, from 0 for no to 1 for yes.
	MultiLabel
	// Regression is a number, or several. Labels are floats of any shape.
	Regression
)

// String is the name of the task.
func (t Task) String() string {
	switch t {
	case Classification:
		return "Classification"
	case MultiLabel:
		return "MultiLabel"
	case Regression:
		return "Regression"
	}
	return fmt.Sprintf("Task(%d)", int(t))
}

// checkLabel says what is wrong with the field of the labels.
func (s Spec) checkLabel() error {
	shape, ints := s.Label.Shape, s.Label.Dtype == tensor.Int
	switch {
	case s.Task != Classification && ints:
		return fmt.Errorf("data: Spec.Label is of int; want floats for %v", s.Task)
	case s.Task == MultiLabel && len(shape) > 1:
		return fmt.Errorf("data: Spec.Label has shape %v; want () or (C) for MultiLabel", shape)
	case s.Task != Classification:
		return s.checkNames(s.Label.Size())
	case ints && len(shape) > 2:
		return fmt.Errorf("data: Spec.Label has shape %v; want (), (T) or (H, W) for classes", shape)
	case ints:
		return nil
	case len(shape) != 1:
		return fmt.Errorf("data: Spec.Label has shape %v; want (C) for soft labels", shape)
	}
	return s.checkNames(shape[0])
}

// checkNames wants a name for each of n values, or none.
func (s Spec) checkNames(n int) error {
	if c := len(s.Classes); c > 0 && c != n {
		return fmt.Errorf("data: Spec.Classes has %d names, but a label has %d values", c, n)
	}
	return nil
}

// checkFloats says what is wrong with a label that is no class.
func checkFloats[E float32 | float64](t Task, label []E) error {
	if i := firstNotFinite(label); i >= 0 {
		return fmt.Errorf("label is not finite at element %d", i)
	}
	switch t {
	case Classification:
		return checkSoft(label)
	case MultiLabel:
		for i, p := range label {
			if p < 0 || p > 1 {
				return fmt.Errorf("label is %v at element %d; want 0 to 1", p, i)
			}
		}
	}
	return nil
}
