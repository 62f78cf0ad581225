// Package progress shows how far a run is.
//
//	result, err := run.Fit(ctx, new(progress.Bar))
//
// On a terminal it is a line for each epoch, and a bar below them:
//
//	epoch 1/30  step 45/1350  loss 1.834  accuracy 41.3%  validation accuracy 52.1%  best
//	epoch 2/30  step 90/1350  loss 0.9713  accuracy 66.0%  validation accuracy 71.4%  best
//	   8% |█                   |  epoch 3/30  step 108/1350  loss 0.8021  accuracy 71.2%  5310 samples/s  1m2s left
//
// Elsewhere, in a file or a pipe, it is lines alone. Loss and accuracy are
// means over the epoch so far. No program should read them back: that is what
// distill/report is for.
package progress

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// rest is how long a bar stands still at least.
const rest = 100 * time.Millisecond

// A Bar is a [distill.Observer] that shows the progress of a run. Its zero
// value writes to standard error. A writer that fails, as that of a terminal
// that was closed, does not end the run. Runs that train at the same time want
// a Bar each; one after the other may share one.
type Bar struct {
	// W is written to; nil means os.Stderr.
	W io.Writer
	// Every is the time between two lines within an epoch, where W is no
	// terminal; 0 means ten seconds.
	Every time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	plan           distill.Plan
	bar            *progressbar.ProgressBar // nil where W is no terminal
	columns        func() int               // of the terminal
	began, shown   time.Time
	at             distill.Step // the last one
	rows           int          // seen since began
	loss, accuracy mean         // over the epoch
}

// Start implements [distill.Observer].
func (b *Bar) Start(plan distill.Plan) error {
	*b = Bar{W: b.W, Every: b.Every, Now: b.Now, plan: plan}
	b.at.N = plan.Done
	b.began = b.now()
	b.shown = b.began
	if f, ok := b.out().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.draw(func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return columns
		})
	}
	return nil
}

// draw goes over from lines to a bar: a spinner, where the end is not known.
func (b *Bar) draw(columns func() int) {
	steps := b.plan.Steps
	if steps <= 0 {
		steps = -1
	}
	b.columns = columns
	b.bar = progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(b.out()),
		progressbar.OptionSetWidth(20),
		progressbar.OptionSetPredictTime(false), // ours leaves out the steps of an earlier run
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetSpinnerChangeInterval(0), // else it starts a goroutine
		progressbar.OptionClearOnFinish(),
	)
}

// Step implements [distill.Observer].
func (b *Bar) Step(s distill.Step) error {
	if s.Epoch != b.at.Epoch {
		b.loss, b.accuracy = mean{}, mean{}
	}
	b.at = s
	b.rows += s.Rows
	b.loss.add(s.Loss, s.Rows)
	if !math.IsNaN(s.Accuracy) {
		b.accuracy.add(s.Accuracy, s.Rows)
	}
	now := b.now()
	pause := now.Sub(b.shown)
	switch {
	case s.End:
		b.print(b.where() + validation(s))
	case b.bar != nil && pause >= rest:
		b.redraw(b.where() + b.speed(now))
	case b.bar == nil && pause >= b.every():
		b.print(b.where() + b.speed(now))
	default:
		return nil
	}
	b.shown = now
	return nil
}

// Finish implements [distill.Observer].
func (b *Bar) Finish(r distill.Result, err error) error {
	if b.began.IsZero() {
		return nil
	}
	took := b.now().Sub(b.began).Round(time.Second)
	if err != nil {
		b.print(fmt.Sprintf("ended by an error at step %d, after %v", b.at.N, took))
		return nil
	}
	line := fmt.Sprintf("%s after %d epochs, %d steps, %v", r.Why, r.Epochs, r.Steps, took)
	if r.Valid != nil {
		line += fmt.Sprintf("; best epoch %d: %s", r.BestEpoch+1, quality(*r.Valid))
	}
	b.print(line)
	return nil
}

// where says where the run is, and how well it does.
func (b *Bar) where() string {
	epochs := 0
	if n := b.plan.StepsPerEpoch; n > 0 {
		epochs = (b.plan.Steps + n - 1) / n
	}
	text := "epoch " + of(b.at.Epoch+1, epochs) + "  step " + of(b.at.N, b.plan.Steps)
	text += fmt.Sprintf("  loss %.4g", b.loss.value())
	if b.accuracy.weight > 0 {
		text += fmt.Sprintf("  accuracy %.1f%%", 100*b.accuracy.value())
	}
	return text
}

// speed says how fast the run is, and how long it still takes.
func (b *Bar) speed(now time.Time) string {
	took := now.Sub(b.began)
	if took <= 0 {
		return ""
	}
	text := fmt.Sprintf("  %.0f samples/s", float64(b.rows)/took.Seconds())
	done, left := b.at.N-b.plan.Done, b.plan.Steps-b.at.N
	if done > 0 && left > 0 {
		wait := time.Duration(float64(took) / float64(done) * float64(left))
		text += fmt.Sprintf("  %v left", wait.Round(time.Second))
	}
	return text
}

// validation says what the end of an epoch came to.
func validation(s distill.Step) string {
	if s.Valid == nil {
		return ""
	}
	text := "  validation " + quality(*s.Valid)
	if s.Best {
		text += "  best"
	}
	return text
}

func quality(m distill.Metrics) string {
	switch {
	case m.Numbers != nil && !math.IsNaN(m.Numbers.RMSE):
		return fmt.Sprintf("RMSE %.4g", m.Numbers.RMSE)
	case math.IsNaN(m.Accuracy):
		return fmt.Sprintf("loss %.4g", m.Loss)
	}
	return fmt.Sprintf("accuracy %.1f%%", 100*m.Accuracy)
}

func of(n, total int) string {
	if total <= 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d/%d", n, total)
}

// print writes a line that stays.
func (b *Bar) print(line string) {
	if b.bar != nil {
		b.bar.Clear()
	}
	fmt.Fprintln(b.out(), line)
}

// redraw moves the bar. A line that is longer than the terminal would break
// into two, of which only the second could be cleared.
func (b *Bar) redraw(text string) {
	const bar = 32 // columns, and some of the spinner's
	b.bar.Set(b.at.N)
	b.bar.Describe(text[:max(0, min(len(text), b.columns()-bar))])
}

func (b *Bar) out() io.Writer {
	if b.W == nil {
		return os.Stderr
	}
	return b.W
}

func (b *Bar) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}

func (b *Bar) every() time.Duration {
	if b.Every == 0 {
		return 10 * time.Second
	}
	return b.Every
}

// A mean is over values that count by their rows.
type mean struct{ sum, weight float64 }

func (m *mean) add(value float64, rows int) {
	m.sum += value * float64(rows)
	m.weight += float64(rows)
}

func (m mean) value() float64 { return m.sum / m.weight }
