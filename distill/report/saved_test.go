package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// again says that what was read is what is read of it written again.
func again[T any](t *testing.T, parse func([]byte) (T, error), text []byte) {
	content, err := parse(text)
	if err != nil {
		return
	}
	written, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(written)
	if err != nil {
		t.Fatalf("%s: %v", written, err)
	}
	if diff := cmp.Diff(content, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("written and read again (-want +got):\n%s", diff)
	}
}

func FuzzRun(f *testing.F) {
	f.Add([]byte(`{"name":"a","steps":3,"terms":["soft"],"config":[{"name":"Run.Seed","value":"7"}],"go":"go1.26","modules":[{"path":"x","version":"v1"}]}`))
	f.Add([]byte(`{"steps":3,"go":"go1.26","config":null}`))
	f.Fuzz(func(t *testing.T, text []byte) { again(t, parseRun, text) })
}

func FuzzSummary(f *testing.F) {
	text, err := os.ReadFile("testdata/summary.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"steps":3,"error":"x","valid":{"loss":"-Inf","terms":[{}],"answers":{},"numbers":{"mae":1e308},"pixels":{"iou":null}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		again(t, parseSummary, text)
		if s, err := parseSummary(text); err == nil {
			checkTables(t, saved{end: s}.markdown())
		}
	})
}

// checkTables wants rows of a table to have as many cells as its head.
func checkTables(t *testing.T, text []byte) {
	t.Helper()
	cells := 0
	for line := range strings.Lines(string(text)) {
		n := strings.Count(strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\|`, ""), "|")
		if !strings.HasPrefix(line, "|") {
			cells = 0
		} else if cells == 0 {
			cells = n
		} else if n != cells {
			t.Errorf("a row has %d bars, the one before %d: %q", n, cells, line)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	const run, end, log = `{"steps":3,"go":"go1.26"}`, `{"steps":3}`, "{\"step\":1}\n"
	for _, test := range []struct{ run, end, log, want string }{
		{"", end, log, "run.json: no such file or directory; want the folder of a run that has ended, as a Folder leaves it"},
		{run, "", log, "summary.json: no such file or directory; want the folder"},
		{run, end, "", "metrics.jsonl: no such file or directory; want the folder"},
		{"{", end, log, "run.json: unexpected end of JSON input"},
		{run + "{}", end, log, "run.json: invalid character '{' after top-level value"},
		{`{"go":"go1.26"}`, end, log, "run.json: steps is missing or below 0; want 0 or more"},
		{`{"steps":3}`, end, log, "run.json: go is missing or empty; want the version that ran it"},
		{run, `{"epochs":1}`, log, "summary.json: steps is missing or below 0; want 0 or more"},
		{run, `{"steps":-2}`, log, "summary.json: steps is missing or below 0; want 0 or more"},
		{run, `[]`, log, "summary.json: json: cannot unmarshal array"},
		{run, end, "{}\n", "metrics.jsonl: line 1: step is 0; want more than 0"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"run.json": test.run, "summary.json": test.end, "metrics.jsonl": test.log} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := dir + string(filepath.Separator) + test.want
		if _, err := load(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
		if err := Dir(dir).Markdown(new(strings.Builder)); err == nil || !strings.HasPrefix(err.Error(), "report: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Dir.Markdown: error %v; want %q", err, want)
		}
		if _, err := Diff(dir, dir); err == nil || !strings.HasPrefix(err.Error(), "report: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Diff: error %v; want %q", err, want)
		}
	}
}
