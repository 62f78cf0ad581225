package progress

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var plan = distill.Plan{Steps: 6, StepsPerEpoch: 3}

// clock returns a clock that goes on by tick at each look.
func clock(tick time.Duration) func() time.Time {
	now := time.Unix(1000, 0)
	return func() time.Time { now = now.Add(tick); return now }
}

// steps are those after done of six, over two epochs.
func steps(done int) []distill.Step {
	all := []distill.Step{
		{N: 1, Rows: 32, Loss: 2, Accuracy: 0.25},
		{N: 2, Rows: 32, Loss: 1, Accuracy: 0.5},
		{N: 3, Rows: 16, Loss: 1, Accuracy: math.NaN(), End: true, Valid: &distill.Metrics{Accuracy: 0.625}, Best: true},
		{N: 4, Epoch: 1, Rows: 32, Loss: 0.5, Accuracy: 0.75},
		{N: 5, Epoch: 1, Rows: 32, Loss: 0.25, Accuracy: 1},
		{N: 6, Epoch: 1, Rows: 16, Loss: 0.125, Accuracy: 1, End: true, Valid: &distill.Metrics{Accuracy: 0.5}},
	}
	return all[done:]
}

func watch(t *testing.T, b *Bar, plan distill.Plan, steps []distill.Step) {
	t.Helper()
	if err := b.Start(plan); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if err := b.Step(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQuality(t *testing.T) {
	for want, m := range map[string]distill.Metrics{
		"accuracy 62.5%": {Accuracy: 0.625},
		"RMSE 0.25":      {Accuracy: math.NaN(), Numbers: &distill.Numbers{RMSE: 0.25}},
		"loss 0.75":      {Accuracy: math.NaN(), Loss: 0.75, Numbers: &distill.Numbers{RMSE: math.NaN()}},
	} {
		if got := quality(m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLines(t *testing.T) {
	var noAccuracy []distill.Step
	for _, s := range steps(0)[:3] {
		s.Accuracy, s.Best = math.NaN(), false
		if s.Valid != nil {
			s.Valid = &distill.Metrics{Accuracy: math.NaN(), Loss: 0.75}
		}
		noAccuracy = append(noAccuracy, s)
	}
	diverged := []distill.Step{{N: 1, Rows: 32, Loss: math.NaN(), Accuracy: 0.1, End: true}}
	tests := []struct {
		name  string
		plan  distill.Plan
		every time.Duration
		steps []distill.Step
		want  []string
	}{
		{"a line an epoch", plan, time.Hour, steps(0), []string{
			"epoch 1/2  step 3/6  loss 1.4  accuracy 37.5%  validation accuracy 62.5%  best",
			"epoch 2/2  step 6/6  loss 0.325  accuracy 90.0%  validation accuracy 50.0%",
		}},
		{"a line every ten seconds", plan, 0, steps(0), []string{
			"epoch 1/2  step 2/6  loss 1.5  accuracy 37.5%  5 samples/s  24s left",
			"epoch 1/2  step 3/6  loss 1.4  accuracy 37.5%  validation accuracy 62.5%  best",
			"epoch 2/2  step 5/6  loss 0.375  accuracy 87.5%  5 samples/s  6s left",
			"epoch 2/2  step 6/6  loss 0.325  accuracy 90.0%  validation accuracy 50.0%",
		}},
		{"resumed", distill.Plan{Done: 4, Steps: 6, StepsPerEpoch: 3}, time.Second, steps(4), []string{
			"epoch 2/2  step 5/6  loss 0.25  accuracy 100.0%  5 samples/s  6s left",
			"epoch 2/2  step 6/6  loss 0.2083  accuracy 100.0%  validation accuracy 50.0%",
		}},
		{"no end", distill.Plan{}, time.Second, steps(0)[:3], []string{
			"epoch 1  step 1  loss 2  accuracy 25.0%  5 samples/s",
			"epoch 1  step 2  loss 1.5  accuracy 37.5%  5 samples/s",
			"epoch 1  step 3  loss 1.4  accuracy 37.5%  validation accuracy 62.5%  best",
		}},
		{"no labels", plan, time.Hour, noAccuracy, []string{
			"epoch 1/2  step 3/6  loss 1.4  validation loss 0.75",
		}},
		{"diverged", plan, time.Hour, diverged, []string{
			"epoch 1/2  step 1/6  loss NaN  accuracy 10.0%",
		}},
		{"steps that end within an epoch", distill.Plan{Steps: 4, StepsPerEpoch: 3}, time.Second, steps(3)[:1], []string{
			"epoch 2/2  step 4/4  loss 0.5  accuracy 75.0%  5 samples/s",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			b := &Bar{W: &out, Every: test.every, Now: clock(6 * time.Second)}
			watch(t, b, test.plan, test.steps)
			got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFinish(t *testing.T) {
	tests := []struct {
		name   string
		result distill.Result
		err    error
		want   string
	}{
		{"validated", distill.Result{Steps: 6, Epochs: 2, Why: distill.EarlyStopped, Valid: &distill.Metrics{Accuracy: 0.625}}, nil,
			"early stopping after 2 epochs, 6 steps, 1m0s; best epoch 1: accuracy 62.5%\n"},
		{"not validated", distill.Result{Steps: 6, Epochs: 2, Why: distill.Finished, BestEpoch: -1}, nil,
			"finished after 2 epochs, 6 steps, 1m0s\n"},
		{"failed", distill.Result{Steps: 6}, errors.New("data: sample 7 is no image"),
			"ended by an error at step 0, after 1m0s\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			b := &Bar{W: &out, Now: clock(time.Minute)}
			watch(t, b, plan, nil)
			if err := b.Finish(test.result, test.err); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestFinishWithoutStart(t *testing.T) {
	var out bytes.Buffer
	if err := (&Bar{W: &out}).Finish(distill.Result{}, nil); err != nil || out.Len() > 0 {
		t.Errorf("got %q and %v, want nothing", &out, err)
	}
}

// A second run starts from nothing.
func TestTwice(t *testing.T) {
	var first, both bytes.Buffer
	b := &Bar{W: &first, Now: clock(4 * time.Second)}
	watch(t, b, plan, steps(0))
	b.W = &both
	watch(t, b, plan, steps(0))
	if diff := cmp.Diff(first.String(), both.String()); diff != "" {
		t.Errorf("the second run (-first +second):\n%s", diff)
	}
}

// terminal keeps what a terminal would show: lines, with the last one's
// overwritten parts.
func terminal(out string) []string {
	var lines []string
	for line := range strings.SplitSeq(out, "\n") {
		var row []rune
		for part := range strings.SplitSeq(line, "\r") {
			text := []rune(part)
			row = append(text, row[min(len(text), len(row)):]...)
		}
		lines = append(lines, strings.TrimRight(string(row), " "))
	}
	return lines
}

func TestBar(t *testing.T) {
	tests := []struct {
		name string
		plan distill.Plan
		last string
	}{
		{"known end", plan, "  83% |████████████████    |  epoch 2/2  step 5/6  loss 0.375"},
		{"no end", distill.Plan{}, "\\  epoch 2  step 5  loss 0.375  accu"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			b := &Bar{W: &out, Now: clock(rest)}
			if err := b.Start(test.plan); err != nil {
				t.Fatal(err)
			}
			b.draw(func() int { return 65 })
			for _, s := range steps(0)[:5] {
				b.Step(s)
			}
			got := terminal(out.String())
			if len(got) != 2 {
				t.Fatalf("%d lines, want one that stays and a bar: %q", len(got), got)
			}
			if !strings.HasPrefix(got[0], "epoch 1") || !strings.HasSuffix(got[0], "validation accuracy 62.5%  best") {
				t.Errorf("the epoch's line is %q", got[0])
			}
			if got[1] != test.last {
				t.Errorf("the bar is %q, want %q", got[1], test.last)
			}
			if n := len([]rune(got[1])); n > 65 {
				t.Errorf("the bar has %d columns, want at most 65", n)
			}
			b.Finish(distill.Result{Why: distill.Interrupted}, nil)
			if got := terminal(out.String()); !strings.HasPrefix(got[1], "interrupted") {
				t.Errorf("the last line is %q, want the end in place of the bar", got[1])
			}
		})
	}
}

func TestBarOnNarrowTerminal(t *testing.T) {
	b := &Bar{W: io.Discard, Now: clock(rest)}
	b.Start(plan)
	b.draw(func() int { return 3 })
	for _, s := range steps(0) {
		b.Step(s) // does not panic
	}
}

func TestFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := &Bar{W: f}
	watch(t, b, plan, steps(0))
	if b.bar != nil {
		t.Error("a file got a bar, want lines")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestBrokenWriter(t *testing.T) {
	b := &Bar{W: broken{}}
	watch(t, b, plan, steps(0))
	if err := b.Finish(distill.Result{}, nil); err != nil {
		t.Errorf("Finish = %v, want nil", err)
	}
}
