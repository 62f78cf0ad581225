package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/teacher"
)

// A narrow hidden layer follows a wide one of the teacher through a regressor,
// which learns too and is no part of the student. The hint fades out.
func ExampleHint() {
	digits := must(data.Digits())
	small := network(digits.Train, 8, 2)
	hint := distill.Term{
		Name:   "hint",
		Weight: distill.Linear(1, 0, 300),
		Loss:   distill.Hint{Student: "l1", Teacher: "l1"},
	}
	run := distill.Run{
		Student:   small,
		Teacher:   teacher.Of(trained(digits.Train, 64, 1), "logits", "l1"),
		Terms:     append(distill.Hinton(4, 0.9), hint),
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
	var first, last distill.Step
	for step, err := range run.Steps(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if step.N == 1 {
			first = step
		}
		last = step
	}
	fmt.Println("parameters of the student:", small.Size())
	for i, t := range last.Terms {
		fmt.Printf("%s, weight %.1f, has fallen: %t\n", t.Name, t.Weight, t.Value < first.Terms[i].Value)
	}
	// Output:
	// parameters of the student: 610
	// hard, weight 0.1, has fallen: true
	// soft, weight 0.9, has fallen: true
	// hint, weight 0.0, has fallen: true
}
