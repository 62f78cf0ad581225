package data

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"
)

// A CSV says how a table becomes a set: each line is a sample, one column may
// be the label, and all others are numbers of the input "x", in their order.
// The zero CSV is a table of numbers without header and labels.
type CSV struct {
	// Header says that the first line names the columns.
	Header bool
	// Label is the column of the labels: its name where there is a Header,
	// else its number, from 1. "" means that there is none. An empty cell is
	// Unlabelled.
	Label string
	// Classes are the texts of the labels, in the order of the logits. Without
	// them labels are whole numbers from 0.
	Classes []string
	// Shape is that of one sample. Nil means (columns).
	Shape tensor.Shape
	// Comma separates the cells. 0 means ','.
	Comma rune
	// FirstID is the id of the first sample; the others count up from it. It
	// keeps the rows of several tables apart.
	FirstID uint64
}

// ReadCSV reads a table, plain or compressed with gzip, as RFC 4180 has it; a
// byte order mark before it is passed over. Inputs are float32. Errors name the
// line, from 1, and the column, from 1.
func ReadCSV(r io.Reader, c CSV) (*Memory, error) {
	t, err := readTable(r, c)
	if err != nil {
		return nil, fmt.Errorf("data: csv: %w", err)
	}
	shape := c.Shape
	if shape == nil {
		shape = tensor.Shape{len(t.x) / t.rows}
	}
	f := Field{Shape: shape, Dtype: tensor.Float32}
	if err := f.check(t.rows); err != nil {
		return nil, fmt.Errorf("data: CSV.Shape: one sample %w", err)
	}
	if len(t.x) != t.rows*f.Size() {
		return nil, fmt.Errorf("data: CSV.Shape is %v; want %d elements, one for each column of numbers", shape, len(t.x)/t.rows)
	}
	x := tensor.New(tensor.WithShape(append(tensor.Shape{t.rows}, shape...)...), tensor.WithBacking(t.x))
	var y *tensor.Dense
	if c.Label != "" {
		y = tensor.New(tensor.WithShape(t.rows), tensor.WithBacking(t.y))
	}
	m, err := NewMemory(Signals{Input: x}, y, c.Classes)
	if err != nil || c.FirstID == 0 {
		return m, err
	}
	return m.WithIDs(countFrom(c.FirstID, t.rows))
}

func countFrom(first uint64, n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = first + uint64(i)
	}
	return all
}

// A table is what was read so far.
type table struct {
	csv    *csv.Reader
	config CSV
	label  int // column, or -1
	x      []float32
	y      []int
	rows   int
}

func readTable(r io.Reader, c CSV) (*table, error) {
	r, err := plain(r)
	if err != nil {
		return nil, err
	}
	text := bufio.NewReader(r)
	// An error of Peek comes back at the first read.
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" {
		text.Discard(len(mark))
	}
	t := &table{csv: csv.NewReader(text), config: c, label: -1}
	t.csv.ReuseRecord = true
	if c.Comma != 0 {
		t.csv.Comma = c.Comma
	}
	for first := true; ; first = false {
		line, err := t.csv.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := t.line(line, first); err != nil {
			return nil, err
		}
	}
	if t.rows == 0 {
		return nil, fmt.Errorf("no samples")
	}
	return t, nil
}

func (t *table) line(cells []string, first bool) error {
	if first {
		if err := t.findLabel(cells); err != nil || t.config.Header {
			return err
		}
	}
	for i, cell := range cells {
		if err := t.cell(i, strings.TrimSpace(cell)); err != nil {
			line, _ := t.csv.FieldPos(i)
			hint := ""
			if first {
				hint = " (if the first line names the columns, set CSV.Header)"
			}
			return fmt.Errorf("line %d, column %d: %w%s", line, i+1, err, hint)
		}
	}
	t.rows++
	return nil
}

// findLabel finds the column of the labels by the first line.
func (t *table) findLabel(cells []string) error {
	want := t.config.Label
	if want == "" {
		return nil
	}
	if t.config.Header {
		return t.findName(cells)
	}
	n, err := strconv.Atoi(want)
	if err != nil || n < 1 || n > len(cells) {
		return fmt.Errorf("CSV.Label is %q; want the number of a column, 1 to %d, or a CSV.Header that names it", want, len(cells))
	}
	t.label = n - 1
	return nil
}

// findName finds it by its name.
func (t *table) findName(cells []string) error {
	want := t.config.Label
	for i, name := range cells {
		if strings.TrimSpace(name) != want {
			continue
		}
		if t.label >= 0 {
			return fmt.Errorf("CSV.Label is %q, the name of columns %d and %d; want that of one", want, t.label+1, i+1)
		}
		t.label = i
	}
	if t.label < 0 {
		return fmt.Errorf("CSV.Label is %q; the columns are %q", want, cells)
	}
	return nil
}

func (t *table) cell(i int, text string) error {
	if i == t.label {
		class, err := t.config.class(text)
		t.y = append(t.y, class)
		return err
	}
	v, err := strconv.ParseFloat(text, 32)
	if err != nil || v-v != 0 {
		return fmt.Errorf("%q is not a finite number", text)
	}
	t.x = append(t.x, float32(v))
	return nil
}

// class is the label that a text stands for.
func (c CSV) class(text string) (int, error) {
	if text == "" {
		return Unlabelled, nil
	}
	if len(c.Classes) > 0 {
		class := slices.Index(c.Classes, text)
		if class < 0 {
			return 0, fmt.Errorf("label %q is not one of the classes", text)
		}
		return class, nil
	}
	class, err := strconv.Atoi(text)
	if err != nil || class < 0 {
		return 0, fmt.Errorf("label %q is not a whole number, 0 or more", text)
	}
	return class, nil
}
