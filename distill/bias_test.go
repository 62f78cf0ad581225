package distill

import (
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// Three rows of four classes, whose classes 1 and 3 are shifted: they are right
// from 1 and 2 on, and below 5.
func TestTurns(t *testing.T) {
	logits := dense[float64]([]float64{
		2, 1, 0, 0, // a 1 from 1 on
		4, 0, 0, 2, // a 3 from 2 on
		3, -2, 0, -9, // a 0 below 5
		3, 0, 5, 1, // a 0 never
		0, 9, 0, 9, // not labelled
	}, 5, 4)
	batch := data.Batch{N: 5, Label: tensor.New(tensor.WithBacking([]int{1, 3, 0, 0, -1})), Weight: dense[float32]([]float64{1, 2, 0.5, 1, 1}, 5)}
	got := appendTurns(nil, logits, batch, []int{3, 1})
	if want := []turn{{1, 1}, {2, 2}, {5, -0.5}, {4, 0}}; !slices.Equal(got, want) {
		t.Errorf("the turns are %v; want %v", got, want)
	}
	if shift := bestShift(got); shift != 3 {
		t.Errorf("the shift is %v; want 3, between 2 and 4", shift)
	}
}

func TestBestShift(t *testing.T) {
	for want, turns := range map[float64][]turn{
		0:    {{-3, 1}, {4, -1}},
		-5:   {{-4, -1}, {3, 1}, {8, -1}},
		8:    {{2, 1}, {7, 1}},
		1.5:  {{1, 1}, {2, -1}, {6, 1}, {9, -1}}, // not 7.5, as good
		-2.5: {{-3, 1}, {-2, -1}, {6, 1}, {9, -1}},
	} {
		if got := bestShift(turns); got != want {
			t.Errorf("%v: the shift is %v; want %v", turns, got, want)
		}
	}
}

// No shift of a fine grid gets more rows right.
func TestCorrectBiasIsBest(t *testing.T) {
	set := toySet[float32](60)
	src := data.Loader{Set: set, Batch: 7, InOrder: true}
	m := toyStudent(set.Spec(), 0, 4)
	right := func() float64 {
		got, err := Measure(t.Context(), m, src, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Accuracy
	}
	bias := slices.Collect(m.Params())[len(slices.Collect(m.Params()))-1]
	best, begin := 0.0, slices.Clone(bias.Value.Float32s())
	for shift := -6.0; shift <= 6; shift += 0.01 {
		raise(bias.Value, []int{2}, shift)
		bias.Touch()
		best = max(best, right())
		copy(bias.Value.Float32s(), begin)
		bias.Touch()
	}
	before := right()
	shift, err := CorrectBias(t.Context(), m, bias.Name, src, 2)
	if err != nil {
		t.Fatal(err)
	}
	if after := right(); after < best || after < before {
		t.Errorf("a shift of %v has an accuracy of %v; want the best one, %v", shift, after, best)
	}
	for class, v := range bias.Value.Float32s() {
		want := begin[class]
		if class == 2 {
			want += float32(shift)
		}
		if v != want {
			t.Errorf("the bias of class %d became %v; want %v", class, v, want)
		}
	}
}

func TestCorrectBiasRefuses(t *testing.T) {
	set := toySet[float32](12)
	src := data.Loader{Set: set, Batch: 5, InOrder: true}
	m := toyStudent(set.Spec(), 0, 4)
	hidden, err := data.HideLabels(set, func(int) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	before := m.Fingerprint()
	for want, try := range map[string]func() (float64, error){
		"wants a student and a source; one is nil":   func() (float64, error) { return CorrectBias(t.Context(), nil, "l2.bias", src, 1) },
		"has 0 classes; want one or more, and fewer": func() (float64, error) { return CorrectBias(t.Context(), m, "l2.bias", src) },
		"class 7 is not one of 0 to":                 func() (float64, error) { return CorrectBias(t.Context(), m, "l2.bias", src, 7) },
		"class 1 is not one of 0 to":                 func() (float64, error) { return CorrectBias(t.Context(), m, "l2.bias", src, 1, 1) },
		`the student has no parameter "l9.bias"`:     func() (float64, error) { return CorrectBias(t.Context(), m, "l9.bias", src, 1) },
		"l2.weight has shape":                        func() (float64, error) { return CorrectBias(t.Context(), m, "l2.weight", src, 1) },
		"no row of the source has a label": func() (float64, error) {
			return CorrectBias(t.Context(), m, "l2.bias", data.Loader{Set: hidden, Batch: 5}, 1)
		},
		"distill: the source has": func() (float64, error) {
			return CorrectBias(t.Context(), must(student.New(student.MLP{Out: 3}, toySet[float64](12).Spec(), 1)), "l1.bias", src, 1)
		},
	} {
		shift, err := try()
		checkError(t, err, want)
		if shift != 0 || m.Fingerprint() != before {
			t.Errorf("%q: the shift is %v and the student changed: %t; want neither", want, shift, m.Fingerprint() != before)
		}
	}
}
