package distill

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A task is something to learn besides classes of samples: a set of n samples,
// what a teacher of it says, and the terms that go with it.
type task struct {
	set   func(n int) *data.Memory
	shape tensor.Shape // of the logits of a sample
	says  func(x []float64) []float64
	terms []Term
}

const taskIn = 5

// inputs are n samples of taskIn numbers, each weighed by its place.
func inputs(n int) (data.Signals, []float64) {
	rng := rand.New(rand.NewPCG(11, 13))
	x := make([]float64, n*taskIn)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return data.Signals{"x": dense[float64](x, n, taskIn)}, x
}

// of is f of each sample, side by side.
func of(x []float64, f func(x []float64) []float64) (all []float64) {
	for ; len(x) > 0; x = x[taskIn:] {
		all = append(all, f(x[:taskIn])...)
	}
	return all
}

func weighed(set *data.Memory, err error, shape ...int) *data.Memory {
	w := make([]float64, tensor.Shape(shape).TotalSize())
	for i := range w {
		w[i] = float64(i%3) / 2
	}
	return must(must(set, err).WithWeights(dense[float32](w, shape...)))
}

// The pixels of a sample, and their classes.
const high, broad, colours = 3, 4, 5

func tasks() map[string]task {
	sums := func(x []float64) []float64 { return []float64{x[0] + 2*x[1], 3 - x[2], x[3] * x[4]} }
	near := func(x []float64) []float64 {
		y := sums(x)
		return []float64{y[0] + 0.1*x[2], y[1] + 0.1*x[0], y[2]}
	}
	logits := func(x []float64) []float64 { return []float64{3 * x[0], 2 * x[1], x[2] - x[3]} }
	yes := func(x []float64) (all []float64) {
		for _, z := range logits(x) {
			all = append(all, max(0, math.Copysign(1, z)))
		}
		return all
	}
	painted := func(x []float64) (all []float64) { // channels first
		for c := range colours {
			for p := range high * broad {
				all = append(all, x[(c+p)%taskIn]+float64(c*p%3))
			}
		}
		return all
	}
	bright := func(x []float64) (all []float64) {
		for p := range high * broad {
			all = append(all, x[p%taskIn]+x[p%3])
		}
		return all
	}
	seen := func(n int) *data.Memory {
		in, x := inputs(n)
		label := ints(of(x, func(x []float64) (all []float64) {
			for _, z := range bright(x) {
				all = append(all, max(0, math.Copysign(1, z)))
			}
			return all
		}))
		for i := 3; i < len(label); i += 7 {
			label[i] = data.Unlabelled
		}
		set, err := data.NewMemory(in, tensor.New(tensor.WithShape(n, high, broad), tensor.WithBacking(label)), []string{"dark", "bright"})
		return weighed(set, err, n, high, broad)
	}
	binary := []Term{{Name: "hard", Loss: BCE{}}, {Name: "soft", Loss: BinaryKL{T: Constant(2)}}}
	return map[string]task{
		"bright pixels": {set: seen, shape: tensor.Shape{high, broad}, says: bright, terms: binary},
		"a channel":     {set: seen, shape: tensor.Shape{1, high, broad}, says: bright, terms: binary},
		"one question": {
			set: func(n int) *data.Memory {
				in, x := inputs(n)
				set, err := data.NewMultiLabel(in, dense[float64](of(x, func(x []float64) []float64 { return yes(x)[:1] }), n), nil)
				return weighed(set, err, n)
			},
			shape: tensor.Shape{1}, says: func(x []float64) []float64 { return logits(x)[:1] },
			terms: binary,
		},
		"numbers": {
			set: func(n int) *data.Memory {
				in, x := inputs(n)
				set, err := data.NewRegression(in, dense[float64](of(x, sums), n, 3), []string{"a", "b", "c"})
				return weighed(set, err, n)
			},
			shape: tensor.Shape{3}, says: near,
			terms: []Term{
				{Name: "mse", Loss: MSE{Label: true}}, {Name: "l1", Loss: L1{Label: true}}, {Name: "huber", Loss: Huber{Delta: 0.5, Label: true}},
				{Name: "bounded", Loss: Bounded{Margin: 0.1}}, {Name: "soft", Loss: MSE{}},
			},
		},
		"a number": {
			set: func(n int) *data.Memory {
				in, x := inputs(n)
				set, err := data.NewRegression(in, dense[float64](of(x, func(x []float64) []float64 { return sums(x)[:1] }), n), nil)
				return weighed(set, err, n)
			},
			shape: tensor.Shape{1}, says: func(x []float64) []float64 { return near(x)[:1] },
			terms: []Term{{Name: "hard", Loss: Huber{Label: true}}, {Name: "soft", Loss: L1{}}},
		},
		"answers": {
			set: func(n int) *data.Memory {
				in, x := inputs(n)
				set, err := data.NewMultiLabel(in, dense[float64](of(x, yes), n, 3), nil)
				return weighed(set, err, n)
			},
			shape: tensor.Shape{3}, says: logits,
			terms: []Term{{Name: "hard", Loss: BCE{Yes: []float64{1, 2, 3}}}, {Name: "soft", Loss: BinaryKL{T: Constant(2)}}},
		},
		"an answer": {
			set: func(n int) *data.Memory {
				in, x := inputs(n)
				label := ints(of(x, func(x []float64) []float64 { return yes(x)[:1] }))
				for i := 2; i < n; i += 5 {
					label[i] = data.Unlabelled
				}
				set, err := data.NewMemory(in, tensor.New(tensor.WithBacking(label)), []string{"no", "yes"})
				return weighed(set, err, n)
			},
			shape: tensor.Shape{1}, says: func(x []float64) []float64 { return logits(x)[:1] },
			terms: []Term{{Name: "hard", Loss: BCE{}}, {Name: "soft", Loss: BinaryKL{}}},
		},
		"pixels": {
			set: func(n int) *data.Memory {
				in, x := inputs(n)
				label := ints(of(x, func(x []float64) (all []float64) {
					z := painted(x)
					for p := range high * broad {
						best := 0
						for c := range colours {
							if z[c*high*broad+p] > z[best*high*broad+p] {
								best = c
							}
						}
						all = append(all, float64(best))
					}
					return all
				}))
				for i := 3; i < len(label); i += 7 {
					label[i] = data.Unlabelled
				}
				set, err := data.NewMemory(in, tensor.New(tensor.WithShape(n, high, broad), tensor.WithBacking(label)), []string{"a", "b", "c", "d", "e"})
				return weighed(set, err, n, high, broad)
			},
			shape: tensor.Shape{colours, high, broad}, says: painted,
			terms: Hinton(2, 0.5),
		},
	}
}

// student is a linear one, with logits of the task's shape.
func (k task) student(spec data.Spec, seed uint64) *student.Model {
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		z := b.Layer("l", student.Linear{Out: k.shape.TotalSize()}, in["x"])
		return student.Taps{"logits": b.Reshape(z, append([]int{b.Rows()}, k.shape...)...)}
	})
	return must(student.New(net, spec, seed))
}

func (k task) teacher() teacher.Func {
	return teacher.Func{
		Says: teacher.Card{Signals: map[string]data.Field{"logits": {Shape: k.shape, Dtype: tensor.Float64}}, Fingerprint: [32]byte{1}},
		Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
			z := of(b.In["x"].Float64s()[:b.N*taskIn], k.says)
			return data.Signals{"logits": dense[float64](z, append([]int{b.N}, k.shape...)...)}, nil
		},
	}
}

// run is a run of the task in 3 epochs of steps of 12 rows, split into batches.
func (k task) run(set *data.Memory, batch, accumulate int) *Run {
	return &Run{
		Student: k.student(set.Spec(), 1), Teacher: k.teacher(), Terms: k.terms,
		Train: data.Loader{Set: set, Batch: batch, Seed: 3}, Valid: data.Loader{Set: set, Batch: 9, InOrder: true},
		Optimizer: SGD{Rate: Constant(0.05)}, Accumulate: accumulate, Epochs: 3,
	}
}

// Padding and any split of a step change nothing, nor does the order of rows.
func TestTasksAreWeightedMeans(t *testing.T) {
	for name, k := range tasks() {
		t.Run(name, func(t *testing.T) {
			set := k.set(20)
			want := traceOf(t, k.run(set, 12, 1))
			for _, batch := range []int{6, 4, 3, 1} {
				sameTrace(t, traceOf(t, k.run(set, batch, 12/batch)), want, 1e-12)
			}
			rows := make([]int, 20)
			for i := range rows {
				rows[i] = (i*7 + 3) % 20
			}
			one := func(set data.Set, batch int) *Run {
				r := k.run(k.set(20), batch, 1)
				r.Train, r.Valid, r.MaxSteps = data.Loader{Set: set, Batch: batch, InOrder: true}, nil, 1
				return r
			}
			sameTrace(t, traceOf(t, one(must(data.Subset(set, rows)), 33)), traceOf(t, one(set, 20)), 1e-12)
		})
	}
}

// A student that is its teacher has nothing to learn from it.
func TestTaskTeacherIsStudent(t *testing.T) {
	for name, k := range tasks() {
		set := k.set(20)
		r := k.run(set, 6, 1)
		r.Teacher, r.AnyTeacher = teacher.Of(k.student(set.Spec(), 1)), true
		r.Terms = r.Terms[len(r.Terms)-1:]
		for _, s := range traceOf(t, r).steps {
			if s.Loss != 0 || s.GradNorm != 0 {
				t.Fatalf("%s: step %d: loss %v, norm %v; want 0", name, s.N, s.Loss, s.GradNorm)
			}
		}
	}
}

// A run that learns gets better, and goes on as it would have when resumed.
func TestTasksLearnAndResume(t *testing.T) {
	for name, k := range tasks() {
		t.Run(name, func(t *testing.T) {
			set, dir := k.set(40), t.TempDir()
			begin := func(dir string) *Run {
				r := k.run(set, 8, 1)
				r.Terms = slices.DeleteFunc(slices.Clone(r.Terms), func(t Term) bool { return t.Name == "bounded" })
				r.Dir, r.Epochs, r.Resume, r.Every = dir, 6, dir != "", 1
				return r
			}
			whole := traceOf(t, begin(""))
			first, last := whole.steps[4].Valid, whole.steps[len(whole.steps)-1].Valid
			if !(last.Loss < first.Loss) || !(Monitor(nil).score(*last) > Monitor(nil).score(*first)) {
				t.Errorf("validation went from %+v to %+v", *first, *last)
			}
			for s := range begin(dir).Steps(t.Context()) {
				if s.N == 13 {
					break
				}
			}
			resumed := traceOf(t, begin(dir))
			whole.steps = whole.steps[len(whole.steps)-len(resumed.steps):]
			sameTrace(t, resumed, whole, 0)
		})
	}
}

func TestTasksInFloat32(t *testing.T) {
	for name, k := range tasks() {
		set := k.set(20)
		wide := fit(t, k.run(set, 6, 1))
		r := k.run(set, 6, 1)
		narrow := single{set}
		r.Student, r.Train, r.Valid = k.student(narrow.Spec(), 1), data.Loader{Set: narrow, Batch: 6, Seed: 3}, data.Loader{Set: narrow, Batch: 9, InOrder: true}
		r.Teacher = singleTeacher(k.teacher())
		if diff := cmp.Diff(*wide.Valid, *fit(t, r).Valid, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-4, 1e-5)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// single is a set with its inputs and labels in float32.
type single struct{ *data.Memory }

func (s single) Spec() data.Spec {
	spec := s.Memory.Spec()
	spec.In = map[string]data.Field{"x": {Shape: spec.In["x"].Shape, Dtype: tensor.Float32}}
	if spec.Label.Dtype == tensor.Float64 {
		spec.Label.Dtype = tensor.Float32
	}
	return spec
}

func (s single) Read(i int, view uint64, dst data.Sample) error {
	b := must(data.NewBatch(s.Memory.Spec(), 1))
	if err := s.Memory.Read(i, view, data.Sample{Batch: &b, Row: 0}); err != nil {
		return err
	}
	put := func(dst, src *tensor.Dense, r int) {
		for j, v := range data.Row[float64](src, 0) {
			data.Row[float32](dst, r)[j] = float32(v)
		}
	}
	put(dst.Batch.In["x"], b.In["x"], dst.Row)
	if b.Label.Dtype() == tensor.Int {
		copy(data.Row[int](dst.Batch.Label, dst.Row), b.Label.Ints())
	} else {
		put(dst.Batch.Label, b.Label, dst.Row)
	}
	copy(data.Row[float32](dst.Batch.Weight, dst.Row), b.Weight.Float32s())
	return nil
}

// singleTeacher answers in float32.
func singleTeacher(t teacher.Func) teacher.Func {
	do := t.Do
	t.Says.Signals = map[string]data.Field{"logits": {Shape: t.Says.Signals["logits"].Shape, Dtype: tensor.Float32}}
	t.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		in := b
		in.In = data.Signals{"x": dense[float64](wide(b.In["x"]), b.In["x"].Shape()...)}
		s, err := do(ctx, in)
		return data.Signals{"logits": dense[float32](wide(s["logits"]), s["logits"].Shape()...)}, err
	}
	return t
}

// What does not go together is refused before the first step.
func TestWrongTermsOfATask(t *testing.T) {
	all := tasks()
	for want, change := range map[string]func() *Run{
		`student: hard: the labels are of Regression; CrossEntropy wants those of Classification`: func() *Run {
			r := all["numbers"].run(all["numbers"].set(20), 6, 1)
			r.Terms = Hinton(2, 0.5)
			return r
		},
		`student: hard: the labels are classes, and the student has 5 logits for a row; BCE wants`: func() *Run {
			r := all["pixels"].run(all["pixels"].set(20), 6, 1)
			r.Terms = []Term{{Name: "hard", Loss: BCE{}}}
			return r
		},
		`student: soft: the logits are those of MultiLabel; KL wants a distribution over classes`: func() *Run {
			r := all["answers"].run(all["answers"].set(20), 6, 1)
			r.Terms = Hinton(2, 1)[1:]
			return r
		},
		"distill: the student's logits are (1) for a sample; Run.Train has 3 names for what it asks": func() *Run {
			r := all["numbers"].run(all["numbers"].set(20), 6, 1)
			r.Student, r.Teacher = all["a number"].student(r.Train.Spec(), 1), nil
			r.Terms = []Term{{Name: "hard", Loss: MSE{Label: true}}}
			return r
		},
		"distill: the student's logits are (5, 3, 4) for a sample; Run.Train has 4 classes": func() *Run {
			k := all["pixels"]
			spec := k.set(20).Spec()
			spec.Classes = spec.Classes[:4]
			r := k.run(k.set(20), 6, 1)
			r.Student, r.Teacher = k.student(data.Spec{In: spec.In}, 1), nil
			r.Train = batches{spec, allOf(r.Train)}
			return r
		},
		"distill: the student's logits are (5, 2, 4) for a sample; Run.Train has a label for each of (3, 4)": func() *Run {
			k := all["pixels"]
			r := k.run(k.set(20), 6, 1)
			k.shape = tensor.Shape{5, 2, 4}
			r.Student, r.Teacher = k.student(r.Train.Spec(), 1), nil
			return r
		},
		"distill: the student's logits are (5) for a sample; Run.Train has a label for each of (3, 4)": func() *Run {
			k := all["pixels"]
			r := k.run(k.set(20), 6, 1)
			k.shape = tensor.Shape{5}
			r.Student, r.Teacher = k.student(r.Train.Spec(), 1), nil
			return r
		},
	} {
		steps := 0
		var err error
		for _, err = range change().Steps(t.Context()) {
			steps++
		}
		checkError(t, err, want)
		if steps != 1 {
			t.Errorf("%d steps; want the error alone", steps)
		}
	}
}

// A teacher that says less of the labels than their mean does is refused.
func TestTeacherWithoutSkill(t *testing.T) {
	for _, name := range []string{"numbers", "a number", "answers", "one question"} {
		k := tasks()[name]
		r := k.run(k.set(40), 8, 1)
		p, _, err := look(t, r)
		if err != nil || !(p.TeacherR2 > 0.3) || !math.IsNaN(p.TeacherAccuracy) {
			t.Fatalf("%s: error %v, R² %v of a good teacher", name, err, p.TeacherR2)
		}
		wrong := k.teacher()
		do := wrong.Do
		wrong.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
			s, err := do(ctx, b)
			for i, v := range s["logits"].Float64s() {
				s["logits"].Float64s()[i] = -v
			}
			return s, err
		}
		r.Teacher = wrong
		_, _, err = look(t, r)
		checkError(t, err, "distill: the teacher's R² on Run.Valid is -")
		r.AnyTeacher = true
		if p, _, err := look(t, r); err != nil || len(p.Warnings) == 0 {
			t.Errorf("%s: error %v, warnings %q; want a warning alone", name, err, p.Warnings)
		}
	}
	for _, name := range []string{"an answer", "pixels", "bright pixels", "a channel"} {
		k := tasks()[name]
		if p, _, err := look(t, k.run(k.set(40), 8, 1)); err != nil || p.TeacherAccuracy != 1 {
			t.Errorf("%s: error %v, %+v; want a teacher that is always right", name, err, p)
		}
	}
	k := tasks()["pixels"]
	r := k.run(k.set(40), 8, 1)
	r.Teacher = teacher.Func{Says: k.teacher().Says, Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
		return data.Signals{"logits": dense[float64](nil, append([]int{b.N}, k.shape...)...)}, nil
	}}
	_, _, err := look(t, r)
	checkError(t, err, "labelled rows of Run.Valid; want more than chance, 2")

	// One class far above the others in each pixel, and all pixels alike.
	r.AnyTeacher = true
	r.Teacher = teacher.Func{Says: k.teacher().Says, Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
		z := make([]float64, b.N*k.shape.TotalSize())
		for i := range z {
			z[i] = float64(100 * (i / (high * broad) % colours))
		}
		return data.Signals{"logits": dense[float64](z, append([]int{b.N}, k.shape...)...)}, nil
	}}
	if p, _, err := look(t, r); err != nil || p.OneHot != 1 {
		t.Errorf("error %v, one-hot %v; want 1", err, p.OneHot)
	}
}
