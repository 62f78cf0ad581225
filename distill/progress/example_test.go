package progress_test

import (
	"os"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/progress"
)

func ExampleBar() {
	bar := &progress.Bar{W: os.Stdout, Now: func() time.Time { return time.Unix(0, 0) }}
	bar.Start(distill.Plan{Steps: 4, StepsPerEpoch: 2})
	for n := 1; n <= 4; n++ {
		step := distill.Step{N: n, Epoch: (n - 1) / 2, Rows: 32, Loss: 1 / float64(n), Accuracy: float64(n) / 5}
		if n%2 == 0 {
			step.End, step.Valid, step.Best = true, &distill.Metrics{Accuracy: step.Accuracy}, true
		}
		bar.Step(step)
	}
	bar.Finish(distill.Result{Steps: 4, Epochs: 2, Why: distill.Finished, BestEpoch: 1, Valid: &distill.Metrics{Accuracy: 0.8}}, nil)
	// Output:
	// epoch 1/2  step 2/4  loss 0.75  accuracy 30.0%  validation accuracy 40.0%  best
	// epoch 2/2  step 4/4  loss 0.2917  accuracy 70.0%  validation accuracy 80.0%  best
	// finished after 2 epochs, 4 steps, 0s; best epoch 2: accuracy 80.0%
}
