package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestGemm(t *testing.T) {
	paths(t, func(t *testing.T) {
		t.Run("float32", testGemm[float32])
		t.Run("float64", testGemm[float64])
	})
}

func testGemm[F Float](t *testing.T) {
	for _, large := range [][3]int{{65, 31, 3}, {7, 33, 600}, {20, 3, 257}, {9, 70, 512}, {13, 35, 3001}} {
		checkGemm[F](t, large[0], large[1], large[2])
	}
	most := 18
	if testing.Short() {
		most = 9
	}
	for m := range most {
		for n := range most {
			for k := range most {
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
			want, scale := element(a, b, i/n, i%n, n, k)
			if acc {
				want += float64(start[i])
			}
			if tol := epsilon[F]() * (scale + 1) * math.Sqrt(float64(k+1)) * 2; !(math.Abs(float64(c[i])-want) <= tol) {
				t.Fatalf("%s: element %d is %v, want %v", name, i, c[i], want)
			}
		}
	}
}

// element is one element of A·B, and the sum of its absolute products.
func element[F Float](a, b []F, row, col, n, k int) (sum, scale float64) {
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

// A row must come out the same, to the last bit, whatever stands around it, on
// however many threads, and with w packed or not.
func TestRowsDoNotDependOnOthers(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, act := range []Act{Identity, ReLU, Sigmoid} {
			checkRows(t, 14, 150, 50, act)
			if !testing.Short() {
				checkRows(t, 23, 37, 700, act)
			}
		}
	})
}

func checkRows(t *testing.T, m, n, k int, act Act) {
	t.Helper()
	x, w, bias := random[float32](m*k, 1), random[float32](n*k, 2), random[float32](n, 3)
	packed := Pack(w, k, n)
	whole := make([]float32, m*n)
	Linear(whole, x, w, bias, m, k, n, act)
	threaded(func(threads int) {
		for from := range m {
			for to := from + 1; to <= m; to++ {
				part, again := make([]float32, (to-from)*n), make([]float32, (to-from)*n)
				Linear(part, x[from*k:], w, bias, to-from, k, n, act)
				packed.Linear(again, x[from*k:], bias, to-from, act)
				if !same(part, whole[from*n:to*n]) || !same(again, part) {
					t.Fatalf("%v: rows [%d, %d) of %d differ when computed alone, on %d threads", act, from, to, m, threads)
				}
			}
		}
	})
}

// More rows than are packed at once, and few columns: rows are shared.
func TestGemmManyRows(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, s := range [][3]int{{800, 3, 1100}, {300, 17, 5}, {700, 5, 1600}} {
			checkGemm[float32](t, s[0], s[1], s[2])
		}
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint16(6), uint16(16), uint16(8), uint8(0))
	f.Add(uint64(2), uint16(7), uint16(17), uint16(337), uint8(3))
	f.Add(uint64(3), uint16(1), uint16(64), uint16(9), uint8(6))
	f.Add(uint64(4), uint16(13), uint16(65), uint16(69), uint8(12))
	f.Add(uint64(5), uint16(13), uint16(65), uint16(69), uint8(17))
	f.Add(uint64(6), uint16(13), uint16(65), uint16(69), uint8(32))
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint16, variant uint8) {
		// Seldom is a size large.
		size := func(v uint16) int {
			if v%16 == 15 {
				return int(v) % 400
			}
			return int(v) % 71
		}
		use(t, variant&16 == 0)
		useWide(t, able512 && variant&32 == 0)
		compareGemm(t, seed, size(m), size(n), size(k), variant)
	})
}

// compareGemm compares one product of odd values with the definition.
func compareGemm(t *testing.T, seed uint64, m, n, k int, variant uint8) {
	ta, tb, acc := variant&1 != 0, variant&2 != 0, variant&4 != 0
	a, b := odd(m*k, seed), odd(k*n, seed+1)
	x, y := a, b
	if ta {
		x = make([]float32, m*k)
		transpose(x, a, m, k)
	}
	if tb {
		y = make([]float32, k*n)
		transpose(y, b, k, n)
	}
	start := random[float32](m*n, seed+2)
	c, intact := guarded(start)
	Gemm(ta, tb, m, n, k, append([]float32{0}, x...)[1:], append([]float32{0, 0, 0}, y...)[3:], c, acc)
	if !intact() {
		t.Fatal("it wrote outside of C")
	}
	for i := range c {
		want, scale := element(a, b, i/n, i%n, n, k)
		if acc {
			want += float64(start[i])
		}
		checkElement(t, i, c[i], want, scale+1, k)
	}
}

// checkElement allows for the rounding of k products. One that overflows may
// be infinite or, with one of the other sign, NaN.
func checkElement(t *testing.T, i int, got float32, want, scale float64, k int) {
	t.Helper()
	tol := 0x1p-22 * scale * math.Sqrt(float64(k+1))
	if d := math.Abs(float64(got) - want); !(d <= tol) && !sameKind(float64(got), want) {
		t.Fatalf("element %d is %v, want %v", i, got, want)
	}
}

// sameKind says that both are NaN, or the same infinity.
func sameKind(x, y float64) bool { return x != x && y != y || math.IsInf(x, 0) && x == y }

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

func ExampleLinear() {
	x := []float32{1, 2, 3, 3, 2, 1} // two rows of three
	w := []float32{1, 0, 0, 0, 1, -1}
	y := make([]float32, 4)
	Linear(y, x, w, []float32{0, 0.5}, 2, 3, 2, ReLU)
	fmt.Println(y)
	// Output: [1 0 3 1.5]
}

// AVX-512 computes the bits of AVX2.
func TestWidthsAgree(t *testing.T) {
	use(t, true)
	for variant := range 8 {
		ta, tb, acc := variant&1 != 0, variant&2 != 0, variant&4 != 0
		for _, s := range [][3]int{{3, 5, 7}, {13, 113, 401}, {8, 48, 176}, {29, 70, 177}} {
			m, n, k := s[0], s[1], s[2]
			a, b := random[float32](m*k, 1), random[float32](k*n, 2)
			var c [2][]float32
			for i, wide := range []bool{false, true} {
				useWide(t, wide)
				c[i] = random[float32](m*n, 3)
				Gemm(ta, tb, m, n, k, a, b, c[i], acc)
			}
			if !same(c[0], c[1]) {
				t.Errorf("%dx%dx%d, ta %t, tb %t, acc %t: AVX-512 has other bits than AVX2", m, k, n, ta, tb, acc)
			}
		}
	}
}
