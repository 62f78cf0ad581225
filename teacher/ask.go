package teacher

import (
	"context"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// Ask is t.Teach for a caller who does not need an earlier answer of t any
// more: old, or nil. A teacher of this package that computes or reads its
// answers, as [Of] and a [Cache] do, by themselves or in [Or] or [Live], writes
// over old where it fits and makes nothing new; others answer as ever. Without
// an error, only what Ask returns is to be used after it.
func Ask(ctx context.Context, t Teacher, b data.Batch, old data.Signals) (data.Signals, error) {
	switch t := t.(type) { // no interface: who embeds a Cache would have its methods
	case of:
		return t.answer(ctx, b, old)
	case *Cache:
		return t.answer(ctx, b, old)
	case live:
		if t.Teacher != nil {
			return Ask(ctx, t.Teacher, b, old)
		}
	case or:
		if owns(t.first) && owns(t.second) {
			return t.answer(ctx, b, old)
		}
	}
	return t.Teach(ctx, b)
}

// owns says that nobody but the caller knows the tensors of an answer, whereas
// a [Func] may give the same ones again.
func owns(t Teacher) bool {
	switch t.(type) {
	case of, *Cache:
		return true
	}
	return false
}

// room is a tensor of n samples of a field: old, if it is one.
func room(old *tensor.Dense, f data.Field, n int) *tensor.Dense {
	if checkTensor("", "", f, n, old) == nil {
		return old
	}
	return tensor.New(tensor.Of(f.Dtype), tensor.WithShape(append([]int{n}, f.Shape...)...))
}
