package distill_test

import (
	"context"
	"fmt"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/teacher"
)

// Two teachers side by side, with a term for each; or their mean, which is a
// teacher like any other.
func ExampleRun_twoTeachers() {
	digits := must(data.Digits())
	a := teacher.Of(trained(digits.Train, 32, 1))
	b := teacher.Of(trained(digits.Train, 64, 2))
	run := distill.Run{
		Student: network(digits.Train, 8, 3),
		Teacher: teacher.Named{"a": a, "b": b},
		Terms: []distill.Term{
			{Name: "labels", Weight: distill.Constant(0.2), Loss: distill.CrossEntropy{}},
			{Name: "a", Weight: distill.Constant(0.3), Loss: distill.KL{T: distill.Constant(4), Teacher: "a/logits"}},
			{Name: "b", Weight: distill.Constant(0.5), Loss: distill.KL{T: distill.Constant(4), Teacher: "b/logits"}},
		},
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
	result := must(run.Fit(context.Background()))
	for _, t := range result.Valid.Terms {
		fmt.Println(t.Name, t.Weight)
	}

	run.Student = network(digits.Train, 8, 3)
	run.Teacher = teacher.Mean{Teachers: []teacher.Teacher{a, b}, Weights: []float64{3, 5}}
	run.Terms = distill.Hinton(4, 0.8)
	result = must(run.Fit(context.Background()))
	fmt.Println("agrees with the mean on more than 80%:", result.Valid.Agreement > 0.8)
	// Output:
	// labels 0.2
	// a 0.3
	// b 0.5
	// agrees with the mean on more than 80%: true
}
