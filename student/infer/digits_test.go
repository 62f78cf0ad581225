package infer_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
	"github.com/godistill/godistill/teacher"
)

// The student of digits that distil leaves, with weights of a quarter of the
// bytes: what changes is told on rows that it has not seen.
func ExampleCompare() {
	path, pixels, labels := distil()
	defer os.RemoveAll(filepath.Dir(path))

	full, err := infer.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	small, err := infer.Int8.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	change, err := infer.Compare(full, small, pixels, labels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(change.Rows, "rows")
	fmt.Println("accuracy within half a point:", math.Abs(change.After-change.Before) <= 0.005)
	// Output:
	// 500 rows
	// accuracy within half a point: true
}

// TestDigits logs what README.md says of the digits.
func TestDigits(t *testing.T) {
	path, pixels, labels := distil()
	defer os.RemoveAll(filepath.Dir(path))
	full := must(infer.Open(path))
	for _, test := range []struct {
		precision infer.Precision
		agreement float64
	}{{infer.Float16, 1}, {infer.Int8, 0.99}} {
		change := must(infer.Compare(full, must(test.precision.Open(path)), pixels, labels))
		t.Logf("%v: %v", test.precision, change)
		if change.Agreement < test.agreement || change.Max == 0 {
			t.Errorf("%v: %v; want the same class in %v of the rows, and other logits", test.precision, change, test.agreement)
		}
		if change.Before < 0.9 {
			t.Errorf("the student is right on %v of the rows; want 0.9 or more", change.Before)
		}
	}
}

// distil teaches a network of 64-16-10 the digits, by one of 64-64-10, and saves
// it in a folder of its own. It returns the test rows too: raw pixels, from 0 to
// 16, and labels.
func distil() (path string, pixels []float32, labels []int) {
	digits := must(data.Digits())
	large := fit(digits, 64, nil, []distill.Term{{Name: "labels", Loss: distill.CrossEntropy{}}})
	small := fit(digits, 16, teacher.Of(large), distill.Hinton(2, 0.9))

	path = filepath.Join(must(os.MkdirTemp("", "digits")), "student.safetensors")
	file := must(os.Create(path))
	defer file.Close()
	if err := small.Save(file); err != nil {
		log.Fatal(err)
	}
	for batch, err := range (data.Loader{Set: digits.Test, Batch: 500, InOrder: true}).Batches(context.Background(), 0, 0) {
		if err != nil {
			log.Fatal(err)
		}
		for _, v := range batch.In[data.Input].Float32s() {
			pixels = append(pixels, 16*v)
		}
		labels = append(labels, batch.Label.Ints()...)
	}
	return path, pixels, labels
}

// fit trains a network with one hidden layer.
func fit(digits data.Split, hidden int, t teacher.Teacher, terms []distill.Term) *student.Model {
	const epochs = 30
	train := data.Loader{Set: digits.Train, Batch: 64, Seed: 1}
	run := distill.Run{
		Student:   must(student.New(student.MLP{Hidden: []int{hidden}, Out: 10}, digits.Train.Spec(), 1)),
		Teacher:   t,
		Terms:     terms,
		Train:     train,
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.Adam{Rate: distill.Cosine(0.02, 0, epochs*train.Len())},
		Epochs:    epochs,
	}
	must(run.Fit(context.Background()))
	return run.Student
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
