package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

var nan = math.NaN()

// A number is NaN where there is nothing to say: null in JSON.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); !math.IsNaN(v) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

// text has three significant digits, and none where there is nothing to say.
func (n number) text() string {
	v := float64(n)
	switch {
	case math.IsNaN(v):
		return ""
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// A row is what a case came to. Times are medians over the rounds.
type row struct {
	Case string `json:"case"`
	Ours number `json:"ours_ms"`
	Peer number `json:"peer_ms"` // with the better number of threads
	// Ratio is peer by ours in the same round: how many times as fast we are.
	Ratio number `json:"ratio_median"`
	Low   number `json:"ratio_min"`
	High  number `json:"ratio_max"`
	// Peak is the share of the arithmetic that the machine could have done in
	// our time.
	Peak number `json:"peak_fraction"`
	// Read is how fast we read the weights, in GB/s, and Plain how fast as many
	// bytes can be read over and over.
	Read    number `json:"read_gbs"`
	Plain   number `json:"plain_read_gbs"`
	Allocs  number `json:"allocs"` // of one call
	Threads int    `json:"peer_threads"`
	OursMB  number `json:"ours_mb"` // the most that the process held
	PeerMB  number `json:"peer_mb"`
}

func emptyRow(name string) row {
	n := number(nan)
	return row{name, n, n, n, n, n, n, n, n, n, 0, n, n}
}

// median is the middle value, or the mean of the two in the middle; NaN of none.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return nan
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratios are the quotients round by round: their median, lowest and highest.
func ratios(theirs, ours []float64) (mid, low, high number) {
	r := make([]float64, len(ours))
	for i := range r {
		r[i] = theirs[i] / ours[i]
	}
	return number(median(r)), number(slices.Min(r)), number(slices.Max(r))
}
