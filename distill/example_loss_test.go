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

// Jeffreys is KL(teacher ‖ student) + KL(student ‖ teacher) at T = 1, which is the
// same both ways (Jeffreys 1946, 10.1098/rspa.1946.0056).
type Jeffreys struct{}

// Loss is Σ_c (q_c - p_c)·(log q_c - log p_c) for each row.
func (Jeffreys) Loss(b *student.Builder, l distill.Lesson) distill.Rows {
	q := b.LogSoftmax(l.Tap("logits"))
	p := b.LogSoftmax(l.Dense("logits"))
	apart := b.Op(gorgonia.Sub(b.Op(gorgonia.Exp(q)), b.Op(gorgonia.Exp(p))))
	each := b.Op(gorgonia.HadamardProd(apart, b.Op(gorgonia.Sub(q, p))))
	return distill.Rows{Value: b.Op(gorgonia.Sum(each, 1))}
}

// A loss is one method. Evaluate tries it on given values, before any run.
func ExampleLoss() {
	logits := func(z ...float64) data.Signals {
		return data.Signals{"logits": tensor.New(tensor.WithShape(1, 3), tensor.WithBacking(z))}
	}
	value, grads, err := distill.Evaluate(Jeffreys{}, distill.Case{
		Student: logits(2, 1, 0),
		Teacher: logits(0, 1, 3),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f %.4f\n", value, grads["logits"].Data())
	// Output: 3.5078 [1.2483 -0.1290 -1.1193]
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
