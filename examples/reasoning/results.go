package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/report"
)

// A summary is the content of summary.json.
type summary struct {
	Arms       []finding `json:"arms"`
	Hypotheses []verdict `json:"hypotheses"`
}

// A finding is what an arm came to. Flops are all that its trainer took from the
// beginning, rollouts included: 6 for each parameter and position of a row that is
// learnt from, and 2 for one that is sampled, padding too. Those of the teacher come
// on top of what students took that were taught by it. A sampler does not compute
// padding, so that rollouts take less than they are charged with, which is a quarter
// of an update at most.
type finding struct {
	Arm    string  `json:"arm"`
	Params int     `json:"params"`
	Pass1  float64 `json:"pass1"`
	Low    float64 `json:"pass1_low"` // of the 95% interval
	High   float64 `json:"pass1_high"`
	Cons64 float64 `json:"cons64"`
	Flops  float64 `json:"train_flops"`
	Kept   float64 `json:"share_of_teacher"`
}

// A verdict is what became of a hypothesis.
type verdict struct {
	Hypothesis string `json:"hypothesis"`
	Holds      bool   `json:"holds"`
}

// conclude asks all arms, and writes down what they came to.
func (l *lab) conclude(ctx context.Context) error {
	var s summary
	for i, a := range l.arms {
		a, err := l.evaluated(ctx, a)
		if err != nil {
			return err
		}
		l.arms[i] = a
		fmt.Fprintf(l.log, "\n%s\n%v", a.name, a.report)
	}
	of := map[string]finding{}
	for _, a := range l.arms {
		f := a.finding(l.arm("teacher").report)
		s.Arms, of[a.name] = append(s.Arms, f), f
	}
	s.Hypotheses = judge(of)
	if err := writeJSON(l.path("summary.json"), s); err != nil {
		return err
	}
	var table strings.Builder
	s.print(&table)
	fmt.Fprint(l.log, "\n", table.String())
	if err := os.WriteFile(l.path("table.txt"), []byte(table.String()), 0o644); err != nil {
		return err
	}
	return l.page()
}

func (a arm) finding(best reason.Report) finding {
	p := a.report.All.Pass1
	return finding{
		Arm: a.name, Params: a.model.Size(), Pass1: p.Mean, Low: p.Low, High: p.High,
		Cons64: a.report.All.Consensus.Mean, Flops: a.flops, Kept: share(p.Mean, best.All.Pass1.Mean),
	}
}

// share is x by all, and 0 of nothing, which has no share.
func share(x, all float64) float64 {
	if all == 0 {
		return 0
	}
	return x / all
}

// judge says which of the hypotheses hold, in the order of HYPOTHESES.md. One model is
// above another where their 95% intervals lie apart. That all arms are asked the same
// problems is not made use of: a t interval of the difference, problem by problem, is
// never wider than the two together.
func judge(of map[string]finding) []verdict {
	above := func(a, b string, by float64) bool { return of[a].Low-of[b].High >= by }
	all := []verdict{
		{"teacher above base", above("teacher", "base", 0)},
	}
	for _, s := range students {
		name := "distilled_" + s.name
		all = append(all, verdict{name + " 20 points or more above answers_only_small", above(name, "answers_only_small", 0.2)})
	}
	all = append(all, verdict{"distilled_small above rl_small, at equal operations", above("distilled_small", "rl_small", 0)})
	consensus := true
	for _, f := range of {
		consensus = consensus && f.Cons64 >= f.Pass1
	}
	all = append(all, verdict{"cons@64 not below pass@1 in any arm", consensus})
	for i, s := range students[1:] {
		more, less := "distilled_"+s.name, "distilled_"+students[i].name
		all = append(all, verdict{more + " keeps more of the teacher's pass@1 than " + less, above(more, less, 0)})
	}
	return all
}

func (s summary) print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "arm\tparameters\tpass@1 %, 95% interval\tcons@64 %\tof the teacher %\tFLOPs")
	for _, f := range s.Arms {
		fmt.Fprintf(tab, "%s\t%d\t%.1f  %.1f to %.1f\t%.1f\t%.0f\t%.2g\n", f.Arm, f.Params, 100*f.Pass1, 100*f.Low, 100*f.High, 100*f.Cons64, 100*f.Kept, f.Flops)
	}
	tab.Flush()
	fmt.Fprintln(w)
	for _, v := range s.Hypotheses {
		holds := "no "
		if v.Holds {
			holds = "yes"
		}
		fmt.Fprintln(w, holds, v.Hypothesis)
	}
	fmt.Fprintln(w, "\nAbove is where 95% intervals over the test problems lie apart, which errs on the\nside of caution: all arms are asked the same problems.")
}

// page writes report.html, with the curves of the teacher's reinforcement, and draws
// how the arms do by the number of operations.
func (l *lab) page() error {
	log, err := report.Open(l.path("stages", "teacher"))
	if err != nil {
		return err
	}
	var all, drawn report.Reasoning
	for _, a := range l.arms {
		all = append(all, report.Solved{Name: a.name, Params: a.model.Size(), Report: a.report})
		if slices.Contains(pictured, a.name) {
			drawn = append(drawn, all[len(all)-1])
		}
	}
	f, err := os.Create(l.path("levels.png"))
	if err != nil {
		return err
	}
	err = report.Levels(f, report.PNG, "Chains of operations modulo 10", drawn...)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	page := report.Page{Title: "Reasoning is distillable", Note: "The curves are those of the teacher's reinforcement.", Run: log, Reasoning: all}
	if err := page.WriteFile(l.path("report.html")); err != nil {
		return err
	}
	fmt.Fprintln(l.log, "wrote", l.path("report.html"))
	return nil
}

// pictured are the arms of levels.png: more lines are none.
var pictured = []string{"base", "teacher", "distilled_small", "distilled_large", "answers_only_small", "rl_small"}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
