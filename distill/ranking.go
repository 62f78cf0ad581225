package distill

import (
	"maps"
	"math"
	"slices"
)

// A ranking counts how often a yes has a higher score than a no. It keeps no
// score, but counts them in bins of equal relative width, so that its memory is
// bounded however many there are. The zero ranking is ready.
type ranking struct {
	bins map[uint32]*bin
	lost bool // there was a score that has no place
}

type bin struct{ no, yes float64 }

// binBits are dropped of a score in float32: 11 of its 23 binary places stay.
const binBits = 12

// add counts a score that is a yes to the degree yes, from 0 to 1.
func (m *ranking) add(score, yes, weight float64) {
	if math.IsNaN(score) {
		m.lost = true
		return
	}
	if m.bins == nil {
		m.bins = map[uint32]*bin{}
	}
	// As integers, the bits of positive floats are in their order, and those of
	// negative ones in the reverse of it.
	bits := math.Float32bits(float32(score) + 0) // -0 is 0
	if bits>>31 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 31
	}
	at := bits >> binBits
	if m.bins[at] == nil {
		m.bins[at] = &bin{}
	}
	m.bins[at].yes += weight * yes
	m.bins[at].no += weight * (1 - yes)
}

// area is that under the ROC curve (Hanley and McNeil 1982), NaN without both a
// yes and a no.
func (m *ranking) area() float64 {
	below, yes, won := 0.0, 0.0, 0.0
	for _, at := range slices.Sorted(maps.Keys(m.bins)) {
		b := m.bins[at]
		won += b.yes * (below + b.no/2)
		below += b.no
		yes += b.yes
	}
	if m.lost {
		return math.NaN()
	}
	return won / (below * yes)
}

// An overlap compares the pixels that have a class with those that are said to
// have it. The zero overlap is ready.
type overlap struct{ both, either []float64 } // by class

// add counts a pixel of one class that was said to be of another, of so many.
func (o *overlap) add(label, choice, classes int, weight float64) {
	if o.both == nil {
		o.both, o.either = make([]float64, classes), make([]float64, classes)
	}
	o.either[label] += weight
	if label == choice {
		o.both[label] += weight
	} else {
		o.either[choice] += weight
	}
}

// mean is that of intersection over union, over the classes that there are.
func (o *overlap) mean() float64 {
	sum, n := 0.0, 0.0
	for c, either := range o.either {
		if either > 0 {
			sum += o.both[c] / either
			n++
		}
	}
	return sum / n
}
