package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/godistill/godistill/distill"
)

// A Difference is what two runs do not share.
type Difference struct {
	// A and B are what a page calls the runs: of Diff, their folders.
	A, B string
	// Settings are of run.json: by their own names those of the configuration, and
	// go, platform, revision, and the path of each module for its version.
	Settings []Change
	// Results are of summary.json, such as steps and valid.accuracy, the latter of
	// the best epoch; and, after "last ", the last values of the columns of
	// metrics.csv.
	Results []Change
}

// A Change is one value in the run A and in the run B. It is "" where there is
// none.
type Change struct{ Name, A, B string }

// Diff compares two runs that have ended, each by its folder, as a [Folder]
// leaves it:
//
//	d, err := report.Diff("runs/monday", "runs/today")
//	if err != nil {
//		return err
//	}
//	fmt.Print(d)
//
// Values are compared as they are written, to the last digit. It fails if
// run.json, summary.json or metrics.jsonl is missing, or not what a Folder
// writes.
func Diff(a, b string) (Difference, error) {
	x, err := load(a)
	if err != nil {
		return Difference{}, fmt.Errorf("report: %w", err)
	}
	y, err := load(b)
	if err != nil {
		return Difference{}, fmt.Errorf("report: %w", err)
	}
	return Difference{
		A: a, B: b,
		Settings: changes(x.plan.settings(), y.plan.settings()),
		Results:  changes(x.results(), y.results()),
	}, nil
}

// changes are the values that differ, in the order of a, then those that only b
// has.
func changes(a, b []distill.Setting) (all []Change) {
	in := func(list []distill.Setting) map[string]string {
		values := make(map[string]string, len(list))
		for _, s := range list {
			values[s.Name] = s.Value
		}
		return values
	}
	x, y, seen := in(a), in(b), make(map[string]bool)
	for _, s := range slices.Concat(a, b) {
		if c := (Change{s.Name, x[s.Name], y[s.Name]}); c.A != c.B && !seen[s.Name] {
			all = append(all, c)
		}
		seen[s.Name] = true
	}
	return all
}

// settings are all of run.json.
func (d description) settings() []distill.Setting {
	all := []distill.Setting{
		{Name: "name", Value: d.Name},
		{Name: "steps", Value: fmt.Sprint(d.Steps)},
		{Name: "steps_per_epoch", Value: fmt.Sprint(d.StepsPerEpoch)},
		{Name: "terms", Value: strings.Join(d.Terms, ", ")},
	}
	all = append(all, d.Config...)
	all = append(all,
		distill.Setting{Name: "go", Value: d.Go},
		distill.Setting{Name: "platform", Value: d.Platform},
		distill.Setting{Name: "revision", Value: d.Revision})
	for _, m := range d.Modules {
		all = append(all, distill.Setting{Name: m.Path, Value: m.Version})
	}
	return all
}

// results are all of summary.json, and the ends of the curves.
func (s saved) results() []distill.Setting {
	all := []distill.Setting{
		{Name: "steps", Value: fmt.Sprint(s.end.Steps)},
		{Name: "epochs", Value: fmt.Sprint(s.end.Epochs)},
		{Name: "why", Value: string(s.end.Why)},
		{Name: "error", Value: s.end.Error},
		{Name: "best_epoch", Value: fmt.Sprint(s.end.BestEpoch)},
	}
	if m := s.end.Valid; m != nil {
		all = append(all, distill.Setting{Name: "valid.rows", Value: fmt.Sprint(m.Rows)}, distill.Setting{Name: "valid.loss", Value: cell(m.Loss)})
		for _, t := range m.Terms {
			all = append(all, distill.Setting{Name: "valid.terms." + t.Name + ".value", Value: cell(t.Value)})
		}
		for _, measure := range slices.Concat(common, special) {
			all = append(all, distill.Setting{Name: "valid." + measure.name, Value: cell(measure.get(m))})
		}
	}
	const counts = 3 // step, epoch and rows, which are no curves
	for _, c := range append(columns(s.steps)[counts:], ofTasks(s.steps)...) {
		all = append(all, distill.Setting{Name: "last " + c.name, Value: lastCell(s.steps, c)})
	}
	return all
}

// lastCell is the last cell of a column that is not empty.
func lastCell(steps []distill.Step, c column) string {
	for _, s := range slices.Backward(steps) {
		if text := c.cell(s); text != "" {
			return text
		}
	}
	return ""
}

// String is a table of the settings and one of the results, without those that
// are empty, and "no difference" if both are.
func (d Difference) String() string {
	if len(d.Settings)+len(d.Results) == 0 {
		return "no difference\n"
	}
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
	for i, t := range d.listings() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\ta\tb\n", t.name)
		for _, c := range t.changes {
			fmt.Fprintf(w, "%s\t%s\t%s\n", oneLine(c.Name), orDash(oneLine(c.A)), orDash(oneLine(c.B)))
		}
	}
	w.Flush()
	return s.String()
}

// Markdown implements [Section], with the tables of String.
func (d Difference) Markdown(w io.Writer) error {
	out := bytes.NewBufferString("## Difference\n")
	tables := d.listings()
	if len(tables) == 0 {
		out.WriteString("\nNone.\n")
	}
	for _, t := range tables {
		var rows [][]string
		for _, c := range t.changes {
			rows = append(rows, []string{escape(c.Name), orDash(escape(c.A)), orDash(escape(c.B))})
		}
		writeTable(out, []string{t.name, "a", "b"}, rows)
	}
	return publish(w, out.Bytes())
}

// A listing is one of the two tables.
type listing struct {
	name    string
	changes []Change
}

// listings are the tables that are not empty.
func (d Difference) listings() []listing {
	all := []listing{{"setting", d.Settings}, {"result", d.Results}}
	return slices.DeleteFunc(all, func(l listing) bool { return len(l.changes) == 0 })
}

func orDash(text string) string {
	if text == "" {
		return dash
	}
	return text
}
