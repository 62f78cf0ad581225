package teacher

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// A Pool says what a [Mean] averages.
type Pool int

const (
	// PoolLogits averages raw logits: the geometric mean of the probabilities,
	// up to a constant, at every temperature.
	PoolLogits Pool = iota
	// PoolProbabilities averages probabilities at temperature 1 and answers
	// their logarithm. It keeps the second mode where teachers disagree. It is
	// for classifiers: probabilities are the softmax over the last axis.
	PoolProbabilities
)

// A Mean is several teachers averaged into one, an ensemble. It answers
// "logits" only, in the teachers' dtype and computed in float64: of any shape,
// or with PoolProbabilities (N, C) or (N, T, C). It refuses teachers whose logits differ in shape or
// dtype or are top-k, or whose classes differ in names or order.
type Mean struct {
	// Teachers are asked in turn.
	Teachers []Teacher
	// Weights are relative to their sum, one for each teacher. Nil counts all
	// alike.
	Weights []float64
	// Pool is what is averaged; zero means PoolLogits.
	Pool Pool
}

// Card implements [Teacher].
func (m Mean) Card() (Card, error) {
	shares, err := m.shares()
	if err != nil {
		return Card{}, err
	}
	return m.panel().card(fmt.Sprintf("mean %d %v", m.Pool, shares))
}

// Teach implements [Teacher].
func (m Mean) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	shares, err := m.shares()
	if err != nil {
		return nil, err
	}
	f, logits, err := m.panel().ask(ctx, b)
	if err != nil {
		return nil, err
	}
	if m.Pool == PoolLogits {
		return data.Signals{Logits: dense(f, b.N, weighted(shares, logits))}, nil
	}
	return data.Signals{Logits: dense(f, b.N, pooled(shares, logits, f.Shape[len(f.Shape)-1]))}, nil
}

// Covers says before the first batch why one of the teachers cannot answer
// samples of a spec, if it can tell: see [Cache.Covers].
func (m Mean) Covers(spec data.Spec) error { return covers(spec, m.Teachers...) }

func (m Mean) panel() panel { return panel{"Mean", m.Teachers, m.Pool.check} }

// check says why logits of a field cannot be averaged.
func (p Pool) check(f data.Field) error {
	switch {
	case p == PoolProbabilities:
		return checkLogits(Logits, f)
	case f.Dtype == tensor.Int:
		return fmt.Errorf("teacher: signal %q has dtype int; want a float type", Logits)
	}
	return checkField("signal", Logits, f)
}

// pooled averages the probabilities of the teachers' logits, rows of so many
// classes. It writes over them.
func pooled(shares []float64, logits [][]float64, classes int) []float64 {
	for i, z := range logits {
		for at := 0; at < len(z); at += classes {
			logSoftmax(z[at:at+classes], shares[i])
		}
	}
	mean := make([]float64, len(logits[0]))
	terms := make([]float64, len(logits))
	for c := range mean {
		for i := range logits {
			terms[i] = logits[i][c]
		}
		mean[c] = kernel.LogSumExp(terms, 1)
	}
	return mean
}

func weighted(shares []float64, values [][]float64) []float64 {
	sum := make([]float64, len(values[0]))
	for i, all := range values {
		for j, v := range all {
			sum[j] += shares[i] * v
		}
	}
	return sum
}

// shares are the weights, with a sum of 1. It validates m.
func (m Mean) shares() ([]float64, error) {
	if err := members("Mean", m.Teachers); err != nil {
		return nil, err
	}
	if m.Pool != PoolLogits && m.Pool != PoolProbabilities {
		return nil, fmt.Errorf("teacher: Mean.Pool is %d; want PoolLogits or PoolProbabilities", m.Pool)
	}
	if m.Weights != nil && len(m.Weights) != len(m.Teachers) {
		return nil, fmt.Errorf("teacher: Mean.Weights has %d elements; want one for each of the %d teachers", len(m.Weights), len(m.Teachers))
	}
	shares := make([]float64, len(m.Teachers))
	var sum float64
	for i := range shares {
		shares[i] = 1
		if m.Weights != nil {
			shares[i] = m.Weights[i]
		}
		if !(shares[i] > 0) {
			return nil, fmt.Errorf("teacher: Mean.Weights[%d] is %v; want more than 0", i, shares[i])
		}
		sum += shares[i]
	}
	if !finite(sum) {
		return nil, fmt.Errorf("teacher: Mean.Weights has the sum %v; want a finite one", sum)
	}
	for i := range shares {
		shares[i] /= sum
	}
	return shares, nil
}
