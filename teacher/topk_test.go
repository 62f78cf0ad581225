package teacher

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/x448/float16"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

func TestReduce(t *testing.T) {
	z := []float32{
		1, 5, -2, 5, 0.1, 3, 2,
		-1e4, 0, 1e4, 3, 3, 3, 2,
		7, 6, 5, 4, 3, 2, 1,
	}
	temps := []float64{1, 4, 20, 0.5}
	wantIDs := []int{1, 3, 5, 6, 2, 3, 4, 5, 0, 1, 2, 3} // ties: the lower class first
	for _, half := range []bool{false, true} {
		for _, lead := range [][]int{{3}, {1, 3}} { // class rows and token rows
			shape := append(slices.Clone(lead), 7)
			f := data.Field{Shape: shape[1:], Dtype: tensor.Float32}
			s := data.Signals{Logits: tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(z)))}
			reduction{4, temps, half}.reduce(s, Logits, f)
			ids := s[Logits+IDSuffix].Data().([]int)
			if !slices.Equal(ids, wantIDs) {
				t.Errorf("half %v: ids %v; want %v", half, ids, wantIDs)
			}
			if want := append(slices.Clone(lead), 4); !slices.Equal(s[Logits+TopSuffix].Shape(), want) || !slices.Equal(s[Logits+LSESuffix].Shape(), want) {
				t.Errorf("shapes %v and %v; want %v", s[Logits+TopSuffix].Shape(), s[Logits+LSESuffix].Shape(), want)
			}
			for i, got := range s[Logits+TopSuffix].Data().([]float32) {
				if want := rounded(z[i/4*7+wantIDs[i]], half); got != want {
					t.Errorf("half %v: top %d is %v; want %v", half, i, got, want)
				}
			}
			for i, got := range s[Logits+LSESuffix].Data().([]float32) {
				want := naiveLSE(z[i/4*7:i/4*7+7], temps[i%4], half)
				if math.Abs(float64(got)-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("half %v: lse %d at T=%v is %v; want %v", half, i/4, temps[i%4], got, want)
				}
			}
		}
	}
}

func rounded(v float32, half bool) float32 {
	if half {
		return float16.Fromfloat32(v).Float32()
	}
	return v
}

// naiveLSE sums probabilities relative to the first class that is largest.
func naiveLSE(row []float32, T float64, half bool) float64 {
	top := float64(rounded(slices.Max(row), half))
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(rounded(v, half))/T - top/T)
	}
	return math.Log(sum) + top/T
}

func TestLargestIsASort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SliceOfN(rapid.Map(rapid.IntRange(-9, 9), func(i int) float64 { return float64(i) }), 1, 40).Draw(t, "z")
		k := rapid.IntRange(1, len(z)).Draw(t, "k")
		all := make([]int, len(z))
		for c := range all {
			all[c] = c
		}
		slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(z[b], z[a]) })
		if got := largest(z, k); !slices.Equal(got, all[:k]) {
			t.Fatalf("largest %d of %v are %v; want %v", k, z, got, all[:k])
		}
	})
}

func TestWithLastLeavesTheFieldAlone(t *testing.T) {
	f := data.Field{Shape: make(tensor.Shape, 2, 3)}
	f.Shape[0], f.Shape[1] = 3, 9
	if g := withLast(f, 4); f.Shape[1] != 9 || g.Shape[0] != 3 || g.Shape[1] != 4 {
		t.Errorf("shapes %v and %v; want (3, 9) and (3, 4)", f.Shape, g.Shape)
	}
}
