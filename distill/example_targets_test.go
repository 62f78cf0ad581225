package distill_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// points are n points of a plane, with what f says of each.
func points(n int, f func(x, y float64) []float32) (data.Signals, *tensor.Dense) {
	rng := rand.New(rand.NewPCG(1, 2))
	var at, values []float32
	for range n {
		x, y := rng.NormFloat64(), rng.NormFloat64()
		at, values = append(at, float32(x), float32(y)), append(values, f(x, y)...)
	}
	label := tensor.New(tensor.WithShape(n, len(values)/n), tensor.WithBacking(values))
	return data.Signals{"x": tensor.New(tensor.WithShape(n, 2), tensor.WithBacking(at))}, label
}

// fitted is a network that was taught by labels, and by a teacher if there is one.
func fitted(set data.Set, hidden, out int, t teacher.Teacher, terms ...distill.Term) *student.Model {
	small := must(student.New(student.MLP{Hidden: []int{hidden}, Out: out}, set.Spec(), 1))
	run := distill.Run{
		Student: small, Teacher: t, Terms: terms,
		Train:     data.Loader{Set: set, Batch: 32},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    60,
	}
	must(run.Fit(context.Background()))
	return small
}

// Labels of numbers make a regression: the hard term compares the student with
// them, and the soft one with what the teacher says.
func ExampleMSE_regression() {
	in, label := points(200, func(x, y float64) []float32 {
		return []float32{float32(x * y), float32(x - y)}
	})
	set := must(data.NewRegression(in, label, []string{"product", "difference"}))

	large := fitted(set, 64, 2, nil, distill.Term{Name: "hard", Loss: distill.MSE{Label: true}})
	small := fitted(set, 12, 2, teacher.Of(large),
		distill.Term{Name: "hard", Weight: distill.Constant(0.3), Loss: distill.Huber{Label: true}},
		distill.Term{Name: "soft", Weight: distill.Constant(0.7), Loss: distill.MSE{}},
	)
	m := must(distill.Measure(context.Background(), small, data.Loader{Set: set, Batch: 50}, teacher.Of(large)))
	fmt.Println("explained by the student:", m.Numbers.R2 > 0.9)
	fmt.Println("nearer to the teacher than 0.3:", m.Numbers.TeacherRMSE < 0.3)
	// Output:
	// explained by the student: true
	// nearer to the teacher than 0.3: true
}

// Labels that answer several questions make a student of as many logits, each a
// yes where it is above 0.
func ExampleBCE() {
	in, label := points(200, func(x, y float64) []float32 {
		return []float32{yes(x > 0), yes(y > x), yes(x*x+y*y < 1)}
	})
	set := must(data.NewMultiLabel(in, label, []string{"right", "above", "near"}))

	large := fitted(set, 64, 3, nil, distill.Term{Name: "hard", Loss: distill.BCE{}})
	small := fitted(set, 12, 3, teacher.Of(large),
		distill.Term{Name: "hard", Weight: distill.Constant(0.3), Loss: distill.BCE{}},
		distill.Term{Name: "soft", Weight: distill.Constant(0.7), Loss: distill.BinaryKL{T: distill.Constant(2)}},
	)
	m := must(distill.Measure(context.Background(), small, data.Loader{Set: set, Batch: 50}, teacher.Of(large)))
	fmt.Println("answers right:", m.Accuracy > 0.9)
	fmt.Println("F1:", m.Answers.F1 > 0.9)
	fmt.Println("as the teacher answers:", m.Agreement > 0.9)
	// Output:
	// answers right: true
	// F1: true
	// as the teacher answers: true
}

// Labels (B, H, W) make a row of each pixel. Logits may be (B, C, H, W), as of a
// convolution, or (B, H, W, C), and the terms are those of classes.
func ExampleHinton_pixels() {
	const n, height, width, classes = 60, 3, 4, 2
	rng := rand.New(rand.NewPCG(1, 2))
	pixels, label := make([]float32, n*height*width), make([]int, n*height*width)
	for i := range pixels {
		pixels[i] = float32(rng.NormFloat64())
		if pixels[i] > 0 {
			label[i] = 1
		}
	}
	in := data.Signals{"x": tensor.New(tensor.WithShape(n, height, width), tensor.WithBacking(pixels))}
	set := must(data.NewMemory(in, tensor.New(tensor.WithShape(n, height, width), tensor.WithBacking(label)), []string{"dark", "bright"}))

	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x := b.Layer("flatten", student.Flatten{}, in["x"])
		z := b.Layer("l1", student.Linear{Out: classes * height * width}, x)
		return student.Taps{"logits": b.Reshape(z, b.Rows(), classes, height, width)}
	})
	large, small := must(student.New(net, set.Spec(), 1)), must(student.New(net, set.Spec(), 2))
	run := distill.Run{
		Student: large, Terms: distill.Hinton(1, 0)[:1],
		Train:     data.Loader{Set: set, Batch: 20},
		Optimizer: distill.Adam{Rate: distill.Constant(0.05)},
		Epochs:    60,
	}
	must(run.Fit(context.Background()))
	run.Student, run.Teacher, run.Terms = small, teacher.Of(large), distill.Hinton(2, 0.7)
	must(run.Fit(context.Background()))

	m := must(distill.Measure(context.Background(), small, run.Train, run.Teacher))
	fmt.Println("pixels right:", m.Accuracy > 0.9)
	fmt.Println("intersection over union:", m.Pixels.IoU > 0.8)
	// Output:
	// pixels right: true
	// intersection over union: true
}

func yes(b bool) float32 {
	if b {
		return 1
	}
	return 0
}
