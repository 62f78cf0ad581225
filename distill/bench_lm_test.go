package distill

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
)

// language is a model of 4 layers for 64 ids, in sequences of 64.
func language(width, inner int) *student.Model {
	return must(lm.New(lm.Config{Vocab: 64, Width: width, Inner: inner, Layers: 4, Heads: width / 32, Context: 64}, 64, 1))
}

// BenchmarkLMStep is a step of a language model on 64 sequences that are there,
// alone and with a live teacher of twice the width.
func BenchmarkLMStep(b *testing.B) {
	const batch, length, vocab = 64, 64, 64
	rng := rand.New(rand.NewPCG(3, 4))
	ids, next := make([]int, batch*length), make([]int, batch*length)
	for i := range ids {
		ids[i], next[i] = rng.IntN(vocab), rng.IntN(vocab)
	}
	shaped := func(v []int) *tensor.Dense {
		return tensor.New(tensor.WithShape(batch, length), tensor.WithBacking(v))
	}
	loader := data.Loader{Set: must(data.NewMemory(data.Signals{data.Input: shaped(ids)}, shaped(next), nil)), Batch: batch}
	train := endless{loader.Spec(), allOf(loader)[0]}
	b.Run("alone", func(b *testing.B) {
		benchSteps(b, &Run{Student: language(128, 336), Terms: Hinton(1, 0)[:1], Train: train, Optimizer: Adam{Rate: Constant(1e-4)}})
	})
	b.Run("distil", func(b *testing.B) {
		benchSteps(b, &Run{
			Student: language(128, 336), Teacher: teacher.Of(language(256, 680)),
			Terms: Hinton(4, 0.9), Train: train, Optimizer: Adam{Rate: Constant(1e-4)},
		})
	})
}
