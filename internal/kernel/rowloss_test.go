package kernel

import (
	"math"
	"slices"
	"testing"
)

func TestRankOfARow(t *testing.T) {
	r := &Row{LogQ: []float64{-1, 0, -3, 0, math.Inf(-1)}, LogP: []float64{-2, -1, 0}}
	for range 2 {
		if q, p := r.RankQ(), r.RankP(); !slices.Equal(q, []int{1, 3, 0, 2, 4}) || !slices.Equal(p, []int{2, 1, 0}) {
			t.Errorf("the ranks are %v and %v", q, p)
		}
	}
}

// What a loss sees of a row is the same for logits of any size and level.
func TestRowsOfLargeLogits(t *testing.T) {
	z, teacher := []float64{1e4, 1e4 - 1, -1e4}, []float64{-1e4, 1e4}
	value, grad := make([]float64, 1), make([]float64, 3)
	for _, T := range []float64{0.05, 1, 4, 20} {
		EachRow(value, grad, z, Beside[float64]{Teacher: teacher, T: T, Params: []float64{7}}, func(r *Row) float64 {
			e := math.Exp(-1 / T)
			want := []float64{-math.Log1p(e), -1/T - math.Log1p(e), -2e4/T - math.Log1p(e)}
			for c, w := range want {
				if math.Abs(r.LogQ[c]-w) > 1e-10*math.Abs(w)+1e-15 || math.Abs(r.Q[c]-math.Exp(w)) > 1e-10 {
					t.Errorf("at T = %v, class %d has %v and its logarithm %v; want %v", T, c, r.Q[c], r.LogQ[c], w)
				}
			}
			if r.Label != -1 || r.T != T || r.Params[0] != 7 || r.LogP[1] != 0 || r.P[1] != 1 || r.LogP[0] != -2e4/T {
				t.Errorf("the row is %+v", r)
			}
			return 5
		})
		if value[0] != 5 || slices.Max(grad) != 0 || slices.Min(grad) != 0 {
			t.Errorf("value %v, gradient %v; want 5 and 0", value, grad)
		}
	}
}

// Rows without weight are not seen, and have no gradient.
func TestAllRows(t *testing.T) {
	z, teacher := random[float32](6*5, 1), random[float32](6*3, 2)
	weight, labels := []float32{1, 0, 1, 1, 0, 1}, []int{4, 3, 2, 1, 0, -1}
	grad, intact := guarded(random[float32](6*5, 3))
	var store []*Row
	for range 2 {
		value := AllRows(grad, z, weight, Beside[float32]{Teacher: teacher, Labels: labels, T: 2}, &store, func(rows []*Row) float64 {
			var seen []int
			for _, r := range rows {
				seen = append(seen, r.Label)
				r.Grad[1] = 2
			}
			if !slices.Equal(seen, []int{4, 2, 1, -1}) || len(rows[0].P) != 3 {
				t.Errorf("rows %v of a teacher of %d classes", seen, len(rows[0].P))
			}
			return 3
		})
		if value != 3 || !intact() {
			t.Errorf("the value is %v; want 3", value)
		}
	}
	q := make([]float64, 5)
	for i, w := range weight {
		Softmax(q, widened(row(z, i, 5)), 0.5)
		for c, g := range row(grad, i, 5) {
			want := -q[c] // (2·onehot - 2q)/T
			if c == 1 {
				want++
			}
			if want *= float64(w); math.Abs(float64(g)-want) > 1e-6 {
				t.Errorf("the gradient of row %d by class %d is %v; want %v", i, c, g, want)
			}
		}
	}
	none := AllRows(grad, z, make([]float32, 6), Beside[float32]{Teacher: teacher, T: 2}, &store, func([]*Row) float64 { panic("there are none") })
	if none != 0 || slices.Max(grad) != 0 || slices.Min(grad) != 0 {
		t.Errorf("without weight the value is %v and the gradient %v; want 0", none, grad)
	}
}

func TestStandardizeRow(t *testing.T) {
	z := []float64{1, 2, 6} // of mean 3 and sd √7
	dst := make([]float64, 3)
	StandardizeRow(dst, z)
	for c, want := range []float64{-2, -1, 3} {
		if math.Abs(dst[c]-want/(math.Sqrt(7)+1e-7)) > 1e-15 {
			t.Errorf("element %d is %v; want %v/√7", c, dst[c], want)
		}
	}
	for _, v := range []float64{0, 0.1, -1e4, 1e300} {
		flat := slices.Repeat([]float64{v}, 10)
		y, dx := make([]float64, 10), make([]float64, 10)
		StandardizeRow(y, flat)
		StandardizeRowGrad(dx, flat, random[float64](10, 1))
		if !slices.Equal(y, make([]float64, 10)) || !slices.Equal(dx, make([]float64, 10)) {
			t.Errorf("equal logits of %v become %v, with gradient %v; want 0", v, y, dx)
		}
	}
}
