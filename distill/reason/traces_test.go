package reason_test

import (
	"bytes"
	stdcontext "context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill/reason"
)

// collect asks an untrained teacher, which is right now and then.
func collect(rows int) reason.Collect {
	s := must(reason.NewSolver(solver(model(tensor.Float32, 1))))
	return reason.Collect{Solver: s, Problems: problems(rows), Tries: 9, Keep: 2, Licence: "CC0-1.0"}
}

func read(t *testing.T, path string) string {
	t.Helper()
	return string(must(os.ReadFile(path)))
}

// The traces are the first answers that are right and differ, of those that are drawn
// one after the other, and every answer is counted.
func TestCollect(t *testing.T) {
	const rows = 300 // more than are asked at once
	c := collect(rows)
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	got := must(c.Write(t.Context(), path))
	var want reason.Traces
	counts := reason.Collected{Problems: rows}
	for i := range rows {
		p := must(c.Problems.Problem(i))
		before, kept := counts.Rejected, []string{}
		for try, a := range must(c.Solver.Solve(t.Context(), []task.Problem{p}, c.Tries, uint64(i*c.Tries)))[0] {
			switch {
			case len(kept) == c.Keep:
			case !a.Stopped:
				counts.Rejected.Unfinished++
			case !a.Formed:
				counts.Rejected.Unformed++
			case !a.Right:
				counts.Rejected.Wrong++
			case slices.Contains(kept, a.Text):
				counts.Rejected.Repeated++
			default:
				kept = append(kept, a.Text)
				want = append(want, reason.Trace{Prompt: p.Prompt, Completion: a.Text, Level: c.Problems.Level(i), Problem: i, ID: uint64(i*c.Tries + try), Rejected: before})
			}
		}
		counts.Kept += len(kept)
		counts.Solved += min(1, len(kept))
	}
	if got != counts || counts.Rejected.Repeated == 0 || counts.Kept == counts.Solved {
		t.Errorf("counts are %v; want %v, and some of each", got, counts)
	}
	traces := must(reason.ReadTraces(strings.NewReader(read(t, path))))
	origin := traces[0].Origin
	for i := range traces {
		if !reflect.DeepEqual(traces[i].Origin, origin) {
			t.Fatalf("trace %d is of %v; want %v", i, traces[i].Origin, origin)
		}
		traces[i].Origin = reason.Origin{}
	}
	if !reflect.DeepEqual(traces, want) {
		t.Errorf("traces are\n%v\nwant\n%v", traces, want)
	}
	if origin.Task != "echo" || origin.Split != "Train" || origin.Licence != "CC0-1.0" || len(origin.Teacher) != 64 || origin.Sampling.Seed != 3 || origin.Tries != 9 || origin.Keep != 2 {
		t.Errorf("the origin is %+v", origin)
	}
}

// Killed at any byte, the same call leaves the file of one that was never stopped,
// and the same counts.
func TestCollectGoesOn(t *testing.T) {
	c := collect(15)
	dir := t.TempDir()
	path := filepath.Join(dir, "whole")
	counts := must(c.Write(t.Context(), path))
	whole := read(t, path)
	if lines := strings.Count(whole, "\n"); lines < 4 || lines != counts.Kept {
		t.Fatalf("there are %d lines; want %d, and some to cut", lines, counts.Kept)
	}
	for n := 0; n <= len(whole); n++ {
		if n > 20 && n%23 != 0 && !strings.Contains(whole[n-1:min(n+1, len(whole))], "\n") {
			continue // some bytes, and those around all ends of lines
		}
		cut := filepath.Join(dir, "cut")
		none(os.WriteFile(cut, []byte(whole[:n]), 0o644))
		got, err := c.Write(t.Context(), cut)
		if err != nil || got != counts || read(t, cut) != whole {
			t.Fatalf("cut at byte %d, counts are %v, %v; want %v\n%s", n, got, err, counts, read(t, cut))
		}
	}
}

// A context that ends leaves what there is, and the next call goes on.
func TestCollectIsStopped(t *testing.T) {
	c := collect(30)
	ended, cancel := stdcontext.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	_, err := c.Write(ended, path)
	wantError(t, err, "traces in "+path+": reason: lm: context canceled")
	if got := must(c.Write(t.Context(), path)); got.Kept == 0 {
		t.Errorf("counts are %v", got)
	}
}

// A file of something else is refused by what is different, and left as it is.
func TestCollectRefusesOtherFiles(t *testing.T) {
	c := collect(30)
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	must(c.Write(t.Context(), path))
	whole := read(t, path)
	end := whole[strings.LastIndex(whole[:len(whole)-1], "\n")+1:]
	for want, change := range map[string]func(c *reason.Collect) string{
		"line 1: teacher is ":                  func(c *reason.Collect) string { c.Solver.Model = model(tensor.Float32, 2); return whole },
		"line 1: problems is ":                 func(c *reason.Collect) string { c.Problems.Rows++; return whole },
		"line 1: split is Train; want Test":    func(c *reason.Collect) string { c.Problems.Split = task.Test; return whole },
		"line 1: sampling is {1 0 ":            func(c *reason.Collect) string { c.Solver.Sampling.Seed = 4; return whole },
		"line 1: tries is 9; want 5":           func(c *reason.Collect) string { c.Tries = 5; return whole },
		"line 1: keep is 2; want 1":            func(c *reason.Collect) string { c.Keep = 1; return whole },
		"line 1: licence is CC0-1.0; want MIT": func(c *reason.Collect) string { c.Licence = "MIT"; return whole },
		"line 1: invalid character 'h'":        func(c *reason.Collect) string { return "hello\n" },
		`line 1 is "hello"; want a trace`:      func(c *reason.Collect) string { return "hello" },
		"line 1: completion is empty":          func(c *reason.Collect) string { return "{}\n" },
		"line 2: problem 0 after problem ":     func(c *reason.Collect) string { return end + whole },
		"line 1: problem 30 after problem 0 of 30": func(c *reason.Collect) string {
			var trace reason.Trace
			none(json.Unmarshal([]byte(end), &trace))
			trace.Problem = 30
			return string(must(json.Marshal(trace))) + "\n"
		},
	} {
		other := collect(30)
		content := change(&other)
		none(os.WriteFile(path, []byte(content), 0o644))
		_, err := other.Write(t.Context(), path)
		wantError(t, err, want)
		if read(t, path) != content {
			t.Errorf("%s: the file was changed", want)
		}
	}
}

func TestCollectRefuses(t *testing.T) {
	for want, change := range map[string]func(c *reason.Collect){
		"reason: the Solver is not one":                     func(c *reason.Collect) { c.Solver = nil },
		"reason: task: Set.Rows is 0":                       func(c *reason.Collect) { c.Problems.Rows = 0 },
		"reason: Collect.Tries is -1; want 0 or more":       func(c *reason.Collect) { c.Tries = -1 },
		"reason: Collect.Keep is -1 and Collect.Tries 9":    func(c *reason.Collect) { c.Keep = -1 },
		"reason: Collect.Keep is 10 and Collect.Tries 9":    func(c *reason.Collect) { c.Keep = 10 },
		`reason: Collect.Licence is ""; want the SPDX`:      func(c *reason.Collect) { c.Licence = "" },
		`reason: Collect.Licence is "free!"; want the SPDX`: func(c *reason.Collect) { c.Licence = "free!" },
		"answers the same each time": func(c *reason.Collect) {
			s := solver(model(tensor.Float32, 1))
			s.Sampling.Temperature = 0
			c.Solver = must(reason.NewSolver(s))
		},
	} {
		c := collect(3)
		change(&c)
		path := filepath.Join(t.TempDir(), "traces.jsonl")
		_, err := c.Write(t.Context(), path)
		wantError(t, err, want)
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: there is a file", want)
		}
	}
	c := collect(3)
	if _, err := c.Write(t.Context(), t.TempDir()); err == nil {
		t.Error("traces were written to a folder")
	}
	// The same task, but nothing is right.
	s := solver(model(tensor.Float32, 1))
	s.Task = never{}
	c.Solver = must(reason.NewSolver(s))
	_, err := c.Write(t.Context(), filepath.Join(t.TempDir(), "none"))
	wantError(t, err, "reason: 0 of 27 answers to 3 problems kept, for 0 of them; ")
	wantError(t, err, "0 repeated; want a teacher that solves some")
}

// never is a task with no right answer.
type never struct{ echo }

func (never) Verify(p task.Problem, completion string) (bool, error) {
	_, err := echo{}.Verify(p, completion)
	return false, err
}

// Traces make the set of rows that their texts make.
func TestTracesAreExamples(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	must(collect(30).Write(t.Context(), path))
	traces := must(reason.ReadTraces(strings.NewReader(read(t, path))))
	var list text.List
	for _, trace := range traces {
		list = append(list, text.Example{Prompt: trace.Prompt, Completion: trace.Completion})
	}
	q := text.Sequences{Tokenizer: digits, Context: context}
	got, want := must(q.Of(traces)), must(q.Of(list))
	a, b := must(data.NewBatch(got.Spec(), len(list))), must(data.NewBatch(want.Spec(), len(list)))
	for i := range list {
		none(a.Append(got, i, 0))
		none(b.Append(want, i, 0))
	}
	if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(got.Spec(), want.Spec()) {
		t.Errorf("the rows of traces are %v; want %v", a, b)
	}
	traces[1].Completion += "1"
	if traces.Fingerprint() == list.Fingerprint() {
		t.Error("another completion has the same fingerprint")
	}
	for _, i := range []int{-1, len(list)} {
		_, err := traces.Example(i)
		wantError(t, err, "reason: trace ")
	}
}

func TestAnswers(t *testing.T) {
	traces := reason.Traces{{Prompt: "1+2+3=", Completion: "3,6;6", Level: 2}, {Prompt: "4=", Completion: "4", Problem: 7}}
	got := must(traces.Answers())
	want := reason.Traces{{Prompt: "1+2+3=", Completion: "6", Level: 2}, {Prompt: "4=", Completion: "4", Problem: 7}}
	if !reflect.DeepEqual(got, want) || traces[0].Completion != "3,6;6" {
		t.Errorf("the answers of\n%v are\n%v\nwant\n%v", traces, got, want)
	}
	_, err := reason.Traces{traces[1], {Completion: "1;2;3"}}.Answers()
	wantError(t, err, "reason: trace 1: task: completion \"1;2;3\" has more than one answer")
}

func TestReadTracesRefuses(t *testing.T) {
	const line = `{"prompt":"1=","completion":"1"}` + "\n"
	for want, content := range map[string]string{
		"reason: there are no traces; want 1 or more":            "",
		"reason: traces: line 2: completion is empty":            line + `{"prompt":"1="}`,
		"reason: traces: line 3: unexpected end of JSON":         line + line + line[:20],
		"reason: traces: line 2: unexpected end of JSON":         line + "\n" + line,
		"reason: traces: line 1: it is not UTF-8":                strings.Replace(line, "1=", "\xff", 1),
		"reason: traces: line 2: problem is -1; want 0 or more":  line + `{"completion":"1","problem":-1}`,
		"reason: traces: line 2: json: cannot unmarshal":         line + `{"completion":1}`,
		"reason: traces: line 1: it has more than 1048576 bytes": strings.Repeat("x", 1<<20+1),
	} {
		_, err := reason.ReadTraces(strings.NewReader(content))
		wantError(t, err, want)
	}
	if got := must(reason.ReadTraces(strings.NewReader(line + line[:len(line)-2] + `,"more":[1]}`))); len(got) != 2 || got[1].Prompt != "1=" || got[1].Completion != "1" {
		t.Errorf("traces are %v", got)
	}
}

func FuzzReadTraces(f *testing.F) {
	f.Add([]byte(`{"prompt":"1=","completion":"1","level":2,"problem":3,"id":4,"sampling":{"stop":[2]}}` + "\n"))
	f.Add([]byte(`{"completion":"<&>\u2028","rejected":{"wrong":1}}` + "\n" + `{"prompt":`))
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		traces, err := reason.ReadTraces(bytes.NewReader(content))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, trace := range traces {
			none(reason.EncodeTrace(&again, trace))
		}
		back, err := reason.ReadTraces(&again)
		if err != nil || len(back) != len(traces) || back.Fingerprint() != traces.Fingerprint() {
			t.Errorf("%q is read as %v, and that as %v, %v", content, traces, back, err)
		}
	})
}
