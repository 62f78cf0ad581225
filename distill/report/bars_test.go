package report_test

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func bars(t interface {
	Helper()
	Fatal(...any)
}, all ...report.Bar) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Bars(&out, report.SVG, "Digits", "points", all...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func ExampleBars() {
	d, err := study.Paired([]float64{97.2, 97.6, 97.0}, []float64{96.0, 96.2, 95.9})
	if err != nil {
		fmt.Println(err)
		return
	}
	var picture strings.Builder
	err = report.Bars(&picture, report.SVG, "Digits, three seeds", "points of test accuracy",
		report.Bar{Name: "distilled", Mean: d.Mean, Low: d.Low, High: d.High})
	fmt.Println(strings.Contains(picture.String(), "distilled"), strings.Contains(picture.String(), "+1.23"), err)
	// Output: true true <nil>
}

func TestBarsGolden(t *testing.T) {
	golden(t, "bars.svg", bars(t,
		report.Bar{Name: "gains", Mean: 1.5, Low: 0.7, High: 2.3},
		report.Bar{Name: "gains less", Mean: 0.4, Low: -0.2, High: 1},
		report.Bar{Name: "harms", Mean: -0.9, Low: -1.4, High: -0.4}))
}

// What is in the picture: names, numbers and the colours that are explained.
func TestBarsColours(t *testing.T) {
	const blue, grey, vermillion = "#0072B2", "#B8B8B8", "#D55E00"
	for name, test := range map[string]struct {
		bar         report.Bar
		key, number string
		color       string
	}{
		"above":         {report.Bar{Mean: 1.5, Low: 0.7, High: 2.3}, "interval above 0", "+1.50", blue},
		"holds":         {report.Bar{Mean: 0.4, Low: -0.2, High: 1}, "interval holds 0", "+0.40", grey},
		"ends at 0":     {report.Bar{Mean: 0.5, Low: 0, High: 1}, "interval holds 0", "+0.50", grey},
		"below":         {report.Bar{Mean: -0.9, Low: -1.4, High: -0.4}, "interval below 0", "-0.90", vermillion},
		"begins at 0":   {report.Bar{Mean: -0.5, Low: -1, High: 0}, "interval holds 0", "-0.50", grey},
		"nothing":       {report.Bar{}, "interval holds 0", "0", grey},
		"without width": {report.Bar{Mean: 3, Low: 3, High: 3}, "interval above 0", "+3.00", blue},
	} {
		t.Run(name, func(t *testing.T) {
			picture := bars(t, test.bar)
			checkSVG(t, picture)
			for _, want := range []string{">" + test.key + "</text>", ">" + test.number + "</text>", test.color} {
				if !strings.Contains(picture, want) {
					t.Errorf("the picture lacks %q", want)
				}
			}
			keys := regexp.MustCompile(`interval (above|holds|below) 0`).FindAllString(picture, -1)
			if diff := cmp.Diff([]string{test.key}, keys); diff != "" {
				t.Errorf("the key (-want +got):\n%s", diff)
			}
		})
	}
}

// Bars lie in the order given, and inside the picture, which grows with them.
func TestBarsPNG(t *testing.T) {
	height := 0
	for _, n := range []int{1, 3, 40} {
		var all []report.Bar
		for i := range n {
			v := float64(n/2 - i)
			all = append(all, report.Bar{Name: strings.Repeat("a long name ", i), Mean: v, Low: v - 1.5, High: v + 1.5})
		}
		var a, b bytes.Buffer
		for _, out := range []*bytes.Buffer{&a, &b} {
			if err := report.Bars(out, report.PNG, "Digits", "points of test accuracy", all...); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Error("the same call gave two pictures")
		}
		picture, err := png.Decode(&a)
		if err != nil {
			t.Fatal(err)
		}
		size := picture.Bounds().Size()
		if size.X != 1500 || size.Y <= height {
			t.Errorf("%d bars are a picture of %v; want 1500 pixels wide, and more than %d high", n, size, height)
		}
		height = size.Y
		for y := range size.Y {
			for x := range size.X {
				if x > 8 && x < size.X-9 && y > 8 && y < size.Y-9 {
					continue
				}
				if r, g, b, _ := picture.At(x, y).RGBA(); r&g&b != 0xffff {
					t.Fatalf("%d bars: there is ink at (%d, %d)", n, x, y)
				}
			}
		}
	}
}

func TestBarsAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []report.Bar
		for range rapid.IntRange(1, 5).Draw(t, "bars") {
			mean, below, above := rapid.Float64Range(-1e90, 1e90).Draw(t, "mean"), rapid.Float64Range(0, 1e90).Draw(t, "below"), rapid.Float64Range(0, 3).Draw(t, "above")
			all = append(all, report.Bar{Name: rapid.String().Draw(t, "name"), Mean: mean, Low: mean - below, High: mean + above})
		}
		checkSVG(t, bars(t, all...))
	})
}

func TestBarsErrors(t *testing.T) {
	good := report.Bar{Name: "a", Mean: 1, Low: 0, High: 2}
	for want, err := range map[string]error{
		"report: Bars has no bar; want one or more":                                            report.Bars(io.Discard, report.PNG, "", ""),
		`report: Bars: "b" is 3, from 0 to 2; want finite numbers, and Low <= Mean <= High`:    report.Bars(io.Discard, report.PNG, "", "", good, report.Bar{Name: "b", Mean: 3, High: 2}),
		`report: Bars: "b" is NaN, from 0 to 0; want finite numbers, and Low <= Mean <= High`:  report.Bars(io.Discard, report.PNG, "", "", report.Bar{Name: "b", Mean: math.NaN()}),
		`report: Bars: "b" is 0, from 0 to +Inf; want finite numbers, and Low <= Mean <= High`: report.Bars(io.Discard, report.PNG, "", "", report.Bar{Name: "b", High: math.Inf(1)}),
		`report: format is "gif"; want "png" or "svg"`:                                         report.Bars(io.Discard, "gif", "", "", good),
		"report: the io.Writer is nil":                                                         report.Bars(nil, report.SVG, "", "", good),
		"report: disk full":                                                                    report.Bars(full{}, report.SVG, "", "", good),
	} {
		if got := fmt.Sprint(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
