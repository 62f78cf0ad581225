package data

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// An Augment makes views of samples with a function. View 0 is always the
// plain sample, so evaluation sees it.
type Augment struct {
	// Name says what Do does, and changes whenever that changes: it stands
	// for Do in the fingerprint. It must not be empty.
	Name string
	// Seed is that of the generators.
	Seed uint64
	// Views is how many views there are, the plain one included. 0 means
	// without bound: each epoch has new ones, and they cannot be cached.
	Views int
	// Do changes the sample in place. Its generator depends on Seed, the id of
	// the sample and the view alone. It is called from many goroutines.
	Do func(rng *rand.Rand, dst Sample) error
}

// Of is the augmented set. Its views are those of set times those of a:
// view v is a's view v % Views of set's view v / Views. Where a has no bound,
// v is a's view of set's view v modulo the number that set has.
func (a Augment) Of(set Set) (Set, error) {
	switch {
	case set == nil:
		return nil, fmt.Errorf("data: Augment: %w", errNilSet)
	case a.Name == "":
		return nil, errors.New("data: Augment.Name is empty; want what Do does")
	case a.Views < 0:
		return nil, fmt.Errorf("data: Augment.Views is %d; want 0 or more", a.Views)
	case a.Do == nil:
		return nil, errors.New("data: Augment.Do is nil; want a function")
	}
	s := &augmented{around: wrap(set, "augment", func(d *digest) {
		d.text(a.Name)
		numbers(d, []uint64{a.Seed})
		d.number(a.Views)
	}), augment: a}
	var err error
	if s.fork, err = s.spec.fork(a.Views); err != nil {
		return nil, fmt.Errorf("data: Augment.Views: %w", err)
	}
	return s, nil
}

type augmented struct {
	around
	fork
	augment Augment
}

func (s *augmented) Read(i int, view uint64, dst Sample) error {
	own, inner := s.split(view)
	if err := s.Set.Read(i, inner, dst); err != nil || own == 0 {
		return err
	}
	return s.augment.Do(generator(s.augment.Seed, s.ID(i), view), dst)
}
