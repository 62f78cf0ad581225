package student_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// images are what the examples learn from: one channel of 8 by 8 pixels.
var images = data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{8, 8}, Dtype: tensor.Float32}}}

func ExampleMLP() {
	m, err := student.New(student.MLP{Hidden: []int{32, 16}, Out: 10, Dropout: 0.2}, images, 1)
	if err != nil {
		log.Fatal(err)
	}
	batch := data.Batch{N: 2, ID: make([]data.ID, 2), In: data.Signals{
		data.Input: tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 8, 8)),
	}}
	out, err := m.Predict(batch, "l2", "logits")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Size(), out["l2"].Shape(), out["logits"].Shape())
	// Output: 2778 (2, 16) (2, 10)
}

func ExampleSequence() {
	net := student.Sequence{
		{"flatten", student.Flatten{}},
		{"l1", student.Linear{Out: 16, NoBias: true, Init: student.Glorot}},
		{"act", student.Activation{Act: student.Tanh}},
		{"drop", student.Dropout{Rate: 0.5}},
		{"l2", student.Linear{Out: 10}},
	}
	m, err := student.New(net, images, 1)
	if err != nil {
		log.Fatal(err)
	}
	for p := range m.Params() {
		fmt.Println(p.Name, p.Value.Shape())
	}
	// Output:
	// l1.weight (16, 64)
	// l2.weight (10, 16)
	// l2.bias (10)
}

// A residual block, as in ResNet's v1: its second norm has no activation, which
// comes after the addition.
func ExampleBuilder_Add() {
	block := func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		h := b.Layer("fc1", student.Linear{Out: 64, NoBias: true}, x)
		h = b.Layer("bn1", student.BatchNorm{Act: student.ReLU}, h)
		h = b.Layer("fc2", student.Linear{Out: 64, NoBias: true}, h)
		h = b.Layer("bn2", student.BatchNorm{}, h)
		return b.Add(h, x, student.ReLU)
	}
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x := b.Layer("flatten", student.Flatten{}, in[data.Input])
		h := block(b.Scope("block1"), x)
		return student.Taps{"block1": h, "logits": b.Layer("fc", student.Linear{Out: 10}, h)}
	})
	m, err := student.New(net, images, 1)
	if err != nil {
		log.Fatal(err)
	}
	for p := range m.Params() {
		if p.Buffer {
			fmt.Println(p.Name, p.Value.Shape())
		}
	}
	// Output:
	// block1.bn1.running_mean (64)
	// block1.bn1.running_var (64)
	// block1.bn2.running_mean (64)
	// block1.bn2.running_var (64)
}

// A rate that warms up over 100 steps.
func ExampleBuilder_Scalar() {
	m, err := student.New(student.MLP{Out: 10}, images, 1)
	if err != nil {
		log.Fatal(err)
	}
	var rate *gorgonia.Node
	p, err := m.Compile(student.Mode{Rows: 64}, func(b *student.Builder, _ student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		rate = b.Scalar(func(step int) float64 { return min(1, float64(step)/100) })
		return nil, []*gorgonia.Node{rate}
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range []int{0, 50, 200} {
		if err := p.Run(step); err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.Scalar(rate))
	}
	// Output:
	// 0
	// 0.5
	// 1
}
