package report

import (
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/godistill/godistill/distill"
)

// A column of the table. Its name is the path of the value in metrics.jsonl.
type column struct {
	name string
	cell func(distill.Step) string
}

// writeCSV writes a row a step. What a step does not have is an empty cell.
func writeCSV(w io.Writer, steps []distill.Step) error {
	cols := append(columns(steps), ofTasks(steps)...)
	row := make([]string, len(cols))
	for i, c := range cols {
		row[i] = c.name
	}
	out := csv.NewWriter(w)
	out.Write(row)
	for _, s := range steps {
		for i, c := range cols {
			row[i] = c.cell(s)
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func columns(steps []distill.Step) []column {
	terms := termNames(steps)
	whole := func(name string, get func(distill.Step) int) column {
		return column{name, func(s distill.Step) string { return strconv.Itoa(get(s)) }}
	}
	real := func(name string, get func(distill.Step) float64) column {
		return column{name, func(s distill.Step) string { return cell(get(s)) }}
	}
	valid := func(name string, get func(*distill.Metrics) float64) column {
		return real("valid."+name, func(s distill.Step) float64 { return ofValid(s, get) })
	}
	cols := []column{
		whole("step", func(s distill.Step) int { return s.N }),
		whole("epoch", func(s distill.Step) int { return s.Epoch }),
		whole("rows", func(s distill.Step) int { return s.Rows }),
		real("loss", func(s distill.Step) float64 { return s.Loss }),
	}
	for _, t := range terms {
		cols = append(cols,
			real("terms."+t+".value", func(s distill.Step) float64 { return ofTerm(s.Terms, t).Value }),
			real("terms."+t+".weight", func(s distill.Step) float64 { return ofTerm(s.Terms, t).Weight }))
	}
	cols = append(cols, temperatures(steps)...)
	cols = append(cols,
		real("accuracy", func(s distill.Step) float64 { return s.Accuracy }),
		real("rate", func(s distill.Step) float64 { return s.Rate }),
		real("grad_norm", func(s distill.Step) float64 { return s.GradNorm }))
	cols = append(cols, gradients(steps)...)
	cols = append(cols, valid("loss", func(m *distill.Metrics) float64 { return m.Loss }))
	for _, t := range terms {
		cols = append(cols, valid("terms."+t+".value", func(m *distill.Metrics) float64 { return ofTerm(m.Terms, t).Value }))
	}
	for _, m := range common {
		cols = append(cols, valid(m.name, m.get))
	}
	return cols
}

// ofTasks are the columns that only some tasks have, those of these steps.
func ofTasks(steps []distill.Step) (cols []column) {
	for _, m := range special {
		has := func(s distill.Step) bool { return !math.IsNaN(ofValid(s, m.get)) }
		if slices.ContainsFunc(steps, has) {
			cols = append(cols, column{"valid." + m.name, func(s distill.Step) string { return cell(ofValid(s, m.get)) }})
		}
	}
	return cols
}

// temperatures are columns of the terms that have one.
func temperatures(steps []distill.Step) (cols []column) {
	for _, name := range termNames(steps) {
		get := func(s distill.Step) float64 { return positive(ofTerm(s.Terms, name).T) }
		if slices.ContainsFunc(steps, func(s distill.Step) bool { return finite(get(s)) }) {
			cols = append(cols, column{"terms." + name + ".temperature", func(s distill.Step) string { return cell(get(s)) }})
		}
	}
	return cols
}

// gradients are columns of what terms do at the student's taps.
func gradients(steps []distill.Step) (cols []column) {
	for _, at := range pulls(steps) {
		cols = append(cols, column{"gradients." + at.Term + "." + at.Tap, func(s distill.Step) string { return cell(ofPull(s, at)) }})
	}
	return cols
}

// pulls are the terms and taps that steps have a gradient of, without the norms,
// in the order in which they come up.
func pulls(runs ...[]distill.Step) (all []distill.TapGradient) {
	for _, steps := range runs {
		for _, s := range steps {
			for _, g := range s.Gradients {
				if g.Norm = 0; !slices.Contains(all, g) {
					all = append(all, g)
				}
			}
		}
	}
	return all
}

// ofPull is the norm of a term's gradient at a tap, NaN where there is none.
func ofPull(s distill.Step, at distill.TapGradient) float64 {
	for _, g := range s.Gradients {
		if g.Term == at.Term && g.Tap == at.Tap {
			return g.Norm
		}
	}
	return math.NaN()
}

// positive is v, NaN if it is not above 0.
func positive(v float64) float64 {
	if v > 0 {
		return v
	}
	return math.NaN()
}

func cell(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// termNames are the names of all terms, in the order in which they come up.
func termNames(runs ...[]distill.Step) []string {
	var names []string
	for _, steps := range runs {
		for _, s := range steps {
			for _, t := range s.Terms {
				if !slices.Contains(names, t.Name) {
					names = append(names, t.Name)
				}
			}
		}
	}
	return names
}

func ofTerm(terms []distill.TermValue, name string) distill.TermValue {
	for _, t := range terms {
		if t.Name == name {
			return t
		}
	}
	return distill.TermValue{Value: math.NaN(), Weight: math.NaN()}
}

func ofValid(s distill.Step, get func(*distill.Metrics) float64) float64 {
	if s.Valid == nil {
		return math.NaN()
	}
	return get(s.Valid)
}
