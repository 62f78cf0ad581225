package data

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"
)

// A Mixup makes views of samples that are mixed with others of the set:
// λ x + (1-λ) x', with labels mixed alike, and λ from Beta(Alpha, Alpha) (Zhang
// et al. 2018, 1710.09412). It is a Set, so the teacher is asked about the very
// mixture that the student sees, which is what makes mixing help a distillation
// (Beyer et al. 2022, 2106.05237).
//
// The other sample is drawn from the whole set rather than from the batch: so
// the mixture depends on the seed, the id of the sample and the view, and not
// on the company it is in. With a bound to its Views it can be recorded like any
// augmentation, while without one a cache refuses it before the first step. What
// is mixed, and with how much, is what the view of its id stands for. Each
// mixture reads two samples.
type Mixup struct {
	// Alpha is how much is mixed: near 0 almost nothing, and with large ones
	// halves. 0 means 1, where every λ from 0 to 1 is as likely.
	Alpha float64
	// Seed is that of the partners and of λ.
	Seed uint64
	// Views is how many views there are, the plain one included. 0 means
	// without bound: each epoch has new ones, and they cannot be cached.
	Views int
}

// Of is the mixed set. Inputs must be of a float type. Labels become soft,
// (C): of classes, whose names the spec must have, in float32. The mixture of a
// sample without a label has none. Weights are mixed like inputs.
//
// Its views are those of [Augment.Of], and view 0 is the plain sample. The
// partner is in a view of its own.
func (m Mixup) Of(set Set) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Mixup: %w", errNilSet)
	}
	if m.Alpha == 0 {
		m.Alpha = 1
	}
	spec := set.Spec()
	if err := m.check(set, spec); err != nil {
		return nil, err
	}
	s := &mixed{around: wrap(set, "mixup", func(d *digest) {
		d.floats([]float64{m.Alpha})
		numbers(d, []uint64{m.Seed})
		d.number(m.Views)
	}), spare: spare{of: spec}, mixup: m}
	if spec.Label.Dtype == tensor.Int {
		s.spec.Label = Field{Shape: tensor.Shape{len(spec.Classes)}, Dtype: tensor.Float32}
	}
	var err error
	if s.fork, err = s.spec.fork(m.Views); err != nil {
		return nil, fmt.Errorf("data: Mixup.Views: %w", err)
	}
	return s, nil
}

func (m Mixup) check(set Set, spec Spec) error {
	switch {
	case !(m.Alpha > 0) || math.IsInf(m.Alpha, 0):
		return fmt.Errorf("data: Mixup.Alpha is %v; want a finite number, 0 or more", m.Alpha)
	case m.Views < 0:
		return fmt.Errorf("data: Mixup.Views is %d; want 0 or more", m.Views)
	case set.Len() < 2:
		return fmt.Errorf("data: Mixup of a set of %d; want 2 samples or more", set.Len())
	case spec.Label.Dtype == tensor.Int && len(spec.Label.Shape) > 0:
		return fmt.Errorf("data: Mixup of labels of shape %v; want one for a sample", spec.Label.Shape)
	case spec.Label.Dtype == tensor.Int && len(spec.Classes) == 0:
		return errors.New("data: Mixup of classes without names; want Spec.Classes, to know how many there are")
	}
	for _, name := range slices.Sorted(maps.Keys(spec.In)) {
		if spec.In[name].Dtype == tensor.Int {
			return fmt.Errorf("data: Mixup: input %q has dtype int; want a float type", name)
		}
	}
	return nil
}

type mixed struct {
	around
	fork
	spare
	mixup Mixup
}

func (s *mixed) Read(i int, view uint64, dst Sample) error {
	own, inner := s.split(view)
	a, err := s.spare.read(s.Set, i, inner)
	if err != nil {
		return err
	}
	defer s.pool.Put(a)
	if own == 0 {
		blend(dst, a, a, 1)
		return nil
	}
	word := mix(s.mixup.Seed, mixupWord, s.ID(i), view)
	partner := below(word, s.Set.Len()-1)
	if partner >= i {
		partner++ // anybody else
	}
	b, err := s.spare.read(s.Set, partner, s.some(mix(word)))
	if err != nil {
		return fmt.Errorf("mixed with row %d: %w", partner, err)
	}
	defer s.pool.Put(b)
	blend(dst, a, b, s.mixup.share(word))
	return nil
}

// share draws λ with a word.
func (m Mixup) share(word uint64) float64 {
	if m.Alpha == 1 {
		return float64(mix(word, 1)>>11) / (1 << 53)
	}
	rng := generator(m.Seed, word)
	x, y := logGamma(rng, m.Alpha), logGamma(rng, m.Alpha)
	return 1 / (1 + math.Exp(y-x))
}

// logGamma draws the logarithm of a number from Gamma(shape, 1), which itself
// might be too small to be told from 0 (Marsaglia and Tsang 2000, doi
// 10.1145/358407.358414).
func logGamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return logGamma(rng, shape+1) + math.Log(1-rng.Float64())/shape
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return math.Log(d * v)
		}
	}
}

// blend writes share of a and the rest of b.
func blend(dst Sample, a, b *Batch, share float64) {
	for name, t := range a.In {
		blendRow(dst.Batch.In[name], dst.Row, t, b.In[name], share)
	}
	blendRow(dst.Batch.Weight, dst.Row, a.Weight, b.Weight, share)
	if a.Label == nil || unknown(a.Label) || unknown(b.Label) {
		blank(dst.Batch.Label, dst.Row)
		return
	}
	blendRow(dst.Batch.Label, dst.Row, a.Label, b.Label, share)
	soft := Row[float32](dst.Batch.Label, dst.Row)
	for i, class := range Row[int](a.Label, 0) {
		soft[class] += float32(share)
		soft[Row[int](b.Label, 0)[i]] += float32(1 - share)
	}
}

// unknown says whether the first row of labels is none.
func unknown(label *tensor.Dense) bool {
	return !slices.ContainsFunc(Row[int](label, 0), func(class int) bool { return class >= 0 }) &&
		!slices.ContainsFunc(Row[float32](label, 0), func(p float32) bool { return p != 0 }) &&
		!slices.ContainsFunc(Row[float64](label, 0), func(p float64) bool { return p != 0 })
}

// blendRow is for floats; it leaves classes alone.
func blendRow(dst *tensor.Dense, r int, a, b *tensor.Dense, share float64) {
	blendInto(Row[float32](dst, r), Row[float32](a, 0), Row[float32](b, 0), share)
	blendInto(Row[float64](dst, r), Row[float64](a, 0), Row[float64](b, 0), share)
}

// blendInto computes in float64 and rounds once. All of a, and nothing of b, is
// a itself.
func blendInto[E float32 | float64](dst, a, b []E, share float64) {
	for i := range min(len(dst), len(a)) {
		dst[i] = E(share*float64(a[i]) + (1-share)*float64(b[i]))
	}
}
