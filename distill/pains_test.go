package distill

import (
	"cmp"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// Pains are what people who distil suffer from, as their questions and bug reports
// show, and the tests in which that very mistake is made and named, or cannot be
// made. Tests are of this package, or of the one that is named. With most of these
// faults in the code, .ci/mutants has the tests fail.
var pains = []struct{ what, tests string }{
	{"a KL of mean divides by the classes as well, and vanishes", "TestSoftTermsThatVanish TestLossesMatchPyTorch"},
	{"T² is missing, or the hard term is softened", "TestSoftTermsThatVanish TestLossesMatchPyTorch TestLossesAreTheirDefinitions TestHinton"},
	{"recorded logits are out of step with the order or the views", "TestCacheRefuses TestCacheIsTheTeacher TestCacheOfTheTrainingRows teacher.TestCacheRefuses teacher.TestRowsInAnyOrder"},
	{"no recorded or top-k logits, or no memory for them", "TestCacheIsTheTeacher TestTopKOfAll TestStepsCollectNoGarbage teacher.TestCacheOfTopK teacher.TestMemoryIsFlat internal/graph.TestTopKLBoundsKL"},
	{"teacher and student have other classes", "TestTeacherOfOtherClasses TestRunRefuses TestLossesOfLogitsRefuseCases teacher.TestNamedRefuses"},
	{"the loss depends on the split into micro-batches", "TestAccumulate TestTasksAreWeightedMeans TestPaddingChangesNothing TestJointRefusesAccumulate"},
	{"the loss is finite and its gradient is not", "TestFiniteLossWithoutAGradient TestDivergence TestLossesOfLargeLogits internal/graph.TestLargeLogits"},
	{"0/0 where no row of a batch counts", "TestBatchesThatDoNotCount TestTermsAreWeightedMeans TestWithoutLabels TestPreflightOfRowsThatDoNotCount internal/graph.TestMeanOfNothing"},
	{"DKD of two classes is infinite", "TestLossesOfLogitsRefuseCases"},
	{"runs cannot be repeated, or the best epoch is that of the test data", "TestSameSeedSameBytes TestValidationOnTheTrainingData distill/study.TestTestDataAreReadLast"},
	{"one term drowns another, and nobody looks", "TestGradientsThatDrown TestHiddenTermsDrown TestTargetsThatSayNothing"},
	{"the teacher is left in training mode", "TestTeachersStatisticsStay teacher.TestOfTeach teacher.TestNetworksTeachWithoutMoving"},
	{"the teacher's weights are wrong", "TestTeacherOfZeros TestTeacherAtChance TestTeacherWithoutSkill TestAnyTeacherStaysAsItWas TestTeacherIsLookedAtAtTheEnd student.TestLoadNamedRefuses"},
	{"the checkpoint holds the teacher", "TestCheckpointHoldsNoTeacher"},
	{"a resumed run is another run", "TestResumeAfterEveryStep TestResumeRefusesAnotherRun TestResumeWithBatchNorm TestResumeOfFeatures TestResumeOnAStream TestMutualResumes"},
	{"the loss is wired to nothing, or its sides are swapped", "TestLossesAreTheirDefinitions TestSidesThatAreSwapped TestTermsThatAreDead TestTermsThatReachNoParameter TestProjectorsAreTrained TestFittedTermsAreAlive TestUnreachedParameterIsLogged"},
	{"to ask the teacher is what takes the time", "TestRunLooksAhead TestTeacherAnswersMeanwhile TestCacheIsTheTeacher teacher.TestRecordLooksAhead"},
	{"labels are wanted where the method needs none", "TestWithoutAnyLabels TestWithoutLabels"},
	{"tokens of the teacher are one place off", "TestTokensThatAreShifted TestStudentAndTeacherAreAligned"},
	{"no curves without an account somewhere", "distill/report.TestFiles distill/report.TestPNG"},
	{"rewards pull the wrong way, or at the wrong tokens", "TestLiveSourceWaitsForTheStep distill/rl.TestAdvantages distill/rl.TestGRPO distill/rl.TestReferenceKL distill/rl.TestRollout distill/rl.TestTheRatioBeginsAtOne distill/rl.TestPartsAreAccumulated distill/rl.TestOnlyTheStudentIsAsked distill/rl.TestKilled distill/reason.TestCutOff"},
}

func TestPainsAreTested(t *testing.T) {
	known := tests{}
	for _, p := range pains {
		known.have(t, p.what, p.tests)
	}
}

// tests are those that packages have, and examples.
type tests map[string]map[string]bool

// have fails t where the tests of something are not in their packages.
func (all tests) have(t *testing.T, what, names string) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		dir := "distill"
		if i := strings.LastIndex(name, "."); i >= 0 {
			dir, name = name[:i], name[i+1:]
		}
		if all[dir] == nil {
			all[dir] = testsIn(t, filepath.Join("..", dir))
		}
		if !all[dir][name] {
			t.Errorf("%s: %s has no %s", what, dir, name)
		}
	}
}

// testsIn are the names of the tests and examples in a folder.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, path := range must(filepath.Glob(filepath.Join(dir, "*_test.go"))) {
		for _, d := range must(parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)).Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Example")) {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// times is a loss with its values multiplied.
func times(factor float64, loss Loss) Loss {
	return LossFunc(func(b *student.Builder, l Lesson) Rows {
		rows := loss.Loss(b, l)
		rows.Value = b.Op(gorgonia.Mul(rows.Value, b.Scalar(Constant(factor))))
		return rows
	})
}

// A soft term that is divided by what it should not be, or not multiplied by T²,
// is a hundredth of the hard one.
func TestSoftTermsThatVanish(t *testing.T) {
	const classes = 300
	few := func(soft Loss) *Run {
		r := toyRun[float32]()
		r.Terms = []Term{{Name: "hard", Loss: CrossEntropy{}}, {Name: "soft", Loss: soft}}
		return r
	}
	many := func(soft Loss) *Run {
		r := few(soft)
		y := make([]int, 33)
		for i := range y {
			y[i] = i * classes / len(y)
		}
		x := wide(allOf(data.Loader{Set: toySet[float32](33), Batch: 33, InOrder: true})[0].In["x"])
		set := must(data.NewMemory(data.Signals{"x": dense[float32](x, 33, toyIn)}, tensor.New(tensor.WithBacking(y)), nil))
		r.Train, r.Valid = data.Loader{Set: set, Batch: 11}, nil
		r.Student = must(student.New(student.MLP{Hidden: []int{6}, Out: classes}, set.Spec(), 1))
		r.Teacher = teacher.Func{
			Says: teacher.Card{Signals: map[string]data.Field{"logits": {Shape: tensor.Shape{classes}, Dtype: tensor.Float32}}},
			Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
				z := dense[float32](nil, b.N, classes)
				for r, y := range b.Label.Ints()[:b.N] {
					z.Float32s()[r*classes+y] = 12
				}
				return data.Signals{"logits": z}, nil
			},
		}
		return r
	}
	kl := func(T float64) Loss { return KL{T: Constant(T)} }
	for name, test := range map[string]struct {
		run  *Run
		want bool
	}{
		"as it should be":        {many(kl(2)), false},
		"PyTorch's mean":         {many(times(1./classes, kl(2))), true},
		"at a high temperature":  {few(kl(20)), false},
		"T² is missing":          {few(times(1./(20*20), kl(20))), true},
		"T² is missing, T small": {few(times(1./(2*2), kl(2))), false}, // and does little harm
	} {
		got := warnings(t, test.run, `the student hardly learns from "soft" (is a sum a mean, T² missing, or a weight off?)`)
		if len(got) > 0 != test.want {
			t.Errorf("%s: warnings %q; want one: %t", name, got, test.want)
		}
	}
}

// Of the two terms only one is softened, and multiplied by T².
func TestHinton(t *testing.T) {
	const T, w, rows, classes = 4, 0.7, 3, 5
	s, taught := drawn(1, 2, rows, classes), drawn(2, 2, rows, classes)
	c := compared[float64](s, taught, rows)
	hard, soft := 0.0, 0.0
	for r, y := range c.Label.Ints() {
		s, taught := s[r*classes:][:classes], taught[r*classes:][:classes]
		hard += surprise(s, y) / rows
		soft += T * T * relative(softmax(taught, T), softmax(s, T)) / rows
	}
	for i, want := range [][]float64{{hard, 1 - w}, {soft, w}} {
		term := Hinton(T, w)[i]
		value, _, err := Evaluate(term.Loss, c)
		if err := cmp.Or(err, near(1e-12, []float64{value, term.weight(0)}, want)); err != nil {
			t.Errorf("%s: %v", term.Name, err)
		}
	}
}

// A gradient that is no number ends the run before it reaches a weight.
func TestFiniteLossWithoutAGradient(t *testing.T) {
	root := LossFunc(func(b *student.Builder, l Lesson) Rows { // which is steep at 0
		z := l.Tap("logits")
		zero := b.Op(gorgonia.Sub(z, b.Detach(z)))
		return Rows{Value: b.Op(gorgonia.Sum(b.Op(gorgonia.Sqrt(zero)), 1))}
	})
	r := toyRun[float64]()
	r.Terms = []Term{{Name: "root", Loss: root}}
	before := r.Student.Fingerprint()
	_, err := r.Fit(t.Context())
	var diverged *DivergedError
	if !errors.As(err, &diverged) || diverged.Step != 1 || diverged.Term != "gradient" {
		t.Errorf("error %v; want the gradient of step 1", err)
	}
	if r.Student.Fingerprint() != before {
		t.Error("the student's weights moved")
	}
}

// A step of which no row counts is 0, and moves nothing.
func TestBatchesThatDoNotCount(t *testing.T) {
	r := toyRun[float64]()
	list := allOf(r.Train)
	clear(list[1].Weight.Float32s())
	r.Train = batches{r.Train.Spec(), list}
	r.Optimizer = SGD{Rate: Constant(0.1)}
	var moved []bool
	last := r.Student.Fingerprint()
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		counts := (step.N-1)%len(list) != 1
		if step.Loss > 0 != counts || step.GradNorm > 0 != counts || !isNumber(step.Loss) {
			t.Errorf("step %d: loss %v, gradient %v; want 0: %t", step.N, step.Loss, step.GradNorm, !counts)
		}
		now := r.Student.Fingerprint()
		moved, last = append(moved, (now != last) == counts), now
	}
	if slices.Contains(moved, false) || len(moved) != 3*len(list) {
		t.Errorf("as it should: %v", moved)
	}
}

// A teacher whose weights were never loaded is no teacher.
func TestTeacherOfZeros(t *testing.T) {
	r := toyRun[float32]()
	blank := toyStudent(r.Train.Spec(), 0, 9)
	for p := range blank.Params() {
		clear(p.Value.Float32s())
		p.Touch()
	}
	r.Teacher, r.Terms = teacher.Of(blank), Hinton(2, 0.5)
	_, _, err := look(t, r)
	checkError(t, err, "(are its weights, its classes and its preprocessing right? Run.AnyTeacher allows it)")
	r.AnyTeacher = true
	if w := warnings(t, r, "100% of the soft targets of term \"soft\" are uniform at T = 2: they say nothing"); len(w) != 1 {
		t.Errorf("warnings %q; want one of soft targets", w)
	}
}

// A checkpoint is the student's, and so is what the student saves.
func TestCheckpointHoldsNoTeacher(t *testing.T) {
	r := toyRun[float32]()
	master := must(student.New(student.MLP{Hidden: []int{99}, Out: toyClasses}, r.Train.Spec(), 1))
	r.Teacher, r.AnyTeacher, r.Terms, r.Dir = teacher.Of(master, "logits", "l1"), true, append(Hinton(2, 0.5), Term{Name: "hint", Loss: Hint{Student: "l1", Teacher: "l1"}}), t.TempDir()
	r.Optimizer = SGD{Rate: Constant(0.1), Momentum: 0.9}
	fit(t, r)
	state := must(loadState(filepath.Join(r.Dir, CheckpointFile)))
	var got, want []string
	for name := range maps.Keys(state.Tensors) {
		got = append(got, name)
	}
	for p := range r.Student.Params() {
		want = append(want, "param/"+p.Name, "best/"+p.Name, "slot/momentum/"+p.Name)
	}
	for _, own := range []string{"hint.regressor.weight", "hint.regressor.bias"} { // are the run's, to go on with
		want = append(want, "param/"+own, "slot/momentum/"+own)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the checkpoint has %q; want %q", got, want)
	}
	for p := range r.Student.Params() {
		if strings.HasPrefix(p.Name, "hint") || slices.Contains(p.Value.Shape(), 99) {
			t.Errorf("the student has %s of %v", p.Name, p.Value.Shape())
		}
	}
}

// A lesson says which side is whose: to swap them leaves a term that is dead.
func TestSidesThatAreSwapped(t *testing.T) {
	for i, loss := range []Loss{KL{}, MSE{}} {
		want := i == 0 // a square is the same both ways
		r := toyRun[float32]()
		r.Terms = append(Hinton(2, 0.5), Term{Name: "swapped", Loss: LossFunc(func(b *student.Builder, l Lesson) Rows {
			l.Student, l.Teacher = l.Teacher, l.Student
			return loss.Loss(b, l)
		})})
		if w := warnings(t, r, `term "swapped" is dead`); len(w) > 0 != want {
			t.Errorf("%T: warnings %q; want one: %t", loss, w, want)
		}
	}
}

// Where no term asks for labels, there need be none.
func TestWithoutAnyLabels(t *testing.T) {
	unlabelled := func(n int) data.Source {
		x := allOf(data.Loader{Set: toySet[float32](n), Batch: n, InOrder: true})[0].In["x"]
		return data.Loader{Set: must(data.NewMemory(data.Signals{"x": x}, nil, nil)), Batch: 8}
	}
	r := toyRun[float32]()
	r.Train, r.Valid = unlabelled(46), unlabelled(23)
	r.Student = toyStudent(r.Train.Spec(), 0, 1)
	r.Terms = []Term{{Name: "soft", Loss: KL{T: Constant(2)}}, {Name: "hint", Loss: Hint{Student: "l1", Teacher: "hidden"}}}
	p, _, err := look(t, r)
	if err != nil || len(p.Warnings) > 0 {
		t.Fatalf("error %v, warnings %q; want none", err, p.Warnings)
	}
	all := traceOf(t, r).steps
	if first, last := all[0].Loss, all[len(all)-1].Loss; !(last < first) {
		t.Errorf("the loss was %v and is %v; want less", first, last)
	}
}

// late answers for each token what it would have for the one so many before.
func late(r *Run, by int) {
	t := r.Teacher.(teacher.Func)
	do := t.Do
	t.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		s, err := do(ctx, b)
		z := s["logits"]
		tokens, classes := z.Shape()[1], z.Shape()[2]
		shifted := make([]float32, len(z.Float32s()))
		for row := range b.N * tokens {
			if from := row%tokens - by; from >= 0 && from < tokens {
				copy(shifted[row*classes:][:classes], z.Float32s()[(row-by)*classes:])
			}
		}
		return data.Signals{"logits": tensor.New(tensor.WithShape(z.Shape()...), tensor.WithBacking(shifted))}, err
	}
	r.Teacher = t
}

// Logits that are one token off have the right shape, and the wrong labels.
func TestTokensThatAreShifted(t *testing.T) {
	for by, want := range map[int]string{
		0: "",
		1: "the teacher's choice for the token after theirs", -1: "the teacher's choice for the token before theirs",
	} {
		r := tokens(40)
		late(r, by)
		_, _, err := look(t, r)
		if by == 0 {
			if w := warnings(t, r, "shifted"); len(w) > 0 {
				t.Errorf("warnings %q; want none", w)
			}
			continue
		}
		checkError(t, err, "labels of Run.Valid are "+want+" and not for their own, and 0 the other way round: are its answers shifted by one? Run.AnyTeacher")
		r.AnyTeacher = true
		if w := warnings(t, r, want); len(w) != 1 {
			t.Errorf("shifted by %d: warnings %q; want one", by, w)
		}
	}
	// Labels in runs are mostly right all the same.
	var a tally
	labels, choices := make([]int, 60), make([]int, 60)
	weights := make([]float32, 60)
	for i := range labels {
		labels[i], choices[i], weights[i] = i/4%7, (i+1)/4%7, 1
	}
	a.add(choices, labels, weights, 60)
	if !strings.Contains(a.shift(), "the token before theirs") || a.right != 45 {
		t.Errorf("%+v: %q; want labels that are the choices before them", a, a.shift())
	}
	// A first token that is always wrong is no shift, nor are rows of no weight.
	var b tally
	for range 99 {
		b.add([]int{3, 1, 1, 1, 1}, []int{1, 1, 1, 1, 1}, weights, 5)
		b.add([]int{1, 2, 3, 0, 2}, []int{1, 1, 2, 3, -1}, make([]float32, 5), 5)
	}
	if b.shift() != "" || b.labelled != 99*5 {
		t.Errorf("%+v: %q; want no shift", b, b.shift())
	}
}
