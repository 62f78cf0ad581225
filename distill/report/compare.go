package report

import (
	"errors"
	"io"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/godistill/godistill/distill"
	"gonum.org/v1/plot/vg/draw"
)

// An Arm is one arm of a comparison: runs that differ in their seed alone.
type Arm struct {
	// Name is what the arm is called.
	Name string
	// Runs are the steps of each, as [Read] returns them.
	Runs [][]distill.Step
	// Level is the validation accuracy from 0 to 1 of an arm without Runs,
	// such as the teacher, and drawn as a level line; 0 means none.
	Level float64

	// What follows is for the table of a [Page], where zero leaves a cell empty.
	// Params is the number of parameters, Rate the learning rate, Test has the
	// metrics of each run on test data, and Config is that of the first run.
	Params int
	Rate   float64
	Test   []distill.Metrics
	Config []distill.Setting
	// Control is the arm whose test accuracy is subtracted from this one's, run by
	// run; "" means none.
	Control string
}

// Compare writes a picture of the arms over the epochs, counted from 1: the
// validation accuracy, the terms of the loss in training and validation, the
// negative log-likelihood of the validation labels, and the learning rate. A
// line is the mean over the runs, and a band goes from the lowest to the
// highest. What was measured at each step counts by its rows.
//
// An epoch is drawn where every run of the arm has it, as a mean over some
// would be one over other seeds. Where the lowest tenth of the epochs would take
// up most of the axis of the accuracy, they run off its lower end. Curves that
// are equal alternate. Six arms have colours of their own.
func Compare(w io.Writer, format Format, title string, arms ...Arm) error {
	span, empty := spanOf(arms), true
	panels := [4]panel{accuracyOf(arms, span), termsOf(arms), likelihoodOf(arms), rateOf(arms)}
	for i := range panels {
		panels[i].x, panels[i].span = "epoch", span
		empty = empty && len(panels[i].series) == 0
	}
	if empty {
		return errors.New("report: Compare has no arm with a number to draw; want one or more")
	}
	subtitle := ""
	if slices.ContainsFunc(arms, func(a Arm) bool { return len(a.Runs) > 1 }) {
		subtitle = "line: mean over seeds · band: lowest to highest"
	}
	return figure(w, format, title, subtitle, panels)
}

func accuracyOf(arms []Arm, span []float64) panel {
	p := panel{title: "Validation accuracy", y: "share of rows (%)", share: true, cut: true}
	p.arms(arms, inValidation(func(m *distill.Metrics) float64 { return 100 * m.Accuracy }))
	for i, arm := range arms {
		if len(arm.Runs) == 0 && arm.Level > 0 {
			level := 100 * arm.Level
			p.add(series{name: arm.Name, color: paint(i), width: thick, dashed: true, x: span, y: []float64{level, level}})
		}
	}
	return p
}

// glyphs tell the terms of a loss apart.
var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.PyramidGlyph{}, draw.BoxGlyph{}, draw.RingGlyph{}, draw.CrossGlyph{}}

// termsOf has the arms by colour, the terms by dots, and training and validation
// by dashes, with a key to each.
func termsOf(arms []Arm) panel {
	p := panel{title: "Loss per term", y: "loss (nats)", log: true}
	marks := marksOf(arms)
	var key []series
	for i, arm := range arms {
		before := len(p.series)
		for _, s := range marks {
			term := s.name
			s.name, s.color, s.width = "", paint(i), thick
			p.arm(s, arm, inTraining(func(s distill.Step) float64 { return ofTerm(s.Terms, term).Value }))
			s.dashed = true
			p.arm(s, arm, inValidation(func(m *distill.Metrics) float64 { return ofTerm(m.Terms, term).Value }))
		}
		if len(p.series) > before {
			key = append(key, series{name: arm.Name, color: paint(i), width: thick})
		}
	}
	if len(key) == 0 {
		return p
	}
	if len(marks) > 1 {
		key = append(key, marks...)
	}
	p.series = append(p.series, append(key,
		series{name: "training", color: grey, width: thick},
		series{name: "validation", color: grey, width: thick, dashed: true})...)
	return p
}

// marksOf are the key to the terms; a term alone needs no dots.
func marksOf(arms []Arm) []series {
	var runs [][]distill.Step
	for _, arm := range arms {
		runs = append(runs, arm.Runs...)
	}
	terms := termNames(runs...)
	var marks []series
	for i, term := range terms {
		s := series{name: term, color: grey}
		if len(terms) > 1 {
			s.glyph, s.dots, s.phase = glyphs[i%len(glyphs)], 8, (float64(i)+0.5)/float64(len(terms))
		}
		marks = append(marks, s)
	}
	return marks
}

func likelihoodOf(arms []Arm) panel {
	p := panel{title: "Validation negative log-likelihood", y: "NLL of the label (nats)", log: true}
	p.arms(arms, inValidation(func(m *distill.Metrics) float64 { return m.NLL }))
	return p
}

func rateOf(arms []Arm) panel {
	p := panel{title: "Learning rate", y: "rate"}
	p.arms(arms, inTraining(func(s distill.Step) float64 { return s.Rate }))
	return p
}

func (p *panel) arms(arms []Arm, get func([]distill.Step) float64) {
	for i, arm := range arms {
		p.arm(series{name: arm.Name, color: paint(i), width: thick}, arm, get)
	}
}

// arm adds the curve of what get finds in the steps of each epoch.
func (p *panel) arm(s series, a Arm, get func(epoch []distill.Step) float64) {
	values := make(map[int][]float64)
	for _, run := range a.Runs {
		for epoch := range epochs(run) {
			n := epoch[0].Epoch
			values[n] = append(values[n], get(epoch))
		}
	}
	for _, epoch := range slices.Sorted(maps.Keys(values)) {
		v := values[epoch]
		if len(v) != len(a.Runs) {
			continue
		}
		s.x, s.y = append(s.x, float64(epoch)+1), append(s.y, mean(v))
		if len(v) > 1 {
			s.low, s.high = append(s.low, slices.Min(v)), append(s.high, slices.Max(v))
		}
	}
	p.add(s)
}

// epochs yields the steps of a run epoch by epoch.
func epochs(run []distill.Step) iter.Seq[[]distill.Step] {
	return func(yield func([]distill.Step) bool) {
		for len(run) > 0 {
			n := slices.IndexFunc(run, func(s distill.Step) bool { return s.Epoch != run[0].Epoch })
			if n < 0 {
				n = len(run)
			}
			if !yield(run[:n]) {
				return
			}
			run = run[n:]
		}
	}
}

// inTraining is the mean of a value over the rows of an epoch, passing over
// the steps that have none.
func inTraining(get func(distill.Step) float64) func([]distill.Step) float64 {
	return func(epoch []distill.Step) float64 {
		sum, rows := 0.0, 0.0
		for _, s := range epoch {
			if v := get(s); finite(v) {
				n := float64(max(1, s.Rows))
				sum, rows = sum+n*v, rows+n
			}
		}
		return sum / rows
	}
}

// inValidation is what was measured in an epoch.
func inValidation(get func(*distill.Metrics) float64) func([]distill.Step) float64 {
	return func(epoch []distill.Step) float64 {
		for _, s := range slices.Backward(epoch) {
			if s.Valid != nil {
				return get(s.Valid)
			}
		}
		return math.NaN()
	}
}

// mean is NaN where one of the values cannot be drawn.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		if !finite(v) {
			return math.NaN()
		}
		sum += v
	}
	return sum / float64(len(values))
}

// spanOf has room for all epochs: one that is alone has a width too.
func spanOf(arms []Arm) []float64 {
	last := 0
	for _, arm := range arms {
		for _, run := range arm.Runs {
			for _, s := range run {
				last = max(last, s.Epoch)
			}
		}
	}
	return []float64{0.5, float64(last) + 1.5}
}
