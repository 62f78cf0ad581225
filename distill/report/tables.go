package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/study"
)

// A table is one of a page. The first column names the rows.
type table struct {
	Head []string
	Rows []tableRow
	Note string
}

type tableRow struct {
	Cells []string
	Chip  bool // whether the row is of something with a colour
	Color int  // -1 is grey
	Mark  bool // the row that the others lead to
}

// without drops the columns in which no row has anything.
func (t *table) without() *table {
	for c := len(t.Head) - 1; c > 0; c-- {
		has := func(r tableRow) bool { return r.Cells[c] != "" && r.Cells[c] != "–" }
		if slices.ContainsFunc(t.Rows, has) {
			continue
		}
		t.Head = slices.Delete(t.Head, c, c+1)
		for i := range t.Rows {
			t.Rows[i].Cells = slices.Delete(t.Rows[i].Cells, c, c+1)
		}
	}
	return t
}

// A measured number is one of those of Metrics, and how it is written.
type measured struct {
	name  string
	text  func(float64) string
	value func(*distill.Metrics) float64
}

// figures are what tables show of metrics, where there is something.
var figures = []measured{
	{"accuracy %", percent, func(m *distill.Metrics) float64 { return m.Accuracy }},
	{"NLL", briefly, func(m *distill.Metrics) float64 { return m.NLL }},
	{"ECE", briefly, func(m *distill.Metrics) float64 { return m.ECE }},
	{"agreement %", percent, func(m *distill.Metrics) float64 { return m.Agreement }},
	{"KL to teacher", briefly, func(m *distill.Metrics) float64 { return m.TeacherKL }},
	{"F1", briefly, part(answersOf, func(a *distill.Answers) float64 { return a.F1 })},
	{"AUROC", briefly, part(answersOf, func(a *distill.Answers) float64 { return a.AUROC })},
	{"MAE", briefly, part(numbersOf, func(n *distill.Numbers) float64 { return n.MAE })},
	{"RMSE", briefly, part(numbersOf, func(n *distill.Numbers) float64 { return n.RMSE })},
	{"R²", briefly, part(numbersOf, func(n *distill.Numbers) float64 { return n.R2 })},
	{"RMSE from teacher", briefly, part(numbersOf, func(n *distill.Numbers) float64 { return n.TeacherRMSE })},
	{"IoU", briefly, part(pixelsOf, func(p *distill.Pixels) float64 { return p.IoU })},
}

// factsOf are the figures at the head of a run's page: those of its best epoch,
// and how long it took.
func factsOf(l Log) (all []distill.Setting) {
	fact := func(name, value string) { all = append(all, distill.Setting{Name: name, Value: value}) }
	if best, ok := bestOf(l.Steps); ok {
		for _, f := range figures {
			if v := f.value(best.Valid); finite(v) && len(all) < 5 {
				fact("validation "+f.name, f.text(v))
			}
		}
		fact("best epoch", fmt.Sprint(best.Epoch+1))
	}
	last := l.Steps[len(l.Steps)-1]
	fact("steps", fmt.Sprint(last.N))
	if n := len(l.Times); n > 0 {
		seconds, rows := l.Times[n-1].Seconds, 0.0
		for _, s := range l.Steps {
			rows += float64(s.Rows)
		}
		fact("time", time.Duration(math.Round(seconds*10)*1e8).String())
		if seconds > 0 {
			fact("rows per second", plainly(rows/seconds, 0))
		}
	}
	return all
}

// bestOf is the step with the best validation.
func bestOf(steps []distill.Step) (distill.Step, bool) {
	for _, s := range slices.Backward(steps) {
		if s.Best && s.Valid != nil {
			return s, true
		}
	}
	return distill.Step{}, false
}

// termTable says what is minimised, and what became of it.
func termTable(steps []distill.Step) *table {
	t := &table{Head: []string{"term", "weight", "temperature", "first step", "last step", "validation, best epoch"}}
	first, last := steps[0], steps[len(steps)-1]
	best, _ := bestOf(steps)
	for i, name := range termNames(steps) {
		a, b := ofTerm(first.Terms, name), ofTerm(last.Terms, name)
		valid := ofValid(best, func(m *distill.Metrics) float64 { return ofTerm(m.Terms, name).Value })
		t.Rows = append(t.Rows, tableRow{Chip: true, Color: i, Cells: []string{
			name, change(a.Weight, b.Weight), change(positive(a.T), positive(b.T)), briefly(a.Value), briefly(b.Value), briefly(valid),
		}})
	}
	return t.without()
}

// change is a value that may be another at the end.
func change(from, to float64) string {
	switch {
	case math.IsNaN(from):
		return "–"
	case from == to || math.IsNaN(to):
		return fmt.Sprintf("%.4g", from)
	}
	return fmt.Sprintf("%.4g → %.4g", from, to)
}

// maxEpochs bounds the rows of the table of epochs.
const maxEpochs = 100

// epochTable has what was measured in each epoch; of many, the best and as many
// others as have room.
func epochTable(steps []distill.Step) *table {
	t := &table{Head: []string{"epoch", "last step", "training loss", "training accuracy %", "validation loss"}}
	for _, f := range figures {
		t.Head = append(t.Head, f.name)
	}
	all := slices.Collect(epochs(steps))
	best, ok := bestOf(steps)
	every := (len(all) + maxEpochs - 1) / maxEpochs
	for i, epoch := range all {
		last := epoch[len(epoch)-1]
		mark := ok && last.Epoch == best.Epoch
		if i%every != 0 && i != len(all)-1 && !mark {
			continue
		}
		cells := []string{
			fmt.Sprint(last.Epoch + 1), fmt.Sprint(last.N),
			briefly(inTraining(func(s distill.Step) float64 { return s.Loss })(epoch)),
			percent(inTraining(func(s distill.Step) float64 { return s.Accuracy })(epoch)),
			briefly(ofValid(last, func(m *distill.Metrics) float64 { return m.Loss })),
		}
		for _, f := range figures {
			cells = append(cells, f.text(ofValid(last, f.value)))
		}
		t.Rows = append(t.Rows, tableRow{Cells: cells, Mark: mark})
	}
	if every > 1 {
		t.Note = fmt.Sprintf("One epoch in %d of %d, the best and the last; metrics.csv has all.", every, len(all))
	}
	return t.without()
}

// armTable has the arms, with means and standard deviations over their runs.
func armTable(arms []Arm) *table {
	t := &table{Head: []string{"arm"}}
	for _, f := range figures {
		t.Head = append(t.Head, "test "+f.name)
	}
	t.Head = append(t.Head, "validation accuracy %", "validation RMSE", "runs", "rate", "parameters")
	t.Head = slices.Insert(t.Head, 2, "against control, points")
	seeds, against := false, false
	for i, a := range arms {
		cells := []string{a.Name}
		for _, f := range figures {
			cells = append(cells, spread(each(a.Test, f.value), f.text))
		}
		gain := gainOf(arms, a)
		cells = slices.Insert(cells, 2, gain)
		cells = append(cells, validOf(a), spread(bests(a, part(numbersOf, func(n *distill.Numbers) float64 { return n.RMSE })), briefly))
		cells = append(cells, whole(max(len(a.Runs), len(a.Test))), "", whole(a.Params))
		if a.Rate > 0 {
			cells[len(cells)-2] = fmt.Sprint(a.Rate)
		}
		seeds, against = seeds || len(a.Test) > 1 || len(a.Runs) > 1, against || gain != ""
		t.Rows = append(t.Rows, tableRow{Chip: true, Color: hueOf(arms, i), Cells: cells})
	}
	if seeds {
		t.Note = "± is the standard deviation over the runs."
	}
	if against {
		t.Note += " Against control: in test accuracy, with the 95% interval of the paired difference, over seeds only."
	}
	t.Note = strings.TrimSpace(t.Note)
	return t.without()
}

// hueOf is the colour of an arm: those without runs, as the teacher, are grey.
func hueOf(arms []Arm, i int) int {
	if len(arms[i].Runs) == 0 {
		return -1
	}
	hue := 0
	for _, a := range arms[:i] {
		if len(a.Runs) > 0 {
			hue++
		}
	}
	return hue
}

// validOf is the validation accuracy of an arm, at its best epochs.
func validOf(a Arm) string {
	if len(a.Runs) == 0 && a.Level > 0 {
		return percent(a.Level)
	}
	return spread(bests(a, func(m *distill.Metrics) float64 { return m.Accuracy }), percent)
}

func whole(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func each(all []distill.Metrics, get func(*distill.Metrics) float64) []float64 {
	v := make([]float64, len(all))
	for i := range all {
		v[i] = get(&all[i])
	}
	return v
}

// bests are those of the best epoch of each run.
func bests(a Arm, get func(*distill.Metrics) float64) (v []float64) {
	for _, run := range a.Runs {
		if s, ok := bestOf(run); ok {
			v = append(v, get(s.Valid))
		}
	}
	return v
}

// spread is the mean of several values, with their standard deviation.
func spread(v []float64, text func(float64) string) string {
	if len(v) == 0 || slices.ContainsFunc(v, func(v float64) bool { return !finite(v) }) {
		return "–"
	}
	s, err := study.Summarize(v)
	if err != nil { // a single one
		return text(mean(v))
	}
	return text(s.Mean) + " ± " + text(s.SD)
}

// gainOf is how much better an arm is than its control, "" where that is not known.
func gainOf(arms []Arm, a Arm) string {
	accuracy := func(m *distill.Metrics) float64 { return m.Accuracy }
	for _, c := range arms {
		if c.Name != a.Control || a.Control == "" {
			continue
		}
		if d, err := study.Paired(each(a.Test, accuracy), each(c.Test, accuracy)); err == nil && finite(d.Mean) {
			return fmt.Sprintf("%+.2f [%+.2f, %+.2f]", 100*d.Mean, 100*d.Low, 100*d.High)
		}
	}
	return ""
}

// Settings are a part of a page's configuration.
type settings struct {
	Title string
	Names []string // of the columns, none of a single one
	Rows  [][]string
	Open  bool // else it is folded
}

// configOf parts the configuration of a run, its hashes and its versions.
func configOf(l Log) (all []settings) {
	config, hashes := settings{Title: "Configuration"}, settings{Title: "Hashes", Open: true}
	for _, s := range l.Config {
		if s.Value = known(s.Value); isHash(s.Value) {
			hashes.Rows = append(hashes.Rows, []string{s.Name, s.Value})
		} else {
			config.Rows = append(config.Rows, []string{s.Name, s.Value})
		}
	}
	versions := settings{Title: "Versions"}
	for _, s := range l.Versions {
		versions.Rows = append(versions.Rows, []string{s.Name, s.Value})
	}
	return filled(hashes, config, versions)
}

// known is a value, but "none" for the hash of nothing.
func known(v string) string {
	if isHash(v) && strings.Trim(v, "0") == "" {
		return "none"
	}
	return v
}

// isHash says whether a value is 32 bytes in hexadecimal digits.
func isHash(v string) bool { return len(v) == 64 && strings.Trim(v, "0123456789abcdef") == "" }

// configOfArms parts what differs between the first runs of arms from what they
// have in common.
func configOfArms(arms []Arm) []settings {
	arms = slices.DeleteFunc(slices.Clone(arms), func(a Arm) bool { return len(a.Config) == 0 })
	differ, same := settings{Title: "Configuration that differs between arms", Open: true}, settings{Title: "Configuration of all arms"}
	var names []string
	for _, a := range arms {
		differ.Names = append(differ.Names, a.Name)
		for _, s := range a.Config {
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	for _, name := range names {
		row := []string{name}
		for _, a := range arms {
			row = append(row, settingOf(a.Config, name))
		}
		if len(slices.Compact(slices.Clone(row[1:]))) == 1 {
			same.Rows = append(same.Rows, row[:2])
		} else {
			differ.Rows = append(differ.Rows, row)
		}
	}
	return filled(differ, same)
}

func settingOf(all []distill.Setting, name string) string {
	for _, s := range all {
		if s.Name == name {
			return known(s.Value)
		}
	}
	return "–"
}

func filled(all ...settings) []settings {
	return slices.DeleteFunc(all, func(s settings) bool { return len(s.Rows) == 0 })
}
