package report

import (
	"errors"
	"fmt"
	"io"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Lengths of a picture of levels, in points.
const (
	levelsHeight = vg.Length(360)
	levelsApart  = 6.0  // models at one level, so that no interval hides another
	levelsWidth  = 640. // of the area, about
)

// Levels writes a picture of how models answer problems that are verified: pass@1 in
// percent over the level of difficulty, a line for each model, with a bar over its 95%
// interval. Models stand a little apart at a level. Six have colours of their own; the
// lines of others are dashed.
//
// It fails without a level to draw, and for models that [Reasoning] refuses.
func Levels(w io.Writer, format Format, title string, models ...Solved) error {
	r := Reasoning(models)
	if err := r.check(); err != nil {
		return fmt.Errorf("report: Levels: %w", err)
	}
	levels := r.levels()
	if len(levels) == 0 {
		return errors.New("report: Levels has no model with a level; want one or more")
	}
	canvas, c, err := sheet(w, format, 1500*pixel, levelsHeight)
	if err != nil {
		return err
	}
	answers := fmt.Sprintf("%s, %s each", count(r[0].All.Count, "problem"), count(r[0].N, "answer"))
	r.panel(levels).draw(heading(c, title, "bar: 95% interval · "+answers))
	return write(w, format, canvas)
}

func (r Reasoning) panel(levels []int) panel {
	first, last := float64(levels[0]), float64(levels[len(levels)-1])
	p := panel{
		title: "pass@1 of " + r.task(), x: "level of difficulty", y: "right answers (%)", share: true, zero: true,
		span: []float64{first - 0.4, last + 0.4}, places: ticksAt(levels),
	}
	apart := min(levelsApart*(last-first+0.8)/levelsWidth, 0.6/float64(len(r)))
	for i, s := range r {
		line := s.curve(passAt1)
		for k := range line.x {
			line.x[k] += apart * (float64(i) - float64(len(r)-1)/2)
		}
		line.name, line.color, line.width, line.dashed = s.Name, paint(i), thick, i >= len(palette)
		line.glyph, line.dots, line.whiskers = draw.CircleGlyph{}, math.MaxInt32, true
		p.add(line)
	}
	return p
}

// ticksAt are ticks at levels, as many as have room.
func ticksAt(levels []int) (all []tick) {
	every := (len(levels) + 29) / 30
	for i := 0; i < len(levels); i += every {
		all = append(all, tick{float64(levels[i]), fmt.Sprint(levels[i])})
	}
	return all
}
