package reason

import (
	"fmt"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/student/lm"
)

// Spec describes batches of answers, for [data.NewBatch]: the input [data.Input] and
// labels of tensor.Int (T), T being the context, and weights (T), as those of
// [text.Sequences]. Their views are without bound.
func Spec(context int) data.Spec {
	spec := lm.Spec(context)
	spec.Label = spec.In[data.Input]
	return spec
}

// Append writes the answer into the first row of padding of a batch that
// [data.NewBatch] made from [Spec], in the layout of [text.Sequences]: input t is id
// t of prompt and completion, and label t is id t+1. Those of the completion have
// weight 1, also where it is wrong or was cut off, and those of the prompt 0. It
// fails where the ids are more than T+1.
func (a Answer) Append(b *data.Batch, id data.ID) error {
	if b == nil || b.In[data.Input] == nil || b.In[data.Input].Dims() != 2 {
		return fmt.Errorf("reason: the batch has no input %q of (B, T); want one of reason.Spec", data.Input)
	}
	return b.Append(row{a, id.Sample, Spec(b.In[data.Input].Shape()[1])}, 0, id.View)
}

// A row is a set of one answer.
type row struct {
	Answer
	id   uint64
	spec data.Spec
}

// Len, Spec and ID implement [data.Set].
func (r row) Len() int        { return 1 }
func (r row) Spec() data.Spec { return r.spec }
func (r row) ID(int) uint64   { return r.id }

func (r row) Read(_ int, _ uint64, dst data.Sample) error {
	in := data.Row[int](dst.Batch.In[data.Input], dst.Row)
	label, weight := data.Row[int](dst.Batch.Label, dst.Row), data.Row[float32](dst.Batch.Weight, dst.Row)
	prompt, n := len(r.Prompt), len(r.Prompt)+len(r.IDs)
	switch {
	case prompt == 0 || n == prompt:
		return fmt.Errorf("the prompt has %d ids and the answer %d; want 1 or more of each", prompt, n-prompt)
	case n > len(in)+1:
		return fmt.Errorf("%d ids of prompt and answer do not fit a context of %d, which has room for %d", n, len(in), len(in)+1)
	}
	clear(weight)
	for i := copy(in, r.Prompt) + copy(in[prompt:], r.IDs); i < len(in); i++ {
		in[i] = r.Pad
	}
	copy(label, r.Prompt[1:])
	for i, next := range r.IDs {
		label[prompt-1+i], weight[prompt-1+i] = next, 1
	}
	return nil
}

// pad is the token that [text.Sequences] fills rows with.
func pad(s text.Special) int {
	if s.Pad == text.None {
		return max(s.EOS, 0)
	}
	return s.Pad
}
