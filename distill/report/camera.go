package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"

	"github.com/godistill/godistill/data"
)

// maxSide is that of a picture in pixels: larger images are made smaller.
const maxSide = 96

// A camera makes pictures of the first input, by name, that is an image: (H, W),
// (1, H, W) or (3, H, W), of floats. The zero camera makes none.
type camera struct {
	input        string
	norm         data.Norm
	planes, h, w int
}

func cameraOf(spec data.Spec) camera {
	for _, name := range slices.Sorted(maps.Keys(spec.In)) {
		f := spec.In[name]
		s := f.Shape
		if len(s) == 2 {
			s = append([]int{1}, s...)
		}
		if len(s) == 3 && (s[0] == 1 || s[0] == 3) && s[1] > 1 && s[2] > 1 && !ints(f) {
			return camera{name, spec.Norm[name], s[0], s[1], s[2]}
		}
	}
	return camera{}
}

// pixels are the raw values of sample i, with the normalisation undone.
func (c camera) pixels(b data.Batch, i int) []float64 {
	if c.input == "" {
		return nil
	}
	raw := slices.Clone(data.Row[float64](b.In[c.input], i))
	for _, v := range data.Row[float32](b.In[c.input], i) {
		raw = append(raw, float64(v))
	}
	for k := range raw {
		switch n := c.norm; len(n.Mean) {
		case 0:
		case 1:
			raw[k] = raw[k]*n.SD[0] + n.Mean[0]
		default:
			raw[k] = raw[k]*n.SD[k] + n.Mean[k]
		}
	}
	return raw
}

// develop makes a PNG of the pixels of each, all on one scale.
func (c camera) develop(all []candidate) ([][]byte, error) {
	pictures := make([][]byte, len(all))
	low, high := c.exposure(all)
	for i, one := range all {
		if len(one.pixels) != c.planes*c.h*c.w || c.input == "" {
			continue
		}
		var out bytes.Buffer
		if err := png.Encode(&out, c.picture(one.pixels, low, high)); err != nil {
			return nil, err
		}
		pictures[i] = out.Bytes()
	}
	return pictures, nil
}

// exposure is what is black and what is white: 0 and 1, or 0 and 255, if all is
// within, and else the lowest and the highest value.
func (c camera) exposure(all []candidate) (low, high float64) {
	for _, one := range all {
		for _, v := range one.pixels {
			low, high = min(low, v), max(high, v)
		}
	}
	switch {
	case low < 0:
	case high <= 1:
		high = 1
	case high > 127 && high <= 255:
		high = 255
	}
	return low, high
}

// picture shows pixels, as means over squares where there are many.
func (c camera) picture(pixels []float64, low, high float64) image.Image {
	side := (max(c.h, c.w) + maxSide - 1) / maxSide
	w, h := (c.w+side-1)/side, (c.h+side-1)/side
	grey := func(plane, x, y int) uint8 {
		sum, n := 0.0, 0.0
		for r := y * side; r < min((y+1)*side, c.h); r++ {
			for col := x * side; col < min((x+1)*side, c.w); col++ {
				sum, n = sum+pixels[(plane*c.h+r)*c.w+col], n+1
			}
		}
		return uint8(255*min(max((sum/n-low)/(high-low), 0), 1) + 0.5)
	}
	if c.planes == 1 {
		img := image.NewGray(image.Rect(0, 0, w, h))
		for i := range img.Pix {
			img.Pix[i] = grey(0, i%w, i/w)
		}
		return img
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		x, y := i%w, i/w
		img.SetRGBA(x, y, color.RGBA{grey(0, x, y), grey(1, x, y), grey(2, x, y), 255})
	}
	return img
}
