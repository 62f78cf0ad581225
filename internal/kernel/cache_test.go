package kernel

import (
	"fmt"
	"testing"
)

// What grows in a cache, in runs of whatever length and among other samples, has
// the bits of attention to all positions at once.
func TestCache(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, a := range attentions {
			a.Queries = a.Keys
			t.Run(fmt.Sprint(a), func(t *testing.T) {
				testCache(t, a, NewRotary[float32](a.Keys, Angles{a.Width - a.Width%4, 100, false, nil}))
				testCache[float32](t, a, nil)
				testCache(t, a, NewRotary[float64](a.Keys, Angles{a.Width / 4 * 2, 100, true, nil}))
			})
		}
	})
}

func testCache[F Float](t *testing.T, a Attention, rotary *Rotary[F]) {
	t.Helper()
	x := newAttended(a, rotary, 1)
	x.forward()
	threaded(func(threads int) {
		got := make([]F, len(x.y))
		copy(got, x.y) // gaps are nobody's
		for r := range x.queryRows {
			clear(got[r*x.apartY : r*x.apartY+a.Heads*a.Values])
		}
		c := NewCache(attentionSamples, a.Keys, a, rotary)
		done := [attentionSamples]int{}
		for step := 1; ; step++ {
			var runs []Run
			for s := attentionSamples - 1; s >= 0; s-- {
				if n := min(step*(s+1)%45, a.Keys-done[s]); n > 0 {
					runs = append(runs, Run{Sample: s, From: done[s], Row: s*a.Keys + done[s], Rows: n})
					done[s] += n
				}
			}
			if len(runs) == 0 && done == [attentionSamples]int{a.Keys, a.Keys, a.Keys} {
				break
			}
			c.Attend(Positions[F]{got, x.apartY}, Positions[F]{x.q, x.apartQ}, Positions[F]{x.k, x.apartK}, Positions[F]{x.v, x.apartV}, runs)
		}
		if !same(got, x.y) {
			t.Fatalf("%d threads, rotary %v: a cache changes attention", threads, rotary != nil)
		}
	})
}

// A sample that begins anew finds nothing of the one before it, and steps allocate
// nothing.
func TestCacheAgain(t *testing.T) {
	paths(t, func(t *testing.T) {
		a := Attention{Heads: 6, Shared: 3, Width: 10, Values: 7, Queries: 37, Keys: 37, Scale: 0.3}
		x := newAttended[float32](a, nil, 1)
		x.forward()
		c, got := NewCache[float32](1, a.Keys, a, nil), make([]float32, len(x.y))
		run := make([]Run, 1)
		attend := func(from, row, rows int) {
			run[0] = Run{From: from, Row: row, Rows: rows}
			c.Attend(Positions[float32]{got, x.apartY}, Positions[float32]{x.q, x.apartQ}, Positions[float32]{x.k, x.apartK}, Positions[float32]{x.v, x.apartV}, run)
		}
		attend(0, a.Keys, a.Keys)
		for p := range a.Keys {
			attend(p, p, 1)
		}
		for r := range a.Keys {
			if at := r * x.apartY; !same(got[at:at+a.Heads*a.Values], x.y[at:at+a.Heads*a.Values]) {
				t.Fatalf("position %d is another in a cache that was used", r)
			}
		}
		if n := testing.AllocsPerRun(20, func() { attend(9, 9, 1) }); n != 0 && !testing.Short() { // the race detector makes some
			t.Errorf("a step allocates %v times; want none", n)
		}
	})
}
