package kernel

import (
	"math"
	"testing"
)

// Experts whose weights are packed make, to the last bit, what those make whose
// weights are as they are, of more rows than are computed at once.
func TestMixIsExperts(t *testing.T) {
	const n, rows, width, inner = 5, 203, 13, 9
	paths(t, func(t *testing.T) {
		x, w := random[float32](rows*width, 1), random[float32](rows*n, 2)
		for i := range w {
			if i%n == 3 && i > n || i%3 == 0 {
				w[i] = 0
			}
		}
		var raw Experts[float32]
		raw.Width, raw.Inner = width, inner
		var packed []Expert[float32]
		for e := range uint64(n) {
			gate, up, down := random[float32](inner*width, 3+e), random[float32](inner*width, 13+e), random[float32](width*inner, 23+e)
			raw.Gate, raw.Up, raw.Down = append(raw.Gate, gate), append(raw.Up, up), append(raw.Down, down)
			packed = append(packed, Expert[float32]{Pack(append(append([]float32(nil), gate...), up...), width, 2*inner), Pack(down, inner, width), inner})
		}
		threaded(func(threads int) {
			want, got := make([]float32, rows*width), random[float32](rows*width, 4)
			raw.Forward(want, x, w)
			Mix(got, x, w, packed, width)
			if !same(got, want) {
				t.Fatalf("they make something else, with %d threads", threads)
			}
		})
	})
}

// The frequencies of Llama 3.1 by their wavelengths, as they were published: short
// ones stay, long ones are divided, and between them it goes from one to the other.
func TestStretch(t *testing.T) {
	llama := &Stretch{Factor: 8, Low: 1, High: 4, Trained: 8192}
	linear := &Stretch{Factor: 2.5}
	kinds := [3]int{}
	for i := range 64 {
		f := math.Pow(500000, -float64(i)/64)
		wavelength := 2 * math.Pi / f
		want := f
		switch {
		case wavelength > 8192:
			want = f / 8
			kinds[0]++
		case wavelength >= 8192/4.0:
			smooth := (8192/wavelength - 1) / (4 - 1)
			want = (1-smooth)*f/8 + smooth*f
			kinds[1]++
		default:
			kinds[2]++
		}
		if got := llama.of(f); !(math.Abs(got-want) <= 1e-15*f) {
			t.Errorf("frequency %d becomes %v; want %v", i, got, want)
		}
		if got := linear.of(f); got != f/2.5 {
			t.Errorf("frequency %d becomes %v; want %v", i, got, f/2.5)
		}
		if got := (*Stretch)(nil).of(f); got != f {
			t.Errorf("frequency %d becomes %v; want itself", i, got)
		}
	}
	if min(kinds[0], kinds[1], kinds[2]) < 3 {
		t.Errorf("there are %v frequencies of each kind; want some", kinds)
	}
}
