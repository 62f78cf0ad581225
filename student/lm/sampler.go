package lm

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/student"
)

// Sampling says how ids are drawn. The zero value takes the most probable id each
// time, until the context is full.
type Sampling struct {
	// Temperature divides logits: 0 takes the most probable id, the first of equals,
	// and else it is 0.001 or more. TopK and TopP then say nothing.
	Temperature float64 `json:"temperature"`
	// TopK keeps so many ids, the most probable; 0 keeps all. Of equals the lower id
	// is kept.
	TopK int `json:"top_k"`
	// TopP keeps the fewest of these ids, the most probable, whose probabilities come
	// to this share of all of theirs: a nucleus (Holtzman et al. 2020, 1904.09751,
	// section 3.1). It is above 0, and 1 at most; 0 means 1.
	TopP float64 `json:"top_p"`
	// Stop are ids that end a sample, which has them last.
	Stop []int `json:"stop"`
	// Max is how many ids a sample has at most; 0 means what the context has room for.
	Max int `json:"max"`
	// Batch is how many prompts are at work at once, which bounds memory; 0 means 64.
	Batch int `json:"-" config:"-"` // no byte of a sample depends on it
	// Seed is what all is drawn from, with the id of a prompt and a position.
	Seed uint64 `json:"seed"`
}

// leastTemperature keeps quotients of logits finite.
const leastTemperature = 0.001

func (s Sampling) defaults() Sampling {
	if s.TopP == 0 {
		s.TopP = 1
	}
	if s.Batch == 0 {
		s.Batch = 64
	}
	return s
}

func (s Sampling) validate(c Config) error {
	switch {
	case s.Temperature != 0 && !(s.Temperature >= leastTemperature) || math.IsInf(s.Temperature, 0):
		return fmt.Errorf("lm: Sampling.Temperature is %v; want a finite number of %v or more, or 0 for the most probable id", s.Temperature, leastTemperature)
	case s.TopK < 0:
		return fmt.Errorf("lm: Sampling.TopK is %d; want 0 or more", s.TopK)
	case !(s.TopP > 0 && s.TopP <= 1):
		return fmt.Errorf("lm: Sampling.TopP is %v; want a number above 0, and 1 at most", s.TopP)
	case s.Max < 0 || s.Max >= c.Context:
		return fmt.Errorf("lm: Sampling.Max is %d; want 0 or more, and less than Config.Context, %d", s.Max, c.Context)
	case s.Batch < 0 || s.Batch > most:
		return fmt.Errorf("lm: Sampling.Batch is %d; want 0 to %d", s.Batch, most)
	}
	for _, id := range s.Stop {
		if id < 0 || id >= c.Vocab {
			return fmt.Errorf("lm: Sampling.Stop has the id %d; want 0 to %d", id, c.Vocab-1)
		}
	}
	return nil
}

// A Sample is what a model says after a prompt.
type Sample struct {
	// IDs are new ones, without the prompt, and with the one that stopped it.
	IDs []int
	// LogProbs are the logarithms of the probabilities that the model gives them, at
	// temperature 1 and with all ids kept: what the gradient of a policy is taken of.
	LogProbs []float64
	// Drawn are those that they were drawn with: 0 where the most probable is taken.
	Drawn []float64
	// Stopped says that the last id is one of Sampling.Stop.
	Stopped bool
}

// A Sampler draws what a model says after prompts. It computes with the weights as
// they are when Generate is called: those of a model that learns may change from
// one call to the next. What a position comes to is kept, so that each id is
// computed once; a [Latent] keeps its short vectors, and nothing for each head. What
// is kept is linear in Sampling.Batch and in the longest of the prompts with what
// follows it.
//
// What a prompt is answered depends on the weights, the seed and its id alone, to
// the last bit: other prompts, their order and their number, and the number of
// threads, change nothing. One goroutine at a time may use it.
type Sampler struct {
	config   Config
	sampling Sampling
	engine   generator
}

// A generator is an engine of either dtype.
type generator interface {
	generate(ctx context.Context, all []*sequence) error
}

// NewSampler is a sampler of a model that [New] or [Load] made. Heads ahead are not
// asked.
func NewSampler(m *student.Model, s Sampling) (*Sampler, error) {
	c, err := configOf(m)
	if err != nil {
		return nil, err
	}
	c, s = c.defaults(), s.defaults()
	if err := s.validate(c); err != nil {
		return nil, err
	}
	if m.Dtype() == tensor.Float64 {
		return &Sampler{c, s, newEngine[float64](c, s, m)}, nil
	}
	return &Sampler{c, s, newEngine[float32](c, s, m)}, nil
}

// Generate answers prompts, which are ids of one token or more each. The ids of the
// prompts, one for each, are what their answers are drawn from: with none, they are
// 0 and on. Equal prompts with different ids have different answers. It fails on a
// prompt that does not leave the context room for Sampling.Max, on ids that the
// vocabulary does not have, on weights that are not finite, and when the context
// ends.
func (s *Sampler) Generate(ctx context.Context, prompts [][]int, ids ...uint64) ([]Sample, error) {
	if s == nil || s.engine == nil {
		return nil, errors.New("lm: the Sampler is not one that NewSampler made")
	}
	if len(ids) > 0 && len(ids) != len(prompts) {
		return nil, fmt.Errorf("lm: there are %d prompts and %d ids of them; want as many, or none", len(prompts), len(ids))
	}
	all := make([]*sequence, len(prompts))
	for i, p := range prompts {
		if err := s.check(p); err != nil {
			return nil, fmt.Errorf("lm: prompt %d %w", i, err)
		}
		id := uint64(i)
		if len(ids) > 0 {
			id = ids[i]
		}
		all[i] = newSequence(p, id, s.most(p))
	}
	if err := s.engine.generate(ctx, all); err != nil {
		return nil, fmt.Errorf("lm: %w", err)
	}
	samples := make([]Sample, len(all))
	for i, q := range all {
		if q.err != nil {
			return nil, fmt.Errorf("lm: prompt %d: %w", i, q.err)
		}
		samples[i] = q.sample()
	}
	return samples, nil
}

// most is how many ids may follow a prompt.
func (s *Sampler) most(prompt []int) int {
	if s.sampling.Max > 0 {
		return s.sampling.Max
	}
	return s.config.Context - len(prompt)
}

func (s *Sampler) check(prompt []int) error {
	least := max(1, s.sampling.Max)
	switch {
	case len(prompt) == 0:
		return errors.New("is empty; want one id or more")
	case len(prompt) > s.config.Context-least:
		return fmt.Errorf("has %d ids, which %d or more are to follow; want %d together at most, Config.Context", len(prompt), least, s.config.Context)
	}
	for i, id := range prompt {
		if id < 0 || id >= s.config.Vocab {
			return fmt.Errorf("has the id %d at position %d; want 0 to %d", id, i, s.config.Vocab-1)
		}
	}
	return nil
}

// A sequence is a prompt with what follows it.
type sequence struct {
	id              uint64
	prompt, most    int // how many ids it has, and how many may follow
	ids             []int
	logProbs, drawn []float64
	fed             int // ids that the cache has
	slot            int // of the cache
	stopped         bool
	err             error
}

func newSequence(prompt []int, id uint64, most int) *sequence {
	logs := make([]float64, 2*most)
	return &sequence{
		id: id, prompt: len(prompt), most: most,
		ids:      append(make([]int, 0, len(prompt)+most), prompt...),
		logProbs: logs[:0:most], drawn: logs[most:most],
	}
}

// add is the next id.
func (q *sequence) add(id int, logProb, drawn float64, stops bool) {
	q.ids, q.stopped = append(q.ids, id), stops
	q.logProbs, q.drawn = append(q.logProbs, logProb), append(q.drawn, drawn)
}

// done says that nothing follows.
func (q *sequence) done() bool {
	return q.stopped || q.err != nil || len(q.ids) == q.prompt+q.most
}

func (q *sequence) sample() Sample {
	return Sample{IDs: q.ids[q.prompt:], LogProbs: q.logProbs, Drawn: q.drawn, Stopped: q.stopped}
}
