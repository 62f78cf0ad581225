package study

import (
	"runtime"
	"testing"

	"github.com/godistill/godistill/distill"
)

// heap is the memory that is still reached.
func heap() int {
	runtime.GC()
	runtime.GC() // what pools keep is let go by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Of a trial that has ended there remain the weights of its student and what names
// them: a study has hundreds.
func TestEndedTrialsAreSmall(t *testing.T) {
	s := twoArms()
	s.Arms, s.Rates, s.Seeds = s.Arms[:1], s.Rates[:1], Seeds(20)
	var heaps []int // when each trial begins
	s.Observe = func(Trial) []distill.Observer { heaps = append(heaps, heap()); return nil }
	all, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const first = 5 // what is kept once is there
	weights := 4 * all[0].Params
	grown := (heaps[len(heaps)-1] - heaps[first]) / (len(heaps) - 1 - first)
	if limit := weights + 16<<10; grown > limit {
		t.Errorf("a trial leaves %d bytes, of which %d are weights; want %d at most", grown, weights, limit)
	}
	runtime.KeepAlive(all)
}
