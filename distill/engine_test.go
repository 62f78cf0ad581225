package distill

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// split is the toy run in float64 without Adam, which enlarges rounding, with
// its steps split into batches.
func split(set data.Set, batch, accumulate int) *Run {
	r := toyRun[float64]()
	r.Train = data.Loader{Set: set, Batch: batch, Seed: 3}
	r.Accumulate = accumulate
	r.Optimizer = SGD{Rate: Constant(0.1), Momentum: 0.9}
	return r
}

// Steps are of 12 rows, the last of 4: all splits do the same.
func TestAccumulate(t *testing.T) {
	set := toySet[float64](40)
	want := traceOf(t, split(set, 12, 1))
	if n := len(want.steps); n != 12 {
		t.Fatalf("%d steps; want 3 epochs of 4", n)
	}
	for _, batch := range []int{6, 4, 3, 2, 1} {
		sameTrace(t, traceOf(t, split(set, batch, 12/batch)), want, 1e-12)
	}
}

// One step is one epoch: batches of any size do the same, padded or not.
func TestPaddingChangesNothing(t *testing.T) {
	set := toySet[float64](13)
	want := traceOf(t, split(set, 13, 0))
	rapid.Check(t, func(rt *rapid.T) {
		batch := rapid.IntRange(1, 40).Draw(rt, "batch")
		sameTrace(rt, traceOf(t, split(set, batch, (13+batch-1)/batch)), want, 1e-12)
	})
}

func TestRowOrderChangesNothing(t *testing.T) {
	set := toySet[float64](13)
	inOrder := func(set data.Set) *Run {
		r := split(set, 16, 1)
		r.Train = data.Loader{Set: set, Batch: 16, InOrder: true}
		return r
	}
	want := traceOf(t, inOrder(set))
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}).Draw(rt, "rows")
		sameTrace(rt, traceOf(t, inOrder(must(data.Subset(set, rows)))), want, 1e-12)
	})
}

// joint is a loss that couples rows.
type joint struct{ MSE }

func (joint) Couples() {}

// Loss weighs rows by whether they count at all.
func (joint) Loss(b *student.Builder, l Lesson) Rows {
	rows := MSE{}.Loss(b, l)
	rows.Weight = b.Valid()
	return rows
}

func TestJointRefusesAccumulate(t *testing.T) {
	r := toyRun[float32]()
	r.Terms = []Term{{Name: "pairs", Loss: joint{}}}
	fit(t, r)
	r.Accumulate = 2
	_, err := r.Fit(t.Context())
	checkError(t, err, `distill: Run.Accumulate is 2 and the loss of "pairs" couples rows; want 1`)
}

func TestRowWeightsAreChecked(t *testing.T) {
	rows := func(weight float64) LossFunc {
		return func(b *student.Builder, l Lesson) Rows {
			value := MSE{}.Loss(b, l).Value
			return Rows{Value: value, Weight: b.Op(gorgonia.HadamardProd(b.Valid(), b.Scalar(Constant(weight))))}
		}
	}
	for want, loss := range map[string]Loss{
		`is -1; want a finite number, 0 or more`:        rows(-1),
		`is NaN; want a finite number, 0 or more`:       rows(math.NaN()),
		`is 0.5; a loss that couples rows wants 0 or 1`: coupled{rows(0.5)},
	} {
		r := toyRun[float64]()
		r.Terms = []Term{{Name: "only", Loss: loss}}
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
	}
}

// coupled is a loss that says it couples rows.
type coupled struct{ LossFunc }

func (coupled) Couples() {}

// The hard term is the mean over the labelled weight of the whole step, and
// the soft one over all of it.
func TestTermsAreWeightedMeans(t *testing.T) {
	set := toySet[float64](13)
	r := split(set, 3, 5)
	r.Student, r.Terms, r.MaxSteps = toyStudent(set.Spec(), 0, 2), Hinton(1, 0.7), 1
	r.Valid = nil
	batch := allOf(data.Loader{Set: set, Batch: 13, InOrder: true})[0]
	logits := must(r.Student.Predict(batch))["logits"]
	taught := must(r.Teacher.Teach(t.Context(), batch))["logits"]
	var hard, soft, right, labelled, all float64
	var z, p []float64
	for i, w := range batch.Weight.Float32s() {
		z, p = logProbabilities(z, logits, i), logProbabilities(p, taught, i)
		if y := batch.Label.Ints()[i]; y >= 0 {
			hard, labelled = hard-float64(w)*z[y], labelled+float64(w)
			if argmax(z) == y {
				right += float64(w)
			}
		}
		for c := range p {
			soft += float64(w) * math.Exp(p[c]) * (p[c] - z[c])
		}
		all += float64(w)
	}
	got := traceOf(t, r).steps[0]
	for i, want := range []float64{hard / labelled, soft / all} {
		if v := got.Terms[i].Value; math.Abs(v-want) > 1e-12 {
			t.Errorf("term %q is %v, want %v", got.Terms[i].Name, v, want)
		}
	}
	if want := 0.3*hard/labelled + 0.7*soft/all; math.Abs(got.Loss-want) > 1e-12 {
		t.Errorf("the loss is %v, want %v", got.Loss, want)
	}
	if right == 0 || math.Abs(got.Accuracy-right/labelled) > 1e-12 {
		t.Errorf("the accuracy is %v, want %v", got.Accuracy, right/labelled)
	}
	if got.Rows != 13 || got.N != 1 || got.Epoch != 0 || !got.End {
		t.Errorf("step %+v; want all 13 rows in the one step of epoch 0", got)
	}
}

// The size of the batches of validation changes nothing.
func TestValidationIsAWeightedMean(t *testing.T) {
	set := toySet[float64](13)
	measured := func(batch int) Metrics {
		r := split(set, 13, 1)
		r.Epochs, r.Valid = 1, data.Loader{Set: toySet[float64](23), Batch: batch, InOrder: true}
		return *fit(t, r).Valid
	}
	want := measured(23)
	for _, batch := range []int{1, 5, 22, 40} {
		if diff := cmp.Diff(want, measured(batch), cmpopts.EquateApprox(0, 1e-12), cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("batches of %d: %s", batch, diff)
		}
	}
}

// The seed of a run is that of its dropout.
func TestSeedOfDropout(t *testing.T) {
	losses := func(dropout float64, seed uint64) (all []float64) {
		r := toyRun[float32]()
		r.Student, r.Terms, r.Seed = toyStudent(r.Train.Spec(), dropout, 1), Hinton(2, 0.5), seed
		for _, s := range traceOf(t, r).steps {
			all = append(all, s.Loss)
		}
		return all
	}
	if slices.Equal(losses(0.25, 1), losses(0.25, 2)) || !slices.Equal(losses(0, 1), losses(0, 2)) {
		t.Error("two seeds are the same with dropout, or differ without")
	}
}

// A step of SGD is as long as its rate times the clipped norm.
func TestStepIsClipped(t *testing.T) {
	for _, limit := range []float64{0, 0.01, 1e3} {
		r := split(toySet[float64](13), 13, 1)
		r.Terms, r.Optimizer, r.Clip, r.MaxSteps, r.Valid = Hinton(2, 0.5), SGD{Rate: Constant(0.5)}, limit, 1, nil
		r.Student = toyStudent(r.Train.Spec(), 0.25, 1)
		before := toyStudent(r.Train.Spec(), 0.25, 1)
		got := traceOf(t, r)
		sum := 0.0
		for p := range before.Params() {
			for i, w := range wide(p.Value) {
				sum += (w - got.weights[p.Name][i]) * (w - got.weights[p.Name][i])
			}
		}
		want := got.steps[0].GradNorm
		if limit == 0.01 {
			want = limit
		}
		if length := math.Sqrt(sum) / 0.5; math.Abs(length/want-1) > 1e-4 {
			t.Errorf("Clip %v: the gradient was %v long, want %v", limit, length, want)
		}
	}
}

func TestCopyPadded(t *testing.T) {
	long := dense[float32]([]float64{9, 9, 9, 9, 9, 9}, 3, 2)
	ints := tensor.New(tensor.WithBacking([]int{7, 7, 7, 7}))
	if err := errors.Join(copyPadded(long, dense[float64]([]float64{1, 2}, 1, 2)), copyPadded(ints, tensor.New(tensor.WithBacking([]int{3, 4, 5})))); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(long.Float32s(), []float32{1, 2, 0, 0, 0, 0}) || !slices.Equal(ints.Ints(), []int{3, 4, 5, 0}) {
		t.Errorf("%v and %v; want zeros after what was copied", long, ints)
	}
	checkError(t, copyPadded(ints, long), "it is of float32; want int")
	checkError(t, copyPadded(long, ints), "does not fit (3, 2) of float32")
	checkError(t, copyPadded(long, dense[float32](nil, 4, 2)), "(4, 2) of float32 does not fit (3, 2) of float32")
}

// Rows without labels count in the soft term alone.
func TestWithoutLabels(t *testing.T) {
	set := toySet[float64](13)
	hidden := must(data.HideLabels(set, func(int) bool { return false }))
	r := split(hidden, 6, 1)
	r.Terms = Hinton(2, 0.7)
	for _, s := range traceOf(t, r).steps {
		if s.Terms[0].Value != 0 || !(s.Terms[1].Value > 0) || !(s.GradNorm > 0) || !math.IsNaN(s.Accuracy) {
			t.Errorf("step %d: terms %v, norm %v, accuracy %v; want a soft term alone", s.N, s.Terms, s.GradNorm, s.Accuracy)
		}
	}
	only := split(hidden, 6, 1)
	only.Terms = Hinton(2, 0)
	for _, s := range traceOf(t, only).steps {
		if s.Loss != 0 || s.GradNorm != 0 {
			t.Errorf("step %d: loss %v, norm %v without a row that counts; want 0", s.N, s.Loss, s.GradNorm)
		}
	}
}

// A student that is its teacher has nothing to learn.
func TestTeacherIsStudent(t *testing.T) {
	digits := must(data.Digits())
	mlp := student.MLP{Hidden: []int{16}, Out: 10}
	same := func() *student.Model { return must(student.New(mlp, digits.Train.Spec(), 4)) }
	r := &Run{
		Student: same(), Teacher: teacher.Of(same()), Terms: Hinton(4, 1),
		Train:     data.Loader{Set: digits.Train, Batch: 64},
		Optimizer: SGD{Rate: Constant(1), Momentum: 0.9}, MaxSteps: 20,
	}
	for _, s := range traceOf(t, r).steps {
		if s.Loss != 0 || s.GradNorm != 0 {
			t.Fatalf("step %d: loss %v, norm %v; want 0", s.N, s.Loss, s.GradNorm)
		}
	}
	if r.Student.Fingerprint() != same().Fingerprint() {
		t.Error("the weights moved")
	}
}

func TestTeacherIsNotWrittenTo(t *testing.T) {
	r := toyRun[float32]()
	master := toyStudent(r.Train.Spec(), 0, 9)
	before := master.Fingerprint()
	r.Teacher, r.Terms, r.AnyTeacher = teacher.Of(master), Hinton(2, 0.5), true
	fit(t, r)
	if master.Fingerprint() != before {
		t.Error("the teacher has other weights than before")
	}
}

// moody is a teacher whose card is another each time, after some calm ones.
type moody struct {
	teacher.Func
	live  bool
	calm  int
	cards *int
}

func newMoody(calm int) moody { return moody{wise[float32](), false, calm, new(int)} }

func (m moody) Card() (teacher.Card, error) {
	*m.cards++
	card := m.Says
	card.Fingerprint[1], card.Live = byte(max(*m.cards-m.calm, 0)), m.live
	return card, nil
}

func TestTeacherChanged(t *testing.T) {
	r := toyRun[float32]()
	// The card is read before the first step, after it and at the end.
	for calm, want := range map[int]int{1: 1, 2: 18} {
		r.Teacher = newMoody(calm)
		result, err := r.Fit(t.Context())
		if !errors.Is(err, ErrTeacherChanged) || result.Steps != want {
			t.Errorf("error %v after %d steps; want %v after %d", err, result.Steps, ErrTeacherChanged, want)
		}
	}
	r.Teacher = newMoody(2)
	last := error(nil)
	for _, last = range r.Steps(t.Context()) {
	}
	if !errors.Is(last, ErrTeacherChanged) {
		t.Errorf("error %v; want %v", last, ErrTeacherChanged)
	}
	r.Teacher = moody{wise[float32](), true, 0, new(int)}
	fit(t, r)
}

func TestDivergence(t *testing.T) {
	r := toyRun[float32]()
	r.Clip, r.Optimizer = 0, SGD{Rate: Constant(1e30)}
	result, err := r.Fit(t.Context())
	var diverged *DivergedError
	if !errors.Is(err, ErrDiverged) || !errors.As(err, &diverged) {
		t.Fatalf("error %v; want %v", err, ErrDiverged)
	}
	if isNumber(diverged.Value) || diverged.Term == "" || diverged.Step != result.Steps+1 || diverged.Step > 4 {
		t.Errorf("%+v after %d steps; want the term and the step that was not done", *diverged, result.Steps)
	}
}

// scream is a loss that is NaN, with a gradient that is NaN too.
type scream struct{}

func (scream) Loss(b *student.Builder, l Lesson) Rows {
	z := l.Tap("logits")
	root := b.Op(gorgonia.Log(b.Op(gorgonia.Neg(b.Op(gorgonia.Square(z))))))
	return Rows{Value: b.Op(gorgonia.Sum(root, 1))}
}

func TestDivergedTermHasAName(t *testing.T) {
	r := toyRun[float32]()
	later := func(step int) float64 { return float64(step / 4) }
	r.Terms = append(Hinton(2, 0.5), Term{Name: "scream", Loss: scream{}, Weight: later})
	_, err := r.Fit(t.Context())
	var diverged *DivergedError
	if !errors.As(err, &diverged) || diverged.Step != 5 || diverged.Term != "scream" {
		t.Errorf("error %v; want step 5, where %q begins to count", err, "scream")
	}
}

// A term of weight 0 counts for nothing, whatever its value.
func TestWeightlessTermMayOverflow(t *testing.T) {
	r := toyRun[float32]()
	loud := wise[float32]()
	quiet := loud.Do
	loud.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		s, err := quiet(ctx, b)
		for i := range s["hidden"].Float32s() {
			s["hidden"].Float32s()[i] = 1e30
		}
		return s, err
	}
	r.Terms[2].Weight = Constant(0)
	want := traceOf(t, r)
	r.Student, r.Teacher = toyStudent(r.Train.Spec(), 0.25, 1), loud
	got := traceOf(t, r)
	if v := got.steps[0].Terms[2].Value; !math.IsInf(v, 1) {
		t.Fatalf("the hint is %v; want an overflow", v)
	}
	for i := range got.steps {
		got.steps[i].Terms[2], want.steps[i].Terms[2] = TermValue{}, TermValue{}
	}
	sameTrace(t, got, want, 0)
}

func TestBadAnswersAreRefused(t *testing.T) {
	spoil := func(name string, v *tensor.Dense, sample uint64) teacher.Func {
		bad := wise[float32]()
		good := bad.Do
		bad.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
			s, err := good(ctx, b)
			if r := slices.IndexFunc(b.ID, func(id data.ID) bool { return id.Sample == sample }); r >= 0 {
				s["logits"].Float32s()[r*toyClasses+2] = float32(math.NaN())
				if name != "" {
					s[name] = v
				}
			}
			return s, err
		}
		return bad
	}
	for want, bad := range map[string]teacher.Teacher{
		`signal "logits" of sample 17, view 0 has a NaN`: spoil("", nil, 17),
		`signal "hidden" is missing`:                     spoil("hidden", nil, 17),
		`signal "hidden" has dtype float64`:              spoil("hidden", dense[float64](nil, 8, 3), 17),
		`signal "hidden" has shape (4, 3)`:               spoil("hidden", dense[float32](nil, 4, 3), 17),
	} {
		r := toyRun[float32]()
		r.Teacher, r.Valid = bad, nil
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
	}
}

func TestParametersOutOfReach(t *testing.T) {
	r := toyRun[float32]()
	r.Groups = []Group{{Match: "*", Freeze: true}}
	_, err := r.Fit(t.Context())
	checkError(t, err, "distill: Run.Groups freeze every parameter; want one or more to train")

	r.Groups, r.Epochs = []Group{{Match: "l1.*", Freeze: true}, {Match: "*.bias", NoDecay: true}}, 1
	_, err = r.Fit(t.Context())
	checkError(t, err, "both match l1.bias")

	r.Groups = []Group{{Match: "l1.*", Freeze: true}, {Match: "l2.bias", Rate: 3, NoDecay: true}}
	before := traceOf(t, &Run{Student: r.Student, Teacher: r.Teacher, Terms: r.Terms, Train: r.Train, Optimizer: SGD{Rate: Constant(1e-30)}, MaxSteps: 1})
	after := traceOf(t, r)
	for name, w := range before.weights {
		if moved := !slices.Equal(w, after.weights[name]); moved != (name[:2] == "l2") {
			t.Errorf("%s moved: %t", name, moved)
		}
	}
}
