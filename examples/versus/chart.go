package main

import (
	"bytes"
	"image/color"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// ratioBars are horizontal bars that start at 1, where both sides are as fast,
// with whiskers from the lowest ratio to the highest.
type ratioBars []row

func (b ratioBars) Len() int { return len(b) }

// XY puts the first row on top.
func (b ratioBars) XY(i int) (x, y float64) { return float64(b[i].Ratio), float64(len(b) - 1 - i) }

func (b ratioBars) XError(i int) (low, high float64) {
	return float64(b[i].Ratio - b[i].Low), float64(b[i].High - b[i].Ratio)
}

func (b ratioBars) addTo(p *plot.Plot) error {
	labels := make([]string, len(b))
	for i, r := range b {
		x, y := b.XY(i)
		bar, err := plotter.NewLine(plotter.XYs{{X: 1, Y: y}, {X: x, Y: y}})
		if err != nil {
			return err
		}
		bar.Width, bar.Color = 14, color.RGBA{R: 0x4c, G: 0x8b, B: 0xc9, A: 0xff}
		p.Add(bar)
		labels[int(y)] = r.Case
	}
	whiskers, err := plotter.NewXErrorBars(b)
	if err != nil {
		return err
	}
	even, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(b)) - 0.5}})
	if err != nil {
		return err
	}
	p.Add(whiskers, even)
	p.NominalY(labels...)
	return nil
}

// paint draws the ratios into a PNG file.
func paint(file string, rows []row) error {
	p := plot.New()
	p.Title.Text = "Time of PyTorch / ours: right of 1, ours is faster"
	p.Title.Padding = 6
	if err := ratioBars(rows).addTo(p); err != nil {
		return err
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ratioTicks()
	p.X.Min, p.X.Max = min(p.X.Min, 0.5)/1.1, max(p.X.Max, 2)*1.1
	img := vgimg.New(7*vg.Inch, vg.Length(len(rows)+3)*0.32*vg.Inch)
	p.Draw(draw.Crop(draw.New(img), 10, -10, 6, -8))
	var png bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(&png); err != nil {
		return err
	}
	return os.WriteFile(file, png.Bytes(), 0o666)
}

// ratioTicks are 1, 2 and 5 in each power of ten that a ratio may have.
func ratioTicks() (ticks plot.ConstantTicks) {
	for decade := 1e-4; decade < 1e5; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			v := digit * decade
			ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
		}
	}
	return ticks
}
