package data_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// stack is n images of 3 planes of 5 by 4 pixels that count up from 1, of 4
// classes in turn.
func stack[E float32 | float64](n int) *data.Memory {
	label := make([]int, n)
	for i := range label {
		label[i] = i % len(classes)
	}
	return must(data.NewMemory(data.Signals{data.Input: dense(count[E](n*60), n, 3, 5, 4)}, dense(label, n), classes))
}

// row is one view of one sample, whatever the float type.
func row(t testing.TB, set data.Set, i int, view uint64) []float64 {
	t.Helper()
	x := read(t, set, i, view).In[data.Input]
	wide := slices.Clone(data.Row[float64](x, 0))
	for _, v := range data.Row[float32](x, 0) {
		wide = append(wide, float64(v))
	}
	return wide
}

func TestFlip(t *testing.T) {
	for name, set := range map[string]data.Set{"float32": stack[float32](3), "float64": stack[float64](3)} {
		f := must(data.Flip{}.Of(set))
		plain, got := row(t, set, 1, 0), row(t, f, 1, 1)
		for i := range got {
			if want := plain[i/4*4+3-i%4]; got[i] != want {
				t.Fatalf("%s: element %d is %v; want %v", name, i, got[i], want)
			}
		}
		if !slices.Equal(row(t, f, 1, 0), plain) || f.Spec().Views != 2 {
			t.Errorf("%s: view 0 is flipped, or there are %d views", name, f.Spec().Views)
		}
	}
	flat := must(data.NewMemory(data.Signals{"img": dense(count[float32](24), 2, 12)}, nil, nil))
	got := data.Row[float32](read(t, must(data.Flip{Input: "img", Height: 4, Width: 3}.Of(flat)), 0, 1).In["img"], 0)
	if want := []float32{3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10}; !slices.Equal(got, want) {
		t.Errorf("flat images: %v; want %v", got, want)
	}
}

// cropped is the definition: each pixel is looked up where it came from.
func cropped(img []float64, h, w, top, left int) []float64 {
	out := make([]float64, 3*h*w)
	for i := range out {
		c, y, x := i/(h*w), i/w%h+top, i%w+left
		if y >= 0 && y < 5 && x >= 0 && x < 4 {
			out[i] = img[c*20+y*4+x]
		}
	}
	return out
}

func TestCrop(t *testing.T) {
	for _, test := range []struct {
		name      string
		crop      data.Crop
		h, w, pad int
		top, left int
	}{
		{"as large", data.Crop{Pad: 2}, 5, 4, 2, 0, 0},
		{"smaller", data.Crop{Height: 3, Width: 2}, 3, 2, 0, 1, 1},
		{"smaller, with a border", data.Crop{Height: 4, Width: 3, Pad: 1}, 4, 3, 1, 0, 0},
		{"larger", data.Crop{Height: 7, Width: 5, Pad: 3}, 7, 5, 3, -1, -1},
	} {
		for dtype, set := range map[string]data.Set{"float32": stack[float32](9), "float64": stack[float64](9)} {
			s := must(test.crop.Of(set))
			if shape := s.Spec().In["x"].Shape; !slices.Equal(shape, []int{3, test.h, test.w}) {
				t.Fatalf("%s: shape is %v", test.name, shape)
			}
			places := map[[2]int]bool{}
			all := (5 + 2*test.pad - test.h + 1) * (4 + 2*test.pad - test.w + 1)
			for view := range uint64(40 * all) {
				i := int(view % 9)
				img, got, found := row(t, set, i, 0), row(t, s, i, view), false
				for top := -test.pad; top <= 5+test.pad-test.h; top++ {
					for left := -test.pad; left <= 4+test.pad-test.w; left++ {
						if slices.Equal(got, cropped(img, test.h, test.w, top, left)) {
							places[[2]int{top, left}], found = true, true
							if view == 0 && (top != test.top || left != test.left) {
								t.Errorf("%s, %s: view 0 is at %d, %d; want the middle, %d, %d", test.name, dtype, top, left, test.top, test.left)
							}
						}
					}
				}
				if !found {
					t.Fatalf("%s, %s: view %d is no part: %v", test.name, dtype, view, got)
				}
			}
			if len(places) != all {
				t.Errorf("%s, %s: %d places; want %d", test.name, dtype, len(places), all)
			}
		}
	}
	wide := must(data.NewMemory(data.Signals{"x": dense(count[float32](120), 2, 6, 10)}, nil, nil))
	if got, want := must(data.Crop{}.Of(wide)).Spec(), must(data.Crop{Pad: 4}.Of(wide)).Spec(); got.Fingerprint != want.Fingerprint {
		t.Error("the zero Crop has another border than 4")
	}
}

// What else a sample has goes with the part of its image.
func TestCropKeepsTheRest(t *testing.T) {
	in := data.Signals{"x": dense(count[float32](60), 3, 5, 4), "n": dense(count[int](9), 3, 3), "f": dense(count[float64](6), 3, 2)}
	set := must(must(data.NewMemory(in, dense([]int{2, -1, 1}, 3), classes)).WithWeights(dense([]float32{3, 0.5, 2}, 3)))
	s := must(data.Crop{Height: 3, Width: 2}.Of(set))
	for i := range 3 {
		got, want := read(t, s, i, 1), read(t, set, i, 0)
		delete(got.In, "x")
		delete(want.In, "x")
		want.ID[0].View = 1
		if diff := cmp.Diff(want, got, denses); diff != "" {
			t.Error(diff)
		}
	}
	class, _ := dealt(data.Loader{Set: s, Batch: 2, Draw: must(data.Balance(s))}, 0)
	if diff := cmp.Diff(map[int]int{1: 1, 2: 1}, class); diff != "" {
		t.Error(diff)
	}
}

func TestCutout(t *testing.T) {
	for dtype, set := range map[string]data.Set{"float32": stack[float32](9), "float64": stack[float64](9)} {
		for size, s := range map[int]data.Set{
			2: must(data.Cutout{}.Of(set)),
			3: must(data.Cutout{Size: 3}.Of(set)),
			5: must(data.Cutout{Size: 5}.Of(set)),
		} {
			places := map[[2]int]bool{}
			for view := range uint64(500) {
				i := int(view % 9)
				img, got, found := row(t, set, i, 0), row(t, s, i, view), view == 0
				for y := range 5 {
					for x := range 4 {
						want := slices.Clone(img)
						for p := range want {
							py, px := p/4%5-(y-size/2), p%4-(x-size/2)
							if py >= 0 && py < size && px >= 0 && px < size {
								want[p] = 0
							}
						}
						if slices.Equal(got, want) {
							places[[2]int{y, x}], found = true, true
						}
					}
				}
				if !found || view == 0 && !slices.Equal(got, img) {
					t.Fatalf("%s, size %d, view %d: %v", dtype, size, view, got)
				}
			}
			if len(places) != 20 {
				t.Errorf("%s, size %d: middles at %d places; want 20", dtype, size, len(places))
			}
		}
	}
}

func TestMixup(t *testing.T) {
	for dtype, set := range map[string]data.Set{"float32": stack[float32](9), "float64": stack[float64](9)} {
		s := must(data.Mixup{Seed: 4}.Of(set))
		if f := s.Spec().Label; f.Dtype != tensor.Float32 || !slices.Equal(f.Shape, []int{4}) {
			t.Fatalf("labels are %+v", f)
		}
		partners, sum := map[int]bool{}, 0.0
		for view := uint64(1); view < 200; view++ {
			b := read(t, s, 4, view)
			got, a := row(t, s, 4, view), row(t, set, 4, 0)
			// Sample j is 60 (j-4) above sample 4, everywhere.
			apart := got[0] - a[0]
			for i := range got {
				if math.Abs(got[i]-a[i]-apart) > 1e-4 {
					t.Fatalf("%s: view %d is no mixture", dtype, view)
				}
			}
			label := data.Row[float32](b.Label, 0)
			found := false
			for j := range 9 {
				rest := apart / 60 / float64(j-4)
				if j == 4 || rest < 0 || rest > 1 {
					continue
				}
				want := make([]float32, 4)
				want[0] += float32(1 - rest)
				want[j%4] += float32(rest)
				if slices.EqualFunc(label, want, func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }) {
					found = true
					partners[j] = true
				}
			}
			if !found {
				t.Fatalf("%s: view %d has label %v at %v", dtype, view, label, apart)
			}
			sum += float64(label[0])
		}
		if len(partners) != 8 {
			t.Errorf("%s: partners are %v; want all others", dtype, partners)
		}
		if !slices.Equal(row(t, s, 4, 0), row(t, set, 4, 0)) || !slices.Equal(read(t, s, 5, 0).Label.Float32s(), []float32{0, 1, 0, 0}) {
			t.Errorf("%s: view 0 is mixed", dtype)
		}
	}
}

// What is drawn has the mean and the variance of Beta(alpha, alpha).
func TestMixupShares(t *testing.T) {
	x := dense([]float32{0, 1}, 2, 1)
	set := must(data.NewMemory(data.Signals{"x": x}, nil, nil))
	for _, alpha := range []float64{0, 1e-3, 0.2, 0.7, 1, 3.5, 1000} {
		s := must(data.Mixup{Alpha: alpha, Seed: 1}.Of(set))
		if alpha == 0 {
			alpha = 1
		}
		const n = 20000
		sum, squares := 0.0, 0.0
		for view := uint64(1); view <= n; view++ {
			v := row(t, s, 0, view)[0]
			sum += v
			squares += (v - 0.5) * (v - 0.5)
		}
		mean, variance, want := sum/n, squares/n, 1/(4*(2*alpha+1))
		if math.Abs(mean-0.5) > 5*math.Sqrt(want/n) || math.Abs(variance/want-1) > 0.05 {
			t.Errorf("alpha %v: mean %v and variance %v; want 0.5 and %v", alpha, mean, variance, want)
		}
	}
}

func TestMixupOfLabels(t *testing.T) {
	x := data.Signals{"x": dense(count[float32](9), 3, 3)}
	soft := must(data.NewMemory(x, dense([]float64{0.5, 0.5, 0, 0, 0.25, 0.75, 0, 0, 0}, 3, 3), nil))
	s := must(data.Mixup{}.Of(soft))
	if f := s.Spec().Label; f.Dtype != tensor.Float64 {
		t.Errorf("soft labels become %+v", f)
	}
	hard := must(must(data.NewMemory(x, dense([]int{0, 1, -1}, 3), classes)).WithWeights(dense([]float32{1, 2, 3}, 3)))
	h := must(data.Mixup{}.Of(hard))
	for view := range uint64(50) {
		b := read(t, s, 0, view)
		label, rest := b.Label.Float64s(), (float64(b.In["x"].Float32s()[0])-1)/3
		if rest > 0 && label[2] > 0 && math.Abs(label[2]-0.75*rest) > 1e-6 {
			t.Errorf("view %d: label %v with %v of the other", view, label, rest)
		}
		b = read(t, h, 0, view)
		got, x, weight := b.Label.Float32s(), b.In["x"].Float32s()[0], b.Weight.Float32s()[0]
		if math.Abs(float64(weight-1-(x-1)/3)) > 1e-6 {
			t.Errorf("view %d has weight %v at %v", view, weight, x)
		}
		if sum := got[0] + got[1]; sum != 0 && math.Abs(float64(sum-1)) > 1e-6 || view == 0 && got[0] != 1 {
			t.Errorf("view %d has label %v", view, got)
		}
		if got := read(t, h, 2, view).Label.Float32s(); !slices.Equal(got, make([]float32, 4)) {
			t.Errorf("view %d of a sample without a label has %v", view, got)
		}
	}
	none := must(data.Mixup{}.Of(must(data.NewMemory(x, nil, nil))))
	if b := read(t, none, 0, 5); b.Label != nil {
		t.Error("a set without labels has them when it is mixed")
	}
}

// A view is a function of the seed, the id and the view; what is around and
// inside has its own part of it.
func TestViewsCompose(t *testing.T) {
	base := stack[float32](9)
	whole := func(seed uint64, bound int, set data.Set) data.Set {
		set = must(data.Flip{}.Of(set))
		set = must(data.Crop{Height: 4, Width: 3, Pad: 1, Seed: seed, Views: bound}.Of(set))
		set = must(data.Cutout{Seed: seed, Views: bound}.Of(set))
		return must(data.Mixup{Seed: seed, Views: bound}.Of(set))
	}
	bounded, free := whole(1, 3, base), whole(1, 0, base)
	if bounded.Spec().Views != 54 || free.Spec().Views != 0 {
		t.Errorf("%d and %d views; want 54 and 0", bounded.Spec().Views, free.Spec().Views)
	}
	different := map[[36]float64]bool{}
	for view := range uint64(54) {
		different[[36]float64(row(t, bounded, 3, view))] = true
	}
	if len(different) < 45 {
		t.Errorf("%d different views of 54", len(different))
	}
	if got, want := row(t, bounded, 3, 0), cropped(row(t, base, 3, 0), 4, 3, 0, 0); !slices.Equal(got, want) {
		t.Errorf("view 0 is %v; want the middle, %v", got, want)
	}
	for name, set := range map[string]data.Set{"bounded": bounded, "free": free} {
		l := data.Loader{Set: set, Batch: 4, Seed: 7}
		all := must(drain(l, 3, 0))
		if diff := cmp.Diff(all[1:], must(drain(l, 3, 1)), denses); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		l.Workers = 3
		if diff := cmp.Diff(all, must(drain(l, 3, 0)), denses); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	other := whole(2, 0, base)
	if slices.Equal(row(t, free, 3, 5), row(t, other, 3, 5)) {
		t.Error("the seed changes nothing")
	}
	// Where it stands in a set does not matter, but to who is mixed with it.
	crop := func(set data.Set) data.Set { return must(data.Cutout{}.Of(must(data.Crop{Pad: 2}.Of(set)))) }
	part := must(data.Subset(base, []int{8, 3}))
	if !slices.Equal(row(t, crop(base), 3, 11), row(t, crop(part), 1, 11)) {
		t.Error("a view depends on the place of the sample")
	}
}

func TestDecoratorsMakeNoGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("objects are counted without -short: the race detector makes some of its own")
	}
	set := must(data.Flip{}.Of(stack[float32](9)))
	set = must(data.Crop{Height: 4, Width: 3}.Of(set))
	set = must(data.Mixup{}.Of(must(data.Cutout{}.Of(set))))
	b := must(data.NewBatch(set.Spec(), 1))
	view := uint64(0)
	if n := testing.AllocsPerRun(200, func() {
		view++
		if err := set.Read(3, view, data.Sample{Batch: &b}); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("a sample takes %v objects; want none", n)
	}
}

func TestViewsRefuse(t *testing.T) {
	of := func(make func(data.Set) (data.Set, error), set data.Set) error { _, err := make(set); return err }
	images := stack[float32](3)
	flat := must(data.NewMemory(data.Signals{"x": dense(count[float32](36), 3, 12)}, nil, nil))
	tokens := must(data.NewMemory(data.Signals{"t": dense(count[int](9), 3, 3)}, dense(count[int](9), 3, 3), nil))
	nameless := must(data.NewMemory(data.Signals{"x": dense(count[float32](9), 3, 3)}, dense([]int{0, 1, 2}, 3), nil))
	ints := must(data.NewMemory(data.Signals{"t": dense(count[int](9), 3, 3)}, nil, nil))
	many := fake{Set: images, spec: func(s *data.Spec) { s.Views = math.MaxInt/2 + 1 }}
	each := must(data.Normalize(images, must(data.FitNormEach(images))))
	for _, test := range []struct {
		err  error
		want string
	}{
		{of(data.Flip{}.Of, nil), "data: Flip: the set is nil"},
		{of(data.Flip{Input: "y"}.Of, images), `data: Flip.Input is "y"; want an input of a float type`},
		{of(data.Flip{}.Of, flat), "data: Flip.Height and Width are 0 and 0"},
		{of(data.Flip{}.Of, many), "too many to count"},
		{of(data.Crop{}.Of, nil), "data: Crop: the set is nil"},
		{of(data.Crop{}.Of, images), "data: Crop.Pad is 4; want 0 to 3 in images of 5 by 4"},
		{of(data.Crop{Pad: -1}.Of, images), "data: Crop.Pad is -1"},
		{of(data.Crop{Input: "y"}.Of, images), `data: Crop.Input is "y"`},
		{of(data.Crop{}.Of, flat), "are 0 and 0"},
		{of(data.Crop{Height: 3}.Of, images), "data: Crop.Height and Width are 3 and 0; want the size of parts of 5 by 4"},
		{of(data.Crop{Height: 6, Width: 7, Pad: 1}.Of, images), "are 6 and 7; want the size of parts of 7 by 6"},
		{of(data.Crop{Height: -3, Width: 3}.Of, images), "are -3 and 3"},
		{of(data.Crop{Pad: 1, Views: -1}.Of, images), "data: Crop.Views is -1; want 0 or more"},
		{of(data.Crop{Pad: 1, Views: 3}.Of, many), "data: Crop.Views"},
		{of(data.Crop{Height: 3, Width: 3}.Of, each), "data: Crop of images with a Norm for each element"},
		{of(data.Cutout{}.Of, nil), "data: Cutout: the set is nil"},
		{of(data.Cutout{Input: "y"}.Of, images), `data: Cutout.Input is "y"`},
		{of(data.Cutout{Size: 6}.Of, images), "data: Cutout.Size is 6; want 0 to 5 in images of 5 by 4"},
		{of(data.Cutout{Size: -1}.Of, images), "data: Cutout.Size is -1"},
		{of(data.Cutout{Views: -1}.Of, images), "data: Cutout.Views is -1"},
		{of(data.Cutout{Views: 3}.Of, many), "data: Cutout.Views"},
		{of(data.Mixup{}.Of, nil), "data: Mixup: the set is nil"},
		{of(data.Mixup{Alpha: -1}.Of, images), "data: Mixup.Alpha is -1"},
		{of(data.Mixup{Alpha: math.NaN()}.Of, images), "data: Mixup.Alpha is NaN"},
		{of(data.Mixup{Alpha: math.Inf(1)}.Of, images), "data: Mixup.Alpha is +Inf"},
		{of(data.Mixup{Views: -1}.Of, images), "data: Mixup.Views is -1"},
		{of(data.Mixup{Views: 3}.Of, many), "data: Mixup.Views"},
		{of(data.Mixup{}.Of, must(data.Subset(images, []int{2}))), "data: Mixup of a set of 1; want 2 samples or more"},
		{of(data.Mixup{}.Of, tokens), "data: Mixup of labels of shape (3)"},
		{of(data.Mixup{}.Of, nameless), "data: Mixup of classes without names"},
		{of(data.Mixup{}.Of, ints), `data: Mixup: input "t" has dtype int; want a float type`},
	} {
		wantError(t, test.err, test.want)
	}
}

// What goes wrong inside is told, and with whom.
func TestViewsTellErrors(t *testing.T) {
	boom := errors.New("boom")
	broken := fake{Set: stack[float32](3), read: func(i int, _ data.Sample) error {
		if i == 1 {
			return boom
		}
		return nil
	}}
	for name, set := range map[string]data.Set{
		"flip":   must(data.Flip{}.Of(broken)),
		"crop":   must(data.Crop{Pad: 1}.Of(broken)),
		"cutout": must(data.Cutout{}.Of(broken)),
		"mixup":  must(data.Mixup{}.Of(broken)),
	} {
		b := must(data.NewBatch(set.Spec(), 1))
		if err := b.Append(set, 1, 1); !errors.Is(err, boom) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	mixed := must(data.Mixup{}.Of(broken))
	var err error
	for view := uint64(1); err == nil && view < 50; view++ {
		b := must(data.NewBatch(mixed.Spec(), 1))
		err = b.Append(mixed, 2, view)
	}
	wantError(t, err, "row 2, sample 2: mixed with row 1: boom")
}
