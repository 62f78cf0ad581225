package teacher_test

import (
	"context"
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/teacher"
)

// says is a teacher of named classes that says the same of two samples.
func says(classes []string, z ...float64) teacher.Func {
	n := len(classes)
	return teacher.Func{
		Says: teacher.Card{
			Signals: map[string]data.Field{teacher.Logits: {Shape: tensor.Shape{n}, Dtype: tensor.Float64}},
			Classes: classes,
		},
		Do: func(context.Context, data.Batch) (data.Signals, error) {
			return data.Signals{teacher.Logits: tensor.New(tensor.WithShape(2, n), tensor.WithBacking(z))}, nil
		},
	}
}

// A teacher of four classes, for a student of two. Two of the teacher's are one
// of the student's, and one is none.
func ExampleSelect() {
	big := says([]string{"beagle", "cat", "car", "poodle"}, 2, 0, 9, 2, -1, 3, 0, -2)
	small, err := teacher.Select{
		Classes: []string{"cat", "dog"},
		From:    map[string][]string{"dog": {"beagle", "poodle"}},
	}.Of(big)
	if err != nil {
		log.Fatal(err)
	}
	signals, err := small.Teach(context.Background(), data.Batch{N: 2, ID: make([]data.ID, 2)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f\n", signals[teacher.Logits].Data())

	_, err = teacher.Select{Classes: []string{"cat", "dog", "bird"}}.Of(big)
	fmt.Println(err)
	// Output:
	// [0.00 2.69 3.00 -0.69]
	// teacher: Select: the teacher does not know ["dog" "bird"]; it knows ["beagle" "cat" "car" "poodle"] (Select.From says what else it calls them)
}

// Of two teachers the first knows cats and the second dogs.
func ExampleSurest() {
	classes := []string{"cat", "dog", "neither"}
	cats := says(classes, 7, 0, 0, 0, 1, 1)
	dogs := says(classes, 0, 0, 1, 0, 5, 0)
	surest := teacher.Surest{Teachers: []teacher.Teacher{cats, dogs}}
	signals, err := surest.Teach(context.Background(), data.Batch{N: 2, ID: make([]data.ID, 2)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signals[teacher.Logits].Data())
	// Output: [7 0 0 0 5 0]
}

// Small numbers are asked of one teacher, and large ones of another.
func ExampleRoute() {
	other := parity
	other.Do = func(_ context.Context, b data.Batch) (data.Signals, error) {
		fmt.Println("the other is asked about", b.N)
		return data.Signals{teacher.Logits: tensor.New(tensor.WithShape(b.N, 2), tensor.Of(tensor.Float32))}, nil
	}
	route := teacher.Route{
		Teachers: []teacher.Teacher{parity, other},
		To: func(b data.Batch, r int) (int, error) {
			if data.Row[float32](b.In[data.Input], r)[0] < 3 {
				return 0, nil
			}
			return 1, nil
		},
		Rule: "from 3",
	}
	loader := data.Loader{Set: numbers{}, Batch: 5, InOrder: true}
	for batch, err := range loader.Batches(context.Background(), 0, 0) {
		if err != nil {
			log.Fatal(err)
		}
		signals, err := route.Teach(context.Background(), batch)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(signals[teacher.Logits].Data())
	}
	// Output:
	// the other is asked about 2
	// [3 0 0 3 3 0 0 0 0 0]
}
