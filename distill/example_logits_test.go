package distill_test

import (
	"fmt"
	"log"
	"math"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
)

// row is one row of logits.
func row(z ...float64) data.Signals {
	return data.Signals{"logits": tensor.New(tensor.WithShape(1, len(z)), tensor.WithBacking(z))}
}

// value is a loss of one row with a label.
func value(loss distill.Loss, student, teacher data.Signals, label int) float64 {
	v, _, err := distill.Evaluate(loss, distill.Case{
		Student: student, Teacher: teacher,
		Label: tensor.New(tensor.WithShape(1), tensor.WithBacking([]int{label})),
	})
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// A teacher that is sure of its label leaves KL with little to say of the other
// classes. DKD weighs what it says of them by itself.
func ExampleDKD() {
	teacher := row(9, 3, 1, -2)
	student := row(9, 1, 3, -2) // which has two of the others the wrong way round
	fmt.Printf("KL %.4f\n", value(distill.KL{}, student, teacher, 0))
	fmt.Printf("DKD %.4f\n", value(distill.DKD{T: distill.Constant(1)}, student, teacher, 0))

	// As its authors train, with 100 steps in an epoch:
	terms := []distill.Term{
		{Name: "hard", Loss: distill.CrossEntropy{}},
		{Name: "dkd", Weight: distill.Warmup(20*100, distill.Constant(1)), Loss: distill.DKD{}},
	}
	fmt.Println(terms[1].Weight(0), terms[1].Weight(1000), terms[1].Weight(5000))
	// Output:
	// KL 0.0043
	// DKD 12.1136
	// 0.0005 0.5005 1
}

// A student of other sizes than its teacher's is no worse for it.
func ExampleStandardized() {
	teacher, student := row(12, 6, 0, -6), row(2, 1, 0, -1)
	of := distill.KL{T: distill.Constant(2)}
	fmt.Printf("KL %.4f\n", value(of, student, teacher, 0))
	fmt.Println("Standardized", value(distill.Standardized{Of: of}, student, teacher, 0) < 1e-9)
	// Output:
	// KL 2.4214
	// Standardized true
}

// Two vocabularies have no token in common but the shape of what is likely.
func ExampleUniversalLogit() {
	teacher := row(math.Log(8), 0, math.Log(4), math.Log(2), 0) // 1/2, 1/16, 1/4, 1/8, 1/16
	student := row(0, math.Log(2), 0)                           // 1/4, 1/2, 1/4
	fmt.Printf("%.4f\n", value(distill.UniversalLogit{}, student, teacher, 0))
	// Output: 0.2500
}
