package report

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gonum.org/v1/plot/text"
)

func TestTicks(t *testing.T) {
	tests := []struct {
		values []float64
		log    bool
		whole  bool
		want   string
	}{
		{values: []float64{0, 1}, want: "[0 0.2 0.4 0.6 0.8 1.0]"},
		{values: []float64{0, 100}, want: "[0 20 40 60 80 100]"},
		{values: []float64{1, 20000}, whole: true, want: "[1 5000 10000 15000 20000]"},
		{values: []float64{1, 3}, whole: true, want: "[1 2 3]"},
		{values: []float64{7}, whole: true, want: "[7]"},
		{values: []float64{0.5, 1.5}, whole: true, want: "[1]"},
		{values: []float64{1, 8}, whole: true, want: "[1 2 4 6 8]"},
		{values: []float64{0.5, 60.5}, whole: true, want: "[1 10 20 30 40 50 60]"},
		{values: []float64{0, 3e-4}, want: "[0 5e-5 1.0e-4 1.5e-4 2.0e-4 2.5e-4 3.0e-4]"},
		{values: []float64{0, 3e-5}, want: "[0 5e-6 1.0e-5 1.5e-5 2.0e-5 2.5e-5 3.0e-5]"},
		{values: []float64{2e6, 4e6}, want: "[2.0e6 2.5e6 3.0e6 3.5e6 4.0e6]"},
		{values: []float64{-1, 1}, want: "[-1.0 -0.5 0 0.5 1.0]"},
		{values: []float64{0.5, 1}, log: true, want: "[0.5 0.6 0.7 0.8 0.9 1.0]"},
		{values: []float64{0.2, 2}, log: true, want: "[0.2 0.3 0.5 1 2]"},
		{values: []float64{0.05, 2}, log: true, want: "[0.05 0.1 0.2 0.5 1 2]"},
		{values: []float64{0.05, 50}, log: true, want: "[0.1 0.3 1 3 10 30]"},
		{values: []float64{1e-5, 1}, log: true, want: "[1e-5 0.0001 0.001 0.01 0.1 1]"},
		{values: []float64{1e-60, 1e60}, log: true, want: "[1e-63 1e-42 1e-21 1 1e21 1e42 1e63]"},
		{values: []float64{-1, 50}, log: true, want: "[0 10 20 30 40 50]"},
	}
	for _, test := range tests {
		s := scaleOf([][]float64{test.values, {math.NaN(), math.Inf(1)}}, test.log)
		s.whole = test.whole
		var labels []string
		for _, tick := range s.ticks() {
			labels = append(labels, tick.label)
		}
		if got := fmt.Sprint(labels); got != test.want {
			t.Errorf("%v has ticks %s, want %s", test.values, got, test.want)
		}
		for _, v := range test.values {
			if at := s.at(v); !(0.02 < at && at < 0.98) {
				t.Errorf("%v of %v is drawn at %g, want it off the edge", v, test.values, at)
			}
		}
	}
}

func TestSmooth(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		y    []float64
		n    int
		want []float64
	}{
		{[]float64{1, 5, 3}, 1, []float64{1, 5, 3}},
		{[]float64{1, 5, 3, 7}, 3, []float64{3, 3, 5, 5}},
		{[]float64{1, nan, 3, 5}, 3, []float64{1, nan, 4, 4}},
		{nil, 3, []float64{}},
	}
	for _, test := range tests {
		got := smooth(test.y, test.n)
		if diff := cmp.Diff(fmt.Sprint(test.want), fmt.Sprint(got)); diff != "" {
			t.Errorf("smooth(%v, %d) (-want +got):\n%s", test.y, test.n, diff)
		}
	}
}

// What is far below the rest may be off an axis, up to a tenth of each curve.
func TestCut(t *testing.T) {
	rising := func(n int, from float64) []float64 {
		y := []float64{from}
		for i := 1; i < n; i++ {
			y = append(y, 90+float64(i%3))
		}
		return y
	}
	even := []float64{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	level := []float64{30, 30}
	nan := math.NaN()
	tests := []struct {
		name   string
		series []series
		low    float64
	}{
		{"one low value of ten", []series{{y: rising(10, 30)}}, 90},
		{"one low value of nine", []series{{y: rising(9, 30)}}, 30},
		{"gaps are no values", []series{{y: append(rising(9, 30), nan, nan)}}, 30},
		{"not far below", []series{{y: rising(10, 89)}}, 89},
		{"evenly rising", []series{{y: even}}, 10},
		{"a low band", []series{{y: rising(10, 90), low: rising(10, 20), high: rising(10, 91)}}, 90},
		{"a low level", []series{{y: rising(10, 30)}, {y: level}}, 30},
		{"two", []series{{y: rising(10, 30)}, {y: rising(20, 50)}}, 90},
	}
	for _, test := range tests {
		for _, cut := range []bool{true, false} {
			want := test.low
			if !cut {
				want = lowest(test.series)
			}
			_, y := panel{series: test.series, cut: cut}.scales()
			if y.min >= want || y.at(want) > 0.05 {
				t.Errorf("%s, cut %t: the axis begins at %g, want just below %g", test.name, cut, y.min, want)
			}
		}
	}
}

func lowest(all []series) float64 {
	low := math.Inf(1)
	for _, s := range all {
		for _, v := range slices.Concat(s.y, s.low) {
			if finite(v) {
				low = min(low, v)
			}
		}
	}
	return low
}

// Equal curves are drawn in turns, and others as they are.
func TestTurns(t *testing.T) {
	var p panel
	for _, y := range [][]float64{{1, 2, 3}, {1, 2, 4}, {1, 2, 3}, {math.NaN()}, {1, 2, 3}} {
		p.add(series{x: []float64{1, 2, 3}[:len(y)], y: y})
	}
	var got []string
	for _, s := range p.series {
		got = append(got, fmt.Sprintf("%d/%d", s.turn, s.turns))
	}
	if want := "[0/3 0/0 1/3 2/3]"; fmt.Sprint(got) != want {
		t.Errorf("the turns are %v, want %s", got, want)
	}
}

func TestArm(t *testing.T) {
	nan := math.NaN()
	step := func(epoch, rows int, rate float64) distill.Step {
		return distill.Step{Epoch: epoch, Rows: rows, Rate: rate}
	}
	tests := []struct {
		name            string
		runs            [][]distill.Step
		x, y, low, high []float64
	}{
		{name: "no runs"},
		{
			name: "one run, by its rows",
			runs: [][]distill.Step{{step(0, 3, 1), step(0, 1, 5), step(1, 0, 4), step(2, 7, nan)}},
			x:    []float64{1, 2, 3}, y: []float64{2, 4, nan},
		},
		{
			name: "steps without a value",
			runs: [][]distill.Step{{step(4, 3, nan), step(4, 3, 6), step(4, 3, math.Inf(1))}},
			x:    []float64{5}, y: []float64{6},
		},
		{
			name: "three runs, one of them short",
			runs: [][]distill.Step{{step(0, 4, 1), step(1, 4, 2)}, {step(0, 4, 6), step(1, 4, 3)}, {step(0, 4, 2)}},
			x:    []float64{1}, y: []float64{3}, low: []float64{1}, high: []float64{6},
		},
		{
			name: "two runs, one without a value",
			runs: [][]distill.Step{{step(0, 4, 1), step(1, 4, 2)}, {step(0, 4, nan), step(1, 4, 4)}},
			x:    []float64{1, 2}, y: []float64{nan, 3}, low: []float64{nan, 2}, high: []float64{nan, 4},
		},
	}
	for _, test := range tests {
		var p panel
		p.arm(series{}, Arm{Runs: test.runs}, inTraining(func(s distill.Step) float64 { return s.Rate }))
		var got series
		if len(p.series) > 0 {
			got = p.series[0]
		}
		want := [][]float64{test.x, test.y, test.low, test.high}
		if diff := cmp.Diff(want, [][]float64{got.x, got.y, got.low, got.high}, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s: x, y, low and high (-want +got):\n%s", test.name, diff)
		}
	}
}

// However long a run is, its picture is bounded, and keeps every peak.
func TestOutline(t *testing.T) {
	for _, n := range []int{1, 3, 999, 1000, 1001, 54321} {
		y := make([]float64, n+2)
		for i := range y {
			y[i] = math.Sin(float64(i))
		}
		peak := 1 + n/3
		y[peak] = 9
		at := outline(y, 1, n+1)
		if len(at) > 2000 || !slices.IsSorted(at) || !slices.Contains(at, peak) || at[0] < 1 || at[len(at)-1] > n {
			t.Errorf("%d values: %d points from %d to %d; want at most 2000, in order, with the peak at %d", n, len(at), at[0], at[len(at)-1], peak)
		}
		if n <= 1000 && len(at) != n {
			t.Errorf("%d values: %d points, want all", n, len(at))
		}
	}
}

func TestRuns(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		y    []float64
		want string
	}{
		{nil, "[]"},
		{[]float64{nan, nan}, "[]"},
		{[]float64{1, 2, 3}, "[[0 3]]"},
		{[]float64{nan, 1, nan, 2, 3}, "[[1 2] [3 5]]"},
		{[]float64{1, nan, nan, 2, nan}, "[[0 1] [3 4]]"},
	} {
		var got [][2]int
		for from, to := range (series{y: test.y}).runs() {
			got = append(got, [2]int{from, to})
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("runs of %v are %v, want %s", test.y, got, test.want)
		}
	}
}

func TestFit(t *testing.T) {
	sty := style(9.5, black, text.XLeft, text.YCenter)
	for _, test := range []struct{ name, of, want string }{
		{"soft", "soft", "soft"},
		{"softened", "soft…", "soft…"},
		{"Größe der Klasse", "Größe…", "Größe…"},
		{"soft", "", "…"},
		{"", "", ""},
	} {
		if got := fit(sty, test.name, sty.Width(test.of)); got != test.want {
			t.Errorf("%q in the width of %q is %q; want %q", test.name, test.of, got, test.want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, test := range []struct{ in, want scale }{
		{scale{min: 90, max: 110}, scale{min: 90, max: 100.2}},
		{scale{min: -1, max: 1}, scale{min: -0.02, max: 1}},
		{scale{min: 20, max: 100.5}, scale{min: 20, max: 100.5}},
		{scale{min: 450, max: 550}, scale{min: 450, max: 550}},
	} {
		got := test.in.within(0, 100)
		if got != test.want {
			t.Errorf("%v within 0 and 100 is %v; want %v", test.in, got, test.want)
		}
		for _, tick := range got.ticks() {
			if test.in.min < 100 && (tick.value < 0 || tick.value > 100) {
				t.Errorf("%v has a tick at %v", got, tick.value)
			}
		}
	}
}
