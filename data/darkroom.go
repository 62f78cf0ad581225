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

	"golang.org/x/image/draw"
)

// maxSide bounds the height and the width of an image: what resizing it takes
// grows with each of them.
const maxSide = 1 << 15

// A darkroom makes pixels of files, one at a time, in memory that it keeps.
type darkroom struct {
	raw    bytes.Buffer
	narrow *image.RGBA   // 8 bits a channel
	wide   *image.RGBA64 // 16
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
	drawn := d.draw(img, c.Fit.part(img.Bounds(), c.Width, c.Height), image.Rect(0, 0, c.Width, c.Height))
	if c.Grey {
		greyPlane(x, drawn)
	} else {
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

// draw draws a part of an image, with the bits that the image has. What is
// resized has 16, which leaves nothing to round.
func (d *darkroom) draw(img image.Image, part, to image.Rectangle) image.RGBA64Image {
	if part.Size() != to.Size() {
		dst := d.roomWide(to)
		draw.BiLinear.Scale(dst, to, img, part, draw.Src, nil)
		return dst
	}
	var dst draw.RGBA64Image
	switch img.(type) {
	case *image.Gray16, *image.RGBA64, *image.NRGBA64:
		dst = d.roomWide(to)
	default:
		dst = d.roomNarrow(to)
	}
	draw.Draw(dst, to, img, part.Min, draw.Src)
	return dst
}

func (d *darkroom) roomNarrow(r image.Rectangle) *image.RGBA {
	if d.narrow == nil || d.narrow.Rect != r {
		d.narrow = image.NewRGBA(r)
	}
	return d.narrow
}

func (d *darkroom) roomWide(r image.Rectangle) *image.RGBA64 {
	if d.wide == nil || d.wide.Rect != r {
		d.wide = image.NewRGBA64(r)
	}
	return d.wide
}

// unit makes a number of 16 bits one from 0 to 1. Of one that was of 8 bits, v,
// it is v/255, to the last bit.
func unit(v uint16) float32 { return float32(v) / 0xffff }

func colourPlanes(x []float32, c image.RGBA64Image) {
	w, n := c.Bounds().Dx(), len(x)/3
	for i := range n {
		p := c.RGBA64At(i%w, i/w)
		x[i], x[n+i], x[2*n+i] = unit(p.R), unit(p.G), unit(p.B)
	}
}

func greyPlane(x []float32, c image.RGBA64Image) {
	w := c.Bounds().Dx()
	for i := range x {
		p := c.RGBA64At(i%w, i/w)
		x[i] = unit(luma(p))
	}
}

// luma is that of color.Gray16Model, which would make an object of each pixel.
func luma(p color.RGBA64) uint16 {
	return uint16((19595*uint32(p.R) + 38470*uint32(p.G) + 7471*uint32(p.B) + 1<<15) >> 16)
}
