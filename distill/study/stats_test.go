package study

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func ExamplePaired() {
	plain := []float64{0.912, 0.921, 0.915}
	distilled := []float64{0.931, 0.934, 0.928}
	fmt.Println(Paired(distilled, plain))
	// Output: 0.0150 [0.0064, 0.0236] <nil>
}

func TestSummarize(t *testing.T) {
	// The squares of -3, -1, 0, 0, 0 and 4 add up to 26, over 5.
	s, err := Summarize([]float64{2, 4, 5, 5, 5, 9})
	if err != nil {
		t.Fatal(err)
	}
	if s.N != 6 || math.Abs(s.Mean-5) > 1e-12 || math.Abs(s.SD-math.Sqrt(5.2)) > 1e-12 {
		t.Errorf("%+v", s)
	}
	if got, want := s.String(), "5.0000 ± 2.2804 (n=6)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPaired(t *testing.T) {
	tests := map[string]struct {
		a, b []float64
		want Difference
	}{
		// Differences 1, 2, 3, 4, 5: SD √2.5, t(4) = 2.7764451.
		"five": {[]float64{11, 12, 13, 14, 15}, []float64{10, 10, 10, 10, 10}, Difference{3, 1.0367568, 4.9632432}},
		// Differences -1, 1: SD √2, t(1) = 12.7062047.
		"two":  {[]float64{1, 3}, []float64{2, 2}, Difference{0, -12.7062047, 12.7062047}},
		"flat": {[]float64{2, 3, 4}, []float64{1, 2, 3}, Difference{1, 1, 1}},
	}
	for name, test := range tests {
		got, err := Paired(test.a, test.b)
		if err != nil {
			t.Fatal(err)
		}
		for i, pair := range [][2]float64{{got.Mean, test.want.Mean}, {got.Low, test.want.Low}, {got.High, test.want.High}} {
			if math.Abs(pair[0]-pair[1]) > 1e-6 {
				t.Errorf("%s: number %d is %v, want %v", name, i, pair[0], pair[1])
			}
		}
		if want := test.want.Low > 0; got.Clear() != want {
			t.Errorf("%s: clear %t, want %t", name, got.Clear(), want)
		}
	}
}

func TestPairedIsAntisymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(t, "n")
		draw := func(name string) []float64 {
			return rapid.SliceOfN(rapid.Float64Range(-1, 1), n, n).Draw(t, name)
		}
		a, b := draw("a"), draw("b")
		x, err := Paired(a, b)
		if err != nil {
			t.Fatal(err)
		}
		y, err := Paired(b, a)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(x.Mean+y.Mean) > 1e-12 || math.Abs(x.Low+y.High) > 1e-12 || x.Low > x.Mean || x.Mean > x.High {
			t.Fatalf("%v and %v", x, y)
		}
	})
}

func TestRefusals(t *testing.T) {
	two := []float64{1, 2}
	tests := []struct {
		a, b []float64
		want string
	}{
		{two, []float64{1, 2, 3}, "study: a has 2 values and b 3; want pairs"},
		{two[:1], two[:1], "study: a has 1 values; want 2 or more"},
		{nil, nil, "study: a has 0 values; want 2 or more"},
		{[]float64{1, math.NaN()}, two, "study: a[1] is NaN; want a finite number"},
		{two, []float64{math.Inf(1), 2}, "study: b[0] is +Inf; want a finite number"},
	}
	for _, test := range tests {
		if _, err := Paired(test.a, test.b); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v; want %q", err, test.want)
		}
	}
	if _, err := Summarize(two[:1]); err == nil {
		t.Error("one run has a summary")
	}
}
