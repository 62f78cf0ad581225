package student_test

import (
	"fmt"
	"log"
	"strings"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// cifar are what the examples of networks look at: three colours of 32 by 32 pixels.
var cifar = data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{3, 32, 32}, Dtype: tensor.Float32}}}

// The layers that a hint may compare, in the smallest of the ResNets.
func ExampleResNet() {
	m, err := student.New(student.ResNet{Depth: 8, Out: 10}, cifar, 1)
	if err != nil {
		log.Fatal(err)
	}
	_, taps, _ := strings.Cut(m.Describe(), "\n\n")
	fmt.Print(taps)
	// Output:
	// tap       shape of a sample  parameters  up to here
	// stem      (16, 32, 32)                   464
	// layer1.0  (16, 32, 32)       4672        5136
	// layer1    (16, 32, 32)       4672        5136
	// layer2.0  (32, 16, 16)       14528       19664
	// layer2    (32, 16, 16)       14528       19664
	// layer3.0  (64, 8, 8)         57728       77392
	// layer3    (64, 8, 8)         57728       77392
	// pool      (64)                           77392
	// logits    (10)                           78042
}

// A student that begins with every second block of its teacher, and with half of
// the channels.
func ExampleCut() {
	teacher, err := student.New(student.ResNet{Depth: 20, Width: 2, Out: 10}, cifar, 1)
	if err != nil {
		log.Fatal(err)
	}
	small, err := student.Cut{To: student.ResNet{Depth: 14, Out: 10}}.From(teacher, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(teacher.Size(), small.Size())

	_, err = student.Cut{To: student.ResNet{Depth: 26, Out: 10}}.From(small, 1)
	message, _, _ := strings.Cut(err.Error(), ".conv1")
	fmt.Println(message)
	// Output:
	// 1084586 175258
	// student: cut: the teacher and the student do not fit:
	// 	the teacher has no layer1.2
}
