package data

import (
	"errors"
	"fmt"
	"maps"
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
func (s *around) slow() bool { return isSlow(s.Set) }

// wrap is a set with the spec of its inner one, but a fingerprint of its own.
func wrap(set Set, kind string, change func(*digest)) around {
	spec := set.Spec()
	spec.Fingerprint = derive(spec.Fingerprint, kind, change)
	return around{Set: set, spec: spec}
}

// Subset is the given rows of a set, in that order. Samples keep their ids, so
// no row may be listed twice.
//
//	train, err := data.Subset(all, data.Range(0, 50_000))
//	...
//	valid, err := data.Subset(all, data.Range(50_000, all.Len()))
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

// Range is the numbers from first on, below end, as rows for a [Subset] or a [Deal].
// It is empty where there are none.
func Range(first, end int) (rows []int) {
	for i := first; i < end; i++ {
		rows = append(rows, i)
	}
	return rows
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

// Repeat is a set read over and over until it has the given number of rows: row
// i is row i mod set.Len(). It gives runs on sets of different sizes as many
// rows an epoch. Ids repeat with the rows, so within an epoch all rows of one
// sample have one view of it.
func Repeat(set Set, rows int) (Set, error) {
	switch {
	case set == nil:
		return nil, fmt.Errorf("data: Repeat: %w", errNilSet)
	case set.Len() < 1:
		return nil, errors.New("data: Repeat of an empty set")
	case rows < 1 || rows > maxElements:
		return nil, fmt.Errorf("data: Repeat.rows is %d; want 1 to %d", rows, maxElements)
	}
	return &repeated{wrap(set, "repeat", func(d *digest) { d.number(rows) }), rows}, nil
}

type repeated struct {
	around
	rows int
}

func (s *repeated) Len() int        { return s.rows }
func (s *repeated) ID(i int) uint64 { return s.Set.ID(i % s.Set.Len()) }

func (s *repeated) Read(i int, view uint64, dst Sample) error {
	return s.Set.Read(i%s.Set.Len(), view, dst)
}

// Concat is the rows of several sets, one set after the other. The sets have
// the same inputs, labels, classes, norms and views. Samples keep their ids, so
// no two sets may have one in common.
func Concat(sets ...Set) (Set, error) {
	if len(sets) == 0 {
		return nil, errors.New("data: Concat has no sets; want 1 or more")
	}
	c := &concat{sets: slices.Clone(sets)}
	print, owner, end := newDigest("concat"), make(map[uint64]int), 0
	for i, set := range sets {
		if set == nil {
			return nil, fmt.Errorf("data: Concat: set %d is nil", i)
		}
		spec := set.Spec()
		if i == 0 {
			c.spec = spec
		}
		if what := c.spec.differs(spec); what != "" {
			return nil, fmt.Errorf("data: Concat: set %d has other %s than set 0", i, what)
		}
		for row := range set.Len() {
			id := set.ID(row)
			if first, ok := owner[id]; ok && first != i {
				return nil, fmt.Errorf("data: Concat: sets %d and %d both have id %d; want ids of their own (see Memory.WithIDs and CSV.FirstID)", first, i, id)
			}
			owner[id] = i
		}
		print.hash.Write(spec.Fingerprint[:])
		end += set.Len()
		c.ends = append(c.ends, end)
	}
	c.spec.Fingerprint = print.sum()
	return c, nil
}

type concat struct {
	sets []Set
	ends []int // the row after the last of each set
	spec Spec
}

func (c *concat) Spec() Spec { return c.spec }
func (c *concat) Len() int   { return c.ends[len(c.ends)-1] }
func (c *concat) slow() bool { return slices.ContainsFunc(c.sets, isSlow) }

func (c *concat) ID(i int) uint64 {
	set, row := c.find(i)
	return set.ID(row)
}

func (c *concat) Read(i int, view uint64, dst Sample) error {
	set, row := c.find(i)
	return set.Read(row, view, dst)
}

// find is the set that has row i, and the row there. What is no row at all is
// left to the first set or the last to refuse.
func (c *concat) find(i int) (Set, int) {
	n, _ := slices.BinarySearch(c.ends[:len(c.ends)-1], i+1)
	if n > 0 {
		i -= c.ends[n-1]
	}
	return c.sets[n], i
}

// differs is what samples of the two specs do not have in common, "" if they
// go into one batch.
func (s Spec) differs(t Spec) string {
	switch {
	case !maps.EqualFunc(s.In, t.In, Field.equal):
		return "inputs"
	case !s.Label.equal(t.Label):
		return "labels"
	case s.Task != t.Task:
		return "task"
	case !slices.Equal(s.Classes, t.Classes):
		return "classes"
	case !maps.EqualFunc(s.Norm, t.Norm, Norm.equal):
		return "norms"
	case s.Views != t.Views:
		return "views"
	}
	return ""
}

func (f Field) equal(g Field) bool { return f.Dtype == g.Dtype && slices.Equal(f.Shape, g.Shape) }

func (n Norm) equal(m Norm) bool { return slices.Equal(n.Mean, m.Mean) && slices.Equal(n.SD, m.SD) }

// HideLabels is a set where samples have no label, but for those with keep(i):
// Unlabelled for classes, all zeros for soft labels. It calls keep once for
// each sample. Of another task than Classification, where zeros are labels too,
// give the samples no weight, or leave them out.
func HideLabels(set Set, keep func(i int) bool) (Set, error) {
	switch {
	case set == nil:
		return nil, fmt.Errorf("data: HideLabels: %w", errNilSet)
	case keep == nil:
		return nil, errors.New("data: HideLabels.keep is nil; want a function")
	case set.Len() < 1:
		return nil, errors.New("data: HideLabels of an empty set")
	case !set.Spec().labelled():
		return nil, errors.New("data: HideLabels of a set without labels")
	case set.Spec().Task != Classification:
		return nil, fmt.Errorf("data: HideLabels of a set for %v; want Classification", set.Spec().Task)
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
