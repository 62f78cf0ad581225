package distill

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// meanRun is the run of a student with a batch norm, taught by its own moving
// average. The model of the average begins anywhere.
func meanRun(dir string) *Run {
	r := normedRun(dir)
	mean := normedStudent(r.Train.Spec(), 7)
	r.Average = Average{Model: mean, Decay: Linear(0.5, 0.9, 10)}
	r.Teacher = teacher.Live(teacher.Of(mean))
	return r
}

// all are the numbers of a model, one parameter after the other.
func all(m *student.Model) (list []float64) {
	for p := range m.Params() {
		list = append(list, wide(p.Value)...)
	}
	return list
}

// The average moves by its definition, running statistics too, and says what it
// is after each step.
func TestAverage(t *testing.T) {
	r := meanRun("")
	mean, b := all(r.Student), allOf(r.Train)[0]
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		d := 0.5 + 0.04*min(float64(step.N-1), 10)
		for i, w := range all(r.Student) {
			mean[i] = d*mean[i] + (1-d)*w
		}
		for i, v := range all(r.Average.Model) {
			if math.Abs(v-mean[i]) > 1e-6 {
				t.Fatalf("step %d: number %d is %v; want %v", step.N, i, v, mean[i])
			}
		}
		says := must(teacher.Of(r.Average.Model).Teach(t.Context(), b))["logits"]
		still := normedStudent(r.Train.Spec(), 3)
		i := 0
		for p := range still.Params() {
			i += copy(p.Value.Float32s(), cast[float32](mean[i:]))
			p.Touch()
		}
		for i, z := range wide(must(still.Predict(b))["logits"]) {
			if math.Abs(z-wide(says)[i]) > 1e-4 {
				t.Fatalf("step %d: as a teacher it says %v; want %v", step.N, wide(says)[i], z)
			}
		}
	}
}

// In float64, and to the rounding of that.
func TestAverageOfFloat64(t *testing.T) {
	r := toyRun[float64]()
	r.Average = Average{Model: toyStudent(r.Train.Spec(), 0, 7), Decay: MovingAverage(0.999)}
	sum, n := all(r.Student), 1.0
	for _, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		for i, w := range all(r.Student) {
			sum[i] += w
		}
		for i, v := range all(r.Average.Model) {
			if math.Abs(v-sum[i]/n) > 1e-14 {
				t.Fatalf("number %d is %v; want the mean of %v so far, %v", i, v, n, sum[i]/n)
			}
		}
	}
}

func TestMovingAverage(t *testing.T) {
	s := MovingAverage(0.9)
	for step, want := range map[int]float64{0: 0.5, 1: 2. / 3, 2: 0.75, 7: 8. / 9, 8: 0.9, 9: 0.9, 1e9: 0.9} {
		if got := s(step); math.Abs(got-want) > 1e-15 {
			t.Errorf("step %d: %v; want %v", step, got, want)
		}
	}
}

// An average ends where a weight stays, however slowly it moves.
func TestAverageArrives(t *testing.T) {
	mean := []float32{0.3}
	for range 400_000 {
		approach(mean, []float32{1}, float32(1-0.9999))
	}
	if math.Abs(float64(mean[0])-1) > 1e-3 {
		t.Errorf("the average is %v; want 1", mean[0])
	}
}

// The mean teacher is the student at first, and what it was before the step
// later: never what it has just learned.
func TestMeanTeacherTeaches(t *testing.T) {
	r := meanRun("")
	r.Student = must(student.New(student.Sequence{{Name: "l2", Layer: student.Linear{Out: toyClasses}}}, r.Train.Spec(), 1))
	mean := must(student.New(r.Student.Module(), r.Train.Spec(), 2))
	r.Average.Model, r.Teacher = mean, teacher.Live(teacher.Of(mean))
	r.Valid = nil
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		soft := step.Terms[1].Value
		if step.N == 1 && soft != 0 || step.N > 1 && !(soft > 0) {
			t.Errorf("step %d: the soft term is %v", step.N, soft)
		}
	}
	if mean.Fingerprint() == r.Student.Fingerprint() {
		t.Error("the average is the student")
	}
}

// Stopped after any step and resumed, the average and what it taught are those
// of the run that was never stopped.
func TestResumeWithAverage(t *testing.T) {
	for _, valid := range []bool{false, true} {
		run := func(dir string) *Run {
			r := meanRun(dir)
			r.Average.Valid = valid
			return r
		}
		finish := func(dir string) (end, [32]byte) {
			r := run(dir)
			result := fit(t, r)
			return end{checkpoint(t, dir), r.Student.Fingerprint(), result}, r.Average.Model.Fingerprint()
		}
		want, mean := finish(t.TempDir())
		for k := 1; k <= 18; k += 2 {
			t.Run(fmt.Sprint(valid, " after ", k), func(t *testing.T) {
				dir := t.TempDir()
				for step := range run(dir).Steps(t.Context()) {
					if step.N == k {
						break
					}
				}
				got, gotMean := finish(dir)
				sameEnd(t, got, want)
				if gotMean != mean {
					t.Error("the averages differ")
				}
			})
		}
	}
}

// The average is measured in the student's place, and has the weights of the best
// epoch in the end.
func TestAverageIsValidated(t *testing.T) {
	r := meanRun("")
	r.Average.Valid, r.Monitor = true, scores(0, 1, 0)
	var means, own [][]float64
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if step.End {
			means, own = append(means, all(r.Average.Model)), append(own, all(r.Student))
			m := must(Measure(t.Context(), r.Average.Model, r.Valid, nil))
			if m.NLL != step.Valid.NLL || m.Accuracy != step.Valid.Accuracy || step.Valid.Agreement != 1 {
				t.Errorf("epoch %d: measured %+v; want %+v", step.Epoch, *step.Valid, m)
			}
		}
	}
	if !slices.Equal(all(r.Average.Model), means[1]) || slices.Equal(means[1], means[2]) {
		t.Error("the average is not that of the best epoch")
	}
	if !slices.Equal(all(r.Student), own[2]) {
		t.Error("the student is not that of the last step")
	}
}

func TestAverageRefuses(t *testing.T) {
	other := func(m student.Module) *student.Model { return must(student.New(m, meanRun("").Train.Spec(), 1)) }
	for want, change := range map[string]func(*Run){
		"distill: Run.Average.Model is nil, with Decay":                               func(r *Run) { r.Average.Model = nil },
		"distill: Run.Average.Model is nil, with Decay or Valid":                      func(r *Run) { r.Average = Average{Valid: true} },
		"distill: Run.Average.Model is Run.Student":                                   func(r *Run) { r.Average.Model = r.Student },
		"distill: Run.Average.Decay is nil":                                           func(r *Run) { r.Average.Decay = nil },
		"distill: Run.Average.Decay is 1.5 at step 0; want 0 to 1":                    func(r *Run) { r.Average.Decay = Constant(1.5) },
		"distill: Run.Average.Decay is -1 at step 9; want 0 to 1":                     func(r *Run) { r.Average.Decay = StepDecay(1, -1, 9) },
		"distill: Run.Average.Decay is NaN at step 0":                                 func(r *Run) { r.Average.Decay = Constant(math.NaN()) },
		"Run.Average.Model has 4 parameters and the student 8":                        func(r *Run) { r.Average.Model = other(student.MLP{Hidden: []int{6}, Out: toyClasses}) },
		"has l1.weight of (7, 5), float32, and the student l1.weight of (6, 5)":       func(r *Run) { r.Average.Model = other(widened(7)) },
		"distill: the teacher changed during the run":                                 func(r *Run) { r.Teacher, r.AnyTeacher = teacher.Of(r.Average.Model), true },
		"distill: Run.Average.Model is that of a run that is under way; want one run": func(r *Run) { busy.Store(r.Average.Model, true) },
	} {
		r := meanRun("")
		change(r)
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
		busy.Delete(r.Average.Model)
	}
}

// widened is the network of normedStudent with so many hidden units.
func widened(n int) student.Module {
	s := slices.Clone(normedStudent(toySet[float32](9).Spec(), 1).Module().(student.Sequence))
	s[0].Layer = student.Linear{Out: n}
	return s
}

// Another average is another run.
func TestAverageIsInTheConfig(t *testing.T) {
	dir := t.TempDir()
	for range meanRun(dir).Steps(t.Context()) {
		break
	}
	refused := func(want string, change func(*Run)) {
		t.Helper()
		r := meanRun(dir)
		change(r)
		before := all(r.Student)
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
		if !slices.Equal(all(r.Student), before) {
			t.Errorf("%s: the student was changed", want)
		}
	}
	refused("Average.Decay 0.5 to", func(r *Run) { r.Average.Decay = Constant(0.9) })
	refused("Average.Valid false; this run has true", func(r *Run) { r.Average.Valid = true })
	refused("made with Average.Decay", func(r *Run) { r.Average, r.Teacher = Average{}, teacher.Live(wise[float32]()) })
	refused("Epochs 3; this run has 4", func(r *Run) { r.Epochs = 4 })

	path := meanRun(dir).path()
	state := must(loadState(path))
	delete(state.Tensors, "average/l1.weight")
	if err := saveState(path, state); err != nil {
		t.Fatal(err)
	}
	refused("the checkpoint has no average/l1.weight of (6, 5), float32", func(*Run) {})
}
