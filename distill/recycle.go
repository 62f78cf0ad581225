package distill

import (
	"sync"

	"github.com/godistill/godistill/data"
)

// A recycler takes what a step is done with, for steps to come. Batches go back
// to a Loader alone: what another source yields may be known to others.
type recycler struct {
	lender  *data.Lender // nil with another source
	answers sync.Pool    // of data.Signals
}

// lend is src, or what stands for it and takes batches back.
func (r *recycler) lend(src data.Source) data.Source {
	l, ok := src.(data.Loader)
	if !ok {
		return src
	}
	r.lender = &data.Lender{Loader: l}
	return r.lender
}

func (r *recycler) takeBack(batches ...taught) {
	for _, b := range batches {
		if r.lender != nil {
			r.lender.TakeBack(b.Batch)
		}
		if b.signals != nil {
			r.answers.Put(b.signals)
		}
	}
}

// answer is one that nobody needs any more, or nil.
func (r *recycler) answer() data.Signals {
	s, _ := r.answers.Get().(data.Signals)
	return s
}
