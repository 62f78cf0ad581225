// Package ahead makes the next value of a sequence while the last one is used:
//
//	var batches ahead.Maker[data.Batch]
//	for b, err := range batches.Make(source) {
//		batches.During(func() { learn(b) }) // source makes the next batch
//	}
//
// Whatever the sequence calls is called one at a time, in the order in which a
// plain range would call it, and never beside the body of the loop, but for
// what the body leaves to During.
package ahead

import (
	"iter"
	"runtime"
)

// A Maker makes the values of one sequence at a time, in a goroutine that lives
// as long as the range over them.
type Maker[V any] struct {
	wanted chan struct{} // closed when no more values are
	made   chan item[V]  // closed when there are no more
	next   item[V]
	some   bool // next is a value, not the end
	ready  bool // next is what comes next
}

type item[V any] struct {
	value  V
	err    error
	broken bool // there is no value: seq panicked, or left its goroutine
	why    any
}

// Make yields the values of seq. Each is made when the range asks for it, or by
// During before that. Where seq panics, the range does, when it is the turn of
// that value.
func (m *Maker[V]) Make(seq iter.Seq2[V, error]) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		*m = Maker[V]{wanted: make(chan struct{}, 1), made: make(chan item[V])}
		go serve(seq, m.wanted, m.made)
		defer m.stop()
		for {
			if !m.ready {
				m.wanted <- struct{}{}
				m.receive()
			}
			it, some := m.next, m.some
			m.next, m.ready = item[V]{}, false
			it.check()
			if !some || !yield(it.value, it.err) {
				return
			}
		}
	}
}

// During calls f once, and makes the next value meanwhile, where there is a
// processor for it. It is for the body of a range over Make.
func (m *Maker[V]) During(f func()) {
	if m.wanted != nil && !m.ready && runtime.GOMAXPROCS(0) > 1 {
		m.wanted <- struct{}{}
		defer m.receive()
	}
	f()
}

func (m *Maker[V]) receive() {
	m.next, m.some = <-m.made
	m.ready = true
}

// stop waits until the goroutine has ended.
func (m *Maker[V]) stop() {
	close(m.wanted)
	m.wanted = nil
	for it := range m.made { // seq may have failed to clean up
		it.check()
	}
}

// check passes on what happened instead of a value.
func (it item[V]) check() {
	switch {
	case it.why != nil:
		panic(it.why)
	case it.broken:
		runtime.Goexit()
	}
}

// serve sends a value of seq each time one is wanted.
func serve[V any](seq iter.Seq2[V, error], wanted <-chan struct{}, made chan<- item[V]) {
	broken := true
	defer close(made)
	defer func() {
		if broken {
			made <- item[V]{broken: true, why: recover()}
		}
	}()
	if _, more := <-wanted; more {
		for v, err := range seq {
			made <- item[V]{value: v, err: err}
			if _, more = <-wanted; !more {
				break
			}
		}
	}
	broken = false
}
