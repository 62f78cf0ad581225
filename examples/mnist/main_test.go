package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godistill/godistill/data/mnist/mnisttest"
)

// short is done in seconds, and has everything.
var short = effort{setting: setting{60, 40, 12, 1}, teacherEpochs: 12, teacherBatch: 20, epochs: 8, batch: 20, seeds: 2, sweepSeeds: 2, sweepEpochs: 2, partialEpochs: 8, heldOut: 300}

// made are options for images that are made up.
func made(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	if err := mnisttest.Write(dir, 1500, 300, 150); err != nil {
		t.Fatal(err)
	}
	return Options{Out: t.TempDir(), Data: dir}
}

func content(t *testing.T, o Options, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.Out, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTable(t *testing.T) {
	o := made(t)
	var log bytes.Buffer
	if err := run(t.Context(), &log, o, short); err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(content(t, o, "summary.json"), &s); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{
		"teachers": len(s.TeacherErrors), "alone": len(s.StudentErrors), "distilled": len(s.DistilledErrors),
		"no 3": len(s.ThreesAfter), "7 and 8": len(s.SevensEightsAfter),
	} {
		if n != 2 {
			t.Errorf("%s: %d seeds; want 2", name, n)
		}
	}
	if slices.Max(s.DistilledErrors) > 30 {
		t.Errorf("the distilled students make %v errors of 300; want 30 at most", s.DistilledErrors)
	}
	if slices.Max(s.ThreesBefore) >= slices.Min(s.ThreesAfter) {
		t.Errorf("of threes never seen, %v are right before and %v after; want more after", s.ThreesBefore, s.ThreesAfter)
	}
	if slices.Min(s.SevensEightsError) <= slices.Max(s.SevensEightsAfter) {
		t.Errorf("of students of 7 and 8 alone, %v is wrong before and %v after; want less after", s.SevensEightsError, s.SevensEightsAfter)
	}
	if len(s.Wide) != 5 || len(s.Narrow) != 6 || s.Narrow[1].Temperature != 2.5 || len(s.Narrow[1].Errors) != 2 {
		t.Errorf("the temperatures are %v and %v; want 5 and 6, of 2 seeds", s.Wide, s.Narrow)
	}
	for _, want := range []string{"/2] teacher rate ", "student distilled", "30 units, T = 2.5", "95%, over 2 seeds"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, log.String())
		}
	}
	if page := content(t, o, "report.html"); !bytes.Contains(page, []byte("only-7-8")) || !bytes.Contains(page, []byte("data:image/png;base64")) {
		t.Error("report.html lacks an arm, or the images that teacher and students disagree about")
	}
	if lines := bytes.Count(content(t, o, "logs/distilled-seed-2.jsonl"), []byte("\n")); lines != 8 {
		t.Errorf("the log of a run of 8 epochs has %d lines", lines)
	}
}

func TestResumedRunHasTheSameBytes(t *testing.T) {
	quickly := short
	quickly.sweepSeeds = 0
	whole := made(t)
	if err := run(t.Context(), io.Discard, whole, quickly); err != nil {
		t.Fatal(err)
	}
	parts := whole
	parts.Out = t.TempDir()
	for _, lines := range []int{1, 3} {
		ctx, cancel := context.WithCancel(t.Context())
		if err := run(ctx, &stopper{lines, cancel}, parts, quickly); !errors.Is(err, context.Canceled) {
			t.Fatalf("the run ended with %v; want it to be cancelled", err)
		}
		parts.Resume = true
	}
	if err := run(t.Context(), io.Discard, parts, quickly); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"summary.json", "logs/teacher-seed-1.jsonl", "logs/alone-seed-2.jsonl", "logits/seed-2/rows", "report.html", "errors.png"} {
		if !bytes.Equal(content(t, whole, name), content(t, parts, name)) {
			t.Errorf("%s is not the same after the run was stopped and resumed", name)
		}
	}
}

// A stopper cancels the run after some lines of output.
type stopper struct {
	lines  int
	cancel func()
}

func (s *stopper) Write(p []byte) (int, error) {
	if s.lines--; s.lines == 0 {
		s.cancel()
	}
	return len(p), nil
}

func TestTuneComparesRates(t *testing.T) {
	o := made(t)
	o.Tune = true
	e := short
	e.rates = []float64{1e-3, 2e-3}
	var log bytes.Buffer
	if err := run(t.Context(), &log, o, e); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/8] distilled rate 0.002 seed 2: ", " errors of 300 images held out", "\nalone  "} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, log.String())
		}
	}
}

func TestTooFewImages(t *testing.T) {
	o := made(t)
	e := short
	e.heldOut = 1500
	if err := run(t.Context(), io.Discard, o, e); err == nil || !strings.Contains(err.Error(), "has 1500 images to train on; want more than the 1500 that are held out") {
		t.Errorf("the error is %v; want one of too few images", err)
	}
}
