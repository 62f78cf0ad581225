package distill_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// ReverseKL is KL(student ‖ teacher) at T = 1, which seeks the modes of the
// teacher (MiniLLM, Gu et al. 2024, 2306.08543).
type ReverseKL struct{}

// Loss is Σ_c p_c (log p_c - log q_c) for each row.
func (ReverseKL) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	p := b.LogSoftmax(l.Tap("logits"))
	q := b.LogSoftmax(l.Dense("logits"))
	each := b.Op(gorgonia.HadamardProd(b.Op(gorgonia.Exp(p)), b.Op(gorgonia.Sub(p, q))))
	return distill.Rows{Value: b.Op(gorgonia.Sum(each, 1))}
}

// A loss is one method. Evaluate tries it on given values, before any run.
func ExampleLoss() {
	logits := func(z ...float64) data.Signals {
		return data.Signals{"logits": tensor.New(tensor.WithShape(1, 3), tensor.WithBacking(z))}
	}
	value, grads, err := distill.Evaluate(ReverseKL{}, distill.Case{
		Student: logits(2, 1, 0),
		Teacher: logits(0, 1, 3),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f %.4f\n", value, grads["logits"].Data())
	// Output: 1.8226 [0.6251 -0.2595 -0.3656]
}
