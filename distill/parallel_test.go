package distill_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// Runs that share nothing but data and a teacher, side by side, do what they do
// one after the other, to the last bit.
func TestRunsInParallel(t *testing.T) {
	split, err := data.Digits()
	if err != nil {
		t.Fatal(err)
	}
	master, err := student.New(student.MLP{Hidden: []int{24}, Out: 10}, split.Train.Spec(), 99)
	if err != nil {
		t.Fatal(err)
	}
	shared := teacher.Of(master, "l1", "logits")
	const runs = 4
	var serial, parallel [runs][]string
	for i := range runs {
		serial[i] = train(t, i, split, shared)
	}
	var wg sync.WaitGroup
	for i := range runs {
		wg.Go(func() { parallel[i] = train(t, i, split, shared) })
	}
	wg.Wait()
	for i := range runs {
		if len(serial[i]) != 31 || !slices.Equal(parallel[i], serial[i]) {
			t.Errorf("run %d, in parallel:\n%q\nserial:\n%q", i, parallel[i], serial[i])
		}
		if i > 0 && slices.Equal(serial[i], serial[0]) {
			t.Errorf("runs 0 and %d are the same", i)
		}
	}
}

// train is the story of a run of 30 steps, and what it came to. Each number
// has a network, a loss and an optimizer of its own.
func train(t *testing.T, i int, split data.Split, shared teacher.Teacher) []string {
	model, err := student.New(student.MLP{Hidden: []int{9 + i}, Out: 10, Act: student.Act(i), Dropout: 0.1}, split.Train.Spec(), uint64(i))
	if err != nil {
		t.Error(err)
		return nil
	}
	run := distill.Run{
		Student:    model,
		Teacher:    shared,
		Terms:      distill.Hinton(float64(2+i), 0.7),
		Train:      data.Loader{Set: split.Train, Batch: 64, Seed: uint64(i)},
		Valid:      data.Loader{Set: split.Valid, Batch: 67, InOrder: true},
		Optimizer:  []distill.Optimizer{distill.SGD{Rate: distill.Constant(0.1), Momentum: 0.9}, distill.Adam{Rate: distill.Constant(1e-3)}}[i%2],
		MaxSteps:   30,
		Seed:       uint64(i),
		AnyTeacher: true,
	}
	if i == 3 {
		run.Terms = append(run.Terms, distill.Term{Name: "hint", Loss: distill.Hint{Student: "l1", Teacher: "l1"}})
	}
	var story []string
	result, err := run.Fit(t.Context(), distill.ObserverFunc(func(s distill.Step) error {
		story = append(story, fmt.Sprint(s.Loss, s.Terms, s.Accuracy, s.GradNorm))
		return nil
	}))
	if err != nil {
		t.Error(err)
		return nil
	}
	return append(story, fmt.Sprintf("%+v %x", result.Valid, model.Fingerprint()))
}
