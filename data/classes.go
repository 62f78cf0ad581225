package data

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// OfClasses is the rows of a set whose label is one of the classes, in their
// order: what a transfer set without some classes is made by. It reads every
// label. It fails for labels that are no single class for each sample, and where
// no row is left.
func OfClasses(set Set, classes ...int) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: OfClasses: %w", errNilSet)
	}
	spec := set.Spec()
	if spec.Label.Dtype != tensor.Int || len(spec.Label.Shape) > 0 {
		return nil, errors.New("data: OfClasses of a set without classes as labels, one for a sample")
	}
	var rows []int
	for i := range set.Len() {
		class, err := classOf(set, spec, i)
		if err != nil {
			return nil, fmt.Errorf("data: OfClasses: row %d: %w", i, err)
		}
		if class != Unlabelled && slices.Contains(classes, class) {
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("data: OfClasses has no row of the classes %v; want one or more", classes)
	}
	return Subset(set, rows)
}
