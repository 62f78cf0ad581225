package ahead

import (
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// count yields 0 to n-1, and says when it begins to make each and when it ends.
func count(n int, say func(string)) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		defer say("end")
		for i := range n {
			say(fmt.Sprint("make ", i))
			if !yield(i, nil) {
				return
			}
		}
	}
}

// A list of what was said, by any goroutine.
type list struct {
	mu  sync.Mutex
	all []string
}

func (l *list) say(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, what)
}

// Without During, a range over Make is a range over the sequence.
func TestInOrder(t *testing.T) {
	for _, limit := range []int{0, 1, 3, 5, 9} {
		var got, want list
		use := func(l *list, seq iter.Seq2[int, error]) {
			for v := range seq {
				if l.say(fmt.Sprint("use ", v)); v+1 >= limit {
					break
				}
			}
		}
		var m Maker[int]
		use(&got, m.Make(count(5, got.say)))
		use(&want, count(5, want.say))
		if !slices.Equal(got.all, want.all) {
			t.Errorf("%q; want %q", got.all, want.all)
		}
	}
}

// During makes one value, no more, and it is there when During returns.
func TestDuring(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	var m Maker[int]
	var l list
	var used []int
	for v := range m.Make(count(4, l.say)) {
		for range 2 { // the second time there is nothing to make
			m.During(func() { used = append(used, v) })
		}
		time.Sleep(time.Millisecond)
		l.say(fmt.Sprint("body ", v))
	}
	want := []string{"make 0", "make 1", "body 0", "make 2", "body 1", "make 3", "body 2", "end", "body 3"}
	if !slices.Equal(l.all, want) || !slices.Equal(used, []int{0, 0, 1, 1, 2, 2, 3, 3}) {
		t.Errorf("%q, used %v; want %q", l.all, used, want)
	}
}

// The next value is made while f is busy: here each waits for the other.
func TestDuringIsMeanwhile(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	meet := make(chan int)
	seq := func(yield func(int, error) bool) {
		for i := 0; i == 0 || i < 5 && <-meet == i; i++ {
			if !yield(i, nil) {
				return
			}
		}
	}
	var m Maker[int]
	for v := range m.Make(seq) {
		if v < 4 {
			m.During(func() { meet <- v + 1 })
		}
	}
}

func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var m Maker[int]
	var l list
	for v := range m.Make(count(3, l.say)) {
		m.During(func() { l.say(fmt.Sprint("use ", v)) })
	}
	if want := []string{"make 0", "use 0", "make 1", "use 1", "make 2", "use 2", "end"}; !slices.Equal(l.all, want) {
		t.Errorf("%q; want %q", l.all, want)
	}
}

// Breaks, returns and panics of the body end the goroutine, and what was made
// and not used is dropped.
func TestLeft(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for name, leave := range map[string]func(m *Maker[int]){
		"at once":       func(m *Maker[int]) { panic(name(t)) },
		"after During":  func(m *Maker[int]) { m.During(func() {}); panic(name(t)) },
		"within During": func(m *Maker[int]) { m.During(func() { panic(name(t)) }) },
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			var m Maker[int]
			var l list
			defer func() {
				if p := recover(); p == nil || l.all[len(l.all)-1] != "end" {
					t.Errorf("panic %v after %q; want the body's after the end", p, l.all)
				}
				m.During(func() {}) // there is no range: nothing is made
			}()
			for range m.Make(count(3, l.say)) {
				leave(&m)
			}
		})
	}
}

func name(t *testing.T) string { return t.Name() }

// A panic is the caller's, at the place of the value, and an error comes there.
func TestFailures(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	bad := errors.New("bad")
	failing := func(fail func(yield func(int, error) bool)) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if yield(0, nil) && yield(1, nil) {
				fail(yield)
			}
		}
	}
	for name, c := range map[string]struct {
		fail  func(yield func(int, error) bool)
		panic any
		err   error
	}{
		"panic": {func(func(int, error) bool) { panic(bad) }, bad, nil},
		"error": {func(yield func(int, error) bool) { yield(0, bad) }, nil, bad},
	} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " early ", early), func(t *testing.T) {
				var m Maker[int]
				var last error
				used := 0
				defer func() {
					if p := recover(); p != c.panic || last != c.err || used != 2 {
						t.Errorf("panic %v, error %v after %d values; want %v, %v after 2", p, last, used, c.panic, c.err)
					}
				}()
				for _, err := range m.Make(failing(c.fail)) {
					if last = err; err != nil {
						return
					}
					use := func() { used++ }
					if early {
						m.During(use)
					} else {
						use()
					}
				}
			})
		}
	}
}

// A sequence that ends its goroutine, as t.FailNow does, ends its caller's.
func TestGoexit(t *testing.T) {
	done := make(chan bool)
	go func() {
		defer close(done)
		var m Maker[int]
		for range m.Make(func(func(int, error) bool) { runtime.Goexit() }) {
		}
		done <- true
	}()
	if <-done {
		t.Error("the caller went on")
	}
}

func TestPanicWhileStopping(t *testing.T) {
	defer func() {
		if recover() != "stop" {
			t.Error("the panic is lost")
		}
	}()
	var m Maker[int]
	for range m.Make(func(yield func(int, error) bool) { defer panic("stop"); yield(1, nil) }) {
		break
	}
}

func BenchmarkDuring(b *testing.B) {
	b.ReportAllocs()
	n := 0
	var m Maker[int]
	for range m.Make(func(yield func(int, error) bool) {
		for yield(1, nil) {
		}
	}) {
		if m.During(func() {}); n == b.N {
			break
		}
		n++
	}
}
