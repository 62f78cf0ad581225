package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/image/draw"
)

// maxSide bounds the height and the width of an image: what resizing it takes
// grows with each of them.
const maxSide = 1 << 15

// A darkroom makes pixels of files, one at a time, in memory that it keeps.
type darkroom struct {
	raw     bytes.Buffer
	narrow  image.RGBA   // a part of an image, of 8 bits a channel
	wide    image.RGBA64 // or of 16
	resized image.RGBA64
}

// develop decodes a file to the planes of x.
func (d *darkroom) develop(c ImageFolder, root fs.FS, name string, x []float32) error {
	size, err := d.open(root, name)
	if err != nil {
		return err
	}
	if err := c.checkSize(size); err != nil {
		return err
	}
	img, err := formatOf(d.raw.Bytes()).decode(bytes.NewReader(d.raw.Bytes()))
	if err != nil {
		return err
	}
	drawn := d.draw(img, c.Fit.part(img.Bounds(), c.Width, c.Height))
	if to := image.Pt(c.Width, c.Height); drawn.Bounds().Size() != to {
		drawn = d.resize(drawn, to)
	}
	switch narrow, ok := drawn.(*image.RGBA); {
	case c.Grey:
		greyPlane(x, drawn)
	case ok:
		bytePlanes(x, narrow.Pix)
	default:
		colourPlanes(x, drawn)
	}
	return nil
}

// open reads a file, and says what size the image in it claims to have.
func (d *darkroom) open(root fs.FS, name string) (size image.Point, err error) {
	f, err := root.Open(name)
	if err != nil {
		return size, err
	}
	defer f.Close()
	d.raw.Reset()
	if _, err := d.raw.ReadFrom(f); err != nil {
		return size, err
	}
	format := formatOf(d.raw.Bytes())
	if format.decode == nil {
		return size, errors.New("is neither PNG nor JPEG")
	}
	config, err := format.config(bytes.NewReader(d.raw.Bytes()))
	return image.Pt(config.Width, config.Height), err
}

// checkSize refuses images before there is room for them.
func (f ImageFolder) checkSize(size image.Point) error {
	w, h := size.X, size.Y
	switch {
	case w < 1 || h < 1:
		return fmt.Errorf("has %d by %d pixels", w, h)
	case w > maxSide || h > maxSide || w > f.MaxPixels/h:
		return fmt.Errorf("claims %d by %d pixels; want at most %d on a side, and ImageFolder.MaxPixels, %d, in all", w, h, maxSide, f.MaxPixels)
	case f.Fit == Exact && f.Height > 0 && size != image.Pt(f.Width, f.Height):
		return fmt.Errorf("is %d high and %d wide; want %d and %d, or an ImageFolder.Fit that changes it", h, w, f.Height, f.Width)
	}
	return nil
}

// A format is a way to write images.
type format struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// formatOf goes by the first bytes: names of files are wrong now and then.
func formatOf(raw []byte) format {
	switch {
	case bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")):
		return format{png.DecodeConfig, png.Decode}
	case bytes.HasPrefix(raw, []byte("\xff\xd8")):
		return format{jpeg.DecodeConfig, jpeg.Decode}
	}
	return format{}
}

// part is what is seen of an image.
func (f Fit) part(r image.Rectangle, w, h int) image.Rectangle {
	if f != Cover {
		return r
	}
	size := r.Size()
	if size.X*h > size.Y*w {
		size.X = max(size.Y*w/h, 1)
	} else {
		size.Y = max(size.X*h/w, 1)
	}
	part := image.Rectangle{Max: size}
	return part.Add(r.Min).Add(r.Size().Sub(size).Div(2))
}

// draw draws a part of an image, with the bits that the image has.
func (d *darkroom) draw(img image.Image, part image.Rectangle) draw.RGBA64Image {
	size := part.Size()
	var dst draw.RGBA64Image
	switch img.(type) {
	case *image.Gray16, *image.RGBA64, *image.NRGBA64:
		d.wide = image.RGBA64{Pix: room(d.wide.Pix, size, 8), Stride: 8 * size.X, Rect: image.Rectangle{Max: size}}
		dst = &d.wide
	default:
		d.narrow = image.RGBA{Pix: room(d.narrow.Pix, size, 4), Stride: 4 * size.X, Rect: image.Rectangle{Max: size}}
		dst = &d.narrow
	}
	draw.Draw(dst, dst.Bounds(), img, part.Min, draw.Src)
	return dst
}

// resize keeps 16 bits, which leaves nothing to round.
func (d *darkroom) resize(img image.Image, size image.Point) draw.RGBA64Image {
	d.resized = image.RGBA64{Pix: room(d.resized.Pix, size, 8), Stride: 8 * size.X, Rect: image.Rectangle{Max: size}}
	draw.BiLinear.Scale(&d.resized, d.resized.Rect, img, img.Bounds(), draw.Src, nil)
	return &d.resized
}

// room is memory for an image of so many bytes a pixel, in pix if that is
// enough.
func room(pix []uint8, size image.Point, bytes int) []uint8 {
	n := bytes * size.X * size.Y
	return slices.Grow(pix[:0], n)[:n]
}

// unit makes a number of 16 bits one from 0 to 1. Of one that was of 8 bits, v,
// it is v/255, to the last bit.
func unit(v uint16) float32 { return float32(v) / 0xffff }

// units are those of 8 bits.
var units = func() (all [256]float32) {
	for i := range all {
		all[i] = float32(i) / 255
	}
	return all
}()

// bytePlanes is colourPlanes for the pixels of an image.RGBA, side by side. It
// is for speed alone.
func bytePlanes(x []float32, pix []uint8) {
	n := len(x) / 3
	r, g, b := x[:n], x[n:2*n], x[2*n:3*n]
	for i := range n {
		p := pix[4*i:][:3]
		r[i], g[i], b[i] = units[p[0]], units[p[1]], units[p[2]]
	}
}

func colourPlanes(x []float32, c image.RGBA64Image) {
	size, n := c.Bounds().Size(), len(x)/3
	r, g, b := x[:n], x[n:2*n], x[2*n:]
	for y := range size.Y {
		for col := range size.X {
			p, i := c.RGBA64At(col, y), y*size.X+col
			r[i], g[i], b[i] = unit(p.R), unit(p.G), unit(p.B)
		}
	}
}

func greyPlane(x []float32, c image.RGBA64Image) {
	size := c.Bounds().Size()
	for y := range size.Y {
		for col := range size.X {
			x[y*size.X+col] = unit(luma(c.RGBA64At(col, y)))
		}
	}
}

// luma is that of color.Gray16Model, which would make an object of each pixel.
func luma(p color.RGBA64) uint16 {
	return uint16((19595*uint32(p.R) + 38470*uint32(p.G) + 7471*uint32(p.B) + 1<<15) >> 16)
}
