package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/internal/jsonfloat"
)

// Read reads a metrics.jsonl. A half-written last line is passed over; a line
// that is not a step, or not a later one than the line before, is an error.
// Numbers that a line leaves out are NaN.
func Read(r io.Reader) ([]distill.Step, error) {
	if r == nil {
		return nil, errors.New("report: Read: the io.Reader is nil")
	}
	steps, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return steps, nil
}

func read(r io.Reader) ([]distill.Step, error) {
	var steps []distill.Step
	last := 0
	for line, err := range lines(r) {
		if err != nil {
			return nil, err
		}
		nan := number(math.NaN())
		rec := record{Loss: nan, Accuracy: nan, Rate: nan, GradNorm: nan}
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(steps)+1, err)
		}
		if rec.Step <= last {
			return nil, fmt.Errorf("line %d: step is %d; want more than %d", len(steps)+1, rec.Step, last)
		}
		last = rec.Step
		steps = append(steps, rec.step())
	}
	return steps, nil
}

// lines yields the whole lines of r: what follows the last newline is what a
// killed process had not finished to write.
func lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for b := bufio.NewReader(r); ; {
			line, err := b.ReadBytes('\n')
			if err == io.EOF {
				return
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// openLog opens the log at path for writing, cut to the lines of steps up to
// done. It returns the last of these as well.
func openLog(path string, done int) (f *os.File, last stamp, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, last, err
	}
	size, last, err := keep(f, done)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, last, fmt.Errorf("%s: %w", filepath.Base(path), errors.Join(err, f.Close()))
	}
	return f, last, nil
}

// keep returns how many bytes of r hold the steps up to done. Its error is that
// r is no log, or that it cannot be read.
func keep(r io.Reader, done int) (size int64, last stamp, err error) {
	const head = `{"step":` // even where half a line was written
	in, n := bufio.NewReader(r), 0
	// An error of Peek comes back at the first read.
	if start, _ := in.Peek(len(head)); !strings.HasPrefix(head, string(start)) {
		return 0, last, fmt.Errorf("it begins with %q, as no log does; want another folder", start)
	}
	for line, err := range lines(in) {
		if err != nil {
			return 0, last, err
		}
		n++
		var s stamp
		if err := json.Unmarshal(line, &s); err != nil {
			return 0, last, fmt.Errorf("line %d: %w", n, err)
		}
		if s.Step <= last.Step {
			return 0, last, fmt.Errorf("line %d: step is %d; want more than %d", n, s.Step, last.Step)
		}
		if s.Step > done {
			break
		}
		size, last = size+int64(len(line)), s
	}
	return size, last, nil
}

// writeLine makes one write of it, so that a line is there or is not.
func writeLine(w io.Writer, v any) error {
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(v); err != nil {
		return err
	}
	_, err := w.Write(line.Bytes())
	return err
}

// A stamp is a line of times.jsonl.
type stamp struct {
	Step          int    `json:"step"`
	Seconds       number `json:"seconds"`
	RowsPerSecond number `json:"rows_per_second"`
}

// A record is a line of metrics.jsonl.
type record struct {
	Step      int                   `json:"step"`
	Epoch     int                   `json:"epoch"`
	End       bool                  `json:"end,omitempty"`
	Rows      int                   `json:"rows"`
	Loss      number                `json:"loss"`
	Terms     []distill.TermValue   `json:"terms,omitempty"`
	Accuracy  number                `json:"accuracy"`
	Rate      number                `json:"rate"`
	GradNorm  number                `json:"grad_norm"`
	Gradients []distill.TapGradient `json:"gradients,omitempty"`
	Valid     *distill.Metrics      `json:"valid,omitempty"`
	Best      bool                  `json:"best,omitempty"`
}

func recordOf(s distill.Step) record {
	return record{
		s.N, s.Epoch, s.End, s.Rows, number(s.Loss), s.Terms,
		number(s.Accuracy), number(s.Rate), number(s.GradNorm), s.Gradients, s.Valid, s.Best,
	}
}

func (r record) step() distill.Step {
	return distill.Step{
		N: r.Step, Epoch: r.Epoch, End: r.End, Rows: r.Rows, Loss: float64(r.Loss), Terms: r.Terms,
		Accuracy: float64(r.Accuracy), Rate: float64(r.Rate), GradNorm: float64(r.GradNorm), Gradients: r.Gradients, Valid: r.Valid, Best: r.Best,
	}
}

// A number can be written as JSON whatever it is.
type number = jsonfloat.Float
