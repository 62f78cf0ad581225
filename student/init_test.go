package student_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/student"
)

// made is the parameter that a module makes with an Init.
func made(t testing.TB, seed uint64, init student.Init, shape ...int) []float64 {
	t.Helper()
	m := must(student.New(logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		b.Param("w", init, shape...)
		return x
	}), of(5), seed))
	for p := range m.Params() {
		return floats(p.Value)
	}
	return nil
}

func TestInits(t *testing.T) {
	const out, in = 300, 200
	tests := map[string]struct {
		init     student.Init
		variance float64
		bound    float64
	}{
		"zeros":   {student.Zeros, 0, 0},
		"he":      {student.He, 2. / in, math.Inf(1)},
		"he out":  {student.HeOut, 2. / out, math.Inf(1)},
		"glorot":  {student.Glorot, 2. / (in + out), math.Sqrt(6. / (in + out))},
		"torch":   {student.Torch, 1. / (3 * in), 1 / math.Sqrt(in)},
		"uniform": {student.Uniform(3), 3, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var sum, squares float64
			w := made(t, 1, test.init, out, in)
			for _, v := range w {
				sum += v
				squares += v * v
			}
			n := float64(len(w))
			if sd := math.Sqrt(test.variance / n); math.Abs(sum/n) > 4*sd {
				t.Errorf("the mean is %g; want 0 within %g", sum/n, 4*sd)
			}
			// The variance of a normal sample's variance is 2σ⁴/n.
			if off := math.Abs(squares/n - test.variance); off > 4*test.variance*math.Sqrt(2/n) {
				t.Errorf("the variance is %g; want %g", squares/n, test.variance)
			}
			if top := max(slices.Max(w), -slices.Min(w)); top > test.bound {
				t.Errorf("an element of magnitude %g lies beyond %g", top, test.bound)
			}
		})
	}
}

func TestFans(t *testing.T) {
	tests := []struct {
		shape   []int
		in, out int
	}{
		{[]int{7}, 7, 7}, {[]int{7, 3}, 3, 7}, {[]int{4, 3, 5, 6}, 90, 120},
	}
	for _, test := range tests {
		made(t, 1, func(_ *rand.Rand, dst []float64, in, out int) {
			if in != test.in || out != test.out {
				t.Errorf("the fans of %v are %d in and %d out; want %d and %d", test.shape, in, out, test.in, test.out)
			}
		}, test.shape...)
	}
}

func TestInitDependsOnSeedAndName(t *testing.T) {
	want := made(t, 1, student.He, 3, 4)
	if !slices.Equal(made(t, 1, student.He, 3, 4), want) {
		t.Error("one seed makes two values")
	}
	if slices.Equal(made(t, 2, student.He, 3, 4), want) {
		t.Error("two seeds make one value")
	}
	values := func(order ...string) map[string][]float64 {
		m := must(student.New(logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			for _, name := range order {
				b.Scope(name).Param("w", student.He, 3, 4)
			}
			return x
		}), of(5), 1))
		all := map[string][]float64{}
		for p := range m.Params() {
			all[p.Name] = floats(p.Value)
		}
		return all
	}
	one, other := values("a", "b"), values("b", "c", "a")
	for _, name := range []string{"a.w", "b.w"} {
		if !slices.Equal(one[name], other[name]) {
			t.Errorf("%s depends on the order of building", name)
		}
	}
	if slices.Equal(one["a.w"], one["b.w"]) {
		t.Error("two names have one value")
	}
}

// A model of float32 starts where that of float64 does.
func TestInitOfDtypes(t *testing.T) {
	wide := must(student.New(student.MLP{Hidden: []int{4}, Out: 3}, of(5), 3))
	narrow := must(student.New(student.MLP{Hidden: []int{4}, Out: 3}, singles, 3))
	want := map[string][]float64{}
	for p := range wide.Params() {
		want[p.Name] = p.Value.Float64s()
	}
	for p := range narrow.Params() {
		for i, v := range p.Value.Float32s() {
			if v != float32(want[p.Name][i]) {
				t.Fatalf("%s differs at %d: %v and %v", p.Name, i, v, want[p.Name][i])
			}
		}
	}
}
