package main

import (
	"runtime"
	"time"
)

// A subject is our side of a case.
type subject struct {
	call   func() error
	losses []float64 // of the first steps, where there are any
	close  func()
}

// A result is what one turn of a side came to.
type result struct {
	ms     float64 // median time of a call
	allocs float64 // of a call
}

// take does a turn.
func (s *subject) take(t turn) (result, error) {
	if err := s.call(); err != nil {
		return result{}, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ms := make([]float64, t.Samples)
	for i := range ms {
		start := time.Now()
		for range t.Calls {
			if err := s.call(); err != nil {
				return result{}, err
			}
		}
		ms[i] = 1e3 * time.Since(start).Seconds() / float64(t.Calls)
	}
	runtime.ReadMemStats(&after)
	// ms is one of the allocations.
	allocs := float64(after.Mallocs-before.Mallocs-1) / float64(t.Samples*t.Calls)
	return result{median(ms), allocs}, nil
}
