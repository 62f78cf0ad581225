package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/teacher"
)

// A training loop of one's own: its body sees every step, and may end the run.
func ExampleRun_Steps() {
	digits := must(data.Digits())
	const epochs = 20
	train := data.Loader{Set: digits.Train, Batch: 32}
	run := distill.Run{
		Student:   network(digits.Train, 16, 2),
		Teacher:   teacher.Of(trained(digits.Train, 64, 1)),
		Terms:     distill.Hinton(4, 0.9),
		Train:     train,
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.AdamW{Rate: distill.Cosine(0.01, 0, epochs*train.Len()), Decay: 0.01},
		Epochs:    epochs,
	}
	for step, err := range run.Steps(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if step.Valid != nil && step.Valid.Agreement > 0.9 {
			fmt.Println("good enough before the end:", step.N < epochs*train.Len())
			break
		}
	}
	// Output: good enough before the end: true
}
