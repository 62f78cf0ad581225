package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
)

// A drawing is a chart of the page's data.
type drawing struct {
	Title, Note, X string
	Curves         []struct {
		Name, Set string
		Color     int
		Level     bool
		X, RawX   []float64
		Y, RawY   []*float64
		Low, High []*float64
	}
}

// written is a page with the data of its charts.
func written(t testing.TB, p report.Page) (text string, charts []drawing) {
	t.Helper()
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(out.String(), `<script type="application/json" id="charts">`)
	block, _, _ = strings.Cut(block, "</script>")
	if err := json.Unmarshal([]byte(block), &charts); err != nil {
		t.Fatal(err)
	}
	return out.String(), charts
}

func titles(charts []drawing) (all []string) {
	for _, c := range charts {
		all = append(all, c.Title)
	}
	return all
}

func chartOf(t testing.TB, charts []drawing, title string) drawing {
	t.Helper()
	i := slices.IndexFunc(charts, func(c drawing) bool { return c.Title == title })
	if i < 0 {
		t.Fatalf("there is no chart %q; there are %q", title, titles(charts))
	}
	return charts[i]
}

// performed is a log of a run of two terms.
func performed(epochs, perEpoch int) report.Log {
	l := report.Log{Name: "digits", Steps: sample(epochs, perEpoch, 1), Ended: "finished"}
	for _, s := range l.Steps {
		l.Times = append(l.Times, report.Time{Step: s.N, Seconds: float64(s.N) / 4, RowsPerSecond: 128})
	}
	l.Config = []distill.Setting{{Name: "Seed", Value: "7"}, {Name: "Student.Fingerprint", Value: strings.Repeat("3f", 32)}, {Name: "Teacher.Fingerprint", Value: strings.Repeat("0", 64)}}
	l.Versions = []distill.Setting{{Name: "Go", Value: "go1.26"}}
	return l
}

func TestPageOfRun(t *testing.T) {
	l := performed(5, 8)
	text, charts := written(t, report.Page{Run: l})
	want := []string{
		"Loss", "Accuracy", "Negative log-likelihood", "Distance from the teacher", "Calibration error",
		"Learning rate", "Temperature", "Weight of the terms", "Gradient at logits", "Gradient norm", "Throughput",
	}
	if got := titles(charts); !slices.Equal(got, want) {
		t.Errorf("charts %q; want %q", got, want)
	}
	loss := chartOf(t, charts, "Loss")
	var names []string
	for _, c := range loss.Curves {
		names = append(names, c.Name+" "+c.Set)
	}
	if want := []string{"weighted sum training", "weighted sum validation", "hard training", "hard validation", "soft training", "soft validation"}; !slices.Equal(names, want) {
		t.Errorf("curves %q; want %q", names, want)
	}
	if c := chartOf(t, charts, "Temperature").Curves; len(c) != 1 || c[0].Name != "soft" || *c[0].Y[39] != 2 || c[0].X[39] != 40 {
		t.Errorf("temperatures %+v; want those of soft, 2 at the end", c)
	}
	if c := chartOf(t, charts, "Gradient at logits").Curves; len(c) != 2 || !slices.Equal(c[1].X, []float64{1, 8, 16, 24, 32, 40}) {
		t.Errorf("gradients %+v; want two terms, at the first step and the ends of epochs", c)
	}
	for _, want := range []string{
		"<title>digits</title>", "Ended: finished.", "<dt>rows per second</dt><dd>128</dd>", "<dt>time</dt><dd>10s</dd>",
		"<dt>best epoch</dt><dd>5</dd>", strings.Repeat("3f", 32), "none", "go1.26", "3.95 → 2", `<tr class="mark">`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// What a name says is text, wherever it stands.
func TestPageEscapes(t *testing.T) {
	const evil = `</script><script>alert("x")</script><!--'`
	l := performed(3, 4)
	l.Name = evil
	l.Config = append(l.Config, distill.Setting{Name: evil, Value: evil})
	for i := range l.Steps {
		l.Steps[i].Terms[0].Name = evil
		for k := range l.Steps[i].Gradients {
			l.Steps[i].Gradients[k].Tap = evil
		}
	}
	grade := report.Grade{Name: evil, Classes: make([]report.Tally, 2), Confusion: [][]float64{{1, 1}, {1, 1}}, Bins: make([]report.Bin, 15), Apart: []report.Sample{{Label: 0, Picture: []byte("GIF")}}}
	text, charts := written(t, report.Page{
		Run: l, Note: evil, Arms: []report.Arm{{Name: evil, Runs: [][]distill.Step{l.Steps}, Config: l.Config}, {Name: evil + "2", Config: l.Config[:1]}},
		Examined:    &report.Examination{Classes: []string{evil, "b"}, Models: []report.Grade{grade}},
		Differences: []report.Difference{{A: evil, B: evil, Settings: []report.Change{{Name: evil, A: evil, B: evil}}, Results: []report.Change{{Name: evil}}}},
	})
	if n := strings.Count(strings.ToLower(text), "<script"); n != 2 {
		t.Errorf("the page has %d scripts; want 2", n)
	}
	if n := strings.Count(strings.ToLower(text), "</script"); n != 2 {
		t.Errorf("the page ends %d scripts; want 2", n)
	}
	if strings.Contains(text, "<!--'") || strings.Contains(text, `alert("x")`) {
		t.Error("a name stands in the page as it is")
	}
	if name := chartOf(t, charts, "Loss").Curves[2].Name; name != evil {
		t.Errorf("the term is called %q in the data; want %q", name, evil)
	}
}

// A long run makes no large page, and its curves keep their ends and extremes.
func TestPageOfManySteps(t *testing.T) {
	l := performed(200, 100)
	l.Steps[12345].GradNorm, l.Steps[777].Rate = 1e6, math.NaN()
	text, charts := written(t, report.Page{Run: l})
	if len(text) > 2<<20 {
		t.Errorf("the page has %d bytes; want 2 MB or less", len(text))
	}
	for _, chart := range charts {
		for _, c := range chart.Curves {
			if len(c.X) > 2000 || len(c.RawX) > 2000 || len(c.Y) != len(c.X) || len(c.RawY) != len(c.RawX) {
				t.Errorf("%s, %s: %d and %d points; want 2000 or less", chart.Title, c.Name, len(c.X), len(c.RawX))
			}
			if !slices.IsSorted(c.X) || !slices.IsSorted(c.RawX) || chart.Title != "Gradient at logits" && c.Set != "validation" && len(c.RawX) > 0 && (c.RawX[0] != 1 || c.RawX[len(c.RawX)-1] != 20000) {
				t.Errorf("%s, %s: from %v to %v", chart.Title, c.Name, c.RawX[0], c.RawX[len(c.RawX)-1])
			}
		}
	}
	norm := chartOf(t, charts, "Gradient norm").Curves[0]
	if i := slices.Index(norm.RawX, 12346); i < 0 || *norm.RawY[i] != 1e6 {
		t.Error("the largest value is not among the points")
	}
	if n := strings.Count(text, "<tr"); n > 250 {
		t.Errorf("the tables have %d rows; want the epochs bounded", n)
	}
}

// What is not there makes no chart, no table and no NaN.
func TestPageOfLittle(t *testing.T) {
	if text, charts := written(t, report.Page{}); len(charts) != 0 || !strings.Contains(text, "<title>Report</title>") {
		t.Errorf("an empty page has charts %q", titles(charts))
	}
	l := report.Log{Steps: []distill.Step{{N: 1, Loss: math.NaN(), Accuracy: math.NaN(), Rate: math.Inf(1), GradNorm: math.NaN(), Terms: []distill.TermValue{{Name: "soft", Value: math.NaN()}}}}}
	text, charts := written(t, report.Page{Run: l})
	text, _, _ = strings.Cut(text, "<script")
	if len(charts) != 0 || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("a step without numbers has charts %q, or says NaN", titles(charts))
	}
	numbers := performed(3, 4)
	for i := range numbers.Steps {
		numbers.Steps[i].Accuracy = math.NaN()
		if v := numbers.Steps[i].Valid; v != nil {
			nan := math.NaN()
			numbers.Steps[i].Valid = &distill.Metrics{Accuracy: nan, NLL: nan, ECE: nan, Agreement: nan, TeacherKL: nan, Numbers: &distill.Numbers{RMSE: 2, MAE: 1, R2: 0.5, TeacherRMSE: 0.25}}
		}
	}
	text, charts = written(t, report.Page{Run: numbers})
	if got := titles(charts); slices.Contains(got, "Accuracy") || !slices.Contains(got, "Error") {
		t.Errorf("a regression has charts %q", got)
	}
	text, _, _ = strings.Cut(text, "<script")
	if strings.Contains(text, "accuracy") || !strings.Contains(text, "<dt>validation RMSE</dt><dd>2.000</dd>") {
		t.Error("a regression has an accuracy, or no RMSE")
	}
}

// twoArms have three runs each, and a teacher.
func twoArms() []report.Arm {
	test := func(a ...float64) (all []distill.Metrics) {
		for _, v := range a {
			all = append(all, distill.Metrics{Accuracy: v, NLL: 0.25, ECE: 0.03, Agreement: math.NaN(), TeacherKL: math.NaN()})
		}
		return all
	}
	return []report.Arm{
		{Name: "control", Runs: [][]distill.Step{sample(6, 4, 1), sample(6, 4, 2), sample(6, 4, 3)}, Params: 1210, Rate: 0.04, Test: test(0.80, 0.81, 0.82), Config: []distill.Setting{{Name: "Clip", Value: "0"}, {Name: "Seed", Value: "1"}}},
		{Name: "distilled", Control: "control", Runs: [][]distill.Step{sample(6, 4, 4), sample(6, 4, 5), sample(6, 4, 6)}, Params: 1210, Rate: 0.02, Test: test(0.90, 0.91, 0.92), Config: []distill.Setting{{Name: "Clip", Value: "1"}, {Name: "Seed", Value: "1"}}},
		{Name: "teacher", Level: 0.98, Params: 85002, Test: test(0.97)},
	}
}

func TestPageOfArms(t *testing.T) {
	text, charts := written(t, report.Page{Title: "Two arms", Arms: twoArms()})
	for _, want := range []string{
		"Validation accuracy", "Loss: hard", "Loss: soft", "Agreement with the teacher", "Learning rate", "Temperature: soft",
		"Gradient of hard at logits", "Gradient of soft at logits", "Gradient norm",
	} {
		chartOf(t, charts, want)
	}
	c := chartOf(t, charts, "Validation accuracy").Curves
	if len(c) != 3 || !c[2].Level || *c[2].Y[0] != 98 || c[2].Color != -1 || len(c[0].X) != 6 || c[0].X[0] != 1 {
		t.Fatalf("the accuracy is %+v", c)
	}
	for i, y := range c[1].Y {
		if *c[1].Low[i] > *y || *c[1].High[i] < *y {
			t.Errorf("epoch %d: the mean %v is out of its band", i+1, *y)
		}
	}
	for _, want := range []string{
		"81.00 ± 1.00", "91.00 ± 1.00", "97.00", "98.00", "1210", "0.04", "&#43;10.00 [&#43;10.00, &#43;10.00]",
		"Configuration that differs between arms", "Clip",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "test agreement") {
		t.Error("the table has a column with nothing in it")
	}
}

func TestPageOfExamination(t *testing.T) {
	set, m := threeClasses(t)
	x := must(report.Examine(t.Context(), inOrder(set, 5), said(set.Spec(), "t"), report.Named{Name: "control", Model: m}, report.Named{Name: "student", Model: m}))
	text, _ := written(t, report.Page{Examined: x, Differences: []report.Difference{{A: "one", B: "two", Results: []report.Change{{Name: "accuracy", A: "0.5", B: "0.75"}}}}})
	for _, want := range []string{
		"the change from control to student in points", `title="teacher dog, student cat: 2"`, "reliability of teacher", "ECE 0.4250",
		"<h3>student</h3>", "confidence 50.0%, right 0.0%, 2 of 4 rows", "<h3>one and two</h3>", "<td>0.75</td>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Of many classes there are those that matter.
func TestPageOfManyClasses(t *testing.T) {
	set := noisy[float32](300, 60, []int{60}, nil, nil)
	x := must(report.Examine(t.Context(), inOrder(set, 50), said(set.Spec(), "t"), report.Named{Name: "m", Model: identity(set.Spec())}))
	text, _ := written(t, report.Page{Examined: x})
	if !strings.Contains(text, "The largest of ") || !strings.Contains(text, "classes, those that gained and those that lost most.") || strings.Contains(text, `class="matrix`) {
		t.Error("60 classes are drawn as few are")
	}
	if n := strings.Count(text, "<tr"); n > 80 {
		t.Errorf("%d rows; want few", n)
	}
}

func TestPageErrors(t *testing.T) {
	for want, err := range map[string]error{
		"report: Page.Write: the io.Writer is nil": report.Page{}.Write(nil),
		"report: Page.Write: disk full":            report.Page{}.Write(io.Writer(full{})),
		"no such file or directory":                report.Page{}.WriteFile(filepath.Join(t.TempDir(), "no", "report.html")),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "report: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	steps := sample(3, 4, 1)
	finish(t, start(t, dir, 0, steps), nil)
	l, err := report.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if l.Name != "digits" || len(l.Steps) != 12 || len(l.Times) != 12 || l.Times[11].Seconds != 3 || l.Ended != "finished" || len(l.Config) != 1 || l.Versions[0].Name != "Go" {
		t.Errorf("the log is %+v", l)
	}
	if got, want := l.Steps[0], steps[0]; !slices.Equal(got.Gradients, want.Gradients) || got.Terms[1].T != want.Terms[1].T {
		t.Errorf("the first step is %+v; want %+v", got, want)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("<title>digits</title>")) {
		t.Errorf("error %v, or report.html is of something else", err)
	}
	for _, name := range []string{"times.jsonl", "run.json", "summary.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := report.Open(dir); err != nil || len(l.Steps) != 12 || l.Times != nil || l.Config != nil {
		t.Errorf("with metrics.jsonl alone: error %v, %+v", err, l)
	}
	for name, text := range map[string]string{"times.jsonl": "{\n", "run.json": "[]", "summary.json": "x", "metrics.jsonl": "{}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := report.Open(dir); err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("error %v; want one about %s", err, name)
		}
		os.Remove(filepath.Join(dir, name))
		finish(t, start(t, dir, 0, steps), nil)
	}
	if _, err := report.Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of an empty folder", err)
	}
}

func TestArms(t *testing.T) {
	dir := t.TempDir()
	var outcomes study.Outcomes
	for _, arm := range []string{"control", "distilled"} {
		o := study.Outcome{Arm: arm, Rate: 0.1, Params: 77, Test: make([]distill.Metrics, 2)}
		for seed := range 2 {
			d := filepath.Join(dir, arm, fmt.Sprint(seed))
			finish(t, start(t, d, 0, sample(2, 3, uint64(seed))), nil)
			o.Trials = append(o.Trials, study.Trial{Arm: arm, Dir: d})
		}
		outcomes = append(outcomes, o)
	}
	arms, err := report.Arms(outcomes)
	if err != nil {
		t.Fatal(err)
	}
	a := arms[1]
	if len(arms) != 2 || arms[0].Control != "" || a.Name != "distilled" || a.Control != "control" || len(a.Runs) != 2 || len(a.Runs[1]) != 6 || len(a.Config) != 1 || a.Params != 77 || a.Rate != 0.1 || len(a.Test) != 2 {
		t.Errorf("the arms are %+v", arms)
	}
	outcomes[1].Trials[1].Dir = ""
	if _, err := report.Arms(outcomes); err == nil || !strings.HasPrefix(err.Error(), "report: ") {
		t.Errorf("error %v of a trial without a folder", err)
	}
}

// The page of data that have no labels has no accuracy.
func TestPageWithoutLabels(t *testing.T) {
	set := must(data.NewMemory(data.Signals{"s": dense(logs(.5, .3, .2), 1, 3), "t": dense(logs(.2, .3, .5), 1, 3)}, nil, []string{"a", "b", "c"}))
	x := must(report.Examine(t.Context(), inOrder(set, 1), said(set.Spec(), "t"), report.Named{Name: "m", Model: identity(set.Spec())}))
	text, _ := written(t, report.Page{Examined: x})
	if strings.Contains(text, "accuracy %") || strings.Contains(text, `id="reliability"`) || strings.Contains(text, `id="classes"`) || !strings.Contains(text, `class="matrix"`) {
		t.Error("data without labels have an accuracy, or no confusion with the teacher")
	}
}

func ExamplePage() {
	arms := []report.Arm{{Name: "control", Runs: [][]distill.Step{{{N: 1, End: true, Rows: 32, Loss: 2}}}}}
	var out bytes.Buffer
	err := report.Page{Title: "Digits", Arms: arms}.Write(&out)
	fmt.Println(strings.Contains(out.String(), "<h1>Digits</h1>"), err)
	// Output: true <nil>
}
