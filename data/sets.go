package data

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

var errNilSet = errors.New("the set is nil")

// around is a set with another spec. Decorators embed it and replace what they
// change.
type around struct {
	Set
	spec Spec
}

func (s *around) Spec() Spec { return s.spec }

// wrap is a set with the spec of its inner one, but a fingerprint of its own.
func wrap(set Set, kind string, change func(*digest)) around {
	spec := set.Spec()
	spec.Fingerprint = derive(spec.Fingerprint, kind, change)
	return around{Set: set, spec: spec}
}

// Subset is the given rows of a set, in that order. Samples keep their ids, so
// no row may be listed twice.
func Subset(set Set, rows []int) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Subset: %w", errNilSet)
	}
	if len(rows) == 0 {
		return nil, errors.New("data: Subset has no rows; want 1 or more")
	}
	seen := make([]bool, set.Len())
	for i, row := range rows {
		if row < 0 || row >= len(seen) {
			return nil, fmt.Errorf("data: Subset row %d is %d; want 0 to %d", i, row, len(seen)-1)
		}
		if seen[row] {
			return nil, fmt.Errorf("data: Subset has row %d twice", row)
		}
		seen[row] = true
	}
	rows = slices.Clone(rows)
	return &subset{wrap(set, "subset", func(d *digest) { d.ints(rows) }), rows}, nil
}

type subset struct {
	around
	rows []int
}

func (s *subset) Len() int        { return len(s.rows) }
func (s *subset) ID(i int) uint64 { return s.Set.ID(s.rows[i]) }

func (s *subset) Read(i int, view uint64, dst Sample) error {
	return s.Set.Read(s.rows[i], view, dst)
}

// HideLabels is a set where samples have no label, but for those with keep(i):
// Unlabelled for classes, all zeros for soft labels. It calls keep once for
// each sample.
func HideLabels(set Set, keep func(i int) bool) (Set, error) {
	switch {
	case set == nil:
		return nil, fmt.Errorf("data: HideLabels: %w", errNilSet)
	case keep == nil:
		return nil, errors.New("data: HideLabels.keep is nil; want a function")
	case !set.Spec().labelled():
		return nil, errors.New("data: HideLabels of a set without labels")
	}
	var hidden []int
	hide := make([]bool, set.Len())
	for i := range hide {
		if hide[i] = !keep(i); hide[i] {
			hidden = append(hidden, i)
		}
	}
	return &unlabelled{wrap(set, "hide labels", func(d *digest) { d.ints(hidden) }), hide}, nil
}

type unlabelled struct {
	around
	hide []bool
}

func (s *unlabelled) Read(i int, view uint64, dst Sample) error {
	if err := s.Set.Read(i, view, dst); err != nil || !s.hide[i] {
		return err
	}
	blank(dst.Batch.Label, dst.Row)
	return nil
}

// blank makes row r of labels what it is without one.
func blank(label *tensor.Dense, r int) {
	fill(Row[int](label, r), Unlabelled)
	clear(Row[float32](label, r))
	clear(Row[float64](label, r))
}
