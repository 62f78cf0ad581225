package distill_test

import (
	"context"
	"fmt"
	"os"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/teacher"
)

// A teacher is asked once. Of its answers the three largest logits of each row
// are kept, with what makes them exact at the temperatures of the loss.
func ExampleRun_topK() {
	ctx := context.Background()
	digits := must(data.Digits())
	dir := must(os.MkdirTemp("", "cache"))
	defer os.RemoveAll(dir)
	big := teacher.Of(trained(digits.Train, 64, 1))
	cache := must(teacher.Record(ctx, big, digits.Train, dir, teacher.Recording{TopK: 3, Temps: []float64{4}}))
	defer cache.Close()

	small := network(digits.Train, 8, 2)
	run := distill.Run{
		Student:   small,
		Teacher:   cache,
		Terms:     distill.Hinton(4, 0.9),
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
	must(run.Fit(ctx))
	test := data.Loader{Set: digits.Test, Batch: 100, InOrder: true}
	m := must(distill.Measure(ctx, small, test, big))
	fmt.Println("agrees with its teacher on more than 80%:", m.Agreement > 0.8)
	// Output: agrees with its teacher on more than 80%: true
}
