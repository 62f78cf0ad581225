package data

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A Crop makes views of images that are parts of them, cut out at random places
// after a border of zeros was added (torchvision: RandomCrop). View 0 is the
// middle, so evaluation sees that. Put Normalize around a Crop with a border, as
// around a [Shift].
//
// The zero Crop is what is usual for CIFAR: a border of 4 pixels around images
// that keep their size.
type Crop struct {
	// Height and Width are the size of the parts. 0 and 0 mean that of the
	// images.
	Height, Width int
	// Pad is the width of the border. 0 means 4 where the images keep their
	// size, and none where they do not.
	Pad int
	// Seed is that of the places.
	Seed uint64
	// Views is how many views there are, the middle included. 0 means without
	// bound: each epoch has new ones, and they cannot be cached.
	Views int
	// Input is the name of the images, of shape (H, W) or (C, H, W). "" means
	// [Input].
	Input string
}

// Of is the set of parts of images. Its views are those of [Augment.Of]; the
// place of each depends on Seed, the id of the sample and the view alone.
func (c Crop) Of(set Set) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Crop: %w", errNilSet)
	}
	if c.Input == "" {
		c.Input = Input
	}
	spec := set.Spec()
	f := spec.In[c.Input]
	s := &cropped{spare: spare{of: spec}}
	if err := imageSize("Crop", c.Input, f, &s.height, &s.width); err != nil {
		return nil, err
	}
	if err := c.size(f, s.height, s.width, len(spec.Norm[c.Input].Mean)); err != nil {
		return nil, err
	}
	s.crop = c
	s.around = wrap(set, "crop", func(d *digest) {
		d.text(c.Input)
		d.ints([]int{c.Height, c.Width, c.Pad, c.Views})
		numbers(d, []uint64{c.Seed})
	})
	f.Shape = append(f.Shape[:len(f.Shape)-2:len(f.Shape)-2], c.Height, c.Width)
	s.spec.In = maps.Clone(spec.In)
	s.spec.In[c.Input] = f
	var err error
	if s.fork, err = s.spec.fork(c.Views); err != nil {
		return nil, fmt.Errorf("data: Crop.Views: %w", err)
	}
	return s, nil
}

// size completes and checks the configuration for images of h by w, with so
// many means in their Norm.
func (c *Crop) size(f Field, h, w, means int) error {
	if c.Height == 0 && c.Width == 0 {
		c.Height, c.Width = h, w
	}
	stays := c.Height == h && c.Width == w
	if c.Pad == 0 && stays {
		c.Pad = 4
	}
	switch {
	case c.Pad < 0 || c.Pad >= min(h, w):
		return fmt.Errorf("data: Crop.Pad is %d; want 0 to %d in images of %d by %d", c.Pad, min(h, w)-1, h, w)
	case c.Height < 1 || c.Width < 1 || c.Height > h+2*c.Pad || c.Width > w+2*c.Pad:
		return fmt.Errorf("data: Crop.Height and Width are %d and %d; want the size of parts of %d by %d", c.Height, c.Width, h+2*c.Pad, w+2*c.Pad)
	case c.Views < 0:
		return fmt.Errorf("data: Crop.Views is %d; want 0 or more", c.Views)
	case means > 1 && !stays:
		return errors.New("data: Crop of images with a Norm for each element; want Normalize around it")
	}
	return nil
}

type cropped struct {
	around
	fork
	spare
	crop          Crop
	height, width int // of the whole images
}

func (s *cropped) Read(i int, view uint64, dst Sample) error {
	own, inner := s.split(view)
	part := dst.Batch.In[s.crop.Input]
	if part == nil {
		return s.Set.Read(i, inner, dst) // the label alone is wanted
	}
	whole, err := s.spare.read(s.Set, i, inner)
	if err != nil {
		return err
	}
	defer s.pool.Put(whole)
	copyRow(dst.Batch.Label, dst.Row, whole.Label, 0)
	copyRow(dst.Batch.Weight, dst.Row, whole.Weight, 0)
	for name, t := range whole.In {
		if name != s.crop.Input {
			copyRow(dst.Batch.In[name], dst.Row, t, 0)
		}
	}
	top, left := s.place(s.ID(i), view, own)
	cut(s, Row[float32](part, dst.Row), Row[float32](whole.In[s.crop.Input], 0), top, left)
	cut(s, Row[float64](part, dst.Row), Row[float64](whole.In[s.crop.Input], 0), top, left)
	return nil
}

// place is where a part begins in the image, which has its own beginning at 0,
// 0: it is negative in the border.
func (s *cropped) place(id, view, own uint64) (top, left int) {
	c := s.crop
	down, right := s.height+2*c.Pad-c.Height, s.width+2*c.Pad-c.Width
	if own == 0 {
		return down/2 - c.Pad, right/2 - c.Pad
	}
	word := mix(c.Seed, cropWord, id, view)
	return below(word, down+1) - c.Pad, below(mix(word), right+1) - c.Pad
}

// below draws 0 to n-1 with a word.
func below(word uint64, n int) int { return int(word % uint64(n)) }

// cut copies the part of each plane of whole to the plane of part.
func cut[E any](s *cropped, part, whole []E, top, left int) {
	h, w := s.crop.Height, s.crop.Width
	for plane := range slices.Chunk(whole, s.height*s.width) {
		for y := range h {
			to := part[y*w : (y+1)*w]
			clear(to)
			if y+top < 0 || y+top >= s.height {
				continue
			}
			from := plane[(y+top)*s.width:][:s.width]
			copy(to[min(max(-left, 0), w):], from[min(max(left, 0), s.width):])
		}
		part = part[h*w:]
	}
}
