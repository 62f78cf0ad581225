package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/mnist/mnisttest"
	"github.com/godistill/godistill/distill/study"
)

// short is done in seconds.
var short = effort{valid: 200, rows: 20 * batch, teacherEpochs: 4, studentEpochs: 3, seeds: 2, rates: []float64{2e-2}}

// made are options for images that are made up.
func made(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	if err := mnisttest.Write(dir, 1500, 300, 55); err != nil {
		t.Fatal(err)
	}
	return Options{Out: t.TempDir(), Data: dir}
}

func TestDistillingHelpsWithFewLabels(t *testing.T) {
	o := made(t)
	var log bytes.Buffer
	if err := run(t.Context(), &log, o, short); err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(content(t, o, "summary.json"), &s); err != nil {
		t.Fatal(err)
	}
	if s.Teacher.Accuracy < 0.95 {
		t.Errorf("the teacher is right on %v of the test images; want 0.95 or more", s.Teacher.Accuracy)
	}
	if 10*s.Student.Params > s.Teacher.Params || s.Control.Params != s.Student.Params {
		t.Errorf("student, control and teacher have %d, %d and %d parameters; want as many, and at most a tenth", s.Student.Params, s.Control.Params, s.Teacher.Params)
	}
	if s.Difference.Mean <= 0 {
		t.Errorf("distilled - control is %v; want more than 0:\n%s", s.Difference.Mean, log.String())
	}
	if len(s.Regimes) != 2 || s.Regimes[1].Labels != 1300 || len(s.Student.Accuracy) != 2 {
		t.Errorf("the findings are %+v; want 2 of 2 seeds, the second of 1300 labels", s.Regimes)
	}
	for _, want := range []string{"[ 8/8] distilled-all rate 0.02 seed 2", "\ndistilled-all  ", "100 labels: ", "all labels: "} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, log.String())
		}
	}
	if _, err := png.Decode(bytes.NewReader(content(t, o, "curves.png"))); err != nil {
		t.Error(err)
	}
}

func TestResumedRunHasTheSameBytes(t *testing.T) {
	whole := made(t)
	if err := run(t.Context(), io.Discard, whole, short); err != nil {
		t.Fatal(err)
	}
	parts := whole
	parts.Out = t.TempDir()
	for _, lines := range []int{1, 3} {
		ctx, cancel := context.WithCancel(t.Context())
		if err := run(ctx, &stopper{lines, cancel}, parts, short); !errors.Is(err, context.Canceled) {
			t.Fatalf("the run ended with %v; want it to be cancelled", err)
		}
		parts.Resume = true
	}
	if err := run(t.Context(), io.Discard, parts, short); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"summary.json", "curves.png", "report.html", "teacher/checkpoint.safetensors", "teacher/metrics.jsonl",
		"students/distilled/rate-0.02/seed-2/checkpoint.safetensors",
		"students/control-all/rate-0.02/seed-1/metrics.jsonl",
	} {
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

func TestMNISTIsSplit(t *testing.T) {
	o := made(t)
	s, err := images(t.Context(), o.Data, 200)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set         data.Set
		n, views    int
		first, last uint64
	}{
		"train": {s.Train, 1300, 9, 0, 1299}, "valid": {s.Valid, 200, 1, 1300, 1499}, "test": {s.Test, 300, 1, 0, 299},
	} {
		spec, first, last := c.set.Spec(), c.set.ID(0), c.set.ID(c.set.Len()-1)
		if c.set.Len() != c.n || first != c.first || last != c.last {
			t.Errorf("%s: %d images, %d to %d; want %d, from %d to %d", name, c.set.Len(), first, last, c.n, c.first, c.last)
		}
		if len(spec.Classes) != 10 || spec.Views != c.views {
			t.Errorf("%s: classes %q, %d views; want 10 classes and %d views", name, spec.Classes, spec.Views, c.views)
		}
	}
}

func TestMNISTRefuses(t *testing.T) {
	o := made(t)
	if _, err := images(t.Context(), o.Data, 1401); err == nil || !strings.Contains(err.Error(), "has 1500 images to train on; want 100 to be labelled and 1401 of validation data") {
		t.Errorf("the error is %v; want one of too few images", err)
	}
}

func TestVerdict(t *testing.T) {
	for want, d := range map[string]study.Difference{
		"+2.00 points, +1.00 to +3.00: the teacher helps":                               {Mean: 0.02, Low: 0.01, High: 0.03},
		"-2.00 points, -3.00 to -1.00: the teacher harms":                               {Mean: -0.02, Low: -0.03, High: -0.01},
		"+0.50 points, -0.50 to +1.50: nothing is gained that so many seeds could show": {Mean: 0.005, Low: -0.005, High: 0.015},
	} {
		if got := verdict(d); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func content(t *testing.T, o Options, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.Out, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
