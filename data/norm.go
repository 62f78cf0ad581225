package data

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"gorgonia.org/tensor"
)

// Normalize is a set whose inputs are (raw - Mean) / SD, and whose Spec says
// so. Inputs that norms does not name stay as they are. It fails on an input
// that is normalised already: one Norm has to lead back to the raw values.
//
// A normalisation that is fitted belongs to the training set; give the same
// one to the others:
//
//	norm, err := data.FitNorm(train)
//	...
//	train, err = data.Normalize(train, norm)
//	valid, err = data.Normalize(valid, norm)
func Normalize(set Set, norms map[string]Norm) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Normalize: %w", errNilSet)
	}
	spec := set.Spec()
	names := slices.Sorted(maps.Keys(norms))
	for _, name := range names {
		if err := norms[name].check(spec, name); err != nil {
			return nil, fmt.Errorf("data: Normalize: input %q %w", name, err)
		}
	}
	s := &normalized{around: wrap(set, "normalize", func(d *digest) {
		for _, name := range names {
			d.text(name)
			d.floats(norms[name].Mean)
			d.floats(norms[name].SD)
		}
	}), norms: make(map[string]Norm, len(norms))}
	for name, n := range norms {
		s.norms[name] = Norm{Mean: slices.Clone(n.Mean), SD: slices.Clone(n.SD)}
	}
	s.spec.Norm = maps.Clone(spec.Norm)
	if s.spec.Norm == nil {
		s.spec.Norm = make(map[string]Norm, len(norms))
	}
	maps.Copy(s.spec.Norm, s.norms)
	return s, nil
}

// check says why the norm cannot be applied to an input.
func (n Norm) check(s Spec, name string) error {
	f, ok := s.In[name]
	switch {
	case !ok:
		return fmt.Errorf("is unknown; the set has %q", slices.Sorted(maps.Keys(s.In)))
	case f.Dtype == tensor.Int:
		return fmt.Errorf("has dtype int; want a float type")
	case len(s.Norm[name].Mean) > 0:
		return fmt.Errorf("is normalised already")
	case len(n.Mean) != len(n.SD):
		return fmt.Errorf("has a Norm of %d means and %d SDs", len(n.Mean), len(n.SD))
	case len(n.Mean) > 1 && len(n.Mean) != f.Size():
		return fmt.Errorf("has a Norm of %d elements; want none, 1 or %d", len(n.Mean), f.Size())
	}
	for i, mean := range n.Mean {
		if sd := n.SD[i]; mean-mean != 0 || sd-sd != 0 || sd <= 0 {
			return fmt.Errorf("has a Norm of mean %v, SD %v at element %d; want finite, and SD above 0", mean, sd, i)
		}
	}
	return nil
}

type normalized struct {
	around
	norms map[string]Norm
}

func (s *normalized) Read(i int, view uint64, dst Sample) error {
	if err := s.Set.Read(i, view, dst); err != nil {
		return err
	}
	for name, n := range s.norms {
		apply(n, Row[float32](dst.Batch.In[name], dst.Row))
		apply(n, Row[float64](dst.Batch.In[name], dst.Row))
	}
	return nil
}

// apply computes in float64 and rounds once.
func apply[E float32 | float64](n Norm, row []E) {
	switch len(n.Mean) {
	case 0:
	case 1:
		mean, sd := n.Mean[0], n.SD[0]
		for i, v := range row {
			row[i] = E((float64(v) - mean) / sd)
		}
	default:
		for i, v := range row {
			row[i] = E((float64(v) - n.Mean[i]) / n.SD[i])
		}
	}
}

// FitNorm is the mean and the standard deviation of each float input of a set,
// over all elements of view 0 of all samples. An SD of 0 becomes 1.
func FitNorm(set Set) (map[string]Norm, error) {
	return fit(set, func(Field) int { return 1 })
}

// FitNormPlanes is FitNorm for each plane of images (C, H, W) by itself, as is
// usual for colours. Inputs of other shapes have one mean, as there.
func FitNormPlanes(set Set) (map[string]Norm, error) {
	norms, err := fit(set, func(f Field) int {
		if len(f.Shape) == 3 {
			return f.Shape[0]
		}
		return 1
	})
	if err != nil {
		return nil, err
	}
	for name, n := range norms {
		if f := set.Spec().In[name]; len(n.Mean) > 1 {
			if norms[name], err = n.Spread(f); err != nil {
				return nil, err
			}
		}
	}
	return norms, nil
}

// Spread makes a norm with an element for each plane of images one with an
// element for each of theirs, as [Normalize] wants it. The shape of f is (C, H,
// W):
//
//	imagenet := data.Norm{Mean: []float64{0.485, 0.456, 0.406}, SD: []float64{0.229, 0.224, 0.225}}
//	norm, err := imagenet.Spread(set.Spec().In["x"])
func (n Norm) Spread(f Field) (Norm, error) {
	if len(f.Shape) != 3 || len(n.Mean) != f.Shape[0] || len(n.SD) != f.Shape[0] {
		return Norm{}, fmt.Errorf("data: Norm of %d means and %d SDs for images of shape %v; want one for each plane of (C, H, W)", len(n.Mean), len(n.SD), f.Shape)
	}
	// What is made are numbers of float64, whatever the field has.
	if err := (Field{f.Shape, tensor.Float64}).check(1); err != nil {
		return Norm{}, fmt.Errorf("data: Norm.Spread: the field %w", err)
	}
	var all Norm
	for c := range n.Mean {
		size := f.Shape[1] * f.Shape[2]
		all.Mean = append(all.Mean, slices.Repeat(n.Mean[c:c+1], size)...)
		all.SD = append(all.SD, slices.Repeat(n.SD[c:c+1], size)...)
	}
	return all, nil
}

// FitNormEach is FitNorm for each element of a sample by itself. It suits
// tables; for images it would undo what neighbours have in common.
func FitNormEach(set Set) (map[string]Norm, error) {
	return fit(set, Field.Size)
}

// fit reads the set once, with a mean for each of as many parts of an input, of
// one size, as parts says.
func fit(set Set, parts func(Field) int) (map[string]Norm, error) {
	if set == nil {
		return nil, fmt.Errorf("data: FitNorm: %w", errNilSet)
	}
	sums := make(map[string][]moments)
	for name, f := range set.Spec().In {
		if f.Dtype != tensor.Int {
			sums[name] = make([]moments, parts(f))
		}
	}
	all := Loader{Set: set, Batch: 64, InOrder: true, Prefetch: -1}
	for b, err := range all.Batches(context.Background(), 0, 0) {
		if err != nil {
			return nil, err
		}
		for name, m := range sums {
			for r := range b.N {
				add(m, Row[float32](b.In[name], r))
				add(m, Row[float64](b.In[name], r))
			}
		}
	}
	norms := make(map[string]Norm, len(sums))
	for name, m := range sums {
		norms[name] = norm(m)
	}
	return norms, nil
}

// moments are a running mean and sum of squared deviations (Welford 1962, doi
// 10.1080/00401706.1962.10490022): sums of squares would cancel where the
// mean is large.
type moments struct{ n, mean, m2 float64 }

// add adds a row, each part of it to its own moments.
func add[E float32 | float64](m []moments, row []E) {
	size := len(row) / len(m)
	for i, v := range row {
		at := &m[i/size]
		at.n++
		delta := float64(v) - at.mean
		at.mean += delta / at.n
		at.m2 += delta * (float64(v) - at.mean)
	}
}

func norm(all []moments) Norm {
	n := Norm{Mean: make([]float64, len(all)), SD: make([]float64, len(all))}
	for i, m := range all {
		n.Mean[i], n.SD[i] = m.mean, math.Sqrt(m.m2/m.n)
		if n.SD[i] == 0 {
			n.SD[i] = 1
		}
	}
	return n
}
