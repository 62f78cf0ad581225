package report

import (
	"math"
	"strconv"
	"strings"
)

// A scale maps values to the length of an axis, which is 1.
type scale struct {
	min, max float64
	log      bool
	whole    bool // ticks are whole numbers, the first of them 1
}

type tick struct {
	value float64
	label string
}

// scaleOf is a scale with room for all values. It is logarithmic if it may be
// and the values, all above 1e-100, differ fivefold.
func scaleOf(values [][]float64, log bool) scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, vs := range values {
		for _, v := range vs {
			if finite(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if lo > hi {
		return scale{min: 0, max: 1}
	}
	if log && lo > 1e-100 && hi/lo > 5 {
		room := math.Pow(hi/lo, 0.04)
		return scale{min: lo / room, max: hi * room, log: true}
	}
	room := (hi - lo) * 0.04
	switch size := max(math.Abs(lo), math.Abs(hi)); {
	case size < 1e-100:
		room = 1
	case hi-lo < 1e-9*size: // one value, but for its rounding
		room = size / 10
	}
	return scale{min: lo - room, max: hi + room}
}

// within is s without the room that it has beyond lo and hi, but for a
// fiftieth, in which no tick finds a place.
func (s scale) within(lo, hi float64) scale {
	if s.min < lo && s.max > lo {
		s.min = max(s.min, lo-(s.max-lo)/50)
	}
	if s.max > hi && s.min < hi {
		s.max = min(s.max, hi+(hi-s.min)/50)
	}
	return s
}

func (s scale) at(v float64) float64 {
	if s.log {
		return math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return (v - s.min) / (s.max - s.min)
}

func (s scale) ticks() []tick {
	if s.log {
		return s.logTicks()
	}
	step := nice((s.max - s.min) / 7)
	if s.whole {
		step = max(step, 1)
	}
	var ticks []tick
	first := math.Ceil(s.min / step)
	if s.whole && s.min <= 1 {
		ticks = append(ticks, tick{1, "1"})
		first = math.Floor(1/step) + 1
	}
	for i := first; i*step <= s.max; i++ {
		ticks = append(ticks, tick{i * step, label(i*step, step)})
	}
	return ticks
}

func (s scale) logTicks() []tick {
	decades := math.Log10(s.max / s.min)
	within := []float64{1}
	switch {
	case decades < 1.3:
		within = []float64{1, 2, 3, 5}
	case decades < 2.3:
		within = []float64{1, 2, 5}
	case decades < 4.5:
		within = []float64{1, 3}
	}
	every := max(1, int(decades/6))
	var ticks []tick
	for e := int(math.Floor(math.Log10(s.min))); e <= int(math.Log10(s.max))+1; e++ {
		for _, m := range within {
			v := m * math.Pow(10, float64(e))
			if e%every == 0 && s.min <= v && v <= s.max {
				ticks = append(ticks, tick{v, label(v, v)})
			}
		}
	}
	return ticks
}

// nice rounds up to 1, 2 or 5 times a power of ten.
func nice(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if x <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}

// label writes v to the digit of step.
func label(v, step float64) string {
	digit := int(math.Floor(math.Log10(step) + 1e-9))
	if math.Abs(v) < step/2 {
		return "0"
	}
	if -5 < digit && math.Abs(v) < 1e6 {
		return strconv.FormatFloat(v, 'f', max(0, -digit), 64)
	}
	size := int(math.Floor(math.Log10(math.Abs(v)) + 1e-9))
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', max(0, size-digit), 64), "e")
	power, _ := strconv.Atoi(exponent)
	return mantissa + "e" + strconv.Itoa(power)
}

// finite reports whether v can be drawn. Beyond 1e100 sums and ratios overflow
// sooner or later, and nobody wants to see them.
func finite(v float64) bool { return math.Abs(v) < 1e100 }
