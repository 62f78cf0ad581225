package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var pools2d = map[string]Pool{
	"quarters":    {Size: [2]int{6, 8}, Window: Window{Kernel: [2]int{2, 2}}},
	"odd":         {Size: [2]int{7, 5}, Window: Window{Kernel: [2]int{2, 2}}},
	"overlapping": {Size: [2]int{5, 7}, Window: Window{Kernel: [2]int{3, 3}, Stride: [2]int{1, 2}}},
	"padded":      {Size: [2]int{5, 4}, Window: Window{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [2]int{1, 1}}},
	"excluded":    {Size: [2]int{5, 4}, Window: Window{Kernel: [2]int{3, 4}, Stride: [2]int{2, 1}, Pad: [2]int{1, 2}}, ExcludePad: true},
	"dilated":     {Size: [2]int{7, 8}, Window: Window{Kernel: [2]int{3, 2}, Stride: [2]int{1, 2}, Pad: [2]int{1, 0}, Dilation: [2]int{2, 3}}},
	"oblong":      {Size: [2]int{4, 9}, Window: Window{Kernel: [2]int{1, 3}}},
	"whole":       {Size: [2]int{3, 5}, Window: Window{Kernel: [2]int{3, 5}}},
}

// sees calls f with the pixels of a plane that are seen for each result, in
// order: the definition.
func sees(p Pool, f func(result int, pixels []int)) {
	size, w := p.Results(), p.Explicit()
	for i := range size[0] * size[1] {
		var pixels []int
		for k := range w.Kernel[0] * w.Kernel[1] {
			y := i/size[1]*w.Stride[0] - w.Pad[0] + k/w.Kernel[1]*w.Dilation[0]
			x := i%size[1]*w.Stride[1] - w.Pad[1] + k%w.Kernel[1]*w.Dilation[1]
			if y >= 0 && y < p.Size[0] && x >= 0 && x < p.Size[1] {
				pixels = append(pixels, y*p.Size[1]+x)
			}
		}
		f(i, pixels)
	}
}

func TestPool(t *testing.T) {
	for name, p := range pools2d {
		t.Run(name, func(t *testing.T) {
			threaded(func(int) {
				checkPool(t, p, 3, random[float32](3*p.Size[0]*p.Size[1], 1))
				checkPool(t, p, 3, random[float64](3*p.Size[0]*p.Size[1], 1))
			})
		})
	}
}

// checkPool compares maxima and means, and their gradients, with the definition.
func checkPool[F Float](t *testing.T, p Pool, planes int, x []F) {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	size := p.Results()
	n, plane := size[0]*size[1], p.Size[0]*p.Size[1]
	dy := random[F](planes*n, 2)
	top, won, back := make([]F, planes*n), make([]int32, planes*n), make([]F, len(x))
	mean, spread := make([]float64, planes*n), make([]float64, len(x))
	for k := range planes {
		sees(p, func(i int, pixels []int) {
			at, sum := pixels[0], 0.0
			for _, j := range pixels {
				if v := x[k*plane+j]; v > x[k*plane+at] || v != v {
					at = j
				}
				sum += float64(x[k*plane+j])
			}
			count := float64(len(pixels))
			if !p.ExcludePad {
				count = float64(p.Kernel[0] * p.Kernel[1])
			}
			i += k * n
			top[i], won[i], mean[i] = x[k*plane+at], int32(at), sum/count
			back[k*plane+at] += dy[i]
			for _, j := range pixels {
				spread[k*plane+j] += float64(dy[i]) / count
			}
		})
	}
	nan := F(math.NaN())
	y, intact := guarded(slices.Repeat([]F{nan}, planes*n))
	winners := make([]int32, planes*n)
	MaxPool(y, winners, x, p, planes)
	if !same(y, top) || !slices.Equal(winners, won) || !intact() {
		t.Fatalf("%+v: the largest are %v, at %v; want %v, at %v", p, y, winners, top, won)
	}
	dx, clean := guarded(slices.Repeat([]F{nan}, len(x)))
	MaxPoolGrad(dx, dy, won, p, planes)
	if !same(dx, back) || !clean() {
		t.Fatalf("%+v: the gradient of the largest is %v, want %v", p, dx, back)
	}
	MaxPool(y, nil, x, p, planes)
	if !same(y, top) {
		t.Fatalf("%+v: the largest are %v when none asks who won; want %v", p, y, top)
	}
	AvgPool(y, x, p, planes)
	checkNear(t, "mean", y, mean)
	AvgPoolGrad(dx, dy, p, planes)
	checkNear(t, "gradient of the mean", dx, spread)
	if !intact() || !clean() {
		t.Fatalf("%+v: it wrote outside", p)
	}
}

func checkNear[F Float](t *testing.T, name string, got []F, want []float64) {
	t.Helper()
	for i, w := range want {
		if !within(float64(got[i]), w, 8*epsilon[F]()*(1+math.Abs(w))) {
			t.Fatalf("%s: element %d is %v, want %v", name, i, got[i], w)
		}
	}
}

// The first of equal pixels wins, minus infinity too; a NaN wins always.
func TestMaxPoolOfOddPixels(t *testing.T) {
	inf, nan := math.Inf(-1), math.NaN()
	for _, p := range []Pool{
		{Size: [2]int{2, 8}, Window: Window{Kernel: [2]int{2, 2}}},
		{Size: [2]int{2, 8}, Window: Window{Kernel: [2]int{2, 2}, Stride: [2]int{3, 2}}},
	} {
		x := []float64{1, 1, inf, inf, nan, 9, 0, math.Copysign(0, -1), 1, 1, inf, inf, 9, nan, 0, 0}
		y, winners := make([]float64, 4), make([]int32, 4)
		MaxPool(y, winners, x, p, 1)
		if want := []float64{1, inf, nan, 0}; !same(y, want) {
			t.Errorf("the largest are %v, want %v", y, want)
		}
		if want := []int32{0, 2, 13, 6}; !slices.Equal(winners, want) {
			t.Errorf("they are at %v, want %v", winners, want)
		}
	}
}

func TestGlobalAvgPool(t *testing.T) {
	t.Run("float32", testGlobalAvgPool[float32])
	t.Run("float64", testGlobalAvgPool[float64])
}

func testGlobalAvgPool[F Float](t *testing.T) {
	const planes = 5
	for _, n := range []int{1, 3, 4, 7, 35, 1000} {
		x, want, back := random[F](planes*n, uint64(n)), make([]float64, planes), make([]float64, planes*n)
		dy := random[F](planes, 2)
		for i, v := range x {
			want[i/n] += float64(v) / float64(n)
			back[i] = float64(dy[i/n]) / float64(n)
		}
		threaded(func(int) {
			y, intact := guarded(make([]F, planes))
			dx, clean := guarded(make([]F, planes*n))
			GlobalAvgPool(y, x, planes, n)
			GlobalAvgPoolGrad(dx, dy, planes, n)
			checkNear(t, fmt.Sprint("mean of ", n), y, want)
			checkNear(t, fmt.Sprint("gradient of the mean of ", n), dx, back)
			if !intact() || !clean() {
				t.Fatal("it wrote outside")
			}
		})
	}
}

func FuzzPool(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, seed%3 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, exclude bool) {
		r := rand.New(rand.NewPCG(seed, 4))
		p := Pool{ExcludePad: exclude}
		p.Window, p.Size = anyWindow(r)
		if p.Check() != nil {
			return // its taps may see padding alone
		}
		planes := 1 + r.IntN(3)
		x := odd(planes*p.Size[0]*p.Size[1], seed)
		checkPool(t, p, planes, x)
	})
}

// Windows of 2x2 have a form of their own, which does what the general one does:
// with NaN, equal elements, and rows that fill no vector.
func TestMaxPoolOfQuarters(t *testing.T) {
	paths(t, func(t *testing.T) {
		for width := 2; width < 45; width++ {
			p := Pool{Size: [2]int{2 + width%5, width}, Window: quarters}
			const planes = 3
			x := odd(planes*p.Size[0]*width, uint64(width))
			for i := range x {
				if i%3 == 0 {
					x[i] = float32(i % 2)
				}
			}
			size := p.Results()
			n := size[0] * size[1]
			y, intact := guarded(make([]float32, planes*n))
			winners := make([]int32, planes*n)
			MaxPool(y, winners, x, p, planes)
			alone := make([]float32, planes*n)
			MaxPool(alone, nil, x, p, planes)
			if !intact() || !same(y, alone) {
				t.Fatalf("a width of %d: %v, and without winners %v", width, y, alone)
			}
			for plane := range planes {
				want, won := make([]float32, n), make([]int32, n)
				e := p.Explicit()
				generalMax(want, won, nth(x, plane, p.Size[0]*width), &e)
				if got := nth(y, plane, n); !same(got, want) || !slices.Equal(winners[plane*n:][:n], won) {
					t.Fatalf("a width of %d: %v won by %v; want %v by %v", width, got, winners[plane*n:][:n], want, won)
				}
			}
		}
	})
}
