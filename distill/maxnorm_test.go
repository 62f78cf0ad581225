package distill

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"
)

// Rows of the norms 5, 1.5 and 13, and no norm at all, under a bound of 3.
func TestBound(t *testing.T) {
	given := []float64{3, 4, 0, 0.5, 1, 1, 12, 3, 4, 0, 0, 0}
	want := []float64{9. / 5, 12. / 5, 0, 0.5, 1, 1, 36. / 13, 9. / 13, 12. / 13, 0, 0, 0}
	for name, w := range map[string]*tensor.Dense{
		"float64": dense[float64](given, 4, 3), "float32": dense[float32](given, 4, 3), "filters": dense[float64](given, 4, 1, 3),
	} {
		bound(w, 3)
		for i, v := range wide(w) {
			if math.Abs(v-want[i]) > 1e-6 {
				t.Errorf("%s: weight %d is %v; want %v", name, i, v, want[i])
			}
		}
	}
	bias := dense[float64](given, 12)
	bound(bias, 3)
	if !slices.Equal(wide(bias), given) {
		t.Errorf("a vector became %v; want it as it was", wide(bias))
	}
}

// The bound holds after every step, for the parameters of the group alone.
func TestGroupMaxNorm(t *testing.T) {
	const limit = 0.3
	r := toyRun[float32]()
	r.Groups = []Group{{Match: "l1.weight", MaxNorm: limit}}
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		largest := map[string]float64{}
		for p := range r.Student.Params() {
			if p.Value.Dims() < 2 {
				continue
			}
			size := p.Value.Shape()[1]
			for row := range slices.Chunk(wide(p.Value), size) {
				sum := 0.0
				for _, v := range row {
					sum += v * v
				}
				largest[p.Name] = max(largest[p.Name], math.Sqrt(sum))
			}
		}
		if largest["l1.weight"] > limit+1e-6 || largest["l2.weight"] <= limit {
			t.Fatalf("after step %d the largest norms are %v; want %v at most in l1 and more in l2", step.N, largest, limit)
		}
	}
}
