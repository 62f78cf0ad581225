package data

import (
	"fmt"
	"slices"
)

// A Cutout makes views of images with a square of zeros at a random place
// (DeVries and Taylor 2017, 1708.04552). The middle of the square is anywhere in
// the image, so a part of it may be outside. Around a [Normalize], as in the
// paper, 0 is the mean.
type Cutout struct {
	// Size is the side of the square in pixels. 0 means half the shorter side
	// of the images: the 16 of the paper for CIFAR-10.
	Size int
	// Seed is that of the places.
	Seed uint64
	// Views is how many views there are, the plain one included. 0 means
	// without bound: each epoch has new ones, and they cannot be cached.
	Views int
	// Input is the name of the images. "" means [Input].
	Input string
	// Height and Width are the size of images that are stored flat, as in
	// [Shift].
	Height, Width int
}

// Of is the set of images with a square cut out. Its views are those of
// [Augment.Of], and view 0 is whole; the place in each depends on Seed, the id of
// the sample and the view alone.
func (c Cutout) Of(set Set) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Cutout: %w", errNilSet)
	}
	if c.Input == "" {
		c.Input = Input
	}
	if err := imageSize("Cutout", c.Input, set.Spec().In[c.Input], &c.Height, &c.Width); err != nil {
		return nil, err
	}
	if c.Size == 0 {
		c.Size = max(min(c.Height, c.Width)/2, 1)
	}
	if most := max(c.Height, c.Width); c.Size < 0 || c.Size > most {
		return nil, fmt.Errorf("data: Cutout.Size is %d; want 0 to %d in images of %d by %d", c.Size, most, c.Height, c.Width)
	}
	if c.Views < 0 {
		return nil, fmt.Errorf("data: Cutout.Views is %d; want 0 or more", c.Views)
	}
	s := &cutOut{around: wrap(set, "cutout", func(d *digest) {
		d.text(c.Input)
		d.ints([]int{c.Size, c.Height, c.Width, c.Views})
		numbers(d, []uint64{c.Seed})
	}), cutout: c}
	var err error
	if s.fork, err = s.spec.fork(c.Views); err != nil {
		return nil, fmt.Errorf("data: Cutout.Views: %w", err)
	}
	return s, nil
}

type cutOut struct {
	around
	fork
	cutout Cutout
}

func (s *cutOut) Read(i int, view uint64, dst Sample) error {
	own, inner := s.split(view)
	if err := s.Set.Read(i, inner, dst); err != nil || own == 0 {
		return err
	}
	c := s.cutout
	word := mix(c.Seed, cutoutWord, s.ID(i), view)
	top, left := below(word, c.Height)-c.Size/2, below(mix(word), c.Width)-c.Size/2
	images := dst.Batch.In[c.Input]
	black(c, Row[float32](images, dst.Row), top, left)
	black(c, Row[float64](images, dst.Row), top, left)
	return nil
}

// black clears a square in each plane.
func black[E any](c Cutout, images []E, top, left int) {
	for plane := range slices.Chunk(images, c.Height*c.Width) {
		for y := max(top, 0); y < min(top+c.Size, c.Height); y++ {
			clear(plane[y*c.Width:][max(left, 0):min(left+c.Size, c.Width)])
		}
	}
}
