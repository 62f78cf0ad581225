package data

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// A Shift makes views of images that are moved by whole pixels. What moves in
// is 0: put Normalize around a Shift, not inside, unless the background is 0
// after it too. Shift{Pixels: 4} makes the crops of [Crop]{Pad: 4}, each once.
type Shift struct {
	// Pixels is how far an image moves at most, up, down, left and right. 0
	// means 1.
	Pixels int
	// Input is the name of the images. "" means [Input].
	Input string
	// Height and Width are the size of images that are stored flat, as (H*W)
	// or (C*H*W). 0 means that the shape tells: (H, W) or (C, H, W).
	Height, Width int
}

// Of is the set of moved images. It has (2 Pixels + 1)² views for each view of
// set, and view v is view v % (2 Pixels + 1)² of set's view v / (2 Pixels + 1)².
// View 0 is not moved.
func (s Shift) Of(set Set) (Set, error) {
	if set == nil {
		return nil, fmt.Errorf("data: Shift: %w", errNilSet)
	}
	if s.Input == "" {
		s.Input = Input
	}
	if s.Pixels == 0 {
		s.Pixels = 1
	}
	if err := s.size(set.Spec().In[s.Input]); err != nil {
		return nil, err
	}
	side := 2*s.Pixels + 1
	moved := &shifted{around: wrap(set, "shift", func(d *digest) {
		d.text(s.Input)
		d.ints([]int{s.Pixels, s.Height, s.Width})
	}), shift: s}
	var err error
	if moved.fork, err = moved.spec.fork(side * side); err != nil {
		return nil, fmt.Errorf("data: Shift.Pixels: %w", err)
	}
	return moved, nil
}

// size completes and checks the configuration for images of field f.
func (s *Shift) size(f Field) error {
	if err := imageSize("Shift", s.Input, f, &s.Height, &s.Width); err != nil {
		return err
	}
	if h, w := s.Height, s.Width; s.Pixels < 0 || s.Pixels >= min(h, w) {
		return fmt.Errorf("data: Shift.Pixels is %d; want 0 to %d in images of %d by %d", s.Pixels, min(h, w)-1, h, w)
	}
	return nil
}

// imageSize completes and checks the size of the images in an input, for a
// decorator of a name. 0 and 0 mean that the shape tells.
func imageSize(who, input string, f Field, h, w *int) error {
	if f.Dtype != tensor.Float32 && f.Dtype != tensor.Float64 {
		return fmt.Errorf("data: %s.Input is %q; want an input of a float type", who, input)
	}
	if n := len(f.Shape); *h == 0 && *w == 0 && (n == 2 || n == 3) {
		*h, *w = f.Shape[n-2], f.Shape[n-1]
	}
	if *h < 1 || *w < 1 || f.Size()%*h != 0 || f.Size()/(*h)%*w != 0 {
		return fmt.Errorf("data: %s.Height and Width are %d and %d; want the size of images of shape %v", who, *h, *w, f.Shape)
	}
	return nil
}

type shifted struct {
	around
	fork
	shift Shift
}

func (s *shifted) Read(i int, view uint64, dst Sample) error {
	own, inner := s.split(view)
	if err := s.Set.Read(i, inner, dst); err != nil {
		return err
	}
	side := uint64(2*s.shift.Pixels + 1)
	dx, dy := offset(own%side), offset(own/side)
	images := dst.Batch.In[s.shift.Input]
	move(Row[float32](images, dst.Row), s.shift.Height, s.shift.Width, dx, dy)
	move(Row[float64](images, dst.Row), s.shift.Height, s.shift.Width, dx, dy)
	return nil
}

// offset counts 0, 1, -1, 2, -2 and so on.
func offset(n uint64) int {
	if n%2 == 1 {
		return int(n+1) / 2
	}
	return -int(n / 2)
}

// move moves each plane of h by w pixels dx to the right and dy down.
func move[E any](images []E, h, w, dx, dy int) {
	if dx == 0 && dy == 0 {
		return
	}
	for plane := range slices.Chunk(images, h*w) {
		for n := range h {
			y := n
			if dy > 0 {
				y = h - 1 - n // from the bottom up: a row is read before it is written
			}
			to, from := plane[y*w:(y+1)*w], y-dy
			if from < 0 || from >= h {
				clear(to)
				continue
			}
			moveRow(to, plane[from*w:(from+1)*w], dx)
		}
	}
}

func moveRow[E any](to, from []E, dx int) {
	if dx < 0 {
		kept := copy(to, from[-dx:])
		clear(to[kept:])
		return
	}
	copy(to[dx:], from)
	clear(to[:dx])
}
