package reason

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/godistill/godistill/data/task"
)

// Collect has a teacher answer problems, and keeps the answers that are right: what
// a student is trained on that is to reason as its teacher does (DeepSeek-R1,
// 2501.12948, section 2.4).
type Collect struct {
	// Solver is the teacher.
	Solver *Solver
	// Problems are what it is asked.
	Problems task.Set
	// Tries is how many answers are drawn to a problem at most, and Keep how many are
	// kept: of those that are right and formed, the first that differ. 0 means 1.
	Tries, Keep int
	// Licence is what others may do with the traces: the name that SPDX has for it, as
	// "CC0-1.0". It is needed.
	Licence string
}

// Collected says what became of the answers that were drawn.
type Collected struct {
	// Problems is how many there are, and Solved how many have a trace.
	Problems, Solved int
	// Kept is the number of traces, and Rejected that of the other answers.
	Kept     int
	Rejected Rejected
}

// Rejected are numbers of answers that were not kept, each counted once.
type Rejected struct {
	Wrong      int `json:"wrong"`      // formed, and not right
	Unformed   int `json:"unformed"`   // not in the form of an answer
	Unfinished int `json:"unfinished"` // cut off before its end
	Repeated   int `json:"repeated"`   // right, and kept already
}

// String is one line.
func (c Collected) String() string {
	r := c.Rejected
	all := c.Kept + r.Wrong + r.Unformed + r.Unfinished + r.Repeated
	return fmt.Sprintf("%d of %d answers to %d problems kept, for %d of them; %d wrong, %d not formed, %d not finished, %d repeated",
		c.Kept, all, c.Problems, c.Solved, r.Wrong, r.Unformed, r.Unfinished, r.Repeated)
}

// Write writes the traces to a file, a [Trace] as JSON on each line, in the order of
// the problems. Where there is such a file, it goes on after what that holds: killed
// at any byte and called again, it leaves the file of one that was never stopped. A
// file of anything else is refused and left alone. One call at a time may write to
// a file. It fails where no answer at all is kept.
func (c Collect) Write(ctx context.Context, path string) (Collected, error) {
	c.Tries, c.Keep = cmp.Or(c.Tries, 1), cmp.Or(c.Keep, 1)
	if err := c.validate(); err != nil {
		return Collected{}, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return Collected{}, fmt.Errorf("reason: %w", err)
	}
	w := &collector{Collect: c, origin: c.origin(), done: Collected{Problems: c.Problems.Rows}}
	err = w.resume(f)
	if err == nil {
		err = w.run(ctx, f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return w.done, fmt.Errorf("reason: traces in %s: %w", path, err)
	}
	if w.done.Kept == 0 {
		return w.done, fmt.Errorf("reason: %v; want a teacher that solves some", w.done)
	}
	return w.done, nil
}

// spdx is what names and expressions of licences are made of.
var spdx = regexp.MustCompile(`^[A-Za-z0-9(][A-Za-z0-9.+:() -]*$`)

func (c Collect) validate() error {
	if err := c.Solver.Takes(c.Problems); err != nil {
		return err
	}
	switch {
	case c.Tries < 1:
		return fmt.Errorf("reason: Collect.Tries is %d; want 0 or more", c.Tries)
	case c.Keep < 1 || c.Keep > c.Tries:
		return fmt.Errorf("reason: Collect.Keep is %d and Collect.Tries %d; want 0 or more, and no more than Tries", c.Keep, c.Tries)
	case c.Tries > 1 && c.Solver.Sampling.Temperature == 0:
		return fmt.Errorf("reason: Collect.Tries is %d and Sampling.Temperature 0, which answers the same each time; want one try, or a temperature", c.Tries)
	case !spdx.MatchString(c.Licence):
		return fmt.Errorf("reason: Collect.Licence is %q; want the SPDX name of a licence, as CC0-1.0", c.Licence)
	}
	return nil
}

func (c Collect) origin() Origin {
	set, teacher := c.Problems.Fingerprint(), c.Solver.Model.Fingerprint()
	sampling := c.Solver.Sampling
	sampling.Batch = 0
	return Origin{
		Task: c.Solver.Task.Name(), Split: c.Problems.Split.String(), Problems: hex.EncodeToString(set[:]),
		Teacher: hex.EncodeToString(teacher[:]), Sampling: sampling, Tries: c.Tries, Keep: c.Keep, Licence: c.Licence,
	}
}

// A collector writes traces.
type collector struct {
	Collect
	origin Origin
	next   int // problem
	done   Collected
}

// resume takes up what a file holds. The last problem in it is asked again, for some
// of its traces may be missing, and what was rejected before it is in its lines.
func (w *collector) resume(f *os.File) error {
	var at, from int64 // of the line, and of the first one of the last problem
	var last Trace
	solved, kept := 0, 0 // before that problem
	lines := lineReader(f)
	for n := 1; ; n++ {
		line, err := lines.next()
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			if start := []byte(traceStart); !bytes.HasPrefix(line, start[:min(len(start), len(line))]) {
				return fmt.Errorf("line %d is %.60q; want a trace", n, line)
			}
			break
		}
		t, err := w.taken(line, last.Problem)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if n == 1 || t.Problem > last.Problem {
			from, last, solved, kept = at, t, solved+min(n-1, 1), n-1
		}
		at += int64(len(line))
	}
	w.next, w.done.Solved, w.done.Kept, w.done.Rejected = last.Problem, solved, kept, last.Rejected
	if err := f.Truncate(from); err != nil {
		return err
	}
	_, err := f.Seek(from, io.SeekStart)
	return err
}

// taken is the trace of a line that this collector could have written, after one of
// problem number last.
func (w *collector) taken(line []byte, last int) (Trace, error) {
	t, err := parseTrace(line)
	if err != nil {
		return t, err
	}
	if err := t.Origin.is(w.origin); err != nil {
		return t, err
	}
	if t.Problem < last || t.Problem >= w.Problems.Rows {
		return t, fmt.Errorf("problem %d after problem %d of %d", t.Problem, last, w.Problems.Rows)
	}
	return t, nil
}

// stretch is how many problems are asked before their traces are written, which
// bounds memory, and what is lost when the process is killed.
const stretch = 256

func (w *collector) run(ctx context.Context, f *os.File) error {
	out := bufio.NewWriter(f)
	for ; w.next < w.Problems.Rows; w.next += stretch {
		cases, err := w.ask(ctx)
		if err != nil {
			return err
		}
		for _, c := range cases {
			if err := w.write(out, c); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return f.Sync()
}

// A trial is the answers to a problem.
type trial struct {
	number   int
	problem  task.Problem
	kept     []Trace
	rejected Rejected
}

// ask has the next problems answered: all of them once, then those again that do not
// have enough answers yet.
func (w *collector) ask(ctx context.Context) ([]*trial, error) {
	problems, err := problemsOf(w.Problems, w.next, stretch)
	if err != nil {
		return nil, err
	}
	var all []*trial
	for i, p := range problems {
		all = append(all, &trial{number: w.next + i, problem: p})
	}
	open := slices.Clone(all)
	for try := 0; try < w.Tries && len(open) > 0; try++ {
		var asked []task.Problem
		var ids []uint64
		for _, t := range open {
			asked, ids = append(asked, t.problem), append(ids, uint64(t.number)*uint64(w.Tries)+uint64(try))
		}
		answers, err := w.Solver.answer(ctx, asked, ids)
		if err != nil {
			return nil, err
		}
		for i, t := range open {
			t.judge(answers[i], ids[i])
		}
		open = slices.DeleteFunc(open, func(t *trial) bool { return len(t.kept) == w.Keep })
	}
	return all, nil
}

// judge keeps an answer, or counts why not. What is not UTF-8 cannot be written.
func (t *trial) judge(a Answer, id uint64) {
	switch {
	case !a.Stopped:
		t.rejected.Unfinished++
	case !a.Formed || !utf8.ValidString(a.Text):
		t.rejected.Unformed++
	case !a.Right:
		t.rejected.Wrong++
	case slices.ContainsFunc(t.kept, func(k Trace) bool { return k.Completion == a.Text }):
		t.rejected.Repeated++
	default:
		t.kept = append(t.kept, Trace{Prompt: t.problem.Prompt, Completion: a.Text, ID: id})
	}
}

// write writes the traces of a problem, and counts its answers.
func (w *collector) write(out io.Writer, c *trial) error {
	for _, t := range c.kept {
		t.Problem, t.Level, t.Origin, t.Rejected = c.number, w.Problems.Level(c.number), w.origin, w.done.Rejected
		if err := encodeTrace(out, t); err != nil {
			return err
		}
	}
	d := &w.done
	d.Kept += len(c.kept)
	d.Solved += min(1, len(c.kept))
	d.Rejected.Wrong += c.rejected.Wrong
	d.Rejected.Unformed += c.rejected.Unformed
	d.Rejected.Unfinished += c.rejected.Unfinished
	d.Rejected.Repeated += c.rejected.Repeated
	return nil
}

func encodeTrace(out io.Writer, t Trace) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false) // the lines are to be read
	return e.Encode(t)
}
