package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"pgregory.net/rapid"
)

func svg(t interface {
	Helper()
	Fatal(...any)
}, steps []distill.Step) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Draw(&out, report.SVG, "a run", steps); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Nothing is drawn at a place that is no number, or far out of the picture.
func checkSVG(t interface {
	Helper()
	Errorf(string, ...any)
}, svg string) {
	t.Helper()
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Errorf("the picture is no XML: %v", err)
	}
	if at := regexp.MustCompile(`NaN|Inf|[0-9]e\+`).FindStringIndex(svg); at != nil {
		t.Errorf("the picture has %q", svg[max(0, at[0]-50):at[1]])
	}
}

func TestDrawOddRuns(t *testing.T) {
	change := func(n int, f func(i int, s *distill.Step)) []distill.Step {
		steps := sample(1, n, 1)
		for i := range steps {
			f(i, &steps[i])
		}
		return steps
	}
	set := func(v float64) func(int, *distill.Step) {
		return func(_ int, s *distill.Step) {
			s.Loss, s.Accuracy, s.Rate, s.GradNorm = v, v, v, v
			s.Terms = []distill.TermValue{{Name: "a", Value: v}}
		}
	}
	tests := []struct {
		name  string
		steps []distill.Step
	}{
		{"no steps", nil},
		{"one step", sample(1, 1, 1)},
		{"zero", change(5, set(0))},
		{"constant", change(5, set(0.3))},
		{"constant but for rounding", change(5, func(i int, s *distill.Step) { set(0.3+1e-16*float64(i))(i, s) })},
		{"negative", change(5, set(-2))},
		{"NaN", change(5, set(math.NaN()))},
		{"infinite", change(5, set(math.Inf(-1)))},
		{"gaps", change(9, func(i int, s *distill.Step) { set([]float64{1, math.NaN(), 3}[i%3])(i, s) })},
		{"huge", change(5, func(i int, s *distill.Step) { set(math.MaxFloat64*float64(i%2*2-1))(i, s) })},
		{"tiny", change(5, func(i int, s *distill.Step) { set(float64(i)*math.SmallestNonzeroFloat64)(i, s) })},
		{"wide", change(5, func(i int, s *distill.Step) { set(math.Pow(10, float64(30*i-60)))(i, s) })},
		{"many terms", change(5, func(i int, s *distill.Step) {
			s.Terms = nil
			for k := range 14 {
				s.Terms = append(s.Terms, distill.TermValue{Name: fmt.Sprintf("a term of a long name & number %d", k), Value: float64(i + k)})
			}
		})},
		{"names that XML cannot hold", change(5, func(_ int, s *distill.Step) {
			s.Terms = []distill.TermValue{{Name: "a\x00<\xff", Value: 1}, {Name: "b\n&\"", Value: 2}}
		})},
		{"long", sample(3, 20000, 1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			picture := svg(t, test.steps)
			checkSVG(t, picture)
			if len(picture) > 1<<20 {
				t.Errorf("the picture has %d bytes, want at most a mebibyte", len(picture))
			}
		})
	}
}

func TestDrawAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1, 3), rapid.Just(math.NaN()))
		var steps []distill.Step
		for n := range rapid.IntRange(0, 8).Draw(t, "steps") {
			s := distill.Step{N: n + 1, Loss: value.Draw(t, "loss"), Accuracy: value.Draw(t, "accuracy"), Rate: value.Draw(t, "rate"), GradNorm: value.Draw(t, "norm")}
			if rapid.Bool().Draw(t, "validated") {
				s.Valid = &distill.Metrics{Loss: value.Draw(t, "loss"), Accuracy: value.Draw(t, "accuracy"), Agreement: math.NaN()}
			}
			steps = append(steps, s)
		}
		checkSVG(t, svg(t, steps))
	})
}

// Names that are too long do not run into what stands beside them.
func TestDrawLongNames(t *testing.T) {
	steps := sample(1, 3, 1)
	long := strings.Repeat("a long name ", 30)
	for i := range steps {
		steps[i].Terms[0].Name = long
	}
	var out bytes.Buffer
	if err := report.Draw(&out, report.SVG, long, steps); err != nil {
		t.Fatal(err)
	}
	cut := regexp.MustCompile(">(a long name [^<]*)</text>").FindAllStringSubmatch(out.String(), -1)
	if len(cut) != 2 {
		t.Fatalf("%d long names; want the title's and the term's", len(cut))
	}
	for _, name := range cut {
		if len(name[1]) > 100 || !strings.HasSuffix(name[1], "…") {
			t.Errorf("%q is not cut", name[1])
		}
	}
}

// No row is right more than once, or less than never.
func TestDrawOneAccuracy(t *testing.T) {
	for accuracy, wrong := range map[float64]string{1: ">110<", 0: ">-0.5<"} {
		steps := sample(1, 3, 1)
		for i := range steps {
			steps[i].Accuracy, steps[i].Valid = accuracy, nil
		}
		picture := svg(t, steps)
		if want := fmt.Sprintf(">%v<", 100*accuracy); strings.Contains(picture, wrong) || !strings.Contains(picture, want) {
			t.Errorf("accuracy %v: want the tick %s and not %s", accuracy, want, wrong)
		}
	}
}

func TestPNG(t *testing.T) {
	tests := []struct {
		name string
		draw func(io.Writer) error
	}{
		{"Draw", func(w io.Writer) error { return report.Draw(w, report.PNG, "a run", sample(4, 30, 1)) }},
		{"Compare", func(w io.Writer) error {
			return report.Compare(w, report.PNG, "arms", arm("control", 0.9, 3), arm("distilled", 1, 3), report.Arm{Name: "teacher", Level: 0.98})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a, b bytes.Buffer
			for _, out := range []*bytes.Buffer{&a, &b} {
				if err := test.draw(out); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Error("the same call gave two pictures")
			}
			checkPNG(t, &a)
		})
	}
}

// The picture has a margin without ink all round: nothing is cut off.
func checkPNG(t *testing.T, r io.Reader) {
	t.Helper()
	picture, err := png.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X != 1500 || size.Y != 1000 {
		t.Errorf("the picture is %v, want 1500 x 1000", size)
	}
	for x := range 1500 {
		for y := range 1000 {
			if x > 8 && x < 1491 && y > 8 && y < 991 {
				continue
			}
			if r, g, b, _ := picture.At(x, y).RGBA(); r&g&b != 0xffff {
				t.Fatalf("there is ink at (%d, %d)", x, y)
			}
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestDrawErrors(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"format", report.Draw(io.Discard, "gif", "", nil), `report: format is "gif"; want "png" or "svg"`},
		{"nil", report.Draw(nil, report.SVG, "", nil), "report: the io.Writer is nil"},
		{"writer", report.Draw(full{}, report.SVG, "", nil), "report: disk full"},
		{"no arms", report.Compare(io.Discard, report.PNG, ""), "report: Compare has no arm with a number to draw; want one or more"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(test.err); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
