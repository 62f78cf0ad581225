package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/teacher"
)

// Two students learn together, each from the labels and from the other.
func ExampleMutual() {
	digits := must(data.Digits())
	wide, narrow := network(digits.Train, 24, 1), network(digits.Train, 8, 2)
	one := distill.Run{
		Student:   wide,
		Teacher:   teacher.Live(teacher.Of(narrow)),
		Terms:     distill.Hinton(1, 0.5),
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    8,
	}
	two := one
	two.Student, two.Teacher = narrow, teacher.Live(teacher.Of(wide))

	var last []distill.Step
	for steps, err := range distill.Mutual(context.Background(), &one, &two) {
		if err != nil {
			log.Fatal(err)
		}
		last = steps
	}
	for i, step := range last {
		fmt.Printf("student %d, step %d: more than 80%% right: %t\n", i, step.N, step.Valid.Accuracy > 0.8)
	}
	fmt.Println("they agree on more than 80%:", last[1].Valid.Agreement > 0.8)
	// Output:
	// student 0, step 280: more than 80% right: true
	// student 1, step 280: more than 80% right: true
	// they agree on more than 80%: true
}
