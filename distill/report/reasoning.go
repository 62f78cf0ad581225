package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/godistill/godistill/distill/reason"
)

// A Solved is how well a model answers problems that are verified, as
// [reason.Evaluate] found.
type Solved struct {
	// Name is what the model is called.
	Name string
	// Params is the number of its parameters; 0 leaves its cell empty.
	Params int
	reason.Report
}

// Reasoning is how models answer the same problems, beside each other: a part of a
// [Page], and a [Section]. [Levels] draws it.
//
//	models := report.Reasoning{{Name: "teacher", Report: big}, {Name: "student", Report: small}}
//	err := report.Page{Title: "Sums", Reasoning: models}.WriteFile("report.html")
//
// Models are refused that were asked other problems than the first, or sampled
// otherwise. Their seeds may differ, and what ends an answer, for that is an id of
// their own vocabulary.
type Reasoning []Solved

// Markdown implements [Section]: a row for each model, with its parameters, pass@1,
// cons@n, each pass@k, the share of answers that are formed, and the tokens of an
// answer; then pass@1 by level of difficulty, where there are several. Brackets have
// 95% intervals.
//
// It fails without models, and for those that are refused.
func (r Reasoning) Markdown(w io.Writer) error {
	if len(r) == 0 {
		return errors.New("report: Reasoning is empty; want one model or more")
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "## Reasoning: %s\n\n%s In brackets: 95%% intervals.\n", escape(r.task()), r.about())
	r.table().markdown(&out)
	if t := r.byLevel(passAt1); len(t.Head) > 2 {
		t.markdown(&out)
	}
	return publish(w, out.Bytes())
}

// markdown writes the table without its note, for Markdown.
func (t *table) markdown(out *bytes.Buffer) {
	var rows [][]string
	for _, r := range t.Rows {
		rows = append(rows, append([]string{escape(r.Cells[0])}, r.Cells[1:]...))
	}
	writeTable(out, t.Head, rows)
}

// check wants reports that may stand in one table.
func (r Reasoning) check() error {
	for _, s := range r {
		if err := s.check(); err != nil {
			return fmt.Errorf("Reasoning: %q %w", s.Name, err)
		}
		want := r[0].asked()
		for i, a := range s.asked() {
			if a != want[i] {
				return fmt.Errorf("Reasoning: %s is %s for %q and %s for %q; want models that were asked the same problems and sampled alike", a[0], a[1], s.Name, want[i][1], r[0].Name)
			}
		}
	}
	return nil
}

// asked are names and values of what reports in one table share. What says nothing
// where it is greedy, is left out there.
func (s Solved) asked() [][2]string {
	p := s.Sampling
	if p.Temperature == 0 {
		p.TopK, p.TopP = 0, 0
	} else if p.TopP == 0 {
		p.TopP = 1
	}
	return [][2]string{
		{"Task", strconv.Quote(s.Task)}, {"Split", strconv.Quote(s.Split)}, {"Problems", strconv.Quote(s.Problems)}, {"N", fmt.Sprint(s.N)},
		{"Sampling.Temperature", fmt.Sprint(p.Temperature)}, {"Sampling.TopK", fmt.Sprint(p.TopK)},
		{"Sampling.TopP", fmt.Sprint(p.TopP)}, {"Sampling.Max", fmt.Sprint(p.Max)},
	}
}

// check wants what [reason.Evaluate] returns: a report may have been a file.
func (s Solved) check() error {
	if s.N < 1 || s.All.Count < 1 {
		return fmt.Errorf("has %d problems, with %d answers each; want 1 or more", s.All.Count, s.N)
	}
	if err := checkRates(s.All); err != nil {
		return err
	}
	for i, l := range s.Report.Levels {
		if i > 0 && l.Level <= s.Report.Levels[i-1].Level {
			return fmt.Errorf("has level %d after level %d; want levels that rise", l.Level, s.Report.Levels[i-1].Level)
		}
		if err := checkRates(l.Score); err != nil {
			return fmt.Errorf("at level %d %w", l.Level, err)
		}
	}
	return nil
}

func checkRates(s reason.Score) error {
	all := []reason.Rate{s.Pass1, s.Consensus, s.Formed}
	for _, p := range s.Pass {
		all = append(all, p.Rate)
	}
	for _, r := range all {
		if !(0 <= r.Low && r.Low <= r.Mean && r.Mean <= r.High && r.High <= 1) {
			return fmt.Errorf("has a rate of %v, from %v to %v; want 0 <= Low <= Mean <= High <= 1", r.Mean, r.Low, r.High)
		}
	}
	return nil
}

// task is what the problems are.
func (r Reasoning) task() string { return r[0].Task + ", " + r[0].Split }

// about is a sentence on how the models were asked.
func (r Reasoning) about() string {
	s, p := r[0], r[0].Sampling
	text := fmt.Sprintf("%s, %s each, ", count(s.All.Count, "problem"), count(s.N, "answer"))
	if p.Temperature == 0 {
		text += "greedy"
	} else {
		text += fmt.Sprintf("at temperature %v", p.Temperature)
		if p.TopK > 0 {
			text += fmt.Sprintf(", top-k %d", p.TopK)
		}
		if p.TopP > 0 && p.TopP < 1 {
			text += fmt.Sprintf(", top-p %v", p.TopP)
		}
	}
	return text + "."
}

// A scored number is one of those of a Score, if that has it.
type scored struct {
	name, unit string
	rate       func(reason.Score) (reason.Rate, bool)
}

var (
	passAt1 = scored{"pass@1", "% of answers that are right", func(s reason.Score) (reason.Rate, bool) { return s.Pass1, true }}
	formed  = scored{"formed", "% of answers", func(s reason.Score) (reason.Rate, bool) { return s.Formed, true }}
)

// consensusOf is cons@n.
func consensusOf(n int) scored {
	return scored{fmt.Sprintf("cons@%d", n), "% of problems whose most frequent answer is right", func(s reason.Score) (reason.Rate, bool) { return s.Consensus, true }}
}

// passAt is pass@k.
func passAt(k int) scored {
	return scored{fmt.Sprintf("pass@%d", k), "% of problems", func(s reason.Score) (reason.Rate, bool) {
		for _, p := range s.Pass {
			if p.K == k {
				return p.Rate, true
			}
		}
		return reason.Rate{}, false
	}}
}

// leading are what is told level by level. A single answer has no consensus.
func (r Reasoning) leading() []scored {
	if r[0].N == 1 {
		return []scored{passAt1}
	}
	return []scored{passAt1, consensusOf(r[0].N)}
}

// measures are all that the reports have, pass@1 once.
func (r Reasoning) measures() []scored {
	var ks []int
	for _, s := range r {
		for _, p := range s.All.Pass {
			if p.K > 1 {
				ks = append(ks, p.K)
			}
		}
	}
	slices.Sort(ks)
	all := r.leading()
	for _, k := range slices.Compact(ks) {
		all = append(all, passAt(k))
	}
	return append(all, formed)
}

// cell is a rate with its interval.
func (m scored) cell(s reason.Score) string {
	if rate, ok := m.rate(s); ok {
		return rate.String()
	}
	return dash
}

// table has a row for each model.
func (r Reasoning) table() *table {
	t := &table{Head: []string{"model", "parameters"}}
	measures := r.measures()
	for _, m := range measures {
		t.Head = append(t.Head, m.name)
	}
	t.Head = append(t.Head, "tokens per answer")
	for i, s := range r {
		cells := []string{s.Name, whole(s.Params)}
		for _, m := range measures {
			cells = append(cells, m.cell(s.All))
		}
		tokens := ""
		if s.All.CompletionTokens > 0 {
			tokens = plainly(float64(s.All.CompletionTokens)/float64(s.All.Count)/float64(s.N), 1)
		}
		t.Rows = append(t.Rows, tableRow{Chip: true, Color: i, Cells: append(cells, tokens)})
	}
	return t.without()
}

// byLevel has a row for each model, and a column for each level.
func (r Reasoning) byLevel(m scored) *table {
	t := &table{Head: []string{m.name}}
	levels := r.levels()
	for _, level := range levels {
		t.Head = append(t.Head, fmt.Sprintf("level %d", level))
	}
	for i, s := range r {
		cells := []string{s.Name}
		for _, level := range levels {
			text := dash
			if k := slices.IndexFunc(s.Report.Levels, func(l reason.Level) bool { return l.Level == level }); k >= 0 {
				text = m.cell(s.Report.Levels[k].Score)
			}
			cells = append(cells, text)
		}
		t.Rows = append(t.Rows, tableRow{Chip: true, Color: i, Cells: cells})
	}
	return t
}

// levels are those of all models.
func (r Reasoning) levels() (all []int) {
	for _, s := range r {
		for _, l := range s.Report.Levels {
			all = append(all, l.Level)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// charts have a curve for each model over the levels.
func (r Reasoning) charts() (all []chart) {
	for _, m := range r.leading() {
		c := chart{Title: m.name, Y: m.unit, Share: true, Zero: true}
		for i, s := range r {
			line := s.curve(m)
			at := sparse(line.y, maxPoints)
			c.Curves = append(c.Curves, curve{
				Name: s.Name, Color: i, Dots: true, X: pick(line.x, at), Y: shorts(pick(line.y, at)),
				Low: shorts(pick(line.low, at)), High: shorts(pick(line.high, at)),
			})
		}
		c.Curves = slices.DeleteFunc(c.Curves, func(l curve) bool { return len(l.X) == 0 })
		all = append(all, c)
	}
	return drawn("level", all)
}

// curve is a measure over the levels, in percent.
func (s Solved) curve(m scored) (line series) {
	for _, l := range s.Report.Levels {
		if rate, ok := m.rate(l.Score); ok {
			line.x, line.y = append(line.x, float64(l.Level)), append(line.y, 100*rate.Mean)
			line.low, line.high = append(line.low, 100*rate.Low), append(line.high, 100*rate.High)
		}
	}
	return line
}

// A reasoned is what the template sees of Reasoning.
type reasoned struct {
	Task, About string
	Table       *table
	Levels      []*table
	Charts      []slot
	Answers     []quoted
}

// Quoted are answers of a model that are to be read.
type quoted struct {
	Name string
	Said []reason.Said
}

func (r Reasoning) view(charts []slot) *reasoned {
	v := &reasoned{Task: r.task(), About: r.about(), Table: r.table(), Charts: charts}
	for _, m := range r.leading() {
		if t := r.byLevel(m); len(t.Head) > 1 {
			v.Levels = append(v.Levels, t)
		}
	}
	for _, s := range r {
		if len(s.Samples) > 0 {
			v.Answers = append(v.Answers, quoted{s.Name, s.Samples})
		}
	}
	return v
}

// verdict is what the verifier said, and why an answer may be wrong.
func verdict(s reason.Said) string {
	switch {
	case s.Right:
		return "right"
	case !s.Formed:
		return "wrong, not formed"
	}
	return "wrong"
}

// headline is a text on one line, without the spaces around it.
func headline(text string) string { return strings.TrimSpace(oneLine(text)) }
