package report

import (
	"image/color"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Lengths are in points.
const (
	margin = vg.Length(14)
	thin   = vg.Length(0.7)
	thick  = vg.Length(1.7)
	radius = vg.Length(2.6) // of a dot
	axisX  = vg.Length(34)  // room for the labels of the axes
	axisY  = vg.Length(52)
	line   = vg.Length(15)  // of text
	lift   = vg.Length(1.2) // puts the middle of digits where YCenter puts that of letters
)

// palette has the colours of Okabe and Ito, which the colour-blind can tell
// apart, without the yellow, which is too bright on white.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, // blue
	{0xd5, 0x5e, 0x00, 0xff}, // vermillion
	{0x00, 0x9e, 0x73, 0xff}, // bluish green
	{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
	{0xe6, 0x9f, 0x00, 0xff}, // orange
	{0x56, 0xb4, 0xe9, 0xff}, // sky blue
}

var (
	black = color.RGBA{0x22, 0x22, 0x22, 0xff}
	grey  = color.RGBA{0x66, 0x66, 0x66, 0xff}
	rule  = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
)

// paint is the colour of the i-th of several things.
func paint(i int) color.RGBA { return palette[i%len(palette)] }

// faint is a colour that stays behind the others: two fifths of it, and white.
func faint(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8((2*int(v) + 3*0xff) / 5) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 0xff}
}

// A panel is one plot of a figure: a title, a legend and curves on axes.
type panel struct {
	title, x, y string
	log         bool      // the values may be drawn on a logarithmic axis
	share       bool      // the values are percentages, and the axis ends at 0 and 100
	cut         bool      // what is far below the rest may be off the axis
	zero        bool      // the axis of y has 0
	span        []float64 // places that the axis of x has as well
	places      []tick    // of the axis of x, where they are not nil
	series      []series
}

// A series is one curve of a panel.
type series struct {
	name   string // in the legend, where it is not empty
	color  color.RGBA
	width  vg.Length
	dashed bool
	under  bool             // drawn before the others
	glyph  draw.GlyphDrawer // at some of the values, about dots of them
	dots   int
	phase  float64 // of the dots, from 0 to 1
	x, y   []float64
	// low and high bound a band around y, where they are not nil; with whiskers, it
	// is a bar at each x.
	low, high []float64
	whiskers  bool
	// Of equal curves, each is drawn for a length in turn.
	turn, turns int
}

// add adds a series that has a value to draw.
func (p *panel) add(s series) {
	if !slices.ContainsFunc(s.y, finite) {
		return
	}
	for i, other := range p.series {
		if slices.Equal(s.x, other.x) && slices.Equal(s.y, other.y) {
			s.turn = max(1, other.turns)
			p.series[i].turns = s.turn + 1
			s.turns = s.turn + 1
		}
	}
	p.series = append(p.series, s)
}

func (p panel) draw(c draw.Canvas) {
	c.FillText(style(11.5, black, text.XLeft, text.YTop), vg.Point{X: c.Min.X, Y: c.Max.Y}, p.title)
	legend := draw.Crop(c, axisY, 0, 0, -line-3)
	area := draw.Crop(legend, 0, -2, axisX, -p.legend(legend)-6)
	if len(p.series) == 0 {
		area.FillText(style(10, grey, text.XCenter, text.YCenter), area.Center(), "no data")
	}
	x, y := p.scales()
	p.axes(area, x, y)
	for _, s := range p.series {
		s.band(area, x, y)
	}
	for _, under := range []bool{true, false} {
		for _, s := range p.series {
			if s.under == under {
				s.draw(area, x, y)
			}
		}
	}
}

// legend draws the names of the series in rows, and returns their height.
func (p panel) legend(c draw.Canvas) vg.Length {
	const sample, gap = 21, 5
	sty := style(9.5, black, text.XLeft, text.YCenter)
	at := vg.Point{X: c.Min.X, Y: c.Max.Y + line/2}
	for _, s := range p.series {
		if s.name == "" {
			continue
		}
		name := fit(sty, s.name, c.Max.X-c.Min.X-sample-gap)
		width := sample + gap + sty.Width(name)
		if at.X == c.Min.X || at.X+width > c.Max.X {
			at.X, at.Y = c.Min.X, at.Y-line
		}
		if at.Y < c.Center().Y { // the curves need the rest
			c.FillText(sty, vg.Point{X: at.X, Y: at.Y + lift}, "…")
			break
		}
		s.turn, s.turns = 0, 0
		s.stroke(c, []vg.Point{at, {X: at.X + sample, Y: at.Y}})
		if s.dots > 0 {
			s.dot(c, vg.Point{X: at.X + sample/2, Y: at.Y})
		}
		c.FillText(sty, vg.Point{X: at.X + sample + gap, Y: at.Y + lift}, name)
		at.X += width + 3*gap
	}
	return c.Max.Y - (at.Y - line/2)
}

func (p panel) scales() (x, y scale) {
	xs := [][]float64{p.span}
	var all, most [][]float64
	if p.zero {
		all = append(all, []float64{0})
	}
	for _, s := range p.series {
		xs, all = append(xs, s.x), append(all, s.y, s.low, s.high)
		most = append(most, upper(s.y), upper(s.low), upper(s.high))
	}
	x, y = scaleOf(xs, false), scaleOf(all, p.log)
	x.whole = true
	if cut := scaleOf(most, p.log); p.cut && cut.max-cut.min < (y.max-y.min)/2 {
		y = cut
	}
	if p.share {
		y = y.within(0, 100)
	}
	return x, y
}

// upper leaves the lowest tenth of the values out.
func upper(values []float64) []float64 {
	v := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return !finite(v) })
	slices.Sort(v)
	return v[len(v)/10:]
}

func (p panel) axes(c draw.Canvas, x, y scale) {
	grid := draw.LineStyle{Color: rule, Width: 0.6}
	below := style(9.5, grey, text.XCenter, text.YTop)
	places := p.places
	if places == nil {
		places = x.ticks()
	}
	for _, t := range places {
		at := c.X(x.at(t.value))
		c.StrokeLine2(grid, at, c.Min.Y, at, c.Max.Y)
		c.FillText(below, vg.Point{X: at, Y: c.Min.Y - 4}, t.label)
	}
	left := style(9.5, grey, text.XRight, text.YCenter)
	for _, t := range y.ticks() {
		at := c.Y(y.at(t.value))
		c.StrokeLine2(grid, c.Min.X, at, c.Max.X, at)
		c.FillText(left, vg.Point{X: c.Min.X - 5, Y: at + lift}, t.label)
	}
	c.StrokeLine2(draw.LineStyle{Color: grey, Width: 0.8}, c.Min.X, c.Min.Y, c.Max.X, c.Min.Y)
	c.FillText(style(10, black, text.XCenter, text.YBottom), vg.Point{X: c.Center().X, Y: c.Min.Y - axisX + 3}, p.x)
	upright := style(10, black, text.XCenter, text.YTop)
	upright.Rotation = math.Pi / 2
	c.FillText(upright, vg.Point{X: c.Min.X - axisY, Y: c.Center().Y}, p.y)
}

func (s series) draw(c draw.Canvas, x, y scale) {
	for from, to := range s.runs() {
		points := s.points(c, x, y, s.y, outline(s.y, from, to))
		s.stroke(c, points)
		for i, at := range points {
			if s.dotted(i, len(points)) && c.Contains(at) {
				s.dot(c, at)
			}
		}
	}
}

// dotted reports whether the i-th of n points has a dot.
func (s series) dotted(i, n int) bool {
	if s.dots == 0 {
		return n == 1
	}
	every := n/s.dots + 1
	return i%every == int(s.phase*float64(every))
}

func (s series) band(c draw.Canvas, x, y scale) {
	if s.low == nil {
		return
	}
	if s.whiskers {
		s.whisk(c, x, y)
		return
	}
	fill := color.NRGBA{s.color.R, s.color.G, s.color.B, 0x30}
	for from, to := range s.runs() {
		at := outline(s.y, from, to)
		low, high := s.points(c, x, y, s.low, at), s.points(c, x, y, s.high, at)
		if len(at) == 1 {
			c.StrokeLines(draw.LineStyle{Color: fill, Width: 2 * radius}, c.ClipLinesXY([]vg.Point{low[0], high[0]})...)
			continue
		}
		slices.Reverse(high)
		c.FillPolygon(fill, c.ClipPolygonXY(append(low, high...)))
	}
}

// whisk draws the bars from low to high, with a stroke at both ends.
func (s series) whisk(c draw.Canvas, x, y scale) {
	const half = vg.Length(2.2)
	sty := draw.LineStyle{Color: s.color, Width: 1}
	for i := range s.x {
		at, low, high := c.X(x.at(s.x[i])), c.Y(y.at(s.low[i])), c.Y(y.at(s.high[i]))
		c.StrokeLine2(sty, at, low, at, high)
		for _, end := range []vg.Length{low, high} {
			c.StrokeLine2(sty, at-half, end, at+half, end)
		}
	}
}

// points are the places of the given values.
func (s series) points(c draw.Canvas, x, y scale, values []float64, at []int) []vg.Point {
	points := make([]vg.Point, len(at))
	for k, i := range at {
		points[k] = vg.Point{X: c.X(x.at(s.x[i])), Y: c.Y(y.at(values[i]))}
	}
	return points
}

func (s series) stroke(c draw.Canvas, points []vg.Point) {
	sty := draw.LineStyle{Color: s.color, Width: s.width}
	const length = vg.Length(8) // of a turn
	dash := length
	if s.dashed {
		dash = 5
	}
	if gap := length*vg.Length(max(1, s.turns)) - dash; gap > 0 {
		sty.Dashes, sty.DashOffs = []vg.Length{dash, gap}, -length*vg.Length(s.turn)
	}
	c.StrokeLines(sty, c.ClipLinesXY(points)...)
}

func (s series) dot(c draw.Canvas, at vg.Point) {
	glyph := s.glyph
	if glyph == nil {
		glyph = draw.CircleGlyph{}
	}
	c.DrawGlyphNoClip(draw.GlyphStyle{Color: color.White, Radius: radius + 0.7, Shape: glyph}, at)
	c.DrawGlyphNoClip(draw.GlyphStyle{Color: s.color, Radius: radius, Shape: glyph}, at)
}

// runs yields the stretches of s between its gaps.
func (s series) runs() func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(s.y); from++ {
			to := from
			for to < len(s.y) && finite(s.y[to]) {
				to++
			}
			if to > from && !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// outline thins y[from:to] out to what can be seen of a long run: of each of a
// thousand parts the lowest and the highest value.
func outline(y []float64, from, to int) []int {
	const parts = 1000
	var at []int
	step := (to - from + parts - 1) / parts
	for ; from < to; from += step {
		low, high := from, from
		for i := from; i < min(from+step, to); i++ {
			if y[i] < y[low] {
				low = i
			}
			if y[i] > y[high] {
				high = i
			}
		}
		at = append(at, min(low, high))
		if low != high {
			at = append(at, max(low, high))
		}
	}
	return at
}

var fonts = font.NewCache(liberation.Collection())

func style(size vg.Length, c color.Color, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{
		Color: c, XAlign: x, YAlign: y,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: text.Plain{Fonts: fonts},
	}
}

// fit is s, or as much of it as is no wider than width, with an ellipsis.
func fit(sty text.Style, s string, width vg.Length) string {
	if sty.Width(s) <= width {
		return s
	}
	runes := []rune(s)
	n := sort.Search(len(runes), func(n int) bool { return sty.Width(string(runes[:n+1])+"…") > width })
	return string(runes[:n]) + "…"
}

// heading writes the title over the figure, and returns what is left of it.
func heading(c draw.Canvas, title, subtitle string) draw.Canvas {
	large, small := style(14, black, text.XLeft, text.YTop), style(9.5, grey, text.XRight, text.YTop)
	title = fit(large, title, c.Max.X-c.Min.X-small.Width(subtitle)-2*margin)
	c.FillText(large, vg.Point{X: c.Min.X, Y: c.Max.Y}, title)
	c.FillText(small, vg.Point{X: c.Max.X, Y: c.Max.Y - 2}, subtitle)
	return draw.Crop(c, 0, 0, 0, -30)
}
