package distill

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/godistill/godistill/data"
)

// An asked source is live, and writes down when it is asked for a batch.
type asked struct {
	batches
	pages *[]string
}

func (d asked) Len() int { return len(d.list) }
func (asked) Live()      {}

func (d asked) Batches(ctx context.Context, epoch, from int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		n := from
		for b, err := range d.batches.Batches(ctx, epoch, from) {
			*d.pages = append(*d.pages, fmt.Sprint("batch ", epoch, ".", n))
			if n++; !yield(b, err) {
				return
			}
		}
	}
}

// What a student says is asked for when it has learnt from what it said before.
func TestLiveSourceWaitsForTheStep(t *testing.T) {
	for accumulate, want := range map[int][]string{
		1: {"batch 0.0", "step 1", "batch 0.1", "step 2", "batch 0.2", "step 3", "batch 1.0", "step 4", "batch 1.1", "step 5", "batch 1.2", "step 6"},
		2: {"batch 0.0", "batch 0.1", "step 1", "batch 0.2", "step 2", "batch 1.0", "batch 1.1", "step 3", "batch 1.2", "step 4"},
	} {
		r := toyRun[float32]()
		source := r.Train.(data.Loader)
		pages := []string{}
		r.Train = asked{batches{source.Spec(), allOf(source)[:3]}, &pages}
		r.Accumulate, r.Epochs, r.MaxSteps = accumulate, 2, 0
		for step, err := range r.Steps(t.Context()) {
			must(step, err)
			pages = append(pages, fmt.Sprint("step ", step.N))
		}
		// The first batch of all is looked at before the run begins.
		if want = append([]string{"batch 0.0"}, want...); !slices.Equal(pages, want) {
			t.Errorf("accumulating %d: %q; want %q", accumulate, pages, want)
		}
	}
}
