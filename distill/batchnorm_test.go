package distill

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// normedStudent is toyStudent with a batch norm, which has its statistics.
func normedStudent(spec data.Spec, seed uint64) *student.Model {
	return must(student.New(student.Sequence{
		{Name: "l1", Layer: student.Linear{Out: 6}},
		{Name: "bn", Layer: student.BatchNorm{Act: student.ReLU}},
		{Name: "drop", Layer: student.Dropout{Rate: 0.25}},
		{Name: "l2", Layer: student.Linear{Out: toyClasses}},
	}, spec, seed))
}

// normedRun is the toy run of a student with a batch norm, taught by another.
func normedRun(dir string) *Run {
	r := toyRun[float32]()
	r.Student, r.Terms = normedStudent(r.Train.Spec(), 1), Hinton(2, 0.7)
	r.Dir, r.Resume = dir, dir != ""
	return r
}

// statistics are the buffers of a model.
func statistics(m *student.Model) (all []float64) {
	for p := range m.Params() {
		if p.Buffer {
			all = append(all, wide(p.Value)...)
		}
	}
	return all
}

// Stopped after any step, and resumed, the statistics too are those of the run
// that was never stopped.
func TestResumeWithBatchNorm(t *testing.T) {
	finish := func(dir string) end {
		r := normedRun(dir)
		result := fit(t, r)
		return end{checkpoint(t, dir), r.Student.Fingerprint(), result}
	}
	want := finish(t.TempDir())
	for _, k := range []int{1, 5, 6, 11, 17} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			dir := t.TempDir()
			for step, err := range normedRun(dir).Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if step.N == k {
					break
				}
			}
			sameEnd(t, finish(dir), want)
		})
	}
}

// The student is left with the statistics of the best epoch, too.
func TestBestEpochHasItsStatistics(t *testing.T) {
	r := normedRun("")
	r.Monitor = func(m Metrics) float64 { return m.NLL } // which training makes smaller
	var best, last []float64
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		last = statistics(r.Student)
		if step.Best {
			best = last
		}
	}
	if slices.Equal(best, last) || !slices.Equal(statistics(r.Student), best) {
		t.Errorf("the statistics are %v; in the best epoch they were %v, in the last %v", statistics(r.Student), best, last)
	}
}

// A teacher is in eval mode, however often it is asked: its statistics never
// move. Nor do those of a student that is measured.
func TestTeachersStatisticsStay(t *testing.T) {
	r := normedRun("")
	wise := normedStudent(r.Train.Spec(), 2)
	early := normedRun("")
	early.Student = wise
	fit(t, early)
	print, start := wise.Fingerprint(), statistics(wise)
	r.Teacher, r.AnyTeacher = teacher.Of(wise), true
	fit(t, r)
	if wise.Fingerprint() != print || !slices.Equal(statistics(wise), start) {
		t.Errorf("the teacher's statistics are %v; they were %v", statistics(wise), start)
	}
	moved := statistics(r.Student)
	must(Measure(t.Context(), r.Student, r.Valid, r.Teacher))
	if !slices.Equal(statistics(r.Student), moved) {
		t.Error("to be measured moved the student's statistics")
	}
}

// Each micro-batch moves the statistics, in turn: those of a layer that sees the
// inputs do not depend on what is learnt.
func TestMicroBatchesMoveStatistics(t *testing.T) {
	first := func(accumulate int) *Run {
		r := normedRun("")
		r.Student = must(student.New(student.Sequence{{Name: "bn", Layer: student.BatchNorm{}}, {Name: "l", Layer: student.Linear{Out: toyClasses}}}, r.Train.Spec(), 1))
		r.Accumulate, r.Epochs, r.Valid = accumulate, 1, nil
		fit(t, r)
		return r
	}
	one, three := first(1), first(3)
	if !slices.Equal(statistics(one.Student), statistics(three.Student)) {
		t.Errorf("by micro-batches the statistics are %v; want %v", statistics(three.Student), statistics(one.Student))
	}
	var a, b bytes.Buffer
	if err := one.Student.Save(&a); err != nil {
		t.Fatal(err)
	}
	if err := three.Student.Save(&b); err != nil || bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("steps of one batch and of three are the same; error %v", err)
	}
}

// The last batch of an epoch may have one sample, of which there is no variance.
func TestBatchNormOfOneSample(t *testing.T) {
	r := normedRun("")
	r.Train = data.Loader{Set: toySet[float32](17), Batch: 8, Seed: 3}
	_, err := r.Fit(t.Context())
	for _, want := range []string{"bn.batch-norm#", "expected more than 1 value per channel when training, got 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
}
