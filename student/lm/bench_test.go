package lm_test

import (
	"fmt"
	"testing"

	"github.com/godistill/godistill/student/lm"
)

// BenchmarkGenerate samples 48 ids for each of 64 prompts, of models for sums.
func BenchmarkGenerate(b *testing.B) {
	const prompts, length, vocab = 64, 48, 19
	latent := &lm.Latent{Rank: 24, Plain: 12, Turned: 8, Values: 16}
	mixture := &lm.Mixture{Experts: 8, Each: 2, Shared: 1, ExpertWidth: 48, Dense: 1, Normalized: true}
	for _, c := range []lm.Config{
		{Vocab: vocab, Width: 48, Inner: 128, Layers: 2, Heads: 4},
		{Vocab: vocab, Width: 96, Inner: 256, Layers: 3, Heads: 4},
		{Vocab: vocab, Width: 96, Inner: 256, Layers: 3, Heads: 4, Latent: latent},
		{Vocab: vocab, Width: 96, Inner: 256, Layers: 3, Heads: 4, Latent: latent, Mixture: mixture},
	} {
		c.Context = 16 + length
		m := must(lm.New(c, c.Context, 1))
		b.Run(fmt.Sprintf("%s/%dK", kind(c), m.Size()/1000), func(b *testing.B) {
			s := must(lm.NewSampler(m, lm.Sampling{Temperature: 0.8, TopP: 0.95, Max: length, Seed: 1}))
			all := make([][]int, prompts)
			for i := range all {
				all[i] = sequence(vocab, 6+i%7, uint64(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				must(s.Generate(b.Context(), all))
			}
			b.ReportMetric(float64(b.N*prompts*length)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

func kind(c lm.Config) string {
	switch {
	case c.Mixture != nil:
		return "latent+experts"
	case c.Latent != nil:
		return "latent"
	}
	return "llama"
}
