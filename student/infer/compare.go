package infer

import (
	"errors"
	"fmt"
	"math"
)

// A Change is how the answers of two predictors differ: of a student, say, and
// of the same with weights of another [Precision].
type Change struct {
	Rows      int     // of logits
	Agreement float64 // share of the rows that have the same class in both
	Mean, Max float64 // absolute difference of their logits
	// Before and After are the shares of the labelled rows that the first and
	// the second are right about, NaN without labels.
	Before, After float64
}

// Unlabelled is the label of a row without one, as in package data.
const Unlabelled = -1

// Compare tells what changes from one predictor to another on n samples: n rows
// of x, and a label for each row of logits, or no labels. It fails on no rows,
// on students of other inputs or logits, and on labels that are none of the
// classes, and where [Predictor.Probabilities] does.
func Compare(before, after *Predictor, x []float32, labels []int) (Change, error) {
	if err := sameShapes(before, after); err != nil {
		return Change{}, err
	}
	a, width, err := before.finite(x)
	if err != nil {
		return Change{}, err
	}
	b, _, err := after.finite(x)
	if err != nil {
		return Change{}, err
	}
	if err := checkLabels(labels, len(a)/width, width); err != nil {
		return Change{}, err
	}
	return change(a, b, labels, width), nil
}

// sameShapes says that two predictors have inputs and logits of one size.
func sameShapes(a, b *Predictor) error {
	inA, outA, err := a.classifier()
	if err != nil {
		return err
	}
	inB, outB, err := b.classifier()
	if err != nil {
		return err
	}
	if inA.size != inB.size || outA.size != outB.size || outA.width() != outB.width() {
		return fmt.Errorf("infer: a student from shape %v to %v, compared with one from %v to %v; want the same shapes",
			inA.Shape, outA.Shape, inB.Shape, outB.Shape)
	}
	return nil
}

func checkLabels(labels []int, rows, classes int) error {
	if rows == 0 {
		return errors.New("infer: there are no rows to compare; want 1 or more")
	}
	if len(labels) > 0 && len(labels) != rows {
		return fmt.Errorf("infer: there are %d labels; want none, or %d, one for each row of logits", len(labels), rows)
	}
	for i, class := range labels {
		if class < Unlabelled || class >= classes {
			return fmt.Errorf("infer: label %d is %d; want %d, or 0 to %d", i, class, Unlabelled, classes-1)
		}
	}
	return nil
}

// change compares rows of logits that were checked.
func change(a, b []float32, labels []int, width int) Change {
	c := Change{Rows: len(a) / width}
	for i, v := range a {
		d := math.Abs(float64(v) - float64(b[i]))
		c.Mean += d / float64(len(a))
		c.Max = max(c.Max, d)
	}
	var same, labelled, rightA, rightB float64
	for r := range c.Rows {
		classA, classB := largest(a[r*width:(r+1)*width]), largest(b[r*width:(r+1)*width])
		if classA == classB {
			same++
		}
		if len(labels) == 0 || labels[r] == Unlabelled {
			continue
		}
		labelled++
		if classA == labels[r] {
			rightA++
		}
		if classB == labels[r] {
			rightB++
		}
	}
	c.Agreement, c.Before, c.After = same/float64(c.Rows), rightA/labelled, rightB/labelled
	return c
}

// String is one line, with the accuracies if there are any.
func (c Change) String() string {
	s := fmt.Sprintf("%d rows: the same class in %.2f%%, logits off by %.3g on average and %.3g at most",
		c.Rows, 100*c.Agreement, c.Mean, c.Max)
	if !math.IsNaN(c.Before) {
		s += fmt.Sprintf(", %.2f%% right before and %.2f%% after", 100*c.Before, 100*c.After)
	}
	return s
}
