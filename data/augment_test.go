package data_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

func noise(rng *rand.Rand, dst data.Sample) error {
	for i := range data.Row[float32](dst.Batch.In[data.Input], dst.Row) {
		data.Row[float32](dst.Batch.In[data.Input], dst.Row)[i] += rng.Float32() / 2
	}
	return nil
}

// shifted is the definition: each pixel is looked up where it came from.
func shifted(img []float32, h, w, dx, dy int) []float32 {
	out := make([]float32, len(img))
	for i := range out {
		c, y, x := i/(h*w), i/w%h, i%w
		if y, x := y-dy, x-dx; y >= 0 && y < h && x >= 0 && x < w {
			out[i] = img[c*h*w+y*w+x]
		}
	}
	return out
}

func TestShift(t *testing.T) {
	for _, test := range []struct {
		name  string
		shape []int
		shift data.Shift
		h, w  int
	}{
		{"plane", []int{3, 5}, data.Shift{}, 3, 5},
		{"planes", []int{3, 5, 4}, data.Shift{Pixels: 3}, 5, 4},
		{"flat", []int{35}, data.Shift{Pixels: 2, Height: 5, Width: 7}, 5, 7},
		{"flat planes", []int{45}, data.Shift{Pixels: 2, Height: 3, Width: 5}, 3, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			size := 1
			for _, n := range test.shape {
				size *= n
			}
			m := must(data.NewMemory(data.Signals{"x": dense(count[float32](3*size), append([]int{3}, test.shape...)...)}, nil, nil))
			set := must(test.shift.Of(m))
			n := max(test.shift.Pixels, 1)
			offsets := make(map[[2]int]bool)
			for view := range set.Spec().Views {
				got, want := pixels(t, set, 1, uint64(view)), pixels(t, m, 1, 0)
				found := false
				for dy := -n; dy <= n; dy++ {
					for dx := -n; dx <= n; dx++ {
						if slices.Equal(got, shifted(want, test.h, test.w, dx, dy)) {
							offsets[[2]int{dx, dy}], found = true, true
						}
					}
				}
				if !found {
					t.Fatalf("view %d is no shift: %v", view, got)
				}
				if view == 0 && !slices.Equal(got, want) {
					t.Error("view 0 is moved")
				}
			}
			if want := (2*n + 1) * (2*n + 1); len(offsets) != want || set.Spec().Views != want {
				t.Errorf("%d views, %d different; want %d", set.Spec().Views, len(offsets), want)
			}
		})
	}
}

func TestShiftOfFloat64(t *testing.T) {
	m := must(data.NewMemory(data.Signals{"img": dense(count[float64](9), 1, 3, 3)}, nil, nil))
	set := must(data.Shift{Input: "img"}.Of(m))
	got := data.Row[float64](read(t, set, 0, 1).In["img"], 0)
	if want := []float64{0, 1, 2, 0, 4, 5, 0, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("view 1 is %v; want %v", got, want)
	}
}

func TestShiftRefuses(t *testing.T) {
	flat := must(data.NewMemory(data.Signals{"x": dense(count[float32](36), 3, 12)}, nil, nil))
	many := fake{Set: grid(3), spec: func(s *data.Spec) { s.Views = math.MaxInt / 8 }}
	for _, test := range []struct {
		set   data.Set
		shift data.Shift
		want  string
	}{
		{nil, data.Shift{}, "nil"},
		{grid(3), data.Shift{Input: "y"}, `Shift.Input is "y"`},
		{grid(3), data.Shift{Pixels: -1}, "Shift.Pixels is -1; want 0 to 2"},
		{grid(3), data.Shift{Pixels: 3}, "Shift.Pixels is 3; want 0 to 2 in images of 3 by 5"},
		{flat, data.Shift{}, "Shift.Height and Width are 0 and 0"},
		{flat, data.Shift{Height: 4}, "are 4 and 0"},
		{flat, data.Shift{Height: 5, Width: 2}, "are 5 and 2"},
		{many, data.Shift{}, "too many to count"},
	} {
		_, err := test.shift.Of(test.set)
		wantError(t, err, test.want)
	}
}

func TestAugmentIsAFunctionOfSeedIDAndView(t *testing.T) {
	m := grid(6)
	a := data.Augment{Name: "noise", Seed: 3, Do: noise}
	set, half := must(a.Of(m)), must(a.Of(must(data.Subset(m, []int{4, 2, 0}))))
	if !slices.Equal(pixels(t, set, 2, 9), pixels(t, half, 1, 9)) {
		t.Error("a view depends on the place of the sample")
	}
	if slices.Equal(pixels(t, set, 2, 9), pixels(t, set, 2, 8)) {
		t.Error("views 8 and 9 are the same")
	}
	a.Seed++
	if slices.Equal(pixels(t, set, 2, 9), pixels(t, must(a.Of(m)), 2, 9)) {
		t.Error("the seed changes nothing")
	}
	if !slices.Equal(pixels(t, set, 2, 0), pixels(t, m, 2, 0)) {
		t.Error("view 0 is not the plain sample")
	}
}

// Decorators over each other see the parts of the view that are theirs.
func TestViewsMultiply(t *testing.T) {
	base := grid(3)
	shift := must(data.Shift{}.Of(base))
	four := data.Augment{Name: "noise", Views: 4, Do: noise}
	free := data.Augment{Name: "noise", Do: noise}
	both, freeOfShift := must(four.Of(shift)), must(free.Of(shift))
	shiftOfFree := must(data.Shift{}.Of(must(free.Of(base))))
	for _, test := range []struct {
		set  data.Set
		want int
	}{{both, 36}, {freeOfShift, 0}, {shiftOfFree, 0}} {
		if got := test.set.Spec().Views; got != test.want {
			t.Errorf("%d views; want %d", got, test.want)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		view := rapid.Uint64Range(0, 8).Draw(r, "view")
		if !slices.Equal(pixels(t, both, 1, 4*view), pixels(t, shift, 1, view)) {
			r.Fatalf("view %d of the shift is not view %d of both", view, 4*view)
		}
		// Noise stays below 1/2, so rounding down takes it off.
		for v := range uint64(4) {
			got, want := pixels(t, both, 1, 4*view+v), pixels(t, shift, 1, view)
			for i := range got {
				if float32(math.Floor(float64(got[i]))) != want[i] {
					r.Fatalf("view %d: element %d is %v; want %v", 4*view+v, i, got[i], want[i])
				}
			}
		}
	})
}

func TestAugmentRefuses(t *testing.T) {
	for _, test := range []struct {
		set     data.Set
		augment data.Augment
		want    string
	}{
		{nil, data.Augment{Name: "a", Do: noise}, "nil"},
		{grid(3), data.Augment{Do: noise}, "Augment.Name is empty"},
		{grid(3), data.Augment{Name: "a"}, "Augment.Do is nil"},
		{grid(3), data.Augment{Name: "a", Do: noise, Views: -1}, "Augment.Views is -1"},
		{must(data.Shift{}.Of(grid(3))), data.Augment{Name: "a", Do: noise, Views: math.MaxInt / 8}, "too many to count"},
	} {
		_, err := test.augment.Of(test.set)
		wantError(t, err, test.want)
	}
}
