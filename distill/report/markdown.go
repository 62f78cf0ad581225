package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godistill/godistill/distill"
)

// A Section is a part of a Markdown file: a [Dir], a [Study], a [Difference] or
// [Reasoning], or one's own.
type Section interface {
	// Markdown writes the section, which begins with a heading of level 2 and
	// ends with a newline.
	Markdown(w io.Writer) error
}

// Markdown writes sections, one below the other, for a pull request or a page of
// results:
//
//	err := report.Markdown(w,
//		report.Study{Title: "Digits", Outcomes: outcomes, Control: "control"},
//		report.Dir("runs/digits"))
//
// It is GitHub Flavored Markdown (https://github.github.com/gfm), for its
// tables. Names are shown as they are, whatever letters they have, on one line.
// If a section fails, nothing is written.
func Markdown(w io.Writer, sections ...Section) error {
	if w == nil {
		return errors.New("report: Markdown: the io.Writer is nil")
	}
	if len(sections) == 0 {
		return errors.New("report: Markdown has no section; want one or more")
	}
	var all bytes.Buffer
	for i, s := range sections {
		if s == nil {
			return fmt.Errorf("report: section %d of Markdown is nil; want a Section", i)
		}
		if i > 0 {
			all.WriteByte('\n')
		}
		if err := s.Markdown(&all); err != nil {
			return err
		}
	}
	return publish(w, all.Bytes())
}

func publish(w io.Writer, text []byte) error {
	if w == nil {
		return errors.New("report: Markdown: the io.Writer is nil")
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// A Dir is the folder of a run that has ended, as a [Folder] leaves it.
type Dir string

// Markdown implements [Section]: what ran and how it ended, the measures of the
// best epoch, the last values of the terms, and a hash of the configuration,
// which tells whether two runs share it. It is the summary.md of the folder, and
// depends on the run alone: the versions of the code are in run.json.
//
// It fails if run.json, summary.json or metrics.jsonl is missing, or not what a
// Folder writes.
func (d Dir) Markdown(w io.Writer) error {
	s, err := load(string(d))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return publish(w, s.markdown())
}

// write writes summary.md.
func (s saved) write(w io.Writer) error {
	_, err := w.Write(s.markdown())
	return err
}

func (s saved) markdown() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "## %s\n\n%s\n", escape(cmp.Or(s.plan.Name, "run")), s.ending())
	if m := s.end.Valid; m != nil {
		rows := [][]string{{"loss", brief(m.Loss)}}
		for _, measure := range slices.Concat(common, special) {
			if v := measure.get(m); !math.IsNaN(v) {
				rows = append(rows, []string{measure.name, brief(v)})
			}
		}
		writeTable(&out, []string{"validation", fmt.Sprintf("epoch %d, the best", s.end.BestEpoch+1)}, rows)
	}
	if len(s.steps) > 0 {
		writeTable(&out, []string{"last values", "weight", "training", "validation"}, s.lastTerms())
	}
	fmt.Fprintf(&out, "\nConfiguration `%s`, %s.\n", s.plan.hash(), count(len(s.plan.Config), "setting"))
	return out.Bytes()
}

// ending is a sentence on how far the run came.
func (s saved) ending() string {
	after := fmt.Sprintf("after %s, %s", count(s.end.Epochs, "epoch"), count(s.end.Steps, "step"))
	if s.end.Error != "" {
		return fmt.Sprintf("Ended by an error %s: %s", after, escape(s.end.Error))
	}
	why := string(cmp.Or(s.end.Why, "ended"))
	first, size := utf8.DecodeRuneInString(why)
	return fmt.Sprintf("%s%s %s.", escape(string(unicode.ToUpper(first))), escape(why[size:]), after)
}

// lastTerms has a row for each term, and one for their sum.
func (s saved) lastTerms() (rows [][]string) {
	row := func(name string, get ...func(distill.Step) float64) {
		r := []string{escape(name)}
		for _, g := range get {
			r = append(r, brief(final(s.steps, g)))
		}
		rows = append(rows, r)
	}
	valid := func(get func(*distill.Metrics) float64) func(distill.Step) float64 {
		return func(s distill.Step) float64 { return ofValid(s, get) }
	}
	for _, name := range termNames(s.steps) {
		row(name,
			func(s distill.Step) float64 { return ofTerm(s.Terms, name).Weight },
			func(s distill.Step) float64 { return ofTerm(s.Terms, name).Value },
			valid(func(m *distill.Metrics) float64 { return ofTerm(m.Terms, name).Value }))
	}
	row("weighted sum",
		func(distill.Step) float64 { return math.NaN() },
		func(s distill.Step) float64 { return s.Loss },
		valid(func(m *distill.Metrics) float64 { return m.Loss }))
	return rows
}

// hash is the start of a hash of the configuration, enough to tell two apart. By
// runes, a name that is no UTF-8 is what it is once it was written as JSON.
func (d description) hash() string {
	h := sha256.New()
	for _, s := range d.Config {
		fmt.Fprintf(h, "%q %q\n", []rune(s.Name), []rune(s.Value))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// dash stands for what there is not.
const dash = "–"

// brief is a number to four digits.
func brief(v float64) string {
	if math.IsNaN(v) {
		return dash
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// writeTable writes a table, after an empty line. Numbers, which are all but the first
// column, are on the right.
func writeTable(out *bytes.Buffer, head []string, rows [][]string) {
	fmt.Fprintf(out, "\n| %s |\n|---%s|\n", strings.Join(head, " | "), strings.Repeat("|---:", len(head)-1))
	for _, row := range rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
}

// escape makes text stand in Markdown as it is, in a cell of a table too, where a
// newline would end the row.
func escape(text string) string {
	var out strings.Builder
	for _, r := range oneLine(text) {
		if strings.ContainsRune("\\`*_[]<>|~#&$", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// oneLine has a space for each newline, tab and other control character.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
}
