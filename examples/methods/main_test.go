package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godistill/godistill/data/mnist/mnisttest"
	"github.com/godistill/godistill/distill/study"
)

// short is done in seconds.
var short = effort{title: "short", read: digits, labels: 100, batch: 20, steps: 10, teacherEpochs: 10, epochs: 2, seeds: 2, rates: []float64{2e-2}}

func TestEveryMethodTeaches(t *testing.T) {
	o := Options{Out: t.TempDir()}
	var log bytes.Buffer
	if err := run(t.Context(), &log, o, short, methods); err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(content(t, o, "summary.json"), &s); err != nil {
		t.Fatal(err)
	}
	if s.Labels != 100 || s.Images != 1097 || s.Steps != 20 || s.Seeds != 2 || s.Control.Method != control || s.Control.Difference != nil {
		t.Errorf("the summary is of %d labels, %d images, %d steps and %d seeds, and the control is %+v", s.Labels, s.Images, s.Steps, s.Seeds, s.Control)
	}
	if s.Teacher.Params != 24_058 || s.Control.Params != 1702 {
		t.Errorf("teacher and student have %d and %d parameters; want 24058 and 1702", s.Teacher.Params, s.Control.Params)
	}
	if len(s.Methods) != len(methods)-1 {
		t.Fatalf("there are %d findings; want %d", len(s.Methods), len(methods)-1)
	}
	for i, f := range s.Methods {
		if f.Difference == nil || len(f.Accuracy) != 2 || f.Rate != 2e-2 || f.Family == "" || f.Paper == "" {
			t.Errorf("the finding is %+v; want all of it, of two seeds", f)
			continue
		}
		if i > 0 && f.Difference.Mean > s.Methods[i-1].Difference.Mean {
			t.Errorf("%s gained more than %s before it", f.Method, s.Methods[i-1].Method)
		}
		if slices.Contains(s.DidNotHelp, f.Method) == (f.Difference.Low > 0) {
			t.Errorf("%s: the interval is %v, and the list of what did not help %q", f.Method, f.Difference, s.DidNotHelp)
		}
		if slices.Equal(f.Accuracy, s.Control.Accuracy) {
			t.Errorf("%s came to just what labels alone do: %v", f.Method, f.Accuracy)
		}
	}
	for _, want := range []string{fmt.Sprintf("/%d] CRD rate 0.02 seed 2: ", 2*(len(methods)-1)), "/2] SimKD rate 0.02 seed 2: ", "Did not help here"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if table := content(t, o, "table.txt"); !bytes.HasSuffix(bytes.TrimRight(log.Bytes(), "\n"), []byte("report.html")) || !bytes.Contains(log.Bytes(), table) {
		t.Errorf("the output lacks the table, or the name of the report:\n%s", log.String())
	}
	if _, err := png.Decode(bytes.NewReader(content(t, o, "bars.png"))); err != nil {
		t.Error(err)
	}
}

// some is a method of each family, and a graft.
func some() (list []method) {
	for _, m := range methods {
		if slices.Contains([]string{control, "KL", "DKD", "Hint", "PKT", "SimKD"}, m.Name) {
			list = append(list, m)
		}
	}
	return list
}

func TestResumedRunHasTheSameBytes(t *testing.T) {
	whole, parts := Options{Out: t.TempDir()}, Options{Out: t.TempDir()}
	if err := run(t.Context(), io.Discard, whole, short, some()); err != nil {
		t.Fatal(err)
	}
	for _, lines := range []int{1, 4} {
		ctx, cancel := context.WithCancel(t.Context())
		if err := run(ctx, &stopper{lines, cancel}, parts, short, some()); !errors.Is(err, context.Canceled) {
			t.Fatalf("the run ended with %v; want it to be cancelled", err)
		}
		parts.Resume = true
	}
	if err := run(t.Context(), io.Discard, parts, short, some()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"summary.json", "table.txt", "bars.png", "report.html", "students/Hint/rate-0.02/seed-2/metrics.jsonl"} {
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

// With the images of MNIST, in place of which there are made ones.
func TestMNIST(t *testing.T) {
	o := Options{Out: t.TempDir(), Data: t.TempDir()}
	if err := mnisttest.Write(o.Data, 300, 60, 150); err != nil {
		t.Fatal(err)
	}
	e := short
	e.read, e.valid, e.labels, e.teacherEpochs, e.epochs = images, 100, 0, 3, 1
	few := some()[:3]
	if err := run(t.Context(), io.Discard, o, e, few); err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(content(t, o, "summary.json"), &s); err != nil {
		t.Fatal(err)
	}
	if s.Images != 200 || s.Labels != 200 || len(s.Methods) != 2 {
		t.Errorf("the summary is of %d images, %d labels and %d methods; want 200, all of them, and 2", s.Images, s.Labels, len(s.Methods))
	}
	e.labels = 201
	if err := run(t.Context(), io.Discard, o, e, few); err == nil || !strings.Contains(err.Error(), "there are 200 images to train on; want 201, to be labelled") {
		t.Errorf("the error is %v; want one of too few labels", err)
	}
	e.valid = 300
	if err := run(t.Context(), io.Discard, o, e, few); err == nil || !strings.Contains(err.Error(), "has 300 images to train on; want more than the 300 of validation data") {
		t.Errorf("the error is %v; want one of too few images", err)
	}
}

func TestFlags(t *testing.T) {
	if _, err := (Options{On: "cifar"}).effort(); err == nil || err.Error() != `-on is "cifar"; want one of digits, digits-100, mnist-1000, mnist-60000` {
		t.Errorf("the error is %v", err)
	}
	e, err := Options{On: "digits", Quick: true}.effort()
	if err != nil || e.seeds != 2 || len(e.rates) != 1 {
		t.Errorf("quick is %+v, %v; want two seeds and a rate", e, err)
	}
}

// What helps nothing is said plainly, and so is what helps all.
func TestPrint(t *testing.T) {
	s := summary{Data: "made up", Control: finding{Method: control, Accuracy: []float64{0.9, 0.91}}, Methods: []finding{
		{Method: "KL", Family: logits, Paper: "a paper", Accuracy: []float64{0.92, 0.93}, Difference: &study.Difference{Mean: 0.02, Low: 0.01, High: 0.03}},
	}}
	var out strings.Builder
	s.print(&out)
	for _, want := range []string{"KL            logits  0           0     92.50   +2.00  +1.00 to +3.00", "not above 0: none"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
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
