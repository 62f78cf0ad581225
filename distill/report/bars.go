package report

import (
	"errors"
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A Bar is a number with an interval around it, such as a [study.Difference].
type Bar struct {
	// Name stands beside the bar.
	Name string
	// Mean is where the bar ends that begins at 0; the interval is from Low to
	// High.
	Mean, Low, High float64
}

// Bars writes a picture of numbers with their intervals, such as what methods gain:
// a bar from 0 for each, one below the other in the order given, with a line over
// the interval and the number beside it. The colour says whether the interval is
// above 0, below it, or holds it. The axis has a name, which says what the numbers
// are and their unit.
//
// It fails without bars, and for numbers that are not finite or do not rise from
// Low over Mean to High.
func Bars(w io.Writer, format Format, title, axis string, bars ...Bar) error {
	if len(bars) == 0 {
		return errors.New("report: Bars has no bar; want one or more")
	}
	for _, b := range bars {
		if !finite(b.Low) || !finite(b.High) || !(b.Low <= b.Mean && b.Mean <= b.High) {
			return fmt.Errorf("report: Bars: %q is %v, from %v to %v; want finite numbers, and Low <= Mean <= High", b.Name, b.Mean, b.Low, b.High)
		}
	}
	height := 2*margin + aboveBars + vg.Length(len(bars))*barRow + axisX
	canvas, c, err := sheet(w, format, 1500*pixel, height)
	if err != nil {
		return err
	}
	c = heading(c, title, "")
	barKey(c, bars)
	newBarChart(c, bars).draw(axis)
	return write(w, format, canvas)
}

// Lengths of a chart of bars, in points.
const (
	barRow    = vg.Length(16.5)
	barWidth  = vg.Length(9.5)
	barKeyRow = vg.Length(22)
	aboveBars = 30 + barKeyRow // the heading is 30
	columnGap = vg.Length(8)
)

// A side is where an interval lies, with the colour of its bar.
type side struct {
	name  string
	color color.RGBA
}

// sides are all of them, in the order of the key.
var sides = [3]side{
	{"interval above 0", palette[0]},
	{"interval holds 0", color.RGBA{0xb8, 0xb8, 0xb8, 0xff}},
	{"interval below 0", palette[1]},
}

func (b Bar) side() side {
	switch {
	case b.Low > 0:
		return sides[0]
	case b.High < 0:
		return sides[2]
	}
	return sides[1]
}

// barKey says below the heading what the colours mean that are there.
func barKey(c draw.Canvas, bars []Bar) {
	const square, gap = 8, 5
	there := map[side]bool{}
	for _, b := range bars {
		there[b.side()] = true
	}
	sty := style(9.5, grey, text.XLeft, text.YCenter)
	at := vg.Point{X: c.Min.X, Y: c.Max.Y - 6}
	for _, s := range sides {
		if !there[s] {
			continue
		}
		fillBox(c, s.color, at.X, at.X+square, at.Y-square/2, at.Y+square/2)
		c.FillText(sty, vg.Point{X: at.X + square + gap, Y: at.Y + lift}, s.name)
		at.X += square + gap + sty.Width(s.name) + 3*gap
	}
}

// A barChart has names to the left of its area and numbers to the right.
type barChart struct {
	area           draw.Canvas
	bars           []Bar
	x              scale
	names, numbers text.Style
	left, right    vg.Length // widths of both columns
}

func newBarChart(c draw.Canvas, bars []Bar) barChart {
	ends := []float64{0}
	for _, b := range bars {
		ends = append(ends, b.Low, b.High)
	}
	chart := barChart{
		bars:    bars,
		x:       scaleOf([][]float64{ends}, false),
		names:   style(10, black, text.XRight, text.YCenter),
		numbers: style(9.5, grey, text.XRight, text.YCenter),
	}
	for _, b := range bars {
		chart.left = max(chart.left, chart.names.Width(b.Name))
		chart.right = max(chart.right, chart.numbers.Width(chart.number(b)))
	}
	chart.left = min(chart.left, (c.Max.X-c.Min.X)/3)
	chart.area = draw.Crop(c, chart.left+columnGap, -chart.right-columnGap, axisX, -barKeyRow)
	return chart
}

// number is the mean with its sign, to a digit more than the ticks have.
func (b barChart) number(bar Bar) string {
	text := label(bar.Mean, nice((b.x.max-b.x.min)/7)/10)
	if bar.Mean > 0 && text != "0" {
		return "+" + text
	}
	return text
}

func (b barChart) draw(axis string) {
	b.grid(axis)
	for i, bar := range b.bars {
		b.bar(bar, b.area.Max.Y-(vg.Length(i)+0.5)*barRow)
	}
	zero := b.area.X(b.x.at(0))
	b.area.StrokeLine2(draw.LineStyle{Color: black, Width: 0.8}, zero, b.area.Min.Y, zero, b.area.Max.Y)
}

// grid is what lies behind the bars: a line for each tick, and the axis.
func (b barChart) grid(axis string) {
	c := b.area
	below := style(9.5, grey, text.XCenter, text.YTop)
	for _, t := range b.x.ticks() {
		at := c.X(b.x.at(t.value))
		c.StrokeLine2(draw.LineStyle{Color: rule, Width: 0.6}, at, c.Min.Y, at, c.Max.Y)
		c.FillText(below, vg.Point{X: at, Y: c.Min.Y - 4}, t.label)
	}
	c.FillText(style(10, black, text.XCenter, text.YBottom), vg.Point{X: c.Center().X, Y: c.Min.Y - axisX + 3}, axis)
}

// bar draws one at a height.
func (b barChart) bar(bar Bar, y vg.Length) {
	c := b.area
	at := func(v float64) vg.Length { return c.X(b.x.at(v)) }
	name := fit(b.names, bar.Name, b.left)
	c.FillText(b.names, vg.Point{X: c.Min.X - columnGap, Y: y + lift}, name)
	c.FillText(b.numbers, vg.Point{X: c.Max.X + columnGap + b.right, Y: y + lift}, b.number(bar))
	fillBox(c, bar.side().color, at(0), at(bar.Mean), y-barWidth/2, y+barWidth/2)
	whisker := draw.LineStyle{Color: black, Width: 0.9}
	c.StrokeLine2(whisker, at(bar.Low), y, at(bar.High), y)
	for _, end := range []vg.Length{at(bar.Low), at(bar.High)} {
		c.StrokeLine2(whisker, end, y-2, end, y+2)
	}
}

// fillBox fills a rectangle, whichever of its sides comes first.
func fillBox(c draw.Canvas, fill color.Color, x0, x1, y0, y1 vg.Length) {
	c.FillPolygon(fill, []vg.Point{{X: x0, Y: y0}, {X: x0, Y: y1}, {X: x1, Y: y1}, {X: x1, Y: y0}})
}
