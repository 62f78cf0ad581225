package distill

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// A roll is a list of the samples of the training data, which is made when a loss
// asks for it.
type roll struct {
	source data.Source
	places map[uint64]int // by id
}

// rollOfRows has a place for each row of a case, and no less than two.
func rollOfRows(n int) *roll {
	r := &roll{places: map[uint64]int{}}
	for i := range max(n, 2) {
		r.places[uint64(i)] = i
	}
	return r
}

// call makes the list.
func (r *roll) call() error {
	if r == nil {
		return errors.New("there is no list of the samples here")
	}
	if r.places != nil {
		return nil
	}
	listed, ok := r.source.(data.Listed)
	if !ok {
		return fmt.Errorf("Run.Train is a %T, which does not list its samples, and this loss remembers something of each; want a data.Listed, such as a data.Loader", r.source)
	}
	r.places = map[uint64]int{}
	for id := range listed.IDs() {
		if _, ok := r.places[id]; !ok {
			r.places[id] = len(r.places)
		}
	}
	return nil
}

// Samples are the places (R), of tensor.Int, of the rows' samples among n that
// the training data has: from 0, -1 for one that it does not list, and anything
// for padding. The build ends with an error where the data lists none, and where
// rows are tokens or pixels. A loss may ask in training graphs alone.
func (l Lesson) Samples() (places *gorgonia.Node, n int) {
	l.b.Check(l.roll.call())
	if rows := l.Weight.Shape()[0]; rows != l.b.Rows() {
		l.b.Check(fmt.Errorf("%d rows are of %d samples; this loss remembers something of a sample, and wants it to be a row", rows, l.b.Rows()))
	}
	return l.place(), len(l.roll.places)
}

// place is the input of the rows' places.
func (f *feed) place(b *student.Builder, rows int) *gorgonia.Node {
	f.asked = true
	return f.add(b, "place", tensor.Int, tensor.Shape{rows}, func(t data.Batch, _ data.Signals) *tensor.Dense {
		f.places = f.places[:0]
		for _, id := range t.ID {
			at, ok := f.roll.places[id.Sample]
			if !ok {
				at = -1
			}
			f.places = append(f.places, at)
		}
		return tensor.New(tensor.WithShape(len(f.places)), tensor.WithBacking(f.places))
	})
}

// strange says whether rows are of samples that the training data does not list.
func (c Case) strange() bool {
	return slices.ContainsFunc(c.ids, func(id data.ID) bool {
		_, ok := c.roll.places[id.Sample]
		return !ok
	})
}
