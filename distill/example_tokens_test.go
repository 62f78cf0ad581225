package distill_test

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// Where labels and weights are (B, T), a row is a token. Here is a batch of two
// texts of five tokens: each is a vector of three numbers, with four classes to
// tell apart. A token without a label, -1, is taught all the same; padding has
// weight 0, and counts for nothing.
func ExampleRun_tokens() {
	ctx := context.Background()
	x := tensor.New(tensor.WithShape(2, 5, 3), tensor.WithBacking([]float32{
		1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1,
		0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
	}))
	label := tensor.New(tensor.WithShape(2, 5), tensor.WithBacking([]int{
		-1, -1, 2, 0, 3,
		-1, 1, 0, -1, -1,
	}))
	weight := tensor.New(tensor.WithShape(2, 5), tensor.WithBacking([]float32{
		1, 1, 1, 1, 1,
		1, 1, 1, 0, 0,
	}))
	texts := must(data.NewMemory(data.Signals{"x": x}, label, []string{"a", "b", "c", "d"}))
	texts = must(texts.WithWeights(weight))

	// A Linear works on the last axis: (B, T, 3) becomes logits (B, T, 4).
	net := student.Sequence{
		{Name: "l1", Layer: student.Linear{Out: 6, Act: student.Tanh}},
		{Name: "l2", Layer: student.Linear{Out: 4}},
	}
	big := must(student.New(net, texts.Spec(), 1))
	small := must(student.New(net, texts.Spec(), 2))
	run := distill.Run{
		Student:   small,
		Teacher:   teacher.Of(big),
		Terms:     distill.Hinton(2, 0.5),
		Train:     data.Loader{Set: texts, Batch: 2},
		Optimizer: distill.Adam{Rate: distill.Constant(0.02)},
		Epochs:    200,
	}
	must(run.Fit(ctx))

	m := must(distill.Measure(ctx, small, run.Train, run.Teacher))
	fmt.Println("logits of a text:", small.Taps()["logits"].Shape)
	fmt.Println("labels learned:", m.Accuracy == 1)
	// Output:
	// logits of a text: (5, 4)
	// labels learned: true
}
