package reason

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Rate is a mean over problems of what is 0 to 1 for each, with its 95%
// confidence interval.
//
// Answers to one problem are alike, so that they say less than as many to others.
// The interval is Wilson's (1927) for an effective number of independent answers:
// that whose mean would vary as the mean of the problems does. It has the quantile
// of Student's distribution, with a degree of freedom less than there are problems.
// Away from 0 and 1 it is the t interval of the problems' means. There, where these
// are all equal and that one's width is 0, this one is as wide as with one answer
// each. Of a single problem it is 0 to 1.
type Rate struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// newRate is the rate of problems with the values x, of which each is a mean over n
// answers.
func newRate(x []float64, n int) Rate {
	p := 0.0
	for _, v := range x {
		p += v
	}
	p /= float64(len(x))
	if len(x) == 1 {
		return Rate{Mean: p, High: 1}
	}
	t := distuv.StudentsT{Sigma: 1, Nu: float64(len(x) - 1)}.Quantile(0.975)
	z := t * t / effective(x, n)
	middle, half := p+z/2, math.Sqrt(z*(p*(1-p)+z/4))
	return Rate{
		Mean: p,
		Low:  min(p, max(0, (middle-half)/(1+z))),
		High: max(p, min(1, (middle+half)/(1+z))),
	}
}

// effective is how many independent answers vary as much as the values x: as many
// as there are problems at least, and n times as many at most. With one problem more
// that is always right and one that never is, a variance that happens to be small
// says less where there is little to vary, near 0 and 1.
func effective(x []float64, n int) float64 {
	m, sum, squares := float64(len(x)), 1.0, 1.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	p := sum / (m + 2)
	variance := (squares - sum*p) / (m + 1)
	return m * min(float64(n), max(1, p*(1-p)/variance))
}

// String is "mean% [low, high]", in percent.
func (r Rate) String() string {
	return fmt.Sprintf("%.1f%% [%.1f, %.1f]", 100*r.Mean, 100*r.Low, 100*r.High)
}
