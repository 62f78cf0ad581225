package reason

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/student/lm"
)

// A Trace is a right answer of a teacher, a line of the file that [Collect] writes.
type Trace struct {
	Prompt     string `json:"prompt"`     // of the problem
	Completion string `json:"completion"` // the chain and the answer
	Level      int    `json:"level"`      // of difficulty
	// Problem is its number in its set, and ID that of the answer, from which it was
	// drawn with Sampling.Seed.
	Problem int    `json:"problem"`
	ID      uint64 `json:"id"`
	Origin
	// Rejected is how many answers were not kept of all problems before this one.
	Rejected Rejected `json:"rejected"`
}

// Origin is where traces come from: with it, and the teacher, they can be made again.
type Origin struct {
	Task  string `json:"task"`  // its name
	Split string `json:"split"` // of the problems
	// Problems and Teacher are fingerprints, in hexadecimal: of the task.Set, and of the
	// model.
	Problems string `json:"problems"`
	Teacher  string `json:"teacher"`
	// Sampling is how answers were drawn.
	Sampling lm.Sampling `json:"sampling"`
	// Tries, Keep and Licence are those of [Collect].
	Tries   int    `json:"tries"`
	Keep    int    `json:"keep"`
	Licence string `json:"licence"`
}

// is says which field is not as it is in another origin.
func (o Origin) is(other Origin) error {
	a, b := reflect.ValueOf(o), reflect.ValueOf(other)
	for i := range a.NumField() {
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			return fmt.Errorf("%s is %v; want %v, or another file", a.Type().Field(i).Tag.Get("json"), x, y)
		}
	}
	return nil
}

// Traces are examples to learn from, for [text.Sequences]. The id of one is its
// place.
type Traces []Trace

// Len implements [text.Examples].
func (t Traces) Len() int { return len(t) }

// ID implements [text.Examples].
func (t Traces) ID(i int) uint64 { return uint64(i) }

// Example implements [text.Examples].
func (t Traces) Example(i int) (text.Example, error) {
	if i < 0 || i >= len(t) {
		return text.Example{}, fmt.Errorf("reason: trace %d of %d", i, len(t))
	}
	return text.Example{Prompt: t[i].Prompt, Completion: t[i].Completion}, nil
}

// Fingerprint implements [text.Examples].
func (t Traces) Fingerprint() [32]byte {
	list := make(text.List, len(t))
	for i, trace := range t {
		list[i] = text.Example{Prompt: trace.Prompt, Completion: trace.Completion}
	}
	return list.Fingerprint()
}

// Answers are the traces without their chains, for a control: a student that learns
// from them shows what the chains are worth.
func (t Traces) Answers() (Traces, error) {
	all := slices.Clone(t)
	for i := range all {
		_, answer, err := task.Parse(all[i].Completion)
		if err != nil {
			return nil, fmt.Errorf("reason: trace %d: %w", i, err)
		}
		all[i].Completion = task.Problem{Answer: answer}.Completion()
	}
	return all, nil
}

// maxLine bounds a line of a file of traces.
const maxLine = 1 << 20

// ReadTraces reads what [Collect] writes, JSON on each line, or others in its place:
// a line needs a completion, and fields that it does not know are left out. Files of
// several teachers may be one after the other. An error names the line, one that was
// cut off too.
func ReadTraces(r io.Reader) (Traces, error) {
	lines := lineReader(r)
	var all Traces
	for n := 1; ; n++ {
		line, err := lines.next()
		if err == nil && len(line) == 0 {
			break
		}
		var t Trace
		if err == nil {
			t, err = parseTrace(line)
		}
		if err != nil {
			return nil, fmt.Errorf("reason: traces: line %d: %w", n, err)
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, errors.New("reason: there are no traces; want 1 or more")
	}
	return all, nil
}

// traceStart is what a line of a trace begins with.
const traceStart = `{"prompt":"`

// parseTrace is the trace of a line.
func parseTrace(line []byte) (t Trace, err error) {
	if !utf8.Valid(line) {
		return t, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(line, &t); err != nil {
		return t, err
	}
	switch {
	case t.Completion == "":
		return t, errors.New("completion is empty; want one")
	case t.Problem < 0:
		return t, fmt.Errorf("problem is %d; want 0 or more", t.Problem)
	}
	return t, nil
}

// A lines reads lines of limited length.
type lines struct{ *bufio.Reader }

func lineReader(r io.Reader) lines { return lines{bufio.NewReader(r)} }

// next is a line with what ends it, or the rest where nothing does: at the end, no
// bytes.
func (l lines) next() ([]byte, error) {
	var line bytes.Buffer
	for {
		part, err := l.ReadSlice('\n')
		if line.Write(part); line.Len() > maxLine {
			return nil, fmt.Errorf("it has more than %d bytes", maxLine)
		}
		if err == nil || errors.Is(err, io.EOF) {
			return line.Bytes(), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}
