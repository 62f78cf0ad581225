package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A network learns the digits from their labels, and then teaches a smaller
// one.
func Example() {
	ctx := context.Background()
	digits := must(data.Digits())
	run := distill.Run{
		Student:   must(student.New(student.MLP{Hidden: []int{64}, Out: 10}, digits.Train.Spec(), 1)),
		Terms:     []distill.Term{{Name: "labels", Loss: distill.CrossEntropy{}}},
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
	must(run.Fit(ctx))

	run.Teacher = teacher.Of(run.Student)
	run.Student = must(student.New(student.MLP{Hidden: []int{8}, Out: 10}, digits.Train.Spec(), 2))
	run.Terms = distill.Hinton(4, 0.9)
	must(run.Fit(ctx))

	test := data.Loader{Set: digits.Test, Batch: 100, InOrder: true}
	m := must(distill.Measure(ctx, run.Student, test, run.Teacher))
	fmt.Println("right on more than 85% of the test set:", m.Accuracy > 0.85)
	fmt.Println("agrees with its teacher on more than 85%:", m.Agreement > 0.85)
	// Output:
	// right on more than 85% of the test set: true
	// agrees with its teacher on more than 85%: true
}

// must is v, or the end of the program.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
