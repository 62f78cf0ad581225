package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// outcome has test accuracies, a seed each.
func outcome(name string, accuracies ...float64) study.Outcome {
	o := study.Outcome{Arm: name, Rate: 0.02, Params: 1234}
	for _, a := range accuracies {
		o.Test = append(o.Test, distill.Metrics{Accuracy: a})
	}
	return o
}

// regression has test errors, a seed each.
func regression(name string, rmses ...float64) study.Outcome {
	o := study.Outcome{Arm: name, Rate: 0.5, Params: 77}
	for _, r := range rmses {
		o.Test = append(o.Test, distill.Metrics{Accuracy: math.NaN(), Numbers: &distill.Numbers{RMSE: r}})
	}
	return o
}

func markdown(t *testing.T, sections ...report.Section) string {
	t.Helper()
	var out strings.Builder
	if err := report.Markdown(&out, sections...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestMarkdownOfStudies(t *testing.T) {
	arms := study.Outcomes{outcome("control", 0.70, 0.72, 0.74), outcome("distilled", 0.80, 0.83, 0.83), outcome("hints", 0.71, 0.71, 0.75)}
	tests := []struct {
		name string
		of   report.Study
		want string
	}{
		{"with a control", report.Study{Title: "Digits", Outcomes: arms, Control: "control"}, `## Digits

| arm | parameters | rate | seeds | test accuracy % | minus control |
|---|---:|---:|---:|---:|---:|
| control | 1234 | 0.02 | 3 | 72.00 ± 2.00 |  |
| distilled | 1234 | 0.02 | 3 | 82.00 ± 1.73 | **+10.00 [+7.52, +12.48]** |
| hints | 1234 | 0.02 | 3 | 72.33 ± 2.31 | +0.33 [-2.54, +3.20] |
`},
		{"without one", report.Study{Outcomes: arms[:1]}, `## Study

| arm | parameters | rate | seeds | test accuracy % |
|---|---:|---:|---:|---:|
| control | 1234 | 0.02 | 3 | 72.00 ± 2.00 |
`},
		{"of numbers", report.Study{Outcomes: study.Outcomes{regression("a", 1.25, 1.5), regression("b", 1, 1.25)}, Control: "a"}, `## Study

| arm | parameters | rate | seeds | test RMSE | minus a |
|---|---:|---:|---:|---:|---:|
| a | 77 | 0.5 | 2 | 1.3750 ± 0.1768 |  |
| b | 77 | 0.5 | 2 | 1.1250 ± 0.1768 | **-0.2500 [-0.2500, -0.2500]** |
`},
		{"not measured", report.Study{Outcomes: study.Outcomes{outcome("a", 0.5, math.NaN()), outcome("b", 0.5, 0.5)}, Control: "b"}, `## Study

| arm | parameters | rate | seeds | test accuracy % | minus b |
|---|---:|---:|---:|---:|---:|
| a | 1234 | 0.02 | 2 | – | – |
| b | 1234 | 0.02 | 2 | 50.00 ± 0.00 |  |
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, markdown(t, test.of)); diff != "" {
				t.Errorf("the section (-want +got):\n%s", diff)
			}
		})
	}
}

// The figures are those of study itself.
func TestMarkdownAgreesWithStudy(t *testing.T) {
	all := study.Outcomes{outcome("a", 0.61, 0.75, 0.66, 0.7), outcome("b", 0.64, 0.77, 0.71, 0.69)}
	d, err := all.Compare("b", "a")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%+.2f [%+.2f, %+.2f]", 100*d.Mean, 100*d.Low, 100*d.High)
	if got := markdown(t, report.Study{Outcomes: all, Control: "a"}); !strings.Contains(got, want) {
		t.Errorf("%s\nhas no %q", got, want)
	}
}

// summary.md is what is read of the folder, and a name is a name.
func TestMarkdownOfDirs(t *testing.T) {
	dir := t.TempDir()
	f := &report.Folder{Now: clock(), NoCurves: true}
	f.Start(distill.Plan{Name: "a|b\n# \xff*c*", Dir: dir, Config: []distill.Setting{{Name: "x\xff", Value: "\xfe"}, {Name: "y", Value: "<&>"}}})
	f.Step(distill.Step{
		N: 1, Loss: 3, Accuracy: math.NaN(), Terms: []distill.TermValue{{Name: "|soft|", Value: 1.5, Weight: 2}},
		Valid: &distill.Metrics{Loss: math.Inf(1), Terms: []distill.TermValue{{Name: "|soft|", Value: 0.123456, Weight: 2}}},
	})
	f.Step(distill.Step{N: 2, Loss: 2, Accuracy: math.NaN(), Terms: []distill.TermValue{{Name: "|soft|", Value: 1, Weight: 2}}})
	err := f.Finish(distill.Result{Steps: 2, BestEpoch: -1}, errors.New("data: row 3:\n`x` is <nil>"))
	if err != nil {
		t.Fatal(err)
	}
	got := markdown(t, report.Dir(dir))
	if diff := cmp.Diff(files(t, dir)["summary.md"], got); diff != "" {
		t.Errorf("summary.md, and what is read (-want +got):\n%s", diff)
	}
	before, hash, _ := strings.Cut(got, "Configuration ")
	want := "## a\\|b \\# \uFFFD\\*c\\*\n\nEnded by an error after 0 epochs, 2 steps: data: row 3: \\`x\\` is \\<nil\\>\n" + `
| last values | weight | training | validation |
|---|---:|---:|---:|
| \|soft\| | 2 | 1 | 0.1235 |
| weighted sum | – | 2 | +Inf |

`
	if diff := cmp.Diff(want, before); diff != "" {
		t.Errorf("the section (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(hash, "`, 2 settings.\n") {
		t.Errorf("it ends with %q", hash)
	}
}

// The hash tells configurations apart, and says nothing of when and where a run
// was done.
func TestConfigurationHash(t *testing.T) {
	hash := func(config ...distill.Setting) string {
		dir := t.TempDir()
		f := &report.Folder{Dir: dir, NoCurves: true}
		f.Start(distill.Plan{Config: config})
		finish(t, f, nil)
		_, after, _ := strings.Cut(files(t, dir)["summary.md"], "Configuration `")
		return after
	}
	a := hash(distill.Setting{Name: "Seed", Value: "7"})
	if b := hash(distill.Setting{Name: "Seed", Value: "7"}); a != b {
		t.Errorf("of one configuration it is %q and %q", a, b)
	}
	if b := hash(distill.Setting{Name: "Seed", Value: "8"}); a == b {
		t.Errorf("of two configurations it is %q", a)
	}
}

// Whatever an arm is called, it is one cell of one row, and shown as it is.
func TestMarkdownNames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("a|\\\n\r\t`*_"))), rapid.Just("a|b")).Draw(rt, "name")
		text := markdown(t, report.Study{Title: name, Outcomes: study.Outcomes{outcome(name, 0.5, 0.75), outcome("b", 0.5, 0.5)}, Control: "b"})
		lines := strings.Split(text, "\n")
		if len(lines) != 7 {
			rt.Fatalf("there are %d lines of %q; want 7", len(lines), text)
		}
		want := strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || 0x7f <= r && r <= 0x9f || r == '\u2028' || r == '\u2029' {
				return ' '
			}
			return r
		}, name))
		row := cellsOf(lines[4])
		if len(row) != 6 || strings.TrimSpace(row[0]) != want {
			rt.Errorf("the row of %q has the cells %q", name, row)
		}
	})
}

// cellsOf are the cells of a row, without the backslashes before punctuation.
func cellsOf(row string) (cells []string) {
	cell, escaped := "", false
	for _, r := range strings.TrimPrefix(row, "|") {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && r == '|':
			cells, cell = append(cells, cell), ""
		default:
			cell += string(r)
		}
		escaped = false
	}
	return cells
}

type broken struct{}

func (broken) Markdown(w io.Writer) error { return errors.New("report: broken") }
func (broken) Write([]byte) (int, error)  { return 0, errors.New("the disk is full") }

func TestMarkdownErrors(t *testing.T) {
	arms := study.Outcomes{outcome("a", 0.5, 0.6), outcome("b", 0.5, 0.6, 0.7)}
	one := report.Study{Outcomes: arms[:1]}
	tests := []struct {
		name     string
		w        io.Writer
		sections []report.Section
		want     string
	}{
		{"no writer", nil, []report.Section{one}, "report: Markdown: the io.Writer is nil"},
		{"no section", new(bytes.Buffer), nil, "report: Markdown has no section; want one or more"},
		{"a nil section", new(bytes.Buffer), []report.Section{one, nil}, "report: section 1 of Markdown is nil; want a Section"},
		{"a section fails", new(bytes.Buffer), []report.Section{one, broken{}}, "report: broken"},
		{"writing fails", broken{}, []report.Section{one}, "report: the disk is full"},
		{"no arms", new(bytes.Buffer), []report.Section{report.Study{}}, "report: Study.Outcomes is empty; want one arm or more"},
		{"no control", new(bytes.Buffer), []report.Section{report.Study{Outcomes: arms, Control: "c"}}, `report: Study.Control: study: there is no arm "c"`},
		{"one seed", new(bytes.Buffer), []report.Section{report.Study{Outcomes: study.Outcomes{outcome("a", 0.5)}}}, `report: Study.Outcomes: arm "a": study: x has 1 values; want 2 or more`},
		{"other seeds", new(bytes.Buffer), []report.Section{report.Study{Outcomes: arms, Control: "a"}}, `report: Study.Outcomes: arm "b": study: a has 3 values and b 2; want pairs`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := report.Markdown(test.w, test.sections...); fmt.Sprint(err) != test.want {
				t.Errorf("error %v; want %q", err, test.want)
			}
			if out, ok := test.w.(*bytes.Buffer); ok && out.Len() > 0 {
				t.Errorf("it wrote %q", out)
			}
		})
	}
	if err := one.Markdown(nil); fmt.Sprint(err) != "report: Markdown: the io.Writer is nil" {
		t.Errorf("a section without a writer: %v", err)
	}
}

func ExampleMarkdown() {
	metrics := func(accuracies ...float64) (all []distill.Metrics) { // Study.Run measures them
		for _, a := range accuracies {
			all = append(all, distill.Metrics{Accuracy: a})
		}
		return all
	}
	outcomes := study.Outcomes{
		{Arm: "control", Rate: 0.01, Params: 2410, Test: metrics(0.88, 0.90, 0.89)},
		{Arm: "distilled", Rate: 0.02, Params: 2410, Test: metrics(0.93, 0.94, 0.95)},
	}
	err := report.Markdown(os.Stdout, report.Study{Title: "Digits", Outcomes: outcomes, Control: "control"})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// ## Digits
	//
	// | arm | parameters | rate | seeds | test accuracy % | minus control |
	// |---|---:|---:|---:|---:|---:|
	// | control | 2410 | 0.01 | 3 | 89.00 ± 1.00 |  |
	// | distilled | 2410 | 0.02 | 3 | 94.00 ± 1.00 | **+5.00 [+2.52, +7.48]** |
}
