package distill

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// scaled is the wise teacher with other logits.
func scaled(change func(float32) float32) teacher.Func {
	t := wise[float32]()
	do := t.Do
	t.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		s, err := do(ctx, b)
		for i, v := range s["logits"].Float32s() {
			s["logits"].Float32s()[i] = change(v)
		}
		return s, err
	}
	return t
}

// look is what a run finds out before the first step, and what it logs.
func look(t *testing.T, r *Run) (*Preflight, string, error) {
	t.Helper()
	var out bytes.Buffer
	r.Log = slog.New(slog.NewTextHandler(&out, nil))
	plan, err := newSession(r).open(t.Context())
	return plan.Preflight, out.String(), err
}

func TestPreflightIsQuiet(t *testing.T) {
	r := toyRun[float32]()
	p, log, err := look(t, r)
	if err != nil || len(p.Warnings) > 0 || log != "" {
		t.Errorf("error %v, warnings %v, log %q; want none", err, p.Warnings, log)
	}
	if p.TeacherAccuracy != 1 || p.OneHot != 0 || p.Uniform != 0 {
		t.Errorf("%+v; want a teacher that is always right, and soft", *p)
	}
	names := ""
	for _, g := range p.Gradients {
		names += g.Name + " "
		if !(g.Value > 0) {
			t.Errorf("the gradient of %q is %v", g.Name, g.Value)
		}
	}
	if names != "hard soft hint " {
		t.Errorf("gradients of %q", names)
	}
}

func TestTeacherAtChance(t *testing.T) {
	dull := func(v float32) float32 { return 1 }
	r := toyRun[float32]()
	r.Teacher = scaled(dull)
	_, _, err := look(t, r)
	checkError(t, err, "of the 17 labelled rows of Run.Valid; want more than chance")
	checkError(t, err, "Run.AnyTeacher allows it")

	r.AnyTeacher = true
	p, log, err := look(t, r)
	if err != nil || !strings.Contains(log, "which is chance") || !(p.TeacherAccuracy < 0.5) {
		t.Errorf("error %v, log %q, accuracy %v", err, log, p.TeacherAccuracy)
	}

	r.AnyTeacher, r.Teacher = false, teacher.Live(scaled(dull)) // it may learn yet
	p, _, err = look(t, r)
	if err != nil || !math.IsNaN(p.TeacherAccuracy) {
		t.Errorf("error %v, accuracy %v of a live teacher; want neither", err, p.TeacherAccuracy)
	}

	r.Teacher, r.Valid = scaled(dull), nil
	if _, _, err := look(t, r); err != nil {
		t.Error(err)
	}
}

func TestTeacherOfOtherClasses(t *testing.T) {
	for want, classes := range map[string][]string{
		"": {"a", "b", "c", "d"},
		`distill: Run.Train and the teacher call class 1 "b" and "c"; want the same classes in the same order`: {"a", "c", "b", "d"},
		"distill: Run.Train and the teacher have 4 and 3 classes":                                              {"a", "b", "c"},
	} {
		r := toyRun[float32]()
		wise := wise[float32]()
		wise.Says.Classes = classes
		r.Teacher = wise
		_, _, err := look(t, r)
		checkError(t, err, want)
	}
	r := toyRun[float32]()
	r.Teacher = teacher.Of(must(student.New(student.MLP{Out: 3}, data.Spec{In: r.Train.Spec().In}, 1)))
	_, _, err := look(t, r)
	checkError(t, err, "distill: the teacher's logits are (3) for a sample; Run.Train has 4 classes")
	r = toyRun[float32]()
	r.Student = must(student.New(student.MLP{Hidden: []int{6}, Out: 3}, data.Spec{In: r.Train.Spec().In}, 1))
	_, _, err = look(t, r)
	checkError(t, err, "distill: the student's logits are (3) for a sample; Run.Train has 4 classes")
}

func TestGradientsThatDrown(t *testing.T) {
	for _, weights := range [][2]float64{{1, 1}, {1000, 1}, {1, 1000}, {0, 1000}} {
		r := toyRun[float32]()
		r.Terms[0].Weight, r.Terms[1].Weight = Constant(weights[0]), Constant(weights[1])
		p, log, err := look(t, r)
		if err != nil {
			t.Fatal(err)
		}
		want := weights != [2]float64{1, 1} // of 0 and 1000, the hint drowns
		if warned := strings.Contains(log, "more than 100 to 1"); warned != want || len(p.Warnings) > 0 != want {
			t.Errorf("weights %v: log %q, warnings %q", weights, log, p.Warnings)
		}
	}
}

func TestTargetsThatSayNothing(t *testing.T) {
	for name, test := range map[string]struct {
		teacher         teacher.Teacher
		T               float64
		oneHot, uniform float64
		warning         string
	}{
		"sharp":      {scaled(func(v float32) float32 { return 1e4 * v }), 4, 1, 0, "100% of the soft targets of term \\\"soft\\\" are one-hot at T = 4: they say no more than a label; want a higher temperature"},
		"blunt":      {wise[float32](), 1e5, 0, 1, "100% of the soft targets of term \\\"soft\\\" are uniform at T = 100000: they say nothing; want a lower temperature"},
		"just right": {wise[float32](), 4, 0, 0, ""},
	} {
		r := toyRun[float32]()
		r.Teacher, r.Terms = test.teacher, Hinton(test.T, 1)
		p, log, err := look(t, r)
		if err != nil || p.OneHot != test.oneHot || p.Uniform != test.uniform || !strings.Contains(log, test.warning) || (test.warning == "") != (log == "") {
			t.Errorf("%s: error %v, one-hot %v, uniform %v, log %q", name, err, p.OneHot, p.Uniform, log)
		}
	}
	r := toyRun[float32]()
	r.Terms = Hinton(4, 0)
	if p, _, err := look(t, r); err != nil || !math.IsNaN(p.OneHot) || !math.IsNaN(p.Uniform) {
		t.Errorf("error %v, one-hot %v, uniform %v; want NaN where nothing is softened", err, p.OneHot, p.Uniform)
	}
}

// dead is a loss that no student can change.
type dead struct{}

func (dead) Loss(b *student.Builder, l Lesson) Rows {
	l.Student = student.Taps{"logits": b.Detach(l.Tap("logits"))}
	return MSE{}.Loss(b, l)
}

func TestDeadTerm(t *testing.T) {
	r := toyRun[float32]()
	r.Terms = append(r.Terms, Term{Name: "dead", Loss: dead{}})
	_, log, err := look(t, r)
	if err != nil || !strings.Contains(log, `term \"dead\" is dead`) {
		t.Errorf("error %v, log %q; want a warning of the dead term", err, log)
	}
	r.Terms = r.Terms[3:]
	_, err = r.Fit(t.Context())
	checkError(t, err, "no trainable parameter")
}

// tokens is a set of n rows of T tokens with their labels, and a teacher and a
// student that answer per token, of more tokens than classes.
func tokens(n int) *Run {
	const T, C = 5, 3
	x, y := make([]float64, n*T), make([]int, n*T)
	for i := range y {
		y[i] = i * i % C
		x[i] = float64(y[i]) - 1
	}
	set := must(data.NewMemory(data.Signals{"x": dense[float32](x, n, T, 1)}, tensor.New(tensor.WithShape(n, T), tensor.WithBacking(y)), []string{"a", "b", "c"}))
	return &Run{
		Student: must(student.New(student.Sequence{{Name: "l1", Layer: student.Linear{Out: 7, Act: student.Tanh}}, {Name: "l2", Layer: student.Linear{Out: C}}}, set.Spec(), 1)),
		Teacher: teacher.Func{
			Says: teacher.Card{Signals: map[string]data.Field{"logits": {Shape: tensor.Shape{T, C}, Dtype: tensor.Float32}}},
			Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
				z := dense[float32](nil, b.N, T, C)
				for i, v := range b.In["x"].Float32s()[:b.N*T] {
					z.Float32s()[i*C+int(v)+1] = 4
				}
				return data.Signals{"logits": z}, nil
			},
		},
		Terms:     Hinton(2, 0.5),
		Train:     data.Loader{Set: set, Batch: 4},
		Valid:     data.Loader{Set: set, Batch: 4, InOrder: true},
		Optimizer: Adam{Rate: Constant(0.05)},
		Epochs:    9,
	}
}

// A row is a token where labels are (B, T), for the preflight and for the run.
func TestTokens(t *testing.T) {
	r := tokens(9)
	p, _, err := look(t, r)
	if err != nil || p.TeacherAccuracy != 1 || p.OneHot != 0 {
		t.Errorf("error %v, %+v; want a teacher that is always right", err, p)
	}
	if result := fit(t, r); !(result.Valid.Accuracy > 0.9) || !(result.Valid.Agreement > 0.9) || result.Valid.Rows != 9 {
		t.Errorf("%+v; want a student that is mostly right, on 9 samples", *result.Valid)
	}
	labels := must(data.NewMemory(data.Signals{"x": dense[float32](nil, 9, 5, 1)}, tensor.New(tensor.WithBacking(make([]int, 9))), []string{"a", "b", "c"}))
	r.Valid = data.Loader{Set: labels, Batch: 4, InOrder: true} // one label for five choices
	r.Terms = Hinton(2, 1)[1:]
	if p, _, _ := look(t, r); p != nil && !math.IsNaN(p.TeacherAccuracy) {
		t.Errorf("accuracy %v of labels that are not for tokens; want NaN", p.TeacherAccuracy)
	}
}

func TestPreflightOfResumedRun(t *testing.T) {
	dir := t.TempDir()
	for range keptRun(dir).Steps(t.Context()) {
		break
	}
	p, _, err := look(t, keptRun(dir))
	if err != nil || len(p.Gradients) > 0 || p.TeacherAccuracy != 1 {
		t.Errorf("error %v, %+v; want the teacher looked at alone", err, p)
	}
}

func TestUnreachedParameterIsLogged(t *testing.T) {
	r := toyRun[float32]()
	r.Student = must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		l := student.Linear{Out: toyClasses}
		return student.Taps{"logits": b.Layer("used", l, in["x"]), "spare": b.Layer("spare", l, in["x"])}
	}), r.Train.Spec(), 1))
	r.Terms = r.Terms[:2]
	var out bytes.Buffer
	r.Log = slog.New(slog.NewTextHandler(&out, nil))
	before := map[string][]float64{}
	for p := range r.Student.Params() {
		before[p.Name] = slices.Clone(wide(p.Value))
	}
	fit(t, r)
	for p := range r.Student.Params() {
		spare := strings.HasPrefix(p.Name, "spare")
		if slices.Equal(before[p.Name], wide(p.Value)) != spare || strings.Contains(out.String(), "parameter="+p.Name) != spare {
			t.Errorf("%s: log %q", p.Name, out.String())
		}
	}
}

// A perfect teacher is above chance, however few rows say so.
func TestFewRowsDoNotCondemnTheTeacher(t *testing.T) {
	for rows := 2; rows < 12; rows++ {
		set := toySet[float32](rows)
		r := toyRun[float32]()
		r.Valid = data.Loader{Set: set, Batch: 5, InOrder: true}
		r.Teacher, r.MaxSteps = wise[float32](), 1
		if _, err := r.Fit(t.Context()); err != nil {
			t.Errorf("%d rows: %v", rows, err)
		}
	}
}

// Nothing is learnt, and it is said.
func TestPreflightOfRowsThatDoNotCount(t *testing.T) {
	x := data.Signals{"x": dense[float32](nil, 9, toyIn)}
	none := tensor.New(tensor.WithBacking(slices.Repeat([]int{data.Unlabelled}, 9)))
	bare := must(data.NewMemory(x, none, nil))
	idle := must(must(data.NewMemory(x, tensor.New(tensor.WithBacking(make([]int, 9))), nil)).WithWeights(dense[float32](nil, 9)))
	hard, soft := Hinton(2, 0.5)[:1], Hinton(2, 0.5)
	for name, test := range map[string]struct {
		set   data.Set
		terms []Term
		want  bool
	}{
		"no labels":              {bare, hard, true},
		"no labels, a soft term": {bare, soft, false},
		"no weights":             {idle, soft, true},
		"all of them":            {toySet[float32](46), hard, false},
	} {
		r := toyRun[float32]()
		r.Train, r.Valid, r.Terms = data.Loader{Set: test.set, Batch: 8}, nil, test.terms
		_, log, err := look(t, r)
		if err != nil || strings.Contains(log, "no row of the first batch counts") != test.want {
			t.Errorf("%s: error %v, log %q; want a warning: %t", name, err, log, test.want)
		}
	}
}

func TestValidationOnTheTrainingData(t *testing.T) {
	r := toyRun[float32]()
	r.Name, r.Valid = "blind", data.Loader{Set: toySet[float32](46), Batch: 9, InOrder: true}
	_, log, err := look(t, r)
	if err != nil || !strings.Contains(log, "Run.Valid is the data of Run.Train") || !strings.Contains(log, "run=blind") {
		t.Errorf("error %v, log %q; want a warning", err, log)
	}
}
