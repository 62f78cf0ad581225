package data

import (
	"fmt"
	"slices"
)

// A Flip makes views of images with left and right exchanged, as in a mirror.
// The zero Flip is that of images of shape (H, W) or (C, H, W).
type Flip struct {
	// Input is the name of the images. "" means [Input].
	Input string
	// Height and Width are the size of images that are stored flat, as in
	// [Shift].
	Height, Width int
}

// Of is the set of images, each as it is and flipped. It has 2 views for each
// view of set: view v is set's view v / 2, flipped where v is odd.
func (f Flip) Of(set Set) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Flip: %w", errNilSet)
	}
	if f.Input == "" {
		f.Input = Input
	}
	if err := imageSize("Flip", f.Input, set.Spec().In[f.Input], &f.Height, &f.Width); err != nil {
		return nil, err
	}
	s := &flipped{around: wrap(set, "flip", func(d *digest) {
		d.text(f.Input)
		d.ints([]int{f.Height, f.Width})
	}), flip: f}
	var err error
	if s.fork, err = s.spec.fork(2); err != nil {
		return nil, fmt.Errorf("data: Flip: %w", err)
	}
	return s, nil
}

type flipped struct {
	around
	fork
	flip Flip
}

func (s *flipped) Read(i int, view uint64, dst Sample) error {
	own, inner := s.split(view)
	if err := s.Set.Read(i, inner, dst); err != nil || own == 0 {
		return err
	}
	images := dst.Batch.In[s.flip.Input]
	mirror(Row[float32](images, dst.Row), s.flip.Width)
	mirror(Row[float64](images, dst.Row), s.flip.Width)
	return nil
}

// mirror turns each line of w pixels round.
func mirror[E any](images []E, w int) {
	for line := range slices.Chunk(images, w) {
		slices.Reverse(line)
	}
}
