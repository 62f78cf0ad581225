package data

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// A Draw says which rows of a set make an epoch.
type Draw interface {
	// Len is the number of rows in an epoch.
	Len() int
	// Rows are the rows of an epoch in their order, Len of them, drawn with a
	// generator that depends on the seed and the epoch alone. A row may be
	// drawn more than once.
	Rows(rng *rand.Rand) []int
}

// Balanced is a [Draw] of as many rows of each class. A class is dealt round by
// round, shuffled anew each time, so that one sample of it is drawn at most once
// more than another. [Balance] makes one.
type Balanced struct {
	// Each is how many rows of each class an epoch has. 0 means as many as the
	// largest class has samples: rare classes are repeated, and nothing is
	// left out.
	Each int

	classes [][]int // their rows; none is empty
}

// Balance is the balanced draw of a set whose labels are classes, one for a
// sample. Rows without a label are never drawn, and classes without samples are
// passed over. It reads the labels once, and the inputs only of a set that fails
// without room for them.
//
//	balance, err := data.Balance(train)
//	...
//	loader := data.Loader{Set: train, Batch: 64, Draw: balance}
func Balance(set Set) (Balanced, error) {
	if set == nil {
		return Balanced{}, fmt.Errorf("data: Balance: %w", errNilSet)
	}
	spec := set.Spec()
	if spec.Label.Dtype != tensor.Int || len(spec.Label.Shape) > 0 {
		return Balanced{}, errors.New("data: Balance of a set without classes as labels, one for a sample")
	}
	of := make(map[int][]int)
	most := -1
	for i := range set.Len() {
		class, err := classOf(set, spec, i)
		if err != nil {
			return Balanced{}, err
		}
		of[class] = append(of[class], i)
		most = max(most, class)
	}
	var b Balanced
	for class := range most + 1 {
		if rows := of[class]; rows != nil {
			b.classes = append(b.classes, rows)
		}
	}
	if len(b.classes) == 0 {
		return b, errors.New("data: Balance of a set without a label")
	}
	return b, nil
}

// classOf is the class of row i. A batch without inputs is tried first: most
// sets read the label alone into it.
func classOf(set Set, spec Spec, i int) (int, error) {
	b := Batch{Label: spec.Label.rows(1), Weight: Field{Dtype: tensor.Float32}.rows(1)}
	plain := func(uint64) uint64 { return 0 }
	if _, err := b.readRow(0, set, i, plain, spec); err != nil {
		if b, err = NewBatch(spec, 1); err != nil {
			return 0, err
		}
		if _, err := b.readRow(0, set, i, plain, spec); err != nil {
			return 0, err
		}
	}
	return Row[int](b.Label, 0)[0], nil
}

func (b Balanced) each() int {
	if b.Each != 0 {
		return b.Each
	}
	most := 0
	for _, rows := range b.classes {
		most = max(most, len(rows))
	}
	return most
}

// Len implements [Draw].
func (b Balanced) Len() int {
	n := max(len(b.classes), 1)
	return min(b.each(), maxElements/n+1) * len(b.classes) // does not overflow
}

// Rows implements [Draw].
func (b Balanced) Rows(rng *rand.Rand) []int {
	all := make([]int, 0, max(b.Len(), 0))
	for _, rows := range b.classes {
		for left := b.each(); left > 0; left -= len(rows) {
			for _, k := range rng.Perm(len(rows))[:min(left, len(rows))] {
				all = append(all, rows[k])
			}
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
