package study

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// A Summary is the mean of one value over several runs, and how it varies.
type Summary struct {
	Mean float64
	// SD is the standard deviation of a run, with N-1 as the divisor.
	SD float64
	// N is the number of runs.
	N int
}

// Summarize is the summary of one value for each run. It fails for fewer than
// two, and for values that are not finite.
func Summarize(x []float64) (Summary, error) {
	if err := check("x", x); err != nil {
		return Summary{}, err
	}
	mean, sd := stat.MeanStdDev(x, nil)
	return Summary{Mean: mean, SD: sd, N: len(x)}, nil
}

// String is "mean ± SD (n)".
func (s Summary) String() string { return fmt.Sprintf("%.4f ± %.4f (n=%d)", s.Mean, s.SD, s.N) }

// A Difference is the mean of a - b with its 95% confidence interval.
type Difference struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Paired compares two ways of training by runs with the same seeds: a[i] and
// b[i] belong together. The interval is Student's, with len(a)-1 degrees of
// freedom: it assumes that the differences are nearly normal and independent.
// Where all of them are equal its width is 0, which says only that the
// measurement is too coarse or the runs are not different.
//
// It fails for lengths that differ, fewer than two pairs, and values that are
// not finite.
func Paired(a, b []float64) (Difference, error) {
	if len(a) != len(b) {
		return Difference{}, fmt.Errorf("study: a has %d values and b %d; want pairs", len(a), len(b))
	}
	if err := check("a", a); err != nil {
		return Difference{}, err
	}
	if err := check("b", b); err != nil {
		return Difference{}, err
	}
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	mean, sd := stat.MeanStdDev(d, nil)
	n := float64(len(d))
	half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * sd / math.Sqrt(n)
	return Difference{Mean: mean, Low: mean - half, High: mean + half}, nil
}

// Clear says that the interval does not hold 0.
func (d Difference) Clear() bool { return d.Low > 0 || d.High < 0 }

// String is "mean [low, high]".
func (d Difference) String() string { return fmt.Sprintf("%.4f [%.4f, %.4f]", d.Mean, d.Low, d.High) }

func check(name string, x []float64) error {
	if len(x) < 2 {
		return fmt.Errorf("study: %s has %d values; want 2 or more", name, len(x))
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("study: %s[%d] is %v; want a finite number", name, i, v)
		}
	}
	return nil
}
