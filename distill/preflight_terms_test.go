package distill

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// squares is the mean square of the difference of two nodes in each row.
func squares(b *student.Builder, x, y *gorgonia.Node) Rows {
	return Rows{Value: b.Op(graph.MSE(x, y))}
}

// gated compares the student with the teacher behind a factor of the loss's own
// that begins as 0, so that at first the student is not pulled at.
func gated(b *student.Builder, l Lesson) Rows {
	s, t := l.Tap("logits"), l.Dense("logits")
	gate := b.Param("gate", student.Zeros, s.Shape()[1], s.Shape()[1])
	return squares(b, b.Linear(s, gate, nil, student.Identity), t)
}

// flatNear is 0 around the teacher, flatFar away from it.
func flatNear(b *student.Builder, l Lesson) Rows {
	near := b.Op(gorgonia.Sub(squares(b, l.Tap("logits"), l.Dense("logits")).Value, b.Scalar(Constant(0.1))))
	return Rows{Value: b.Op(gorgonia.Rectify(near))}
}

func flatFar(b *student.Builder, l Lesson) Rows {
	far := b.Op(gorgonia.Mul(squares(b, l.Tap("logits"), l.Dense("logits")).Value, b.Scalar(Constant(-20000))))
	return Rows{Value: b.Op(gorgonia.Neg(b.Op(gorgonia.Exp(far))))}
}

// warnings are those of a run that hold some text.
func warnings(t *testing.T, r *Run, text string) (all []string) {
	t.Helper()
	p, _, err := look(t, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range p.Warnings {
		if strings.Contains(w, text) {
			all = append(all, w)
		}
	}
	return all
}

// A student that begins as all that a term wants has no gradient, and yet no
// term is dead.
func TestFittedTermsAreAlive(t *testing.T) {
	t.Run("float32", testFitted[float32])
	t.Run("float64", testFitted[float64])
	for name, k := range tasks() {
		t.Run(name, func(t *testing.T) {
			set := k.set(20)
			r := k.run(set, 6, 1)
			r.Teacher, r.AnyTeacher = teacher.Of(k.student(set.Spec(), 1)), true
			if w := warnings(t, r, "dead"); len(w) > 0 {
				t.Errorf("warnings %q of a student that is its teacher; want none", w)
			}
		})
	}
	r := tokens(9)
	copied := must(student.New(r.Student.Module(), r.Train.Spec(), 1))
	r.Teacher, r.AnyTeacher = teacher.Of(copied), true
	if w := warnings(t, r, "dead"); len(w) > 0 {
		t.Errorf("warnings %q of tokens; want none", w)
	}
}

func testFitted[T floating](t *testing.T) {
	for name, loss := range map[string]Loss{
		"KL": KL{}, "KL at 20": KL{T: Constant(20)}, "MSE": MSE{}, "L1": L1{}, "Huber": Huber{}, "joint": joint{}, "hint": Hint{Student: "l1", Teacher: "l1"},
		"hidden": MSE{Student: "l1", Teacher: "l1"}, "gated": LossFunc(gated),
		"flat near": LossFunc(flatNear), "flat far": LossFunc(flatFar),
	} {
		r := toyRun[T]()
		r.Student = toyStudent(r.Train.Spec(), 0, 1)
		r.Teacher, r.AnyTeacher = teacher.Of(toyStudent(r.Train.Spec(), 0, 1), "logits", "l1"), true
		r.Terms = []Term{{Name: "only", Loss: loss}, {Name: "hard", Loss: CrossEntropy{}}}
		if w := warnings(t, r, "only"); len(w) > 0 {
			t.Errorf("%s: warnings %q of a student that is its teacher; want none", name, w)
		}
	}
}

// A term that no student can change is named, and what to look at.
func TestTermsThatAreDead(t *testing.T) {
	for name, test := range map[string]struct {
		loss Loss
		want string
	}{
		"detached": {dead{}, `"logits"] (is the student's side of its loss a tap, and not detached?)`},
		"the teacher with itself": {LossFunc(func(b *student.Builder, l Lesson) Rows {
			return squares(b, l.Dense("logits"), l.Dense("logits"))
		}), "it has no gradient by any tap of the student"},
		"the teacher through a layer": {LossFunc(func(b *student.Builder, l Lesson) Rows {
			return squares(b, b.Layer("r", student.Linear{Out: toyClasses}, l.Dense("hidden")), l.Dense("logits"))
		}), "it has no gradient by any tap of the student"},
		"the student with itself": {LossFunc(func(b *student.Builder, l Lesson) Rows {
			s := l.Tap("logits")
			return squares(b, s, b.Reshape(s, s.Shape()...))
		}), `its gradient is 0 at the student's ["logits"]`},
		"times nothing": {LossFunc(func(b *student.Builder, l Lesson) Rows {
			rows := Hint{Student: "l1", Teacher: "hidden"}.Loss(b, l)
			return Rows{Value: b.Op(gorgonia.Mul(rows.Value, b.Scalar(Constant(0))))}
		}), `its gradient is 0 at the student's ["l1"]`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, weight := range []Schedule{nil, Linear(0, 1, 9)} { // one that counts later is looked at, too
				r := toyRun[float32]()
				r.Terms = append(r.Terms, Term{Name: "odd", Weight: weight, Loss: test.loss})
				w := warnings(t, r, "dead")
				if len(w) != 1 || !strings.HasPrefix(w[0], `term "odd" is dead: `) || !strings.Contains(w[0], test.want) {
					t.Errorf("warnings %q; want one of %q", w, test.want)
				}
			}
		})
	}
}

// A term may have a gradient at a tap that nothing which is trained leads to.
func TestTermsThatReachNoParameter(t *testing.T) {
	through := func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"x": in["x"], "logits": b.Layer("l", student.Linear{Out: toyClasses}, in["x"])}
	}
	for name, change := range map[string]func(*Run){
		"an input": func(r *Run) {
			r.Student = must(student.New(student.ModuleFunc(through), r.Train.Spec(), 1))
			r.Terms[2].Loss = Hint{Student: "x", Teacher: "hidden"}
		},
		"a frozen group": func(r *Run) { r.Groups = []Group{{Match: "l1.*", Freeze: true}} },
		"a frozen layer": func(r *Run) {
			for p := range r.Student.Params() {
				p.Frozen = strings.HasPrefix(p.Name, "l1.")
			}
		},
	} {
		r := toyRun[float32]()
		change(r)
		w := warnings(t, r, "none by a parameter that is trained")
		if len(w) != 1 || !strings.HasPrefix(w[0], `term "hint" has a gradient at the student's ["`) {
			t.Errorf("%s: warnings %q; want one of the hint", name, w)
		}
		if w := warnings(t, toyRun[float32](), "none by a parameter"); len(w) > 0 {
			t.Errorf("warnings %q of a hint that is learnt from", w)
		}
	}
}

// What is compared is the whole pull at the student, so terms on any taps are.
func TestHiddenTermsDrown(t *testing.T) {
	for weight, want := range map[float64]string{1e-4: "hint", 1: "", 1e5: "hard, soft"} {
		r := toyRun[float32]()
		r.Terms[2].Weight = Constant(weight)
		var got []string
		for _, w := range warnings(t, r, "more than 100 to 1") {
			got = append(got, strings.Split(w, `"`)[3])
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("a hint of weight %v: %q drown; want %q", weight, s, want)
		}
	}
}

// The norms are those of the gradients by the student's parameters, without those
// of a regressor.
func TestPullsAreOfTheStudent(t *testing.T) {
	r := toyRun[float64]()
	r.Student = toyStudent(r.Train.Spec(), 0, 1)
	r.Clip, r.Valid = 0, nil
	p, _, err := look(t, r)
	if err != nil || len(p.Gradients) != 3 {
		t.Fatalf("error %v, gradients %v; want three", err, p.Gradients)
	}
	for i, got := range p.Gradients {
		only := toyRun[float64]()
		only.Student = toyStudent(only.Train.Spec(), 0, 1)
		only.Terms = []Term{{Name: got.Name, Loss: r.Terms[i].Loss}}
		only.Clip, only.Optimizer, only.MaxSteps, only.Valid = 0, SGD{Rate: Constant(1)}, 1, nil
		before := toyStudent(only.Train.Spec(), 0, 1)
		fit(t, only)
		var moved []*tensor.Dense
		for p := range before.Params() {
			for q := range only.Student.Params() {
				if q.Name == p.Name {
					for i, v := range q.Value.Float64s() {
						p.Value.Float64s()[i] -= v
					}
				}
			}
			moved = append(moved, p.Value)
		}
		if want := gradNorm(moved); !(got.Value > 0) || got.Value < want*(1-1e-9) || got.Value > want*(1+1e-9) {
			t.Errorf("%s: the gradient is %v; a step moves the student by %v", got.Name, got.Value, want)
		}
		if w := r.Terms[i].weight(0); got.Weight != w {
			t.Errorf("%s: the weight is %v, want %v", got.Name, got.Weight, w)
		}
	}
}

// The preflight looks, and nothing moves.
func TestPreflightMovesNothing(t *testing.T) {
	r := normedRun("")
	before, statistic := r.Student.Fingerprint(), statistics(r.Student)
	if _, _, err := look(t, r); err != nil {
		t.Fatal(err)
	}
	if r.Student.Fingerprint() != before || !slices.Equal(statistics(r.Student), statistic) {
		t.Error("the preflight moved the student's weights or statistics")
	}
}

// Taps are perturbed by the seed and their names alone, and by what they are like.
func TestPerturbIsPure(t *testing.T) {
	c := Case{
		Student: data.Signals{"ids": tensor.New(tensor.WithBacking([]int{1, 2, 3})), "logits": dense[float64]([]float64{1e3, 2e3, 3e3, 4e3, 5e3, 6e3}, 3, 2), "flat": dense[float64](slices.Repeat([]float64{7}, 33), 3, 11), "none": dense[float64](nil, 3, 5)},
	}
	perturbed := func(seed uint64) map[string][]float64 {
		all, moved := map[string][]float64{}, c.perturbed(seed, 1).Student
		for _, name := range []string{"logits", "flat", "none"} {
			for i, v := range moved[name].Float64s() {
				all[name] = append(all[name], v-c.Student[name].Float64s()[i])
			}
		}
		if moved["ids"] != c.Student["ids"] {
			t.Error("integers are perturbed")
		}
		return all
	}
	one := perturbed(1)
	if !maps.EqualFunc(one, perturbed(1), slices.Equal) {
		t.Error("one seed gives two noises")
	}
	other := perturbed(2)
	for name, size := range map[string]float64{"logits": 1708, "flat": 7e-3, "none": 1} {
		if slices.Equal(one[name], other[name]) {
			t.Errorf("%s: two seeds give one noise", name)
		}
		norm := 0.0
		for _, v := range one[name] {
			norm += v * v / float64(len(one[name]))
		}
		if sd := math.Sqrt(norm); slices.Contains(one[name], 0) || sd > 2*size || sd < size/2 {
			t.Errorf("%s: the noise is %v; want one of size %v", name, one[name], size)
		}
	}
}

// A loss may look at a tap of integers, by which there is no gradient.
func TestTapsOfIntegers(t *testing.T) {
	r := toyRun[float32]()
	in, id := allOf(data.Loader{Set: toySet[float32](46), Batch: 46, InOrder: true})[0], make([]int, 46)
	for i := range id {
		id[i] = i % 3
	}
	ids := tensor.New(tensor.WithBacking(id))
	set := must(data.NewMemory(data.Signals{"x": in.In["x"], "id": ids}, in.Label, nil))
	r.Student = must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"id": in["id"], "logits": b.Layer("l", student.Linear{Out: toyClasses}, in["x"])}
	}), set.Spec(), 1))
	r.Train, r.Valid = data.Loader{Set: set, Batch: 8}, nil
	r.Terms = []Term{{Name: "ids", Loss: LossFunc(func(b *student.Builder, l Lesson) Rows {
		if l.Tap("id").Dtype() != tensor.Int {
			t.Errorf("the tap is of %v; want int", l.Tap("id").Dtype())
		}
		return MSE{}.Loss(b, l)
	})}}
	if w := warnings(t, r, ""); len(w) > 0 {
		t.Errorf("warnings %q; want none", w)
	}
	fit(t, r)
	_, grads, err := Evaluate(MSE{}, Case{
		Student: data.Signals{"id": ids, "logits": dense[float64](nil, 46, 3)}, Teacher: data.Signals{"logits": dense[float64](nil, 46, 3)},
	})
	if err != nil || len(grads) != 1 {
		t.Errorf("error %v, %d gradients; want that by the logits", err, len(grads))
	}
	for _, s := range []data.Signals{{"id": ids}, {"id": ids, "logits": dense[float64](nil, 45, 3)}, {"an id": tensor.New(tensor.WithBacking(id[:45])), "id": ids, "logits": dense[float64](nil, 46, 3)}} {
		if _, _, err := Evaluate(MSE{}, Case{Student: s, Teacher: data.Signals{"logits": dense[float64](nil, 46, 3)}}); err == nil {
			t.Errorf("no error of %v", s)
		}
	}
}
