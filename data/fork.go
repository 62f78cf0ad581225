package data

import (
	"fmt"
	"math"
	"sync"
)

// A fork is how many views a decorator makes of each view of its set, and how
// many that has. 0 is without bound.
type fork struct{ own, inner uint64 }

// fork multiplies the views of a spec.
func (s *Spec) fork(own int) (fork, error) {
	f := fork{uint64(own), uint64(s.Views)}
	var err error
	s.Views, err = times(s.Views, own)
	return f, err
}

// times multiplies numbers of views, of which 0 is without bound.
func times(a, b int) (int, error) {
	if a > 0 && b > math.MaxInt/a {
		return 0, fmt.Errorf("%d views times %d are too many to count", a, b)
	}
	return a * b, nil
}

// split is the decorator's own part of a view, and the inner set's.
func (f fork) split(view uint64) (own, inner uint64) {
	switch {
	case f.own > 0:
		return view % f.own, view / f.own
	case f.inner > 0:
		return view, view % f.inner
	}
	return view, view
}

// some is a view of the inner set.
func (f fork) some(word uint64) uint64 {
	if f.inner > 0 {
		return word % f.inner
	}
	return word
}

// Words that keep apart what decorators of one seed draw.
const (
	cropWord   = 0x63726f70
	cutoutWord = 0x6375746f
	mixupWord  = 0x6d697875
)

// spare is room for single samples of a set whose decorator reads them to
// another place than its own.
type spare struct {
	of   Spec
	pool sync.Pool // of *Batch
}

// read reads a view of sample i of set. The batch has one row, and goes back to
// the pool.
func (s *spare) read(set Set, i int, view uint64) (*Batch, error) {
	b, ok := s.pool.Get().(*Batch)
	if ok {
		b.empty()
	} else {
		made, err := NewBatch(s.of, 1)
		if err != nil {
			return nil, err
		}
		b = &made
	}
	fill(Row[float32](b.Weight, 0), 1)
	return b, set.Read(i, view, Sample{Batch: b})
}
