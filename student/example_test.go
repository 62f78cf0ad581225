package student_test

import (
	"bytes"
	"fmt"
	"log"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
)

// A network of one's own is a function. This one has a skip connection, with
// the addition from Gorgonia.
func ExampleModuleFunc() {
	residual := func(b *student.Builder, in student.Taps) student.Taps {
		x := b.Layer("flatten", student.Flatten{}, in["x"])
		h := b.Layer("l1", student.Linear{Out: 16, Act: student.ReLU}, x)
		f := b.Layer("l2", student.Linear{Out: 16, Act: student.ReLU}, h)
		h = b.Op(gorgonia.Add(h, f))
		return student.Taps{"hidden": h, "logits": b.Layer("l3", student.Linear{Out: 10}, h)}
	}
	digits, err := data.Digits()
	if err != nil {
		log.Fatal(err)
	}
	m, err := student.New(student.ModuleFunc(residual), digits.Train.Spec(), 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(m.Describe())
	// Output:
	// parameter  shape     elements
	// l1.weight  (16, 64)  1024
	// l1.bias    (16)      16
	// l2.weight  (16, 16)  256
	// l2.bias    (16)      16
	// l3.weight  (10, 16)  160
	// l3.bias    (10)      10
	// total                1482
	//
	// tap     shape of a sample  parameters  up to here
	// hidden  (16)                           1312
	// logits  (10)                           1482
}

// A saved student runs without Gorgonia: package infer needs the file alone.
// It takes raw pixels, from 0 to 16, for the file knows how the inputs were
// normalised, and what the classes are called.
func ExampleModel_Save() {
	digits, err := data.Digits()
	if err != nil {
		log.Fatal(err)
	}
	m, err := student.New(student.MLP{Hidden: []int{16}, Out: 10}, digits.Train.Spec(), 1)
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := m.Save(&file); err != nil {
		log.Fatal(err)
	}

	p, err := infer.Load(&file)
	if err != nil {
		log.Fatal(err)
	}
	pixels := make([]float32, 3*8*8) // three images
	classes, err := p.Classify(pixels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(classes), "images, among the classes", p.Classes())
	// Output:
	// 3 images, among the classes [0 1 2 3 4 5 6 7 8 9]
}
