package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// short are options that are done in seconds.
func short(t *testing.T) Options {
	return Options{Out: t.TempDir(), Seeds: 2, Epochs: 4, Temperature: 2, Weight: 0.9}
}

func TestDistillingHelpsWithFewLabels(t *testing.T) {
	o := short(t)
	var log bytes.Buffer
	if err := run(t.Context(), &log, o); err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(read(t, o, "summary.json"), &s); err != nil {
		t.Fatal(err)
	}
	if s.Teacher.Accuracy < 0.95 {
		t.Errorf("the teacher is right on %v of the test rows; want 0.95 or more", s.Teacher.Accuracy)
	}
	if 10*s.Student.Params > s.Teacher.Params {
		t.Errorf("the student has %d parameters, the teacher %d; want at most a tenth", s.Student.Params, s.Teacher.Params)
	}
	if s.Difference.Mean <= 0 {
		t.Errorf("distilled - control is %v; want more than 0", s.Difference.Mean)
	}
	if len(s.Regimes) != 2 || len(s.Student.Accuracy) != 2 {
		t.Errorf("there are %d regimes and %d seeds; want 2 and 2", len(s.Regimes), len(s.Student.Accuracy))
	}
	for _, want := range []string{"100 labels, 2 seeds", "all labels, 2 seeds", "distilled - control:"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, log.String())
		}
	}
	for _, name := range []string{"curves.png", "curves.svg", "report.html", "teacher/curves.png", "teacher/metrics.csv", "teacher/report.html"} {
		if len(read(t, o, name)) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

func TestResumedRunHasTheSameBytes(t *testing.T) {
	whole := short(t)
	if err := run(t.Context(), io.Discard, whole); err != nil {
		t.Fatal(err)
	}
	parts := short(t)
	for _, lines := range []int{1, 4, 9} {
		ctx, cancel := context.WithCancel(t.Context())
		if err := run(ctx, &stopper{lines, cancel}, parts); !errors.Is(err, context.Canceled) {
			t.Fatalf("the run ended with %v; want it to be cancelled", err)
		}
		parts.Resume = true
	}
	if err := run(t.Context(), io.Discard, parts); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"summary.json", "curves.png", "report.html", "teacher/checkpoint.safetensors", "teacher/metrics.jsonl",
		"100-labels/distilled/rate-0.02/seed-2/checkpoint.safetensors",
		"100-labels/distilled/rate-0.02/seed-2/metrics.jsonl",
	} {
		if !bytes.Equal(read(t, whole, name), read(t, parts, name)) {
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

func TestBadFlags(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"-seeds is 1":       func(o *Options) { o.Seeds = 1 },
		"-temperature is 0": func(o *Options) { o.Temperature = 0 },
		"-weight is 1.5":    func(o *Options) { o.Weight = 1.5 },
		"-epochs is -1":     func(o *Options) { o.Epochs = -1 },
	} {
		o := short(t)
		change(&o)
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
}

func read(t *testing.T, o Options, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.Out, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
