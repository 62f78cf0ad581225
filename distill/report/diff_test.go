package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/google/go-cmp/cmp"
)

// ran leaves the folder of a run.
func ran(t *testing.T, p distill.Plan, steps []distill.Step, r distill.Result, cause error) string {
	t.Helper()
	f := &report.Folder{Dir: t.TempDir(), NoCurves: true}
	if err := f.Start(p); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if err := f.Step(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Finish(r, cause); err != nil {
		t.Fatal(err)
	}
	return f.Dir
}

// edit changes a field of run.json, which a build alone decides.
func edit(t *testing.T, dir string, fields map[string]any) {
	t.Helper()
	path := filepath.Join(dir, "run.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]any)
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for name, v := range fields {
		all[name] = v
	}
	if text, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func difference(t *testing.T, a, b string) report.Difference {
	t.Helper()
	d, err := report.Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDiff(t *testing.T) {
	nan := math.NaN()
	step := func(n int, loss, accuracy float64, valid *distill.Metrics, terms ...distill.TermValue) distill.Step {
		return distill.Step{N: n, Rows: 32, Loss: loss, Accuracy: accuracy, Rate: 0.1, GradNorm: 1, Terms: terms, Valid: valid}
	}
	measured := func(accuracy float64) *distill.Metrics {
		return &distill.Metrics{Rows: 360, Loss: 1, Accuracy: accuracy, Top5: nan, NLL: 0.5, ECE: nan, Agreement: nan, TeacherKL: nan}
	}
	hard := distill.TermValue{Name: "hard", Value: 0.75, Weight: 1}
	soft := distill.TermValue{Name: "soft", Value: 0.25, Weight: 2}
	a := ran(t,
		distill.Plan{Name: "digits", Steps: 3, Terms: []string{"hard"}, Config: []distill.Setting{{Name: "Run.Seed", Value: "7"}, {Name: "Run.Clip", Value: "0"}, {Name: "Run.Old", Value: "1"}}},
		[]distill.Step{step(1, 3, 0.5, measured(0.5), hard), step(2, 2, 0.75, nil, hard), step(3, 1, nan, nil, hard)},
		distill.Result{Steps: 3, Epochs: 1, Why: distill.Finished, Valid: measured(0.5)}, nil)
	b := ran(t,
		distill.Plan{Name: "digits", Steps: 4, Terms: []string{"hard", "soft"}, Config: []distill.Setting{{Name: "Run.Clip", Value: "0"}, {Name: "Run.New", Value: "1"}, {Name: "Run.Seed", Value: "8"}}},
		[]distill.Step{step(1, 3, 0.5, measured(0.25), hard, soft), step(2, 1, 0.25, nil, hard, soft)},
		distill.Result{Steps: 2, Epochs: 1, Valid: measured(0.25)}, errors.New("stopped"))
	edit(t, a, map[string]any{"go": "go1.26", "revision": "abc", "modules": []any{map[string]string{"path": "example.com/m", "version": "v1"}}})
	edit(t, b, map[string]any{"go": "go1.27", "platform": "plan9/386", "modules": []any{map[string]string{"path": "example.com/m", "version": "v2"}}})
	edit(t, a, map[string]any{"platform": "linux/amd64"})
	edit(t, b, map[string]any{"revision": ""})
	want := report.Difference{
		A: a, B: b,
		Settings: []report.Change{
			{"steps", "3", "4"},
			{"terms", "hard", "hard, soft"},
			{"Run.Seed", "7", "8"},
			{"Run.Old", "1", ""},
			{"go", "go1.26", "go1.27"},
			{"platform", "linux/amd64", "plan9/386"},
			{"revision", "abc", ""},
			{"example.com/m", "v1", "v2"},
			{"Run.New", "", "1"},
		},
		Results: []report.Change{
			{"steps", "3", "2"},
			{"why", "finished", ""},
			{"error", "", "stopped"},
			{"valid.accuracy", "0.5", "0.25"},
			{"last accuracy", "0.75", "0.25"},
			{"last valid.accuracy", "0.5", "0.25"},
			{"last terms.soft.value", "", "0.25"},
			{"last terms.soft.weight", "", "2"},
		},
	}
	if diff := cmp.Diff(want, difference(t, a, b)); diff != "" {
		t.Errorf("the difference (-want +got):\n%s", diff)
	}
	for _, dir := range []string{a, b} {
		if d := difference(t, dir, dir); len(d.Settings)+len(d.Results) > 0 {
			t.Errorf("a run differs from itself in %v", d)
		}
	}
	for i, other := range difference(t, b, a).Results[:2] {
		if want := want.Results[i]; other.A != want.B || other.B != want.A {
			t.Errorf("the other way round it is %v; want %v turned", other, want)
		}
	}
}

// What only some tasks have, and the terms of the best epoch, differ as well.
func TestDiffOfTasks(t *testing.T) {
	run := func(rmse, term float64) string {
		m := &distill.Metrics{Rows: 3, Terms: []distill.TermValue{{Name: "l2", Value: term}}, Numbers: &distill.Numbers{RMSE: rmse}}
		return ran(t, distill.Plan{}, []distill.Step{{N: 1, Valid: m}}, distill.Result{Steps: 1, Valid: m}, nil)
	}
	want := []report.Change{
		{"valid.terms.l2.value", "4", "9"}, {"valid.numbers.rmse", "2", "3"}, {"last valid.numbers.rmse", "2", "3"},
	}
	if diff := cmp.Diff(want, difference(t, run(2, 4), run(3, 9)).Results); diff != "" {
		t.Errorf("the results (-want +got):\n%s", diff)
	}
}

func TestDifferenceTables(t *testing.T) {
	odd := report.Difference{
		Settings: []report.Change{{"Run.Seed", "7", "8"}, {"a|b\tc", "x\ny", ""}},
		Results:  []report.Change{{"last grad_norm", "", "1.5"}},
	}
	tests := []struct {
		name            string
		d               report.Difference
		table, markdown string
	}{
		{"none", report.Difference{}, "no difference\n", "## Difference\n\nNone.\n"},
		{"results", report.Difference{Results: odd.Results}, "result          a  b\nlast grad_norm  –  1.5\n", `## Difference

| result | a | b |
|---|---:|---:|
| last grad\_norm | – | 1.5 |
`},
		{"both", odd, `setting   a    b
Run.Seed  7    8
a|b c     x y  –

result          a  b
last grad_norm  –  1.5
`, `## Difference

| setting | a | b |
|---|---:|---:|
| Run.Seed | 7 | 8 |
| a\|b c | x y | – |

| result | a | b |
|---|---:|---:|
| last grad\_norm | – | 1.5 |
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.table, test.d.String()); diff != "" {
				t.Errorf("String (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.markdown, markdown(t, test.d)); diff != "" {
				t.Errorf("Markdown (-want +got):\n%s", diff)
			}
		})
	}
}

func ExampleDiff() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	run := func(name, seed string, loss float64) string { // Run.Fit does this
		f := &report.Folder{Dir: filepath.Join(dir, name), NoCurves: true}
		f.Start(distill.Plan{Name: "digits", Config: []distill.Setting{{Name: "Run.Seed", Value: seed}}})
		f.Step(distill.Step{N: 1, Rows: 32, Loss: loss, Accuracy: 0.5, Rate: 0.1, GradNorm: 1})
		f.Finish(distill.Result{Steps: 1, Why: distill.Finished, BestEpoch: -1}, nil)
		return f.Dir
	}
	d, err := report.Diff(run("monday", "7", 2.5), run("today", "8", 2.25))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(d)
	// Output:
	// setting   a  b
	// Run.Seed  7  8
	//
	// result     a    b
	// last loss  2.5  2.25
}
