package report_test

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func arm(name string, share float64, seeds int) report.Arm {
	a := report.Arm{Name: name}
	for seed := range seeds {
		steps := sample(6, 5, uint64(seed))
		for _, s := range steps {
			if s.Valid != nil {
				s.Valid.Accuracy *= share
			}
		}
		a.Runs = append(a.Runs, steps)
	}
	return a
}

// change is an arm of three runs whose steps f changes.
func change(name string, f func(*distill.Step)) report.Arm {
	a := arm(name, 1, 3)
	for _, run := range a.Runs {
		for i := range run {
			f(&run[i])
		}
	}
	return a
}

func compare(t interface {
	Helper()
	Fatal(...any)
}, arms ...report.Arm) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Compare(&out, report.SVG, "Digits", arms...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// legends are the names in the legends of a picture, by the panel's title.
func legends(svg string) map[string]string {
	titles := regexp.MustCompile("^(Validation accuracy|Loss per term|Validation negative log-likelihood|Learning rate)$")
	number := regexp.MustCompile("^[-0-9.e]+$")
	names, title, done := make(map[string]string), "", false
	for _, m := range regexp.MustCompile(">([^<]+)</text>").FindAllStringSubmatch(svg, -1) {
		switch text := m[1]; {
		case titles.MatchString(text):
			title, done = text, false
		case number.MatchString(text) || text == "no data": // the axes follow the legend
			done = true
		case title != "" && !done:
			names[title] = strings.TrimSpace(names[title] + " " + text)
		}
	}
	return names
}

func TestCompareLegends(t *testing.T) {
	short := arm("short", 0.9, 3)
	short.Runs[1] = short.Runs[1][:12]
	control := change("control", func(s *distill.Step) {
		s.Terms = s.Terms[:1]
		if s.Valid != nil {
			s.Valid.Terms = s.Valid.Terms[:1]
		}
	})
	unlabelled := change("unlabelled", func(s *distill.Step) {
		if s.Valid != nil {
			s.Valid.Accuracy, s.Valid.NLL = math.NaN(), math.NaN()
		}
	})
	teacher := report.Arm{Name: "teacher", Level: 0.98}
	tests := []struct {
		name                       string
		arms                       []report.Arm
		accuracy, loss, nll, rates string
	}{
		{
			"two and a teacher", []report.Arm{control, teacher, arm("distilled", 1, 3)},
			"control distilled teacher", "control distilled hard soft training validation", "control distilled", "control distilled",
		},
		{"one term", []report.Arm{control}, "control", "control training validation", "control", "control"},
		{"one seed", []report.Arm{arm("one", 0.9, 1)}, "one", "one hard soft training validation", "one", "one"},
		{"a short run", []report.Arm{short}, "short", "short hard soft training validation", "short", "short"},
		{
			"no labels", []report.Arm{unlabelled, control},
			"control", "unlabelled control hard soft training validation", "control", "unlabelled control",
		},
		{"a teacher alone", []report.Arm{teacher}, "teacher", "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			picture := compare(t, test.arms...)
			checkSVG(t, picture)
			want := make(map[string]string)
			for title, names := range map[string]string{
				"Validation accuracy": test.accuracy, "Loss per term": test.loss,
				"Validation negative log-likelihood": test.nll, "Learning rate": test.rates,
			} {
				if names != "" {
					want[title] = names
				}
			}
			if diff := cmp.Diff(want, legends(picture)); diff != "" {
				t.Errorf("the legends (-want +got):\n%s", diff)
			}
		})
	}
}

// What is drawn in a colour is in the legend of its panel in that colour.
func TestCompareColours(t *testing.T) {
	picture := compare(t, arm("control", 0.9, 3), arm("distilled", 1, 3))
	colours := make(map[string]bool)
	for _, c := range regexp.MustCompile("#[0-9A-F]{6}(;fill-opacity)?").FindAllString(picture, -1) {
		if !strings.HasSuffix(c, "opacity") { // a band: its colour is rounded
			colours[c] = true
		}
	}
	want := map[string]bool{
		"#0072B2": true, "#D55E00": true, // the arms
		"#222222": true, "#666666": true, "#E4E4E4": true, "#FFFFFF": true, // text, key, grid and paper
	}
	if diff := cmp.Diff(want, colours); diff != "" {
		t.Errorf("the colours (-want +got):\n%s", diff)
	}
}

func TestCompareGolden(t *testing.T) {
	golden(t, "compare.svg", compare(t, arm("control", 0.9, 3), arm("distilled", 1, 3), report.Arm{Name: "teacher", Level: 0.98}))
}

func TestCompareOddRuns(t *testing.T) {
	set := func(name string, v float64) report.Arm {
		return change(name, func(s *distill.Step) {
			s.Rate, s.Terms = v, []distill.TermValue{{Name: "a", Value: v}}
			if s.Valid != nil {
				s.Valid = &distill.Metrics{Accuracy: v, NLL: v, Terms: s.Terms}
			}
		})
	}
	first := func(n int) report.Arm {
		a := arm("first", 1, 3)
		for i := range a.Runs {
			a.Runs[i] = a.Runs[i][:n]
		}
		return a
	}
	crowd := func() (arms []report.Arm) {
		for i := range 9 {
			name := fmt.Sprintf("an arm of a long name & number %d", i)
			arms = append(arms, change(name, func(s *distill.Step) {
				for k := range 9 {
					s.Terms = append(s.Terms, distill.TermValue{Name: fmt.Sprintf("term %d of a long name", k), Value: float64(k + s.N)})
				}
			}))
		}
		return arms
	}
	odd := arm("odd", 1, 3)
	for i, v := range []float64{math.MaxFloat64, -math.MaxFloat64, 1} {
		odd.Runs[i][4].Valid.Accuracy = v
	}
	tests := []struct {
		name string
		arms []report.Arm
	}{
		{"a run without steps", []report.Arm{{Name: "empty", Runs: make([][]distill.Step, 2)}, arm("control", 1, 2)}},
		{"one step", []report.Arm{first(1)}},
		{"one epoch", []report.Arm{first(5), {Name: "teacher", Level: 0.98}}},
		{"epochs of other numbers", []report.Arm{first(12), arm("control", 1, 2)}},
		{"zero", []report.Arm{set("zero", 0)}},
		{"negative", []report.Arm{set("negative", -2), set("positive", 2)}},
		{"not finite", []report.Arm{set("NaN", math.NaN()), set("infinite", math.Inf(1)), arm("control", 1, 2)}},
		{"huge", []report.Arm{set("huge", 1e99), set("tiny", 1e-99)}},
		{"too far apart", []report.Arm{odd}},
		{"a level of NaN", []report.Arm{{Name: "teacher", Level: math.NaN()}, arm("control", 1, 2)}},
		{"the same twice", []report.Arm{arm("a", 1, 2), arm("b", 1, 2), arm("c", 1, 2)}},
		{"epochs that go anywhere", []report.Arm{change("jumps", func(s *distill.Step) { s.Epoch = []int{math.MinInt, 7, math.MaxInt}[s.N/11] })}},
		{"names that XML cannot hold", []report.Arm{arm("a\x00<\xff", 1, 2), arm("", 1, 2)}},
		{"a crowd", crowd()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			picture := compare(t, test.arms...)
			checkSVG(t, picture)
			if len(picture) > 1<<20 {
				t.Errorf("the picture has %d bytes, want at most a mebibyte", len(picture))
			}
		})
	}
}

func TestCompareAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1, 3), rapid.Just(math.NaN()))
		arms := []report.Arm{{Name: "teacher", Level: 0.5}}
		for range rapid.IntRange(1, 3).Draw(t, "arms") {
			var a report.Arm
			for range rapid.IntRange(0, 3).Draw(t, "runs") {
				var run []distill.Step
				for n := range rapid.IntRange(0, 5).Draw(t, "steps") {
					run = append(run, distill.Step{N: n + 1, Epoch: n, Rate: value.Draw(t, "rate"), Valid: &distill.Metrics{
						Accuracy: value.Draw(t, "accuracy"), NLL: value.Draw(t, "NLL"),
					}})
				}
				a.Runs = append(a.Runs, run)
			}
			arms = append(arms, a)
		}
		checkSVG(t, compare(t, arms...))
	})
}

func ExampleCompare() {
	run := func(accuracies ...float64) []distill.Step { // or as Read reads them
		var steps []distill.Step
		for i, a := range accuracies {
			steps = append(steps, distill.Step{N: i + 1, Epoch: i, End: true, Valid: &distill.Metrics{Accuracy: a}})
		}
		return steps
	}
	var picture strings.Builder
	err := report.Compare(&picture, report.SVG, "Digits, two seeds",
		report.Arm{Name: "control", Runs: [][]distill.Step{run(0.3, 0.6, 0.8), run(0.2, 0.5, 0.8)}},
		report.Arm{Name: "distilled", Runs: [][]distill.Step{run(0.4, 0.8, 0.9), run(0.5, 0.8, 0.9)}},
		report.Arm{Name: "teacher", Level: 0.95},
	)
	fmt.Println(strings.Count(picture.String(), "<path") > 0, err)
	// Output: true <nil>
}
