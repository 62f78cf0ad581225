package report_test

import (
	"context"
	"iter"

	"github.com/godistill/godistill/data"
)

// batches is a source of the given batches, the same in each epoch.
type batches struct {
	spec data.Spec
	list []data.Batch
}

func (s batches) Spec() data.Spec { return s.spec }

func (s batches) Batches(_ context.Context, _, from int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		for _, b := range s.list[from:] {
			if !yield(b, nil) {
				return
			}
		}
	}
}
