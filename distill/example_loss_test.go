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

// Two teachers, of which each counts for more in the rows whose label it knows
// better: K = 2 of CA-MKD (Zhang et al. 2022, 2201.00007), where the
// share of a teacher is 1 - exp(CE) / Σ exp(CE), of cross-entropies with the
// label.
func ExampleLossFunc_perSample() {
	loss := distill.LossFunc(func(b *student.Builder, l distill.Lesson) distill.Rows {
		teachers := l
		teachers.Student = l.Teacher // whose cross-entropy is asked for
		ceA := distill.CrossEntropy{Student: "a/logits"}.Loss(b, teachers).Value
		ceB := distill.CrossEntropy{Student: "b/logits"}.Loss(b, teachers).Value
		shareA := b.Op(gorgonia.Sigmoid(b.Op(gorgonia.Sub(ceB, ceA))))
		shareB := b.Op(gorgonia.Sigmoid(b.Op(gorgonia.Sub(ceA, ceB))))
		a := distill.KL{Teacher: "a/logits", T: distill.Constant(4)}.Loss(b, l).Value
		other := distill.KL{Teacher: "b/logits", T: distill.Constant(4)}.Loss(b, l).Value
		return distill.Rows{Value: b.Op(gorgonia.Add(
			b.Op(gorgonia.HadamardProd(shareA, a)), b.Op(gorgonia.HadamardProd(shareB, other)),
		))}
	})
	logits := func(z ...float64) *tensor.Dense { return tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(z)) }
	value, _, err := distill.Evaluate(loss, distill.Case{
		Student: data.Signals{"logits": logits(1, 0, 0, 0, 1, 0)},
		Teacher: data.Signals{"a/logits": logits(4, 0, 0, 4, 0, 0), "b/logits": logits(0, 0, 4, 0, 0, 4)},
		Label:   tensor.New(tensor.WithBacking([]int{0, 2})),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f\n", value)
	// Output: 1.8569
}
