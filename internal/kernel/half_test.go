package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/x448/float16"
)

// Every float16 comes back as it was, but for the kinds of NaN.
func TestHalfIsExact(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		v, want := fromHalf(h), float16.Frombits(h).Float32()
		if !same([]float32{v}, []float32{want}) {
			t.Fatalf("%#04x is %v, want %v", h, v, want)
		}
		if back := toHalf(v); back != h && v == v {
			t.Fatalf("%#04x comes back as %#04x", h, back)
		}
	}
}

func TestWiden(t *testing.T) {
	src, want := make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range src {
		src[i], want[i] = uint16(i), float16.Frombits(uint16(i)).Float32()
	}
	paths(t, func(t *testing.T) {
		for _, from := range []int{0, 1, 7, 0x7bf9} {
			for _, n := range []int{0, 1, 7, 8, 9, 100, 1<<16 - 0x7bf9} {
				got, intact := guarded(make([]float32, n))
				Widen(got, src[from:from+n])
				if !intact() || !same(got, want[from:from+n]) {
					t.Fatalf("%d elements from %#04x are wrong, or something beside them", n, from)
				}
			}
		}
	})
}

func TestToHalf(t *testing.T) {
	check := func(v float32) {
		t.Helper()
		got, want := toHalf(v), float16.Fromfloat32(v).Bits()
		if got != want && v == v {
			t.Fatalf("%v (%#08x) is %#04x, want %#04x", v, math.Float32bits(v), got, want)
		}
	}
	for i := range 1 << 16 { // what lies between two, and beside that
		bits := math.Float32bits(fromHalf(uint16(i)))
		for _, d := range []uint32{0, 1, 0xfff, 0x1000, 0x1001, 0x1fff} {
			check(math.Float32frombits(bits + d))
			check(math.Float32frombits(bits - d))
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1 << 20 {
		check(math.Float32frombits(r.Uint32()))
	}
	if v := fromHalf(toHalf(float32(math.NaN()))); v == v {
		t.Errorf("a NaN became %v", v)
	}
}

// A product with rounded weights is that with those weights in float32, to the
// last bit.
func TestHalfLinear(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, rows := range []int{0, 1, 2, 3, 7, 13} {
			for _, out := range []int{1, 10, 16, 63, 64, 81, 150} {
				for _, in := range []int{1, 8, 9, 340, 700} {
					checkHalf(t, rows, in, out, ReLU)
				}
			}
		}
		threaded(func(int) { checkHalf(t, 1, 85, 150, Tanh); checkHalf(t, 9, 85, 150, Tanh) })
	})
}

func checkHalf(t *testing.T, rows, in, out int, act Act) {
	t.Helper()
	x, w, bias := random[float32](rows*in, 1), random[float32](out*in, 2), random[float32](out, 3)
	got, intact := guarded(make([]float32, rows*out))
	PackHalf(w, in, out).Linear(got, x, bias, rows, act)
	if !intact() {
		t.Fatalf("%dx%dx%d: it wrote outside of y", rows, in, out)
	}
	for i, v := range w {
		w[i] = float16.Fromfloat32(v).Float32()
	}
	want := make([]float32, rows*out)
	Linear(want, x, w, bias, rows, in, out, act)
	if !same(got, want) {
		t.Fatalf("%dx%dx%d: %v, want %v", rows, in, out, got, want)
	}
}

func FuzzHalf(f *testing.F) {
	f.Add(uint8(1), uint8(64), uint16(337))
	f.Add(uint8(7), uint8(17), uint16(9))
	f.Fuzz(func(t *testing.T, m, n uint8, k uint16) {
		for _, fast := range []bool{false, true} {
			use(t, fast)
			checkHalf(t, int(m)%21, int(k)%700+1, int(n)+1, ReLU)
		}
	})
}
