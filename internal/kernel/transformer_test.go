package kernel

import (
	"math"
	"testing"
)

// sameOnEachPath fails t where float32, on any path, is not what float64 says, but
// for rounding, or is not the same on many threads.
func sameOnEachPath(t *testing.T, off float64, f32 func() [][]float32, f64 func() [][]float64) {
	t.Helper()
	want := f64()
	paths(t, func(t *testing.T) {
		first := f32()
		for k, x := range first {
			for i, v := range x {
				if w := want[k][i]; !within(float64(v), w, off*max(1, math.Abs(w))) {
					t.Fatalf("output %d: element %d is %v, want %v", k, i, v, w)
				}
			}
		}
		threaded(func(threads int) {
			for k, x := range f32() {
				if !same(x, first[k]) {
					t.Fatalf("output %d differs with %d threads", k, threads)
				}
			}
		})
	})
}

func TestEmbed(t *testing.T) {
	const width = 70
	ids := []int{4, 0, 4, 2, 4}
	table, dy := random[float64](5*width, 1), random[float64](len(ids)*width, 2)
	y, d := make([]float64, len(dy)), random[float64](len(table), 3)
	Embed(y, table, ids, width)
	EmbedGrad(d, dy, ids, width)
	want := make([]float64, len(table))
	for r, id := range ids {
		for j := range width {
			if y[r*width+j] != table[id*width+j] {
				t.Fatalf("row %d is not that of id %d", r, id)
			}
			want[id*width+j] += dy[r*width+j]
		}
	}
	if !same(d, want) {
		t.Error("the gradient is not the sum of the rows of each id")
	}
	sameOnEachPath(t, 1e-6, func() [][]float32 { return embedded[float32](ids, width) }, func() [][]float64 { return embedded[float64](ids, width) })
}

func embedded[F Float](ids []int, width int) [][]F {
	y, d := make([]F, len(ids)*width), make([]F, 5*width)
	Embed(y, converted[F](random[float32](5*width, 1)), ids, width)
	EmbedGrad(d, converted[F](random[float32](len(y), 2)), ids, width)
	return [][]F{y, d}
}

func TestRMSNorm(t *testing.T) {
	x, w, eps := []float64{3, -4, 0, 0, 1, 1}, []float64{1, 2, -3}, 0.5
	y, inverse := make([]float64, 6), make([]float64, 2)
	RMSNorm(y, inverse, x, w, eps)
	for r, squares := range []float64{25.0 / 3, 2.0 / 3} {
		k := 1 / math.Sqrt(squares+eps)
		if math.Abs(inverse[r]-k) > 1e-15 {
			t.Errorf("the inverse of row %d is %v, want %v", r, inverse[r], k)
		}
		for j := range 3 {
			if want := x[3*r+j] * k * w[j]; math.Abs(y[3*r+j]-want) > 1e-15 {
				t.Errorf("row %d is %v at %d, want %v", r, y[3*r+j], j, want)
			}
		}
	}
	sameOnEachPath(t, 3e-5, normed[float32], normed[float64]) // gradients of the weight are sums over rows
}

func normed[F Float]() [][]F {
	const rows, width = 300, 37
	x, w, dy := converted[F](random[float32](rows*width, 1)), converted[F](random[float32](width, 2)), converted[F](random[float32](rows*width, 3))
	y, inverse, dx, dw := make([]F, len(x)), make([]F, rows), make([]F, len(x)), make([]F, width)
	RMSNorm(y, inverse, x, w, 1e-5)
	RMSNormGrad(dx, dw, inverse, x, w, dy)
	copy(y, x)
	RMSNorm(y, inverse, y, w, 1e-5) // in place
	return [][]F{y, inverse, dx, dw}
}

func TestSwiGLU(t *testing.T) {
	x, y := []float64{0, 1, -2, 5, 3, -4}, make([]float64, 3)
	SwiGLU(y, x, 3)
	for j, gate := range x[:3] {
		if want := gate / (1 + math.Exp(-gate)) * x[3+j]; math.Abs(y[j]-want) > 1e-15 {
			t.Errorf("element %d is %v, want %v", j, y[j], want)
		}
	}
	sameOnEachPath(t, 3e-6, gated[float32], gated[float64])
}

func gated[F Float]() [][]F {
	const rows, width = 13, 37
	x, dy := converted[F](random[float32](rows*2*width, 1)), converted[F](random[float32](rows*width, 2))
	x[0], x[1] = 90, -110 // beyond what an exponential holds
	y, dx := make([]F, len(dy)), make([]F, len(x))
	SwiGLU(y, x, width)
	SwiGLUGrad(dx, x, dy, width)
	return [][]F{y, dx}
}

// To turn a head is to turn complex numbers, and turning back undoes it.
func TestRotary(t *testing.T) {
	for _, beside := range []bool{false, true} {
		r := NewRotary[float64](9, Angles{6, theta, beside, nil})
		for p := range 9 {
			x := random[float64](11, uint64(p))
			want := append([]float64(nil), x...)
			turnedBy(want, p, 3, beside)
			y := make([]float64, 11)
			r.Turn(y, x, p)
			for i, w := range want {
				if math.Abs(y[i]-w) > 1e-14 {
					t.Fatalf("position %d: element %d is %v, want %v", p, i, y[i], w)
				}
			}
			r.turn(matrix[float64]{y, 0}, matrix[float64]{y, 0}, 1, 11, p, r.back)
			for i, w := range x {
				if math.Abs(y[i]-w) > 1e-14 {
					t.Fatalf("position %d: element %d came back as %v, want %v", p, i, y[i], w)
				}
			}
		}
	}
	sameOnEachPath(t, 1e-6, rotated[float32], rotated[float64])
}

func rotated[F Float]() [][]F {
	r := NewRotary[F](9, Angles{32, theta, false, nil})
	y := converted[F](random[float32](40, 1))
	r.Turn(y, y, 7)
	return [][]F{y}
}
