package report_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

var plan = distill.Plan{
	Name: "digits", Steps: 12, StepsPerEpoch: 4, Terms: []string{"hard", "soft"},
	Config:    []distill.Setting{{Name: "Run.Seed", Value: "7"}},
	Preflight: &distill.Preflight{TeacherFingerprint: [32]byte{0: 0xab, 31: 0x0c}},
}

var result = distill.Result{
	Steps: 12, Epochs: 3, Why: distill.Finished, BestEpoch: 2,
	Valid: &distill.Metrics{Rows: 360, Loss: 0.5, Accuracy: 0.9, Top5: math.NaN(), NLL: 0.3, ECE: 0.02, Agreement: 0.95, TeacherKL: 0.1},
}

// clock goes on by a quarter of a second at each look.
func clock() func() time.Time {
	now := time.Unix(1000, 0)
	return func() time.Time { now = now.Add(time.Second / 4); return now }
}

// start begins a run, or goes on with one, and takes the given steps.
func start(t *testing.T, dir string, done int, steps []distill.Step) *report.Folder {
	t.Helper()
	f := &report.Folder{Now: clock()}
	p := plan
	p.Dir, p.Done = dir, done
	if err := f.Start(p); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if err := f.Step(s); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func finish(t *testing.T, f *report.Folder, cause error) {
	t.Helper()
	if err := f.Finish(result, cause); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	content := make(map[string]string)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[e.Name()] = string(b)
	}
	return content
}

// golden compares what a test made with the file of that name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "digits") // is made
	steps := sample(3, 4, 1)
	steps[1].Accuracy, steps[2].GradNorm = math.NaN(), math.Inf(1)
	finish(t, start(t, dir, 0, steps), nil)
	got := files(t, dir)
	for _, name := range []string{"metrics.jsonl", "times.jsonl", "metrics.csv", "summary.json", "summary.md", "curves.svg"} {
		golden(t, name, got[name])
	}
	if !strings.HasPrefix(got["curves.png"], "\x89PNG") {
		t.Error("curves.png is no PNG")
	}
	if len(got) != 9 {
		t.Errorf("the folder has %d files, want 9", len(got))
	}
	var run struct {
		Name   string
		Terms  []string
		Config []distill.Setting
		Go     string
		Print  string `json:"teacher_fingerprint"`
	}
	if err := json.Unmarshal([]byte(got["run.json"]), &run); err != nil {
		t.Fatal(err)
	}
	if run.Name != plan.Name || !cmp.Equal(run.Terms, plan.Terms) || !cmp.Equal(run.Config, plan.Config) || run.Go == "" {
		t.Errorf("run.json is %+v", run)
	}
	if want := "ab" + strings.Repeat("00", 30) + "0c"; run.Print != want {
		t.Errorf("the teacher's fingerprint is %q, want %q", run.Print, want)
	}
}

// A run without a teacher that stays as it is has no fingerprint to show.
func TestNoFingerprint(t *testing.T) {
	for _, p := range []*distill.Preflight{nil, {}} {
		dir, f := t.TempDir(), new(report.Folder)
		bare := plan
		bare.Dir, bare.Preflight = dir, p
		if err := f.Start(bare); err != nil {
			t.Fatal(err)
		}
		finish(t, f, nil)
		if got := files(t, dir)["run.json"]; strings.Contains(got, "teacher_fingerprint") {
			t.Errorf("run.json is %s", got)
		}
	}
}

// Without curves, the other files are as they were.
func TestNoCurves(t *testing.T) {
	steps := sample(3, 4, 1)
	all, few := t.TempDir(), t.TempDir()
	finish(t, start(t, all, 0, steps), nil)
	f := start(t, few, 0, steps)
	f.NoCurves = true
	finish(t, f, nil)
	want := files(t, all)
	delete(want, "curves.png")
	delete(want, "curves.svg")
	delete(want, "report.html")
	if diff := cmp.Diff(want, files(t, few)); diff != "" {
		t.Errorf("the files (-want +got):\n%s", diff)
	}
}

// A run that was killed anywhere, and went on from any checkpoint, leaves the
// bytes of one that never stopped.
func TestResume(t *testing.T) {
	steps := sample(2, 3, 1)
	whole := t.TempDir()
	finish(t, start(t, whole, 0, steps), nil)
	want := files(t, whole)
	tails := []string{"", `{"step":`, strings.Repeat("\x00", 5000)}
	for done := range len(steps) + 1 {
		tail := tails[done%len(tails)]
		dir := t.TempDir()
		start(t, dir, 0, steps[:min(done+done%2, len(steps))])
		for _, name := range []string{"metrics.jsonl", "times.jsonl"} {
			spoil(t, filepath.Join(dir, name), tail)
		}
		finish(t, start(t, dir, done, steps[done:]), nil)
		// The clock ticks alike in all runs, so that the times are the same too.
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Errorf("resumed at %d after %q: the files (-want +got):\n%s", done, tail, diff)
		}
	}
}

func spoil(t *testing.T, path, tail string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(tail); err != nil {
		t.Fatal(err)
	}
}

// A new run starts anew, and what an older one left does not show.
func TestAnew(t *testing.T) {
	steps := sample(3, 4, 1)
	fresh, used := t.TempDir(), t.TempDir()
	finish(t, start(t, fresh, 0, steps[:5]), nil)
	finish(t, start(t, used, 0, steps), nil)
	spoil(t, filepath.Join(used, "metrics.jsonl"), "no JSON\n")
	finish(t, start(t, used, 0, steps[:5]), nil)
	if !cmp.Equal(files(t, fresh), files(t, used)) {
		t.Error("the files of a used folder differ from those of a fresh one")
	}
}

// Each step is on disk before the next one, for whoever reads along.
func TestStepIsWritten(t *testing.T) {
	dir := t.TempDir()
	steps := sample(3, 4, 1)
	for n := range steps {
		start(t, dir, n, steps[n:n+1])
		b := files(t, dir)["metrics.jsonl"]
		got, err := report.Read(strings.NewReader(b))
		if err != nil || len(got) != n+1 {
			t.Fatalf("after step %d the log has %d steps, and %v", n+1, len(got), err)
		}
	}
}

func TestEndedByError(t *testing.T) {
	for _, n := range []int{0, 1, 12} {
		dir := t.TempDir()
		finish(t, start(t, dir, 0, sample(3, 4, 1)[:n]), errors.New("data: sample 7 is no image"))
		got := files(t, dir)
		if len(got) != 9 {
			t.Errorf("after %d steps the folder has %d files, want 9", n, len(got))
		}
		if !strings.Contains(got["summary.json"], `"error": "data: sample 7 is no image"`) {
			t.Errorf("summary.json is %s", got["summary.json"])
		}
		if lines := strings.Count(got["metrics.csv"], "\n"); lines != n+1 {
			t.Errorf("metrics.csv has %d lines, want a header and %d", lines, n)
		}
	}
}

func TestFolderErrors(t *testing.T) {
	write := func(t *testing.T, name, text string) string {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tests := []struct {
		name string
		run  func(t *testing.T, f *report.Folder) error
		want string
	}{
		{"no folder", func(t *testing.T, f *report.Folder) error {
			return f.Start(distill.Plan{})
		}, "report: Folder.Dir and Plan.Dir are empty; want one of them set"},
		{"folder is a file", func(t *testing.T, f *report.Folder) error {
			return f.Start(distill.Plan{Dir: filepath.Join(write(t, "file", ""), "file")})
		}, "not a directory"},
		{"log is a folder", func(t *testing.T, f *report.Folder) error {
			f.Dir = t.TempDir()
			os.Mkdir(filepath.Join(f.Dir, "times.jsonl"), 0o755)
			return f.Start(distill.Plan{})
		}, "times.jsonl: is a directory"},
		{"log is another's", func(t *testing.T, f *report.Folder) error {
			return f.Start(distill.Plan{Dir: write(t, "metrics.jsonl", "{\"step\":1}\nstep 2\n"), Done: 3})
		}, "report: metrics.jsonl: line 2: invalid character 's'"},
		{"new run, another's log", func(t *testing.T, f *report.Folder) error {
			f.Dir = write(t, "metrics.jsonl", "{\"loss\":1}\n")
			return untouched(t, f)
		}, `report: metrics.jsonl: it begins with "{\"loss\":", as no log does; want another folder`},
		{"new run, another's file", func(t *testing.T, f *report.Folder) error {
			f.Dir = write(t, "times.jsonl", "my")
			return untouched(t, f)
		}, `report: times.jsonl: it begins with "my"`},
		{"new run, no step", func(t *testing.T, f *report.Folder) error {
			f.Dir = write(t, "metrics.jsonl", "{\"step\":null,\"note\":2}\n")
			return untouched(t, f)
		}, "report: metrics.jsonl: line 1: step is 0; want more than 0"},
		{"step before start", func(t *testing.T, f *report.Folder) error {
			return f.Step(distill.Step{N: 1})
		}, "report: Folder.Step was called before Start"},
		{"step after finish", func(t *testing.T, f *report.Folder) error {
			f.Start(distill.Plan{Dir: t.TempDir()})
			f.Finish(result, nil)
			return f.Step(distill.Step{N: 1})
		}, "report: Folder.Step was called before Start"},
		{"folder is gone", func(t *testing.T, f *report.Folder) error {
			f.Dir = t.TempDir()
			f.Start(distill.Plan{})
			os.RemoveAll(f.Dir)
			return f.Finish(result, nil)
		}, "report: open "},
		{"steps go back", func(t *testing.T, f *report.Folder) error {
			f.Start(distill.Plan{Dir: t.TempDir()})
			f.Step(distill.Step{N: 2})
			f.Step(distill.Step{N: 2})
			return f.Finish(result, nil)
		}, "report: metrics.jsonl: line 2: step is 2; want more than 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.run(t, new(report.Folder))
			if err == nil || !strings.HasPrefix(err.Error(), "report: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// untouched starts a new run, which has to leave the file in the folder alone.
func untouched(t *testing.T, f *report.Folder) error {
	t.Helper()
	want := files(t, f.Dir)
	err := f.Start(distill.Plan{})
	for name, text := range files(t, f.Dir) {
		if old, ok := want[name]; ok && old != text || name == "run.json" {
			t.Errorf("%s is %q now", name, text)
		}
	}
	return err
}

func TestFinishWithoutStart(t *testing.T) {
	if err := new(report.Folder).Finish(result, nil); err != nil {
		t.Error(err)
	}
}

func TestRead(t *testing.T) {
	if _, err := report.Read(nil); fmt.Sprint(err) != "report: Read: the io.Reader is nil" {
		t.Errorf("without a reader the error is %v", err)
	}
	tests := []struct {
		name, log string
		steps     int
		err       string
	}{
		{"nothing", "", 0, ""},
		{"two steps", "{\"step\":1}\n{\"step\":4}\n", 2, ""},
		{"half a line", "{\"step\":1}\n{\"step\":4}", 1, ""},
		{"an empty line", "{\"step\":1}\n\n", 0, "report: line 2: unexpected end of JSON input"},
		{"a step twice", "{\"step\":1}\n{\"step\":1}\n", 0, "report: line 2: step is 1; want more than 1"},
		{"no step", "{}\n", 0, "report: line 1: step is 0; want more than 0"},
		{"no number", "{\"step\":1,\"loss\":\"low\"}\n", 0, `report: line 1: strconv.ParseFloat: parsing "low": invalid syntax`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			steps, err := report.Read(strings.NewReader(test.log))
			if got := fmt.Sprint(err); test.err != "" && got != test.err || test.err == "" && err != nil {
				t.Errorf("error is %q, want %q", got, test.err)
			}
			if len(steps) != test.steps {
				t.Errorf("%d steps, want %d", len(steps), test.steps)
			}
		})
	}
}

func ExampleFolder() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	folder := &report.Folder{Dir: dir} // an observer of a run does this:
	folder.Start(distill.Plan{Name: "digits", Steps: 2, Terms: []string{"hard"}})
	folder.Step(distill.Step{N: 1, Rows: 32, Loss: 2.5, Accuracy: 0.125, Rate: 0.1, GradNorm: 1.5})
	folder.Step(distill.Step{N: 2, Rows: 32, Loss: 2, Accuracy: math.NaN(), Rate: 0.05, GradNorm: 1})
	folder.Finish(distill.Result{Steps: 2, Why: distill.Finished, BestEpoch: -1}, nil)

	log, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	fmt.Print(string(log))
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		fmt.Println(filepath.Base(file))
	}
	// Output:
	// {"step":1,"epoch":0,"rows":32,"loss":2.5,"accuracy":0.125,"rate":0.1,"grad_norm":1.5}
	// {"step":2,"epoch":0,"rows":32,"loss":2,"accuracy":null,"rate":0.05,"grad_norm":1}
	// curves.png
	// curves.svg
	// metrics.csv
	// metrics.jsonl
	// report.html
	// run.json
	// summary.json
	// summary.md
	// times.jsonl
}
