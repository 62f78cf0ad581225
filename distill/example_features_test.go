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

// Digits come to lie to each other as they do in the teacher, whose hidden layer is
// eight times as wide: no regressor is needed.
func ExampleRKD() {
	digits := must(data.Digits())
	run := distill.Run{
		Student: network(digits.Train, 8, 2),
		Teacher: teacher.Of(trained(digits.Train, 64, 1), "logits", "l1"),
		Terms: append(distill.Hinton(4, 0.9),
			distill.Term{Name: "relations", Weight: distill.Constant(0.1), Loss: distill.RKD{Student: "l1", Teacher: "l1"}}),
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    3,
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
	for i, t := range last.Terms {
		fmt.Printf("%s has fallen: %t\n", t.Name, t.Value < first.Terms[i].Value)
	}
	// Output:
	// hard has fallen: true
	// soft has fallen: true
	// relations has fallen: true
}

// The student answers with its teacher's last layer, and has only to learn what
// that reads: it needs no labels.
func ExampleSimKD() {
	digits := must(data.Digits())
	large := trained(digits.Train, 64, 1)
	small, err := student.Graft{To: student.MLP{Hidden: []int{16}, Out: 10}, Tap: "l1", Head: "l2", Factor: 4}.From(large, 2)
	if err != nil {
		log.Fatal(err)
	}
	run := distill.Run{
		Student:   small,
		Teacher:   teacher.Of(large, "logits", "l1"),
		Terms:     []distill.Term{{Name: "simkd", Loss: distill.SimKD{Teacher: "l1"}}},
		Train:     data.Loader{Set: digits.Train, Batch: 32, DropLast: true},
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
	result, err := run.Fit(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("right on nine of ten or more:", result.Valid.Accuracy > 0.9)
	fmt.Println("as the teacher says:", result.Valid.Agreement > 0.9)
	// Output:
	// right on nine of ten or more: true
	// as the teacher says: true
}
