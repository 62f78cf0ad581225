package report_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func dense[T float32 | float64 | int](v []T, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
}

// said is a teacher that answers an input.
func said(spec data.Spec, input string) teacher.Teacher {
	return teacher.Func{
		Says: teacher.Card{Signals: map[string]data.Field{"logits": spec.In[input]}, Classes: spec.Classes, Fingerprint: [32]byte{1}},
		Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
			shape := b.In[input].Shape().Clone()
			shape[0] = b.N
			if b.In[input].Dtype() == tensor.Float64 {
				return data.Signals{"logits": dense(b.In[input].Float64s()[:shape.TotalSize()], shape...)}, nil
			}
			return data.Signals{"logits": dense(b.In[input].Float32s()[:shape.TotalSize()], shape...)}, nil
		},
	}
}

func inOrder(set data.Set, batch int) data.Source {
	return data.Loader{Set: set, Batch: batch, InOrder: true}
}

// logs are logarithms: softmax undoes them.
func logs(p ...float64) []float64 {
	for i, v := range p {
		p[i] = math.Log(v)
	}
	return p
}

// threeClasses are 5 samples with what teacher and student say of each, of which
// the fourth has no label and the last no weight.
func threeClasses(t *testing.T) (data.Set, *student.Model) {
	t.Helper()
	taught := logs(
		.7, .2, .1,
		.1, .8, .1,
		.2, .2, .6,
		.5, .3, .2,
		.1, .1, .8)
	learnt := logs(
		.6, .3, .1,
		.5, .4, .1,
		.2, .1, .7,
		.3, .4, .3,
		.8, .1, .1)
	set := must(data.NewMemory(data.Signals{"s": dense(learnt, 5, 3), "t": dense(taught, 5, 3)}, dense([]int{0, 1, 2, data.Unlabelled, 2}, 5), []string{"cat", "dog", "owl"}))
	set = must(set.WithWeights(dense([]float32{1, 2, 1, 1, 0}, 5)))
	return set, identity(set.Spec())
}

// identity is a linear student with the weights of one that changes nothing.
func identity(spec data.Spec) *student.Model {
	n := spec.In["s"].Shape[0]
	m := must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"logits": b.Layer("out", student.Linear{Out: n}, in["s"])}
	}), spec, 1))
	for p := range m.Params() {
		each := func(set func(i int, v float64)) {
			for i := range p.Value.Shape().TotalSize() {
				v := 0.0
				if strings.HasSuffix(p.Name, "weight") && i%(n+1) == 0 {
					v = 1
				}
				set(i, v)
			}
		}
		if p.Value.Dtype() == tensor.Float64 {
			each(func(i int, v float64) { p.Value.Float64s()[i] = v })
		} else {
			each(func(i int, v float64) { p.Value.Float32s()[i] = float32(v) })
		}
		p.Touch()
	}
	return m
}

func kl(p, q []float64) (sum float64) {
	for i := range p {
		sum += p[i] * math.Log(p[i]/q[i])
	}
	return sum
}

func TestExamine(t *testing.T) {
	set, m := threeClasses(t)
	for _, batch := range []int{1, 3, 5} {
		x, err := report.Examine(t.Context(), inOrder(set, batch), said(set.Spec(), "t"), report.Named{Name: "small", Model: m})
		if err != nil {
			t.Fatal(err)
		}
		// Of labels 0, 1 with weight 2, and 2, the student is wrong on the second.
		apart := []float64{kl([]float64{.7, .2, .1}, []float64{.6, .3, .1}), kl([]float64{.1, .8, .1}, []float64{.5, .4, .1}), kl([]float64{.2, .2, .6}, []float64{.2, .1, .7}), kl([]float64{.5, .3, .2}, []float64{.3, .4, .3})}
		bins := make([]report.Bin, 15)
		nan := math.NaN()
		for i := range bins {
			bins[i] = report.Bin{Confidence: nan, Accuracy: nan}
		}
		bins[8] = report.Bin{Rows: 1, Confidence: 0.6, Accuracy: 1} // 8/15 to 9/15
		bins[7] = report.Bin{Rows: 2, Confidence: 0.5, Accuracy: 0} // 7/15 to 8/15
		bins[10] = report.Bin{Rows: 1, Confidence: 0.7, Accuracy: 1}
		sample := func(i uint64, label, teacher, model int, p, q float64) report.Sample {
			return report.Sample{ID: data.ID{Sample: i}, Distance: apart[i], Label: label, Teacher: teacher, Model: model, TeacherP: p, ModelP: q}
		}
		want := report.Grade{
			Name: "small", Accuracy: 0.5, NLL: -(math.Log(.6) + 2*math.Log(.4) + math.Log(.7)) / 4,
			ECE:     (0.4 + 2*0.5 + 0.3) / 4,
			Classes: []report.Tally{{Rows: 1, Right: 1}, {Rows: 2}, {Rows: 1, Right: 1}}, Bins: bins,
			Agreement: 2.0 / 5, TeacherKL: (apart[0] + 2*apart[1] + apart[2] + apart[3]) / 5,
			Confusion: [][]float64{{1, 1, 0}, {2, 0, 0}, {0, 0, 1}},
			Apart:     []report.Sample{sample(1, 1, 1, 0, .8, .5), sample(3, -1, 0, 1, .5, .4), sample(2, 2, 2, 2, .6, .7), sample(0, 0, 0, 0, .7, .6)},
		}
		near := cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-12)}
		if diff := cmp.Diff([]report.Grade{want}, x.Models, near); diff != "" {
			t.Errorf("batches of %d (-want +got):\n%s", batch, diff)
		}
		if x.Samples != 5 || !slices.Equal(x.Classes, []string{"cat", "dog", "owl"}) || x.Teacher.Accuracy != 1 || x.Teacher.Confusion != nil {
			t.Errorf("the examination is %+v, its teacher %+v", x, x.Teacher)
		}
	}
}

// noisy has the given shapes of logits and labels.
func noisy[T float32 | float64](n, classes int, logits, axes []int, names []string) data.Set {
	rng := rand.New(rand.NewPCG(3, 4))
	size := tensor.Shape(logits).TotalSize()
	s, taught := make([]T, n*size), make([]T, n*size)
	for i := range s {
		taught[i] = T(2 * rng.NormFloat64())
		s[i] = taught[i] + T(rng.NormFloat64())
	}
	rows := n * tensor.Shape(append([]int{1}, axes...)).TotalSize()
	y, w := make([]int, rows), make([]float32, rows)
	for i := range y {
		y[i], w[i] = rng.IntN(classes+1)-1, float32(rng.IntN(3))/2
	}
	shape := func(s []int) []int { return append([]int{n}, s...) }
	set := must(data.NewMemory(data.Signals{"s": dense(s, shape(logits)...), "t": dense(taught, shape(logits)...)}, dense(y, shape(axes)...), names))
	return must(set.WithWeights(dense(w, shape(axes)...)))
}

// What it says is what Measure says, for samples, tokens and pixels, of one class
// against another too.
func TestExamineAsMeasured(t *testing.T) {
	for name, set := range map[string]data.Set{
		"samples": noisy[float32](37, 4, []int{4}, nil, nil),
		"float64": noisy[float64](37, 4, []int{4}, nil, []string{"a", "b", "c", "d"}),
		"tokens":  noisy[float32](13, 4, []int{5, 4}, []int{5}, nil),
		"pixels":  noisy[float32](11, 4, []int{4, 3, 5}, []int{3, 5}, nil),
		"last":    noisy[float32](11, 4, []int{3, 5, 4}, []int{3, 5}, nil),
		"yes":     noisy[float32](31, 2, []int{}, nil, nil),
	} {
		t.Run(name, func(t *testing.T) {
			m := must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
				return student.Taps{"logits": b.Activate(in["s"], student.ReLU)}
			}), set.Spec(), 1))
			src, taught := inOrder(set, 7), said(set.Spec(), "t")
			x, err := report.Examine(t.Context(), src, taught, report.Named{Name: "m", Model: m})
			if err != nil {
				t.Fatal(err)
			}
			want := must(distill.Measure(t.Context(), m, src, taught))
			got := x.Models[0]
			for i, pair := range [][2]float64{{got.Accuracy, want.Accuracy}, {got.NLL, want.NLL}, {got.ECE, want.ECE}, {got.Agreement, want.Agreement}, {got.TeacherKL, want.TeacherKL}} {
				if !(math.Abs(pair[0]-pair[1]) <= 1e-6*max(1, pair[1])) {
					t.Errorf("number %d is %v; want %v", i, pair[0], pair[1])
				}
			}
			if len(x.Classes) != max(2, len(got.Classes)) || len(got.Classes) != len(got.Confusion) {
				t.Errorf("%d classes, with %d tallies", len(x.Classes), len(got.Classes))
			}
			for i, s := range got.Apart[1:] {
				if s.Distance > got.Apart[i].Distance {
					t.Errorf("sample %d is further than %d", i+1, i)
				}
			}
		})
	}
}

// Other tasks have neither classes nor bins, and another distance.
func TestExamineOtherTasks(t *testing.T) {
	for task, want := range map[data.Task]float64{
		data.Regression: math.Sqrt((0.25 + 1 + 4) / 3),
		data.MultiLabel: kl([]float64{.5, .5}, []float64{.25, .75}) + 0 + kl([]float64{.9, .1}, []float64{.5, .5}),
	} {
		t.Run(task.String(), func(t *testing.T) {
			newSet := data.NewRegression
			s, taught := []float64{1, 2, 3, 0, 0, 0}, []float64{1.5, 1, 5, 0, 0, 0}
			if task == data.MultiLabel { // logit of p against 1-p
				newSet = data.NewMultiLabel
				s, taught = []float64{math.Log(3), 1, 0, 0, 0, 0}, []float64{0, 1, -math.Log(9), 0, 0, 0}
			}
			set := must(newSet(data.Signals{"s": dense(s, 2, 3), "t": dense(taught, 2, 3)}, dense([]float64{0, 1, 1, 0, 0, 1}, 2, 3), nil))
			x, err := report.Examine(t.Context(), inOrder(set, 2), said(set.Spec(), "t"), report.Named{Name: "m", Model: identity(set.Spec())})
			if err != nil {
				t.Fatal(err)
			}
			g := x.Models[0]
			if x.Classes != nil || g.Classes != nil || g.Bins != nil || g.Confusion != nil || !math.IsNaN(g.Accuracy) || !math.IsNaN(g.ECE) || !math.IsNaN(g.Agreement) {
				t.Errorf("%+v; want nothing about classes", g)
			}
			if len(g.Apart) != 2 || !(math.Abs(g.Apart[0].Distance-want) < 1e-12) || g.Apart[1].Distance != 0 {
				t.Errorf("distances %+v; want %v and 0", g.Apart, want)
			}
			if err := (report.Page{Examined: x}).Write(new(bytes.Buffer)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without a teacher there is nothing to be apart from.
func TestExamineWithoutTeacher(t *testing.T) {
	set, m := threeClasses(t)
	x, err := report.Examine(t.Context(), inOrder(set, 2), nil, report.Named{Name: "alone", Model: m})
	if err != nil {
		t.Fatal(err)
	}
	if g := x.Models[0]; x.Teacher != nil || g.Confusion != nil || g.Apart != nil || !math.IsNaN(g.TeacherKL) || g.Accuracy != 0.5 {
		t.Errorf("%+v", x)
	}
}

// Only so many samples are kept, whatever their order.
func TestExamineKeepsTheFurthest(t *testing.T) {
	set := noisy[float32](200, 3, []int{3}, nil, nil)
	x, err := report.Examine(t.Context(), inOrder(set, 16), said(set.Spec(), "t"), report.Named{Name: "m", Model: identity(set.Spec())})
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for i := range set.Len() {
		b := must(data.NewBatch(set.Spec(), 1))
		if err := b.Append(set, i, 0); err != nil {
			t.Fatal(err)
		}
		one := must(report.Examine(t.Context(), batches{set.Spec(), []data.Batch{b}}, said(set.Spec(), "t"), report.Named{Name: "m", Model: identity(set.Spec())}))
		for _, s := range one.Models[0].Apart {
			all = append(all, s.Distance)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	got := x.Models[0].Apart
	if len(got) != 24 {
		t.Fatalf("%d samples; want 24", len(got))
	}
	for i, s := range got {
		if s.Distance != all[i] {
			t.Errorf("sample %d is at %v; want %v", i, s.Distance, all[i])
		}
	}
}

// pictured examines one sample of an image.
func pictured(t *testing.T, pixels []float32, norm map[string]data.Norm, shape ...int) image.Image {
	t.Helper()
	set := data.Set(must(data.NewMemory(data.Signals{
		"img": dense(pixels, append([]int{1}, shape...)...), "s": dense([]float32{1, 2, 3}, 1, 3), "t": dense([]float32{3, 2, 1}, 1, 3),
	}, dense([]int{1}, 1), nil)))
	if norm != nil {
		set = must(data.Normalize(set, norm))
	}
	x, err := report.Examine(t.Context(), inOrder(set, 3), said(set.Spec(), "t"), report.Named{Name: "m", Model: identity(set.Spec())})
	if err != nil {
		t.Fatal(err)
	}
	if x.Models[0].Apart[0].Picture == nil {
		return nil
	}
	img, err := png.Decode(bytes.NewReader(x.Models[0].Apart[0].Picture))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPictures(t *testing.T) {
	grey := []float32{0, 51, 102, 153, 204, 255, 0, 255, 0, 255, 51, 204}
	each := data.Norm{Mean: make([]float64, 12), SD: make([]float64, 12)}
	for i := range 12 {
		each.Mean[i], each.SD[i] = float64(i), float64(i+1)
	}
	for name, norm := range map[string]map[string]data.Norm{
		"raw": nil, "one norm": {"img": {Mean: []float64{100}, SD: []float64{50}}}, "a norm each": {"img": each},
	} {
		for _, shape := range [][]int{{3, 4}, {1, 3, 4}} {
			img := pictured(t, slices.Clone(grey), norm, shape...)
			if img == nil || img.Bounds() != image.Rect(0, 0, 4, 3) {
				t.Fatalf("%s %v: no picture of 4 by 3", name, shape)
			}
			for i, v := range grey {
				if r, _, _, _ := img.At(i%4, i/4).RGBA(); r>>8 != uint32(v) {
					t.Errorf("%s %v: pixel %d is %d; want %v", name, shape, i, r>>8, v)
				}
			}
		}
	}
	colours := make([]float32, 3*4*5)
	for i := range colours {
		colours[i] = float32(i/20) / 2 // red 0, green a half, blue 1
	}
	if r, g, b, _ := pictured(t, colours, nil, 3, 4, 5).At(4, 3).RGBA(); r>>8 != 0 || g>>8 != 128 || b>>8 != 255 {
		t.Errorf("the colour is %d, %d, %d", r>>8, g>>8, b>>8)
	}
	large := make([]float32, 200*100)
	for i := range large {
		large[i] = float32(i % 2)
	}
	img := pictured(t, large, nil, 200, 100)
	if img.Bounds() != image.Rect(0, 0, 34, 67) {
		t.Errorf("an image of 100 by 200 is %v", img.Bounds())
	}
	for _, shape := range [][]int{{12}, {2, 2, 3}, {1, 12}} {
		if pictured(t, slices.Clone(grey), nil, shape...) != nil {
			t.Errorf("%v makes a picture", shape)
		}
	}
}

func TestExamineRefuses(t *testing.T) {
	set, m := threeClasses(t)
	spec := set.Spec()
	src, taught := inOrder(set, 5), said(spec, "t")
	four := noisy[float64](5, 3, []int{4}, nil, nil)
	moved := must(data.Normalize(set, map[string]data.Norm{"s": {Mean: []float64{1}, SD: []float64{2}}}))
	broken := must(data.NewBatch(spec, 2))
	wrong := must(data.NewBatch(spec, 1))
	if err := wrong.Append(set, 0, 0); err != nil {
		t.Fatal(err)
	}
	wrong.Label.Ints()[0] = 7
	top := teacher.Func{Says: teacher.Card{Signals: map[string]data.Field{"hidden": {Shape: tensor.Shape{3}, Dtype: tensor.Float64}}}}
	endless := said(spec, "t").(teacher.Func)
	endless.Do = func(_ context.Context, b data.Batch) (data.Signals, error) {
		return data.Signals{"logits": dense(slices.Repeat([]float64{math.NaN()}, 3*b.N), b.N, 3)}, nil
	}
	small := report.Named{Name: "small", Model: m}
	for name, test := range map[string]struct {
		src    data.Source
		taught teacher.Teacher
		models []report.Named
		want   string
	}{
		"no source":      {nil, taught, []report.Named{small}, "the source is nil; want a data.Source"},
		"nothing":        {src, nil, nil, "there is no teacher and no model; want one or more"},
		"no model":       {src, taught, []report.Named{small, {Name: "none"}}, `model 1, "none", is nil`},
		"another norm":   {inOrder(moved, 2), taught, []report.Named{small}, `model "small": input "s" of the source has another data.Norm`},
		"no logits":      {src, top, nil, `teacher has no signal "logits"; want whole logits`},
		"other classes":  {src, said(four.Spec(), "t"), nil, "logits are (4) for a sample; the source has 3 classes"},
		"other shape":    {inOrder(four, 2), said(data.Spec{In: map[string]data.Field{"t": {Shape: tensor.Shape{3}, Dtype: tensor.Float64}}}, "t"), []report.Named{{Name: "m", Model: identity(four.Spec())}}, "its logits are (4) and the teacher's (3); want one shape"},
		"not a number":   {src, endless, []report.Named{small}, "the teacher: teacher: "},
		"empty":          {batches{spec, nil}, taught, []report.Named{small}, "the source is empty; want one batch or more"},
		"no samples":     {batches{spec, []data.Batch{broken}}, taught, nil, "a batch has N = 0 and 0 ids"},
		"label too high": {batches{spec, []data.Batch{wrong}}, taught, []report.Named{small}, "sample 0: the label is 7; want less than 3"},
	} {
		_, err := report.Examine(t.Context(), test.src, test.taught, test.models...)
		if err == nil || !strings.HasPrefix(err.Error(), "report: Examine: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v; want %q", name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := report.Examine(ctx, src, taught, small); err == nil {
		t.Error("a context that is cancelled examines")
	}
}

func ExampleExamine() {
	set := must(data.Digits()).Test
	m := must(student.New(student.MLP{Hidden: []int{16}, Out: 10}, set.Spec(), 1))
	big := must(student.New(student.MLP{Hidden: []int{64}, Out: 10}, set.Spec(), 2))
	seen, err := report.Examine(context.Background(), inOrder(set, 100), teacher.Of(big), report.Named{Name: "student", Model: m})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(seen.Samples, len(seen.Classes), len(seen.Models[0].Apart))
	// Output: 500 10 24
}
