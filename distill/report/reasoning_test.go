package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/student/lm"
	"github.com/google/go-cmp/cmp"
)

// rate is a mean in percent, with an interval that is narrower near 0 and 100.
func rate(percent float64) reason.Rate {
	p := min(max(percent, 0), 100) / 100
	half := 0.0203 + 0.2*p*(1-p)
	return reason.Rate{Mean: p, Low: max(0, p-half), High: min(1, p+half)}
}

// scoreOf has pass@1 in percent, and what goes with it.
func scoreOf(problems int, percent float64) reason.Score {
	return reason.Score{
		Count: problems, Pass1: rate(percent), Formed: rate(percent + 30), Consensus: rate(percent + 10),
		Pass:         []reason.Pass{{K: 1, Rate: rate(percent)}, {K: 4, Rate: rate(percent + 20)}},
		PromptTokens: 10 * problems, CompletionTokens: 100 * problems,
	}
}

// solved is a model that has pass@1 in percent at the levels 1, 2 and so on.
func solved(name string, params int, percent ...float64) report.Solved {
	s := report.Solved{Name: name, Params: params, Report: reason.Report{
		Task: "addition", Split: "test", Problems: strings.Repeat("3f", 32), Model: strings.Repeat("a0", 32), Sampling: reason.R1(), N: 8,
	}}
	sum := 0.0
	for i, p := range percent {
		sum += p
		s.Levels = append(s.Levels, reason.Level{Level: i + 1, Score: scoreOf(40, p)})
		s.Samples = append(s.Samples,
			reason.Said{Level: i + 1, Prompt: fmt.Sprintf("%d+%d=", 7*i+5, 9*i+4), Answer: fmt.Sprintf("<think>\n%d and %d\n</think>\n%d", 7*i+5, 9*i+4, 16*i+9), Right: true, Formed: true},
			reason.Said{Level: i + 1, Prompt: fmt.Sprintf("%d+1=", i), Answer: "<think>" + strings.Repeat("and on ", 40)})
	}
	s.All = scoreOf(40*len(percent), sum/float64(max(1, len(percent))))
	return s
}

// threeSolved are a teacher and its students.
func threeSolved() report.Reasoning {
	return report.Reasoning{
		solved("teacher", 812_544, 99, 96, 90, 80, 60),
		solved("traces", 52_288, 97, 91, 78, 55, 25),
		solved("labels alone", 52_288, 95, 80, 50, 20, 0),
	}
}

func TestMarkdownOfReasoning(t *testing.T) {
	two := report.Reasoning{solved("a|b", 1234, 90, 40), solved("c", 0, 50, 0)}
	two[1].All.Pass, two[1].Levels = two[1].All.Pass[:1], two[1].Levels[:1]
	greedy := report.Reasoning{solved("d", 77, 50)}
	greedy[0].N, greedy[0].Sampling, greedy[0].All.Pass, greedy[0].All.CompletionTokens = 1, lm.Sampling{TopK: 9}, nil, 0
	for name, test := range map[string]struct {
		of   report.Reasoning
		want string
	}{
		"two models": {two, `## Reasoning: addition, test

80 problems, 8 answers each, at temperature 0.6, top-p 0.95. In brackets: 95% intervals.

| model | parameters | pass@1 | cons@8 | pass@4 | formed | tokens per answer |
|---|---:|---:|---:|---:|---:|---:|
| a\|b | 1234 | 65.0% [58.4, 71.6] | 75.0% [69.2, 80.8] | 85.0% [80.4, 89.6] | 95.0% [92.0, 98.0] | 12.5 |
| c |  | 25.0% [19.2, 30.8] | 35.0% [28.4, 41.6] | – | 55.0% [48.0, 62.0] | 12.5 |

| pass@1 | level 1 | level 2 |
|---|---:|---:|
| a\|b | 90.0% [86.2, 93.8] | 40.0% [33.2, 46.8] |
| c | 50.0% [43.0, 57.0] | – |
`},
		"greedy, at one level": {greedy, `## Reasoning: addition, test

40 problems, 1 answer each, greedy. In brackets: 95% intervals.

| model | parameters | pass@1 | formed |
|---|---:|---:|---:|
| d | 77 | 50.0% [43.0, 57.0] | 80.0% [74.8, 85.2] |
`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, markdown(t, test.of)); diff != "" {
				t.Errorf("the section (-want +got):\n%s", diff)
			}
		})
	}
}

// A report that was a file is the report that it was.
func TestReasoningOfFile(t *testing.T) {
	all := threeSolved()
	want := markdown(t, all)
	for i := range all {
		text, err := json.Marshal(all[i].Report)
		if err != nil {
			t.Fatal(err)
		}
		all[i].Report = reason.Report{}
		if err := json.Unmarshal(text, &all[i].Report); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, markdown(t, all)); diff != "" {
		t.Errorf("of the files (-want +got):\n%s", diff)
	}
}

func TestReasoningErrors(t *testing.T) {
	const alike = "; want models that were asked the same problems and sampled alike"
	for want, change := range map[string]func(*report.Solved){
		`Task is "sums" for "traces" and "addition" for "teacher"` + alike:                            func(s *report.Solved) { s.Task = "sums" },
		`Split is "train" for "traces" and "test" for "teacher"` + alike:                              func(s *report.Solved) { s.Split = "train" },
		`Problems is "a0" for "traces" and "` + strings.Repeat("3f", 32) + `" for "teacher"` + alike:  func(s *report.Solved) { s.Problems = "a0" },
		`N is 16 for "traces" and 8 for "teacher"` + alike:                                            func(s *report.Solved) { s.N = 16 },
		`Sampling.Temperature is 1 for "traces" and 0.6 for "teacher"` + alike:                        func(s *report.Solved) { s.Sampling.Temperature = 1 },
		`Sampling.TopK is 5 for "traces" and 0 for "teacher"` + alike:                                 func(s *report.Solved) { s.Sampling.TopK = 5 },
		`Sampling.TopP is 1 for "traces" and 0.95 for "teacher"` + alike:                              func(s *report.Solved) { s.Sampling.TopP = 0 },
		`Sampling.Max is 9 for "traces" and 0 for "teacher"` + alike:                                  func(s *report.Solved) { s.Sampling.Max = 9 },
		`"traces" has 200 problems, with 0 answers each; want 1 or more`:                              func(s *report.Solved) { s.N = 0 },
		`"traces" has 0 problems, with 8 answers each; want 1 or more`:                                func(s *report.Solved) { s.All.Count = 0 },
		`"traces" has level 2 after level 2; want levels that rise`:                                   func(s *report.Solved) { s.Levels[2].Level = 2 },
		`"traces" has a rate of NaN, from 0.9 to 1; want 0 <= Low <= Mean <= High <= 1`:               func(s *report.Solved) { s.All.Formed = reason.Rate{Mean: math.NaN(), Low: 0.9, High: 1} },
		`"traces" at level 3 has a rate of 50, from 40 to 60; want 0 <= Low <= Mean <= High <= 1`:     func(s *report.Solved) { s.Levels[2].Pass[1].Rate = reason.Rate{Mean: 50, Low: 40, High: 60} },
		`"traces" at level 1 has a rate of 0.5, from 0.6 to 0.7; want 0 <= Low <= Mean <= High <= 1`:  func(s *report.Solved) { s.Levels[0].Consensus = reason.Rate{Mean: 0.5, Low: 0.6, High: 0.7} },
		`"traces" at level 5 has a rate of 0.5, from 0.25 to 0.4; want 0 <= Low <= Mean <= High <= 1`: func(s *report.Solved) { s.Levels[4].Pass1 = reason.Rate{Mean: 0.5, Low: 0.25, High: 0.4} },
	} {
		all := threeSolved()
		change(&all[1])
		for prefix, err := range map[string]error{
			"report: Reasoning: ":             all.Markdown(io.Discard),
			"report: Page.Write: Reasoning: ": report.Page{Reasoning: all}.Write(io.Discard),
			"report: Levels: Reasoning: ":     report.Levels(io.Discard, report.SVG, "", all...),
		} {
			if got := fmt.Sprint(err); got != prefix+want {
				t.Errorf("error %q; want %q", got, prefix+want)
			}
		}
	}
	for want, err := range map[string]error{
		"report: Reasoning is empty; want one model or more":         report.Reasoning{}.Markdown(io.Discard),
		"report: Markdown: the io.Writer is nil":                     threeSolved().Markdown(nil),
		"report: Levels has no model with a level; want one or more": report.Levels(io.Discard, report.SVG, ""),
		`report: format is "gif"; want "png" or "svg"`:               report.Levels(io.Discard, "gif", "", threeSolved()...),
		"report: the io.Writer is nil":                               report.Levels(nil, report.PNG, "", threeSolved()...),
		"report: disk full":                                          report.Levels(full{}, report.SVG, "", threeSolved()...),
	} {
		if got := fmt.Sprint(err); got != want {
			t.Errorf("error %q; want %q", got, want)
		}
	}
}

// Seeds and stops may differ, and numbers that say nothing, or the same.
func TestReasoningAlike(t *testing.T) {
	all := threeSolved()
	all[1].Sampling.Seed, all[1].Sampling.Stop, all[1].Sampling.Batch, all[1].Model = 7, []int{3}, 5, "b1"
	greedy := report.Reasoning{solved("a", 1, 50), solved("b", 1, 50)}
	greedy[0].Sampling, greedy[1].Sampling = lm.Sampling{TopK: 3}, lm.Sampling{TopP: 0.5}
	whole := report.Reasoning{solved("a", 1, 50), solved("b", 1, 50)}
	whole[0].Sampling, whole[1].Sampling = lm.Sampling{Temperature: 1}, lm.Sampling{Temperature: 1, TopP: 1}
	for _, r := range []report.Reasoning{all, greedy, whole} {
		if err := r.Markdown(io.Discard); err != nil {
			t.Error(err)
		}
	}
}

func TestPageOfReasoning(t *testing.T) {
	text, charts := written(t, report.Page{Title: "Sums", Run: performed(3, 4), Reasoning: threeSolved()})
	for title, hardest := range map[string][3]float64{"pass@1": {25, 19.22, 30.78}, "cons@8": {35, 28.42, 41.58}} {
		c := chartOf(t, charts, title)
		if len(c.Curves) != 3 || c.X != "level" {
			t.Fatalf("%s is %+v; want three models over the levels", title, c)
		}
		for i, line := range c.Curves {
			if line.Color != i || line.Name != threeSolved()[i].Name || !cmp.Equal(line.X, []float64{1, 2, 3, 4, 5}) || len(line.Y) != 5 {
				t.Errorf("%s has the curve %+v", title, line)
			}
		}
		line := c.Curves[1]
		if got := [3]float64{*line.Y[4], *line.Low[4], *line.High[4]}; got != hardest {
			t.Errorf("%s at level 5 is %v; want %v", title, got, hardest)
		}
	}
	for _, want := range []string{
		"<h2>Reasoning: addition, test</h2>", "200 problems, 8 answers each, at temperature 0.6, top-p 0.95. In brackets and bands: 95% intervals.", "<td>812544</td>",
		"<td>85.0% [80.4, 89.6]</td>", `<th scope="col">level 5</th>`, "<td>60.0% [53.2, 66.8]</td>", "tokens per answer",
		`<div class="tab" data-tab="labels alone">`, "&lt;think&gt;\n5 and 4\n&lt;/think&gt;\n9</pre>", "wrong, not formed", "<pre>12&#43;13=</pre>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for what, want := range map[string]int{`<details class="answer">`: 30, `<noscript>`: 1, `data-chart="12"`: 1, `data-chart="13"`: 0} {
		if n := strings.Count(text, what); n != want {
			t.Errorf("the page has %s %d times; want %d", what, n, want)
		}
	}
}

// A single answer has no consensus, and a report without levels and samples has
// neither curves nor answers.
func TestPageOfLittleReasoning(t *testing.T) {
	one := solved("a", 5, 50, 25)
	one.N = 1
	text, charts := written(t, report.Page{Reasoning: report.Reasoning{one}})
	if got := titles(charts); !cmp.Equal(got, []string{"pass@1"}) || strings.Contains(text, "cons@") || !strings.Contains(text, "<noscript>") {
		t.Errorf("of single answers there are the charts %q, or a consensus", got)
	}
	one.Levels, one.Samples = nil, nil
	text, charts = written(t, report.Page{Reasoning: report.Reasoning{one}})
	if len(charts) != 0 || strings.Contains(text, `id="answers"`) || strings.Contains(text, "By level") || !strings.Contains(text, "37.5% [") {
		t.Errorf("of no level there are the charts %q, or no table", titles(charts))
	}
}

// What a model says is text.
func TestPageEscapesReasoning(t *testing.T) {
	const evil = `</script><script>alert("x")</script><!--'`
	s := solved(evil, 5, 50)
	s.Task, s.Split = evil, evil
	s.Samples = []reason.Said{{Prompt: evil, Answer: evil + "</pre>"}}
	text, charts := written(t, report.Page{Reasoning: report.Reasoning{s}})
	if a, b := strings.Count(text, "<script"), strings.Count(text, "</script"); a != 2 || b != 2 {
		t.Errorf("the page begins %d scripts and ends %d; want 2", a, b)
	}
	if strings.Contains(text, "<!--'") || strings.Contains(text, `alert("x")`) || strings.Count(text, "</pre>") != 2 {
		t.Error("a text stands in the page as it is")
	}
	if name := charts[0].Curves[0].Name; name != evil {
		t.Errorf("the model is called %q in the data; want %q", name, evil)
	}
}

func levels(t testing.TB, format report.Format, models ...report.Solved) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.Levels(&out, format, "Sums", models...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestLevelsGolden(t *testing.T) {
	golden(t, "levels.svg", string(levels(t, report.SVG, threeSolved()...)))
}

// Each model has a line, a dot and a bar at each of its levels.
func TestLevels(t *testing.T) {
	many := threeSolved()
	for i := range 6 {
		many = append(many, solved(fmt.Sprintf("another <%d>", i), 1, 90-float64(10*i), 30, 3))
	}
	some := report.Reasoning{solved("some", 1, 50, 40, 30), solved("none", 1)}
	some[0].Levels, some[1].All = some[0].Levels[1:], some[0].All
	for name, test := range map[string]struct {
		models report.Reasoning
		want   []string
		lacks  string
	}{
		"three":          {threeSolved(), []string{">pass@1 of addition, test<", ">teacher<", ">labels alone<", ">5<", ">100<", ">0<", "200 problems, 8 answers each"}, "stroke-dasharray"},
		"nine":           {many, []string{"stroke-dasharray", ">another &lt;5&gt;<"}, ">6<"},
		"from the third": {some, []string{">2<", ">3<", ">some<"}, ">none<"},
		"one level":      {report.Reasoning{solved("a", 1, 0), solved("b", 1, 100)}, []string{">1<", ">a<", ">b<"}, ">2<"},
	} {
		t.Run(name, func(t *testing.T) {
			picture := string(levels(t, report.SVG, test.models...))
			checkSVG(t, picture)
			for _, want := range test.want {
				if !strings.Contains(picture, want) {
					t.Errorf("the picture lacks %q", want)
				}
			}
			if strings.Contains(picture, test.lacks) {
				t.Errorf("the picture has %q", test.lacks)
			}
		})
	}
}

func TestLevelsPNG(t *testing.T) {
	a, b := levels(t, report.PNG, threeSolved()...), levels(t, report.PNG, threeSolved()...)
	if !bytes.Equal(a, b) {
		t.Error("the same call gave two pictures")
	}
	picture, err := png.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X != 1500 || size.Y != 750 {
		t.Errorf("the picture is of %v; want 1500 x 750", size)
	}
	if *screenshots != "" {
		if err := os.WriteFile(*screenshots+"/levels.png", a, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func ExampleReasoning() {
	big := reason.Report{ // reason.Evaluate returns one
		Task: "addition", Split: "test", N: 4, Sampling: reason.R1(),
		All: reason.Score{
			Count: 200, CompletionTokens: 30_400,
			Pass1: reason.Rate{Mean: 0.93, Low: 0.90, High: 0.96}, Consensus: reason.Rate{Mean: 0.96, Low: 0.92, High: 0.98}, Formed: reason.Rate{Mean: 1, Low: 0.98, High: 1},
		},
	}
	small := big
	small.All.Pass1, small.All.Consensus = reason.Rate{Mean: 0.71, Low: 0.66, High: 0.76}, reason.Rate{Mean: 0.8, Low: 0.74, High: 0.85}
	models := report.Reasoning{{Name: "teacher", Params: 812544, Report: big}, {Name: "student", Params: 52288, Report: small}}
	if err := report.Markdown(os.Stdout, models); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ## Reasoning: addition, test
	//
	// 200 problems, 4 answers each, at temperature 0.6, top-p 0.95. In brackets: 95% intervals.
	//
	// | model | parameters | pass@1 | cons@4 | formed | tokens per answer |
	// |---|---:|---:|---:|---:|---:|
	// | teacher | 812544 | 93.0% [90.0, 96.0] | 96.0% [92.0, 98.0] | 100.0% [98.0, 100.0] | 38.0 |
	// | student | 52288 | 71.0% [66.0, 76.0] | 80.0% [74.0, 85.0] | 100.0% [98.0, 100.0] | 38.0 |
}
