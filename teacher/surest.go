package teacher

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/godistill/godistill/data"
)

// A Sureness says which of several teachers is surest of a row of logits. It
// looks at their probabilities at temperature 1.
type Sureness int

const (
	// SureTop is surer where the largest probability is larger.
	SureTop Sureness = iota
	// SureEntropy is surer where the entropy is smaller.
	SureEntropy
)

// A Surest is several classifiers of which each row is answered by the one that
// is surest of it; of equals by the first. All are asked about everything, and
// what it answers are the logits of the one, to the bit. It suits teachers that
// know different things, and are calibrated: a teacher that is always sure
// answers everything.
//
// It answers "logits" only, (N, C) or (N, T, C), where each token has its own
// teacher. It refuses teachers whose logits differ in shape or dtype or are
// top-k, or whose classes differ in names or order.
type Surest struct {
	// Teachers are asked in turn.
	Teachers []Teacher
	// By is what it is to be sure; zero means SureTop.
	By Sureness
}

// Card implements [Teacher].
func (s Surest) Card() (Card, error) {
	if err := s.validate(); err != nil {
		return Card{}, err
	}
	return s.panel().card(fmt.Sprintf("surest %d", s.By))
}

// Teach implements [Teacher].
func (s Surest) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	f, logits, err := s.panel().ask(ctx, b)
	if err != nil {
		return nil, err
	}
	classes := f.Shape[len(f.Shape)-1]
	best := logits[0]
	for at := 0; at < len(best); at += classes {
		surest := math.Inf(-1)
		var row []float64
		for _, z := range logits {
			if sure := s.By.of(z[at : at+classes]); sure > surest {
				surest, row = sure, z[at:at+classes]
			}
		}
		copy(best[at:], row)
	}
	return data.Signals{Logits: dense(f, b.N, best)}, nil
}

// Covers says before the first batch why one of the teachers cannot answer
// samples of a spec, if it can tell: see [Cache.Covers].
func (s Surest) Covers(spec data.Spec) error { return covers(spec, s.Teachers...) }

func (s Surest) panel() panel {
	return panel{"Surest", s.Teachers, func(f data.Field) error { return checkLogits(Logits, f) }}
}

func (s Surest) validate() error {
	if s.By != SureTop && s.By != SureEntropy {
		return fmt.Errorf("teacher: Surest.By is %d; want SureTop or SureEntropy", s.By)
	}
	return members("Surest", s.Teachers)
}

// of is how sure a row of logits is: a number that is larger where it is surer,
// the logarithm of the largest probability or the entropy below 0.
func (s Sureness) of(z []float64) float64 {
	log := slices.Clone(z)
	logSoftmax(log, 1)
	if s == SureTop {
		return slices.Max(log)
	}
	sum := 0.0
	for _, l := range log {
		sum += math.Exp(l) * l
	}
	return sum
}
