// Package data holds what a student learns from: sets of samples, and sources
// that deal them out in batches.
//
// A [Set] is random access to samples. A [Loader] shuffles a set and reads it
// ahead, in batches whose order depends on the seed and the epoch alone:
//
//	split, err := data.Digits()
//	if err != nil {
//		return err
//	}
//	loader := data.Loader{Set: split.Train, Batch: 64, Seed: 1}
//	for batch, err := range loader.Batches(ctx, 0, 0) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(batch.N, batch.In["x"].Shape())
//	}
//
// Whatever changes a sample, an augmentation or a normalisation, is a Set
// around a Set. What cannot be read in any order is a [Stream], which is a
// source without a length. The package refuses what it cannot reproduce: there is no
// global generator, no clock and no map order in it.
package data

import (
	"context"
	"iter"

	"gorgonia.org/tensor"
)

// Input is the name of the input of sets that have only one.
const Input = "x"

// Unlabelled is the label of a row that has none.
const Unlabelled = -1

// Signals are the named values of one batch. The leading axis of each counts
// samples, always.
type Signals map[string]*tensor.Dense

// A Field says what one sample holds under a name.
type Field struct {
	Shape tensor.Shape // of one sample; empty for a single number
	Dtype tensor.Dtype // tensor.Float32, tensor.Float64 or tensor.Int
}

// Size is the count of elements that one sample has in the field.
func (f Field) Size() int { return f.Shape.TotalSize() }

// A Norm is the affine change that was made to an input: (raw - Mean) / SD.
// Mean and SD have one element for the whole input, one for each element of
// it, or none where nothing was changed.
type Norm struct {
	Mean, SD []float64
}

// A Spec describes the samples of a set or a source.
type Spec struct {
	// In are the inputs by name.
	In map[string]Field
	// Label is the field of the labels: tensor.Int with shape (), (T) or (H, W)
	// for classes, a float type with shape (C) for soft labels, probabilities,
	// and the zero Field where there are none. Task says what else there is.
	Label Field
	// Task is what labels mean; zero is Classification.
	Task Task
	// Classes are the names of the classes, in the order of the logits. They may
	// be unknown, and in other tasks they are the names of the student's outputs.
	Classes []string
	// Norm is what was done to the raw inputs, by name. It travels with the
	// student.
	Norm map[string]Norm
	// Views is how many different views a sample has: 1 without augmentation,
	// 0 when they are without bound.
	Views int
	// Fingerprint is a hash of the samples, their ids and their labels.
	Fingerprint [32]byte
}

// An ID names a sample and the view of it that was read. Equal ids of one set
// are equal inputs.
type ID struct {
	Sample uint64
	View   uint64 // below Spec.Views, unless that is 0
}

// A Batch is a number of samples, side by side. It is the reader's to keep.
type Batch struct {
	// N is how many rows of the leading axis are samples. The rest is padding:
	// zeros everywhere, and Unlabelled where labels are classes.
	N int
	// ID has the N ids.
	ID []ID
	// In are the inputs: (B, shape...).
	In Signals
	// Label is (B), (B, T) or (B, H, W) of tensor.Int, with Unlabelled where
	// there is none; (B, C) of a float type for soft labels, each row with a sum
	// of 1, or all 0 where there is none; what another Task has; or nil.
	Label *tensor.Dense
	// Weight is of tensor.Float32: how much a row counts. It is (B), and has
	// the shape of labels that are of tensor.Int. Padding has weight 0.
	Weight *tensor.Dense
}

// A Sample is the place that one sample is read into: a row of a batch.
type Sample struct {
	Batch *Batch
	Row   int
}

// A Set is random access to samples. Its methods may be called from many
// goroutines.
type Set interface {
	// Len is the number of samples.
	Len() int
	// Spec describes the samples.
	Spec() Spec
	// ID is the stable name of sample i: it survives shuffling and subsets.
	ID(i int) uint64
	// Read writes view v of sample i to dst: every input, the label and the
	// weight. The rows of dst are zeroed, with weight 1 and label Unlabelled.
	// Where dst has no inputs, the label alone is wanted (see [Balance]).
	Read(i int, view uint64, dst Sample) error
}

// A Source is a stream of batches, epoch after epoch.
type Source interface {
	// Spec describes the samples, of every batch the same.
	Spec() Spec
	// Batches yields the batches of an epoch, starting with batch number from.
	// After an error it yields nothing more. What it yields depends on its
	// arguments alone, and where it is [Live] on the student's weights.
	Batches(ctx context.Context, epoch, from int) iter.Seq2[Batch, error]
}

// A Counted source knows how many batches an epoch has.
type Counted interface {
	Source
	// Len is the number of batches in an epoch.
	Len() int
}

// A Live source yields batches of what a student says while it learns. A run asks
// it for a batch when the step before has been taken, and for the first of all
// once more before that.
type Live interface {
	Counted
	// Live does nothing: it marks the source.
	Live()
}

// A Listed source knows the samples that its batches are of, whatever the epoch:
// for who remembers something of each.
type Listed interface {
	Source
	// IDs yields the [ID.Sample] of each, in the same order always. One may come
	// more than once.
	IDs() iter.Seq[uint64]
}

// Element is what the tensors of a batch hold.
type Element interface {
	float32 | float64 | int
}

// Row is row r of t, counted along the leading axis, as a slice that shares t's
// memory, or nil when t is nil or holds another type than E.
func Row[E Element](t *tensor.Dense, r int) []E {
	if t == nil || t.Dims() == 0 {
		return nil
	}
	var all []E
	switch p := any(&all).(type) { // Data would allocate at each call
	case *[]float32:
		if t.Dtype() == tensor.Float32 {
			*p = t.Float32s()
		}
	case *[]float64:
		if t.Dtype() == tensor.Float64 {
			*p = t.Float64s()
		}
	case *[]int:
		if t.Dtype() == tensor.Int {
			*p = t.Ints()
		}
	}
	if all == nil {
		return nil
	}
	n := len(all) / t.Shape()[0]
	return all[r*n : (r+1)*n : (r+1)*n]
}
