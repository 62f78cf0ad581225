package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestGemm(t *testing.T) {
	t.Run("float32", testGemm[float32])
	t.Run("float64", testGemm[float64])
}

func testGemm[F Float](t *testing.T) {
	for _, large := range [][3]int{{65, 31, 3}, {7, 33, 600}, {20, 3, 257}, {9, 70, 512}} {
		checkGemm[F](t, large[0], large[1], large[2])
	}
	for m := range 18 {
		for n := range 18 {
			for k := range 18 {
				checkGemm[F](t, m, n, k)
			}
		}
	}
}

// checkGemm compares every variant of one size with the definition.
func checkGemm[F Float](t *testing.T, m, n, k int) {
	t.Helper()
	a, b, start := random[F](m*k, 1), random[F](k*n, 2), random[F](m*n, 3)
	at, bt := make([]F, m*k), make([]F, k*n)
	transpose(at, a, m, k)
	transpose(bt, b, k, n)
	for variant := range 8 {
		ta, tb, acc := variant&1 != 0, variant&2 != 0, variant&4 != 0
		x, y := a, b
		if ta {
			x = at
		}
		if tb {
			y = bt
		}
		c, intact := guarded(start)
		Gemm(ta, tb, m, n, k, x, y, c, acc)
		name := fmt.Sprintf("Gemm(%t, %t, %d, %d, %d, acc %t)", ta, tb, m, n, k, acc)
		if !intact() {
			t.Fatalf("%s wrote outside of C", name)
		}
		for i := range c {
			want, scale := product(a, b, i/n, i%n, n, k)
			if acc {
				want += float64(start[i])
			}
			if tol := epsilon[F]() * (scale + 1) * math.Sqrt(float64(k+1)) * 2; !(math.Abs(float64(c[i])-want) <= tol) {
				t.Fatalf("%s: element %d is %v, want %v", name, i, c[i], want)
			}
		}
	}
}

// product is one element of A·B, and the sum of its absolute products.
func product[F Float](a, b []F, row, col, n, k int) (sum, scale float64) {
	for p := range k {
		v := float64(a[row*k+p]) * float64(b[p*n+col])
		sum += v
		scale += math.Abs(v)
	}
	return sum, scale
}

func epsilon[F Float]() float64 {
	if _, ok := any(F(0)).(float32); ok {
		return 0x1p-23
	}
	return 0x1p-52
}

// guarded is a copy of x amid canaries, and a check that they live.
func guarded[F Float](x []F) (inner []F, intact func() bool) {
	canaries := slices.Repeat([]F{12345}, 40)
	all := slices.Concat(canaries, x, canaries)
	end := len(canaries) + len(x)
	return all[len(canaries):end], func() bool {
		return slices.Equal(all[:len(canaries)], canaries) && slices.Equal(all[end:], canaries)
	}
}

// A row must come out the same, to the last bit, whatever stands around it.
func TestRowsDoNotDependOnOthers(t *testing.T) {
	const m, n, k = 21, 11, 300
	x, w, bias := random[float32](m*k, 1), random[float32](n*k, 2), random[float32](n, 3)
	whole := make([]float32, m*n)
	Linear(whole, x, w, bias, m, k, n, Tanh)
	for from := range m {
		for to := from + 1; to <= m; to++ {
			part := make([]float32, (to-from)*n)
			Linear(part, x[from*k:], w, bias, to-from, k, n, Tanh)
			if !slices.Equal(part, whole[from*n:to*n]) {
				t.Fatalf("rows [%d, %d) differ when computed alone", from, to)
			}
		}
	}
}

func TestLinear(t *testing.T) {
	x := []float64{1, 2, 3, -1, 0, 1}
	w := []float64{1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1}
	for _, test := range []struct {
		bias []float64
		act  Act
		want []float64
	}{
		{nil, Identity, []float64{1, 2, 3, 6, -1, 0, 1, 0}},
		{[]float64{0, -3, 0, 1}, Identity, []float64{1, -1, 3, 7, -1, -3, 1, 1}},
		{[]float64{0, -3, 0, 1}, ReLU, []float64{1, 0, 3, 7, 0, 0, 1, 1}},
	} {
		y := slices.Repeat([]float64{math.NaN()}, 8)
		Linear(y, x, w, test.bias, 2, 3, 4, test.act)
		if !slices.Equal(y, test.want) {
			t.Errorf("bias %v, %v: got %v, want %v", test.bias, test.act, y, test.want)
		}
	}
}

func TestSumColumns(t *testing.T) {
	dst, intact := guarded([]float32{9, 9, 9})
	SumColumns(dst, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 4, 3)
	if want := []float32{22, 26, 30}; !slices.Equal(dst, want) || !intact() {
		t.Errorf("got %v, want %v", dst, want)
	}
}

func ExampleLinear() {
	x := []float32{1, 2, 3, 3, 2, 1} // two rows of three
	w := []float32{1, 0, 0, 0, 1, -1}
	y := make([]float32, 4)
	Linear(y, x, w, []float32{0, 0.5}, 2, 3, 2, ReLU)
	fmt.Println(y)
	// Output: [1 0 3 1.5]
}

// random is n normal values, the same for one seed.
func random[F Float](n int, seed uint64) []F {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]F, n)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	return x
}
