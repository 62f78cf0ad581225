package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/distill/reason"
)

// tiny is done in seconds, and has everything.
var tiny = recipe{careful: 8, careless: 4, updates: 2, problems: 40, lessons: 8, more: 1, test: 14}

// files are those of a folder, but for clocks and terminals.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch name := filepath.Base(path); name {
		case "times.jsonl", "run.json", "report.html": // which have the clock
		default:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			short, _ := filepath.Rel(dir, path)
			all[short] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// stopper ends the context when a line of the log has a text.
type stopper struct {
	at   string
	stop context.CancelFunc
}

func (s stopper) Write(b []byte) (int, error) {
	if strings.Contains(string(b), s.at) {
		s.stop()
	}
	return len(b), nil
}

// From nothing to the table; and stopped in any stage and resumed, to the same bytes.
func TestRecipe(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	if err := run(t.Context(), &log, dir, false, tiny); err != nil {
		t.Fatal(err)
	}
	want := files(t, dir)
	var s summary
	if err := json.Unmarshal([]byte(want["summary.json"]), &s); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range s.Arms {
		names = append(names, a.Arm)
		if a.Params < 1e4 || !(a.Flops > 0) || a.Low > a.Pass1 || a.Pass1 > a.High || a.High > 1 {
			t.Errorf("%+v", a)
		}
	}
	if got := []string{
		"base", "teacher", "distilled_small", "distilled_medium", "distilled_large",
		"answers_only_small", "rl_small", "soft_small", "on_policy_small", "distilled_rl_small",
	}; !reflect.DeepEqual(names, got) {
		t.Errorf("the arms are %q; want %q", names, got)
	}
	for _, name := range []string{"levels.png", "table.txt", "traces.jsonl", "models/teacher/config.json", "models/distilled_small/model.safetensors", "stages/rl_small/curves.png"} {
		if want[name] == "" {
			t.Errorf("%s is empty", name)
		}
	}

	traces, err := reason.ReadTraces(strings.NewReader(want["traces.jsonl"]))
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{} // in the test of the full recipe too
	for i := range full.test {
		p, err := task.Set{Task: arithmetic, Split: task.Test, Rows: full.test, Seed: 5}.Problem(i)
		if err != nil {
			t.Fatal(err)
		}
		asked[p.Prompt] = true
	}
	for i, trace := range traces {
		if asked[trace.Prompt] {
			t.Errorf("trace %d is of the test problem %q", i, trace.Prompt)
		}
	}

	part := t.TempDir()
	for i, at := range []string{"teacher: ", "traces: ", "distilled_medium: ", "rl_small: ", "\nbase\n", ""} {
		ctx, stop := context.WithCancel(t.Context())
		err := run(ctx, stopper{at, stop}, part, i > 0, tiny)
		if at == "" {
			err = run(t.Context(), io.Discard, part, true, tiny)
			if err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %q, the error is %v", at, err)
		}
		stop()
	}
	for name, text := range files(t, part) {
		if text != want[name] {
			t.Errorf("stopped and resumed, %s has other bytes", name)
		}
	}
}

// What a writer who never slips says is the chain of the problem, and one who always
// does takes each operator for another.
func TestCareless(t *testing.T) {
	set := task.Set{Task: arithmetic, Rows: 60, Seed: 3}
	slips, all := 0, 0
	for i := range set.Len() {
		p, err := set.Problem(i)
		if err != nil {
			t.Fatal(err)
		}
		careful, err := careless{set, 0, 0}.Example(i)
		if err != nil || careful.Prompt != p.Prompt || careful.Completion != p.Completion() {
			t.Errorf("without slips, %+v, %v; want %+v", careful, err, p)
		}
		half, err := careless{set, 20, 0.25}.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		chain, _, err := task.Parse(half.Completion)
		if err != nil {
			t.Fatal(err)
		}
		// One slip at least shows, where a result is not that of the operator before it.
		at := int(p.Prompt[0] - '0')
		for j, r := range strings.Split(chain, ",") {
			op, b := p.Prompt[1+2*j], int(p.Prompt[2+2*j]-'0')
			next := int(r[0] - '0')
			right, wrong := apply(op, at, b), apply(mistaken[op], at, b)
			if next != right && next != wrong {
				t.Errorf("%s: step %d of %q is neither right nor mistaken", p.Prompt, j, chain)
			}
			if i < 20 && next != right {
				t.Errorf("%s: step %d of %q, with care, is mistaken", p.Prompt, j, chain)
			}
			if i >= 20 && right != wrong {
				all++
				if next == wrong {
					slips++
				}
			}
			at = next
		}
	}
	if share := float64(slips) / float64(all); math.Abs(share-0.25) > 0.08 {
		t.Errorf("%d of %d steps are mistaken; want a quarter", slips, all)
	}
}

func TestJudge(t *testing.T) {
	f := func(low, high, cons float64) finding {
		return finding{Pass1: (low + high) / 2, Low: low, High: high, Cons64: cons}
	}
	of := map[string]finding{
		"base": f(.3, .5, .5), "teacher": f(.5, .7, .8), "distilled_small": f(.5, .6, .6),
		"distilled_medium": f(.39, .6, .6), "distilled_large": f(.6, .7, .7),
		"answers_only_small": f(.1, .2, .2), "rl_small": f(.45, .55, .6),
	}
	want := []bool{true, true, false, true, false, true, false, true}
	all := judge(of)
	if len(all) != len(want) {
		t.Fatalf("there are %d verdicts; want %d", len(all), len(want))
	}
	for i, v := range all {
		if v.Holds != want[i] {
			t.Errorf("%s: %t; want %t", v.Hypothesis, v.Holds, want[i])
		}
	}
	if share(.3, .6) != .5 || share(.3, 0) != 0 {
		t.Error("a share is not that of the teacher, or not a number")
	}
	of["rl_small"] = f(.3, .4, .34)
	if v := judge(of); !v[4].Holds || v[5].Holds {
		t.Errorf("%+v; want the fifth to hold, and not the sixth", v)
	}
}
