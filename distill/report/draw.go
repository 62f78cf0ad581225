package report

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"

	"github.com/godistill/godistill/distill"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Format is a format of pictures.
type Format string

// The formats that [Draw], [Compare], [Bars] and [Levels] write.
const (
	PNG Format = "png" // 1500 pixels wide, and 1000 high but for Bars and Levels
	SVG Format = "svg"
)

// Draw writes a picture of one run: the loss and its terms, the accuracy or, of a
// regression, the error, the learning rate and the gradient norm, over the steps. Training curves are
// drawn thin as they are and thick as a running mean; validation is a dot at
// the end of each epoch. Values that are not finite leave a gap. Without steps
// the panels are empty: a run may end before its first.
func Draw(w io.Writer, format Format, title string, steps []distill.Step) error {
	subtitle := "dots: validation"
	if n := window(len(steps)); n > 1 {
		subtitle = fmt.Sprintf("thin: each step · thick: mean over %d steps · dots: validation", n)
	}
	return figure(w, format, title, subtitle, [4]panel{
		lossPanel(steps), qualityPanel(steps), ratePanel(steps), gradientPanel(steps),
	})
}

// figure draws four panels on a canvas of 1500 x 1000 pixels.
func figure(w io.Writer, format Format, title, subtitle string, panels [4]panel) error {
	const width, height = 1500 * pixel, 1000 * pixel
	canvas, c, err := sheet(w, format, width, height)
	if err != nil {
		return err
	}
	c = heading(c, title, subtitle)
	tiles := draw.Tiles{Cols: 2, Rows: 2, PadX: 20, PadY: 14}
	for i, p := range panels {
		p.draw(tiles.At(c, i%2, i/2))
	}
	return write(w, format, canvas)
}

// pixel is the side of one, in a picture of so many dots per inch.
const (
	dpi   = 150
	pixel = vg.Inch / dpi
)

// sheet is a white canvas, and what is within its margin.
func sheet(w io.Writer, format Format, width, height vg.Length) (canvas vg.CanvasWriterTo, c draw.Canvas, err error) {
	if w == nil {
		return nil, c, errors.New("report: the io.Writer is nil")
	}
	switch format {
	case PNG:
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	case SVG:
		canvas = vgsvg.New(width, height)
	default:
		return nil, c, fmt.Errorf("report: format is %q; want %q or %q", format, PNG, SVG)
	}
	c = draw.NewCanvas(canvas, width, height)
	c.FillPolygon(color.White, []vg.Point{c.Min, {X: c.Min.X, Y: c.Max.Y}, c.Max, {X: c.Max.X, Y: c.Min.Y}})
	return canvas, draw.Crop(c, margin, -margin, margin, -margin), nil
}

func write(w io.Writer, format Format, canvas io.WriterTo) error {
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	b := out.Bytes()
	if format == SVG {
		// Few readers of the picture have Liberation Sans; Arial is as wide.
		b = bytes.ReplaceAll(b, []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
		b = bytes.Map(legible, b)
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// legible drops the control characters of a name, which XML may not have.
func legible(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' {
		return -1
	}
	return r
}

func lossPanel(steps []distill.Step) panel {
	p := panel{title: "Loss", x: "step", y: "loss (nats)", log: true}
	names := termNames(steps)
	if len(names) != 1 {
		p.train(series{name: "weighted sum", color: grey}, steps, func(s distill.Step) float64 { return s.Loss })
		p.valid(series{color: grey}, steps, func(m *distill.Metrics) float64 { return m.Loss })
	}
	for i, name := range names {
		s := series{name: name, color: paint(i), dashed: i >= len(palette)}
		p.train(s, steps, func(s distill.Step) float64 { return ofTerm(s.Terms, name).Value })
		s.name = ""
		p.valid(s, steps, func(m *distill.Metrics) float64 { return ofTerm(m.Terms, name).Value })
	}
	return p
}

// qualityPanel is the accuracy, or the error of numbers.
func qualityPanel(steps []distill.Step) panel {
	numbers := func(s distill.Step) bool { return s.Valid != nil && s.Valid.Numbers != nil }
	if slices.ContainsFunc(steps, numbers) {
		return errorPanel(steps)
	}
	return accuracyPanel(steps)
}

func errorPanel(steps []distill.Step) panel {
	p := panel{title: "Error", x: "step", y: "RMSE (unit of the labels)", log: true}
	p.valid(series{name: "distance from teacher", color: palette[2]}, steps, func(m *distill.Metrics) float64 { return -distill.ByTeacherRMSE(*m) })
	p.valid(series{name: "validation", color: palette[1]}, steps, func(m *distill.Metrics) float64 { return -distill.ByRMSE(*m) })
	return p
}

func accuracyPanel(steps []distill.Step) panel {
	p := panel{title: "Accuracy", x: "step", y: "share of rows (%)", share: true}
	p.train(series{name: "training", color: palette[0]}, steps, func(s distill.Step) float64 { return 100 * s.Accuracy })
	p.valid(series{name: "agreement with teacher", color: palette[2]}, steps, func(m *distill.Metrics) float64 { return 100 * m.Agreement })
	p.valid(series{name: "validation", color: palette[1]}, steps, func(m *distill.Metrics) float64 { return 100 * m.Accuracy })
	return p
}

func ratePanel(steps []distill.Step) panel {
	p := panel{title: "Learning rate", x: "step", y: "rate"}
	x, y := values(steps, func(s distill.Step) float64 { return s.Rate })
	p.add(series{color: palette[0], width: thick, x: x, y: y})
	return p
}

func gradientPanel(steps []distill.Step) panel {
	p := panel{title: "Gradient norm", x: "step", y: "before clipping", log: true}
	p.train(series{color: palette[0]}, steps, func(s distill.Step) float64 { return s.GradNorm })
	return p
}

// train adds a curve of the steps, as it is and smoothed.
func (p *panel) train(s series, steps []distill.Step, get func(distill.Step) float64) {
	x, y := values(steps, get)
	n := window(len(steps))
	if n > 1 {
		p.add(series{color: faint(s.color), width: thin, x: x, y: y, under: true})
	}
	s.width, s.x, s.y = thick, x, smooth(y, n)
	p.add(s)
}

// valid adds a curve of the validations, with dots.
func (p *panel) valid(s series, steps []distill.Step, get func(*distill.Metrics) float64) {
	for _, step := range steps {
		if step.Valid != nil {
			s.x, s.y = append(s.x, float64(step.N)), append(s.y, get(step.Valid))
		}
	}
	s.width, s.glyph, s.dots = thin, draw.CircleGlyph{}, 40
	p.add(s)
}

func values(steps []distill.Step, get func(distill.Step) float64) (x, y []float64) {
	for _, s := range steps {
		x, y = append(x, float64(s.N)), append(y, get(s))
	}
	return x, y
}

// window is the width of the running mean of n steps: a fortieth of them, odd,
// and bounded to bound the work.
func window(n int) int { return min(n/40, 500) | 1 }

// smooth takes the mean over n values around each, those there are. A gap
// stays a gap.
func smooth(y []float64, n int) []float64 {
	out := make([]float64, len(y))
	for i := range y {
		sum, count := 0.0, 0
		for _, v := range y[max(0, i-n/2):min(len(y), i+n/2+1)] {
			if finite(v) {
				sum, count = sum+v, count+1
			}
		}
		out[i] = sum / float64(count)
		if !finite(y[i]) {
			out[i] = math.NaN()
		}
	}
	return out
}
