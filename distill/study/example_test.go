package study_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// Of the training rows, 60 are labelled. The control reads these over and over;
// the distilled student reads all rows, about which it has a teacher.
func Example() {
	ctx := context.Background()
	digits := must(data.Digits())
	labelled := must(data.Subset(digits.Train, data.Range(0, 60)))
	repeated := must(data.Repeat(labelled, digits.Train.Len()))
	partly := must(data.HideLabels(digits.Train, func(row int) bool { return row < 60 }))

	trial := func(hidden int, train data.Set, seed uint64, rate float64) *distill.Run {
		return &distill.Run{
			Student:   must(student.New(student.MLP{Hidden: []int{hidden}, Out: 10}, train.Spec(), seed)),
			Terms:     []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}},
			Train:     data.Loader{Set: train, Batch: 64, Seed: seed},
			Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
			Optimizer: distill.Adam{Rate: distill.Constant(rate)},
			Epochs:    8,
			Seed:      seed,
		}
	}
	big := trial(64, digits.Train, 9, 0.01)
	must(big.Fit(ctx))

	s := study.Study{
		Arms: []study.Arm{
			{Name: "control", Run: func(seed uint64, rate float64) (*distill.Run, error) {
				return trial(12, repeated, seed, rate), nil
			}},
			{Name: "distilled", Run: func(seed uint64, rate float64) (*distill.Run, error) {
				run := trial(12, partly, seed, rate)
				run.Teacher, run.Terms = teacher.Of(big.Student), distill.Hinton(2, 0.9)
				return run, nil
			}},
		},
		Rates: []float64{0.005, 0.02},
		Seeds: study.Seeds(5),
		Test:  data.Loader{Set: digits.Test, Batch: 100, InOrder: true},
	}
	outcomes := must(s.Run(ctx))
	d := must(outcomes.Compare("distilled", "control"))
	fmt.Println("the teacher helps:", d.Mean > 0)
	fmt.Println("the interval says so too:", d.Clear())
	// Output:
	// the teacher helps: true
	// the interval says so too: true
}

// must is v, or the end of the program.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
