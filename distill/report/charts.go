package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/godistill/godistill/distill"
)

// maxPoints bounds the points of a curve in a page.
const maxPoints = 2000

// A chart is what the script of a page draws.
type chart struct {
	Title  string  `json:"title"`
	Note   string  `json:"note,omitempty"`
	X      string  `json:"x"`
	Y      string  `json:"y"`
	Log    bool    `json:"log,omitempty"`   // the axis may be logarithmic
	Share  bool    `json:"share,omitempty"` // the values are percentages
	Zero   bool    `json:"zero,omitempty"`  // the axis begins at 0
	Curves []curve `json:"curves"`
}

// A curve is one line of a chart. Curves of one name have one button, in all
// charts of a page.
type curve struct {
	Name  string    `json:"name"`
	Set   string    `json:"set,omitempty"` // training or validation, which have buttons too
	Color int       `json:"color"`         // -1 is grey
	Dots  bool      `json:"dots,omitempty"`
	Level bool      `json:"level,omitempty"`
	X     []float64 `json:"x"`
	Y     []short   `json:"y"`
	Low   []short   `json:"low,omitempty"`
	High  []short   `json:"high,omitempty"`
	RawX  []float64 `json:"rawX,omitempty"`
	RawY  []short   `json:"rawY,omitempty"`
}

// A short number has five digits in JSON; what is not finite is null.
type short float64

// MarshalJSON implements [json.Marshaler].
func (s short) MarshalJSON() ([]byte, error) {
	if !finite(float64(s)) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(s), 'g', 5, 64), nil
}

func shorts(y []float64) []short {
	all := make([]short, len(y))
	for i, v := range y {
		all[i] = short(v)
	}
	return all
}

const training, validation = "training", "validation"

// chartsOf are those of one run, over its steps.
func chartsOf(l Log) []chart {
	s := l.Steps
	terms := termNames(s)
	loss := chart{Title: "Loss", Y: "nats", Log: true}
	if len(terms) != 1 {
		loss.train(s, "weighted sum", -1, func(s distill.Step) float64 { return s.Loss })
		loss.valid(s, "weighted sum", -1, func(m *distill.Metrics) float64 { return m.Loss })
	}
	weights, heat := chart{Title: "Weight of the terms", Y: "weight"}, chart{Title: "Temperature", Y: "T"}
	for i, t := range terms {
		train, valid := func(s distill.Step) float64 { return ofTerm(s.Terms, t).Value }, func(m *distill.Metrics) float64 { return ofTerm(m.Terms, t).Value }
		if len(terms) > 1 {
			loss.train(s, t, i, train)
			loss.valid(s, t, i, valid)
		} else {
			loss.two(s, train, valid)
		}
		weights.each(s, t, i, func(s distill.Step) float64 { return ofTerm(s.Terms, t).Weight })
		heat.each(s, t, i, func(s distill.Step) float64 { return positive(ofTerm(s.Terms, t).T) })
	}
	accuracy := chart{Title: "Accuracy", Y: "% of rows", Share: true}
	accuracy.two(s, func(s distill.Step) float64 { return 100 * s.Accuracy }, func(m *distill.Metrics) float64 { return 100 * m.Accuracy })
	accuracy.rare(s, "agreement with teacher", 2, func(m *distill.Metrics) float64 { return 100 * m.Agreement })
	all := []chart{loss, accuracy}
	for _, q := range qualities {
		c := chart{Title: q.title, Y: q.unit, Log: q.log}
		c.rare(s, q.name, 0, q.get)
		all = append(all, c)
	}
	rate := chart{Title: "Learning rate", Y: "rate"}
	rate.each(s, "learning rate", 0, func(s distill.Step) float64 { return s.Rate })
	all = append(all, rate, heat)
	if len(terms) > 1 {
		all = append(all, weights)
	}
	all = append(all, tapCharts(s, terms)...)
	norm := chart{Title: "Gradient norm", Y: "before clipping", Log: true}
	norm.train(s, "gradient norm", 0, func(s distill.Step) float64 { return s.GradNorm })
	return drawn("step", append(all, norm, speedOf(l.Times)))
}

// A quality is what is measured on validation data and has a chart of its own.
type quality struct {
	title, name, unit string
	log               bool
	get               func(*distill.Metrics) float64
}

var qualities = []quality{
	{"Negative log-likelihood", "NLL of the label", "nats", true, func(m *distill.Metrics) float64 { return m.NLL }},
	{"Distance from the teacher", "KL(teacher ‖ student)", "nats", true, func(m *distill.Metrics) float64 { return m.TeacherKL }},
	{"Calibration error", "ECE", "ECE", false, func(m *distill.Metrics) float64 { return m.ECE }},
	{"F1", "F1", "F1", false, part(answersOf, func(a *distill.Answers) float64 { return a.F1 })},
	{"Error", "RMSE", "unit of the labels", true, part(numbersOf, func(n *distill.Numbers) float64 { return n.RMSE })},
	{"Distance from the teacher", "RMSE from the teacher", "unit of the labels", true, part(numbersOf, func(n *distill.Numbers) float64 { return n.TeacherRMSE })},
	{"Mean IoU", "IoU", "IoU", false, part(pixelsOf, func(p *distill.Pixels) float64 { return p.IoU })},
}

func answersOf(m *distill.Metrics) *distill.Answers { return m.Answers }
func numbersOf(m *distill.Metrics) *distill.Numbers { return m.Numbers }
func pixelsOf(m *distill.Metrics) *distill.Pixels   { return m.Pixels }

// tapCharts have the gradients of the terms, a chart for each tap.
func tapCharts(s []distill.Step, terms []string) (all []chart) {
	for _, tap := range tapNames(s) {
		c := chart{Title: "Gradient at " + tap, Y: "norm, weighted", Log: true}
		for i, t := range terms {
			at := distill.TapGradient{Term: t, Tap: tap}
			x, y := values(s, func(s distill.Step) float64 { return ofPull(s, at) })
			c.dots(curve{Name: t, Color: i}, x, y)
		}
		all = append(all, c)
	}
	return all
}

func tapNames(runs ...[]distill.Step) (all []string) {
	for _, at := range pulls(runs...) {
		if !slices.Contains(all, at.Tap) {
			all = append(all, at.Tap)
		}
	}
	return all
}

func speedOf(times []Time) chart {
	c := chart{Title: "Throughput", Y: "rows per second"}
	var x, y []float64
	for _, t := range times {
		x, y = append(x, float64(t.Step)), append(y, t.RowsPerSecond)
	}
	c.smooth(curve{Name: "rows per second"}, x, y)
	return c
}

// drawn are the charts that have something to draw, over x.
func drawn(x string, all []chart) []chart {
	all = slices.DeleteFunc(all, func(c chart) bool { return len(c.Curves) == 0 })
	for i := range all {
		all[i].X = x
	}
	return all
}

// train adds what was measured at each step, smoothed and as it is.
func (c *chart) train(s []distill.Step, name string, color int, get func(distill.Step) float64) {
	x, y := values(s, get)
	c.smooth(curve{Name: name, Set: training, Color: color}, x, y)
}

func (c *chart) smooth(line curve, x, y []float64) {
	if n := window(len(y)); n > 1 && slices.ContainsFunc(y, finite) {
		c.Note = fmt.Sprintf("(mean over %d steps; faint: each step)", n)
		at := sparse(y, maxPoints)
		line.RawX, line.RawY = pick(x, at), shorts(pick(y, at))
		y = smooth(y, n)
	}
	c.add(line, x, y)
}

// two adds one thing in training and in validation, by two colours.
func (c *chart) two(s []distill.Step, train func(distill.Step) float64, valid func(*distill.Metrics) float64) {
	x, y := values(s, train)
	c.smooth(curve{Name: training, Color: 0}, x, y)
	c.rare(s, validation, 1, valid)
}

// each adds what is known at each step without noise.
func (c *chart) each(s []distill.Step, name string, color int, get func(distill.Step) float64) {
	x, y := values(s, get)
	c.add(curve{Name: name, Color: color}, x, y)
}

func (c *chart) valid(s []distill.Step, name string, color int, get func(*distill.Metrics) float64) {
	x, y := values(s, func(s distill.Step) float64 { return ofValid(s, get) })
	c.dots(curve{Name: name, Set: validation, Color: color}, x, y)
}

// rare adds what validation says alone.
func (c *chart) rare(s []distill.Step, name string, color int, get func(*distill.Metrics) float64) {
	x, y := values(s, func(s distill.Step) float64 { return ofValid(s, get) })
	c.dots(curve{Name: name, Color: color}, x, y)
}

// dots adds a curve of the values there are.
func (c *chart) dots(line curve, x, y []float64) {
	var at []int
	for i, v := range y {
		if finite(v) {
			at = append(at, i)
		}
	}
	line.Dots = true
	c.add(line, pick(x, at), pick(y, at))
}

func (c *chart) add(line curve, x, y []float64) {
	if !slices.ContainsFunc(y, finite) {
		return
	}
	at := sparse(y, maxPoints)
	line.X, line.Y = pick(x, at), shorts(pick(y, at))
	c.Curves = append(c.Curves, line)
}

func pick(x []float64, at []int) []float64 {
	all := make([]float64, len(at))
	for k, i := range at {
		all[k] = x[i]
	}
	return all
}

// sparse is at most so many places of y: the first, the last, and in between, of
// parts of one size, the lowest and the highest value, and a gap where a part has
// nothing else.
func sparse(y []float64, most int) (at []int) {
	n := len(y)
	if n <= most {
		for i := range n {
			at = append(at, i)
		}
		return at
	}
	parts := (most - 2) / 2
	at = append(at, 0)
	for k := range parts {
		from, to := 1+k*(n-2)/parts, 1+(k+1)*(n-2)/parts
		low, high := from, from
		for i := from; i < to; i++ {
			if finite(y[i]) && !(y[low] <= y[i]) {
				low = i
			}
			if finite(y[i]) && !(y[high] >= y[i]) {
				high = i
			}
		}
		at = append(at, min(low, high))
		if low != high {
			at = append(at, max(low, high))
		}
	}
	return append(at, n-1)
}

// chartsOfArms are those of several arms, over the epochs.
func chartsOfArms(arms []Arm) []chart {
	var runs [][]distill.Step
	for _, a := range arms {
		runs = append(runs, a.Runs...)
	}
	accuracy := chart{Title: "Validation accuracy", Y: "% of rows", Share: true}
	accuracy.arms(arms, "", inValidation(func(m *distill.Metrics) float64 { return 100 * m.Accuracy }))
	for _, a := range arms {
		if last := spanOf(arms)[1] - 0.5; len(a.Runs) == 0 && a.Level > 0 {
			accuracy.add(curve{Name: a.Name, Color: -1, Level: true}, []float64{1, max(last, 1.5)}, []float64{100 * a.Level, 100 * a.Level})
		}
	}
	agreement := chart{Title: "Agreement with the teacher", Y: "% of rows", Share: true}
	agreement.arms(arms, "", inValidation(func(m *distill.Metrics) float64 { return 100 * m.Agreement }))
	all := []chart{accuracy}
	for _, t := range termNames(runs...) {
		c := chart{Title: "Loss: " + t, Y: "nats", Log: true}
		c.arms(arms, training, inTraining(func(s distill.Step) float64 { return ofTerm(s.Terms, t).Value }))
		c.arms(arms, validation, inValidation(func(m *distill.Metrics) float64 { return ofTerm(m.Terms, t).Value }))
		all = append(all, c)
	}
	all = append(all, agreement)
	for _, q := range qualities {
		c := chart{Title: q.title, Y: q.unit, Log: q.log}
		c.arms(arms, "", inValidation(q.get))
		all = append(all, c)
	}
	rate := chart{Title: "Learning rate", Y: "rate"}
	rate.arms(arms, "", inTraining(func(s distill.Step) float64 { return s.Rate }))
	all = append(all, rate)
	for _, t := range termNames(runs...) {
		c := chart{Title: "Temperature: " + t, Y: "T"}
		c.arms(arms, "", inTraining(func(s distill.Step) float64 { return positive(ofTerm(s.Terms, t).T) }))
		if !c.flat() {
			all = append(all, c)
		}
	}
	for _, at := range pulls(runs...) {
		c := chart{Title: "Gradient of " + at.Term + " at " + at.Tap, Y: "norm, weighted", Log: true}
		c.arms(arms, "", func(epoch []distill.Step) float64 { return ofPull(epoch[len(epoch)-1], at) })
		all = append(all, c)
	}
	norm := chart{Title: "Gradient norm", Y: "mean, before clipping", Log: true}
	norm.arms(arms, "", inTraining(func(s distill.Step) float64 { return s.GradNorm }))
	return drawn("epoch", append(all, norm))
}

// flat says that each curve has one value.
func (c *chart) flat() bool {
	return !slices.ContainsFunc(c.Curves, func(l curve) bool { return slices.Min(l.Y) != slices.Max(l.Y) })
}

// arms adds the mean over the runs of each arm, and the band that they take up.
func (c *chart) arms(arms []Arm, set string, get func(epoch []distill.Step) float64) {
	for i, a := range arms {
		var p panel
		p.arm(series{}, a, get)
		for _, s := range p.series {
			if len(a.Runs) > 1 {
				c.Note = "Lines are means over seeds, bands go from the lowest to the highest."
			}
			at := sparse(s.y, maxPoints)
			line := curve{Name: a.Name, Set: set, Color: hueOf(arms, i), X: pick(s.x, at), Y: shorts(pick(s.y, at))}
			if s.low != nil {
				line.Low, line.High = shorts(pick(s.low, at)), shorts(pick(s.high, at))
			}
			c.Curves = append(c.Curves, line)
		}
	}
}

// percent is v times 100, with as many digits as tell apart rows by the thousand.
func percent(v float64) string { return plainly(100*v, 2) }

// plainly is v with so many digits after the point, and a dash where there is none.
func plainly(v float64, digits int) string {
	if !finite(v) {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// briefly is v in four digits.
func briefly(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a != 0 && a < 1e-4 || a >= 1e6:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return strconv.FormatFloat(v, 'f', max(0, 4-digits(v)), 64)
}

// digits are those before the point.
func digits(v float64) int {
	if a := math.Abs(v); a >= 1 {
		return int(math.Log10(a)) + 1
	}
	return 0
}
