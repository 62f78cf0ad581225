package distill

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
)

// A targetCase is a loss as PyTorch computes it in float64, see
// testdata/targets.py.
type targetCase struct {
	Method                  string
	Params                  map[string]float64
	Student, Teacher, Label array
	Loss                    float64
	Grad                    array
}

func targetCases(t *testing.T) []targetCase {
	t.Helper()
	text, err := os.ReadFile("testdata/targets.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []targetCase }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if n := len(file.Cases); n != 25 {
		t.Fatalf("%d cases; want 25", n)
	}
	return file.Cases
}

// term is the case's loss as this package has it, with the factor that makes it
// PyTorch's, and the task that its labels are of.
func (c targetCase) term(t *testing.T) (loss Loss, factor float64, task data.Task) {
	t.Helper()
	T := Constant(c.Params["temperature"])
	switch c.Method {
	case "mse":
		return MSE{Label: true}, 1, data.Regression
	case "mse_of_teacher":
		return MSE{}, 1, data.Regression
	case "l1":
		return L1{Label: true}, 1, data.Regression
	case "l1_of_teacher":
		return L1{}, 1, data.Regression
	case "huber":
		return Huber{Delta: c.Params["delta"], Label: true}, 1, data.Regression
	case "smooth_l1":
		return Huber{Delta: c.Params["beta"], Label: true}, 1 / c.Params["beta"], data.Regression
	case "bounded":
		return Bounded{Margin: c.Params["margin"]}, 1, data.Regression
	case "bce":
		return BCE{}, 1, data.MultiLabel
	case "bce_yes":
		return BCE{Yes: []float64{0.5, 1, 2, 3, 0.25}}, 1, data.MultiLabel
	case "binary_kl":
		return BinaryKL{T: T}, 1, data.MultiLabel
	case "pixels":
		return CrossEntropy{}, 1, data.Classification
	case "soft_pixels":
		return KL{T: T}, 1, data.Classification
	}
	t.Fatalf("no loss is called %q", c.Method)
	return nil, 0, 0
}

// given are the values of a case in a dtype.
func given[T floating](c targetCase, task data.Task) Case {
	label := dense[T](c.Label.Data, c.Label.Shape...)
	if task == data.Classification {
		label = tensor.New(tensor.WithShape(c.Label.Shape...), tensor.WithBacking(ints(c.Label.Data)))
	}
	return Case{
		Student: data.Signals{"logits": dense[T](c.Student.Data, c.Student.Shape...)},
		Teacher: data.Signals{"logits": dense[T](c.Teacher.Data, c.Teacher.Shape...)},
		Label:   label, Task: task,
	}
}

func ints(v []float64) []int {
	all := make([]int, len(v))
	for i, x := range v {
		all[i] = int(x)
	}
	return all
}

func TestTargetsMatchPyTorch(t *testing.T) {
	for i, c := range targetCases(t) {
		loss, factor, task := c.term(t)
		t.Run(fmt.Sprintf("%d/%s/float64", i, c.Method), func(t *testing.T) {
			compareTarget(t, c, loss, given[float64](c, task), factor, 1e-12)
		})
		t.Run(fmt.Sprintf("%d/%s/float32", i, c.Method), func(t *testing.T) {
			compareTarget(t, c, loss, given[float32](c, task), factor, 1e-5)
		})
	}
}

func compareTarget(t *testing.T, c targetCase, loss Loss, given Case, factor, tolerance float64) {
	t.Helper()
	value, grads, err := Evaluate(loss, given)
	if err != nil {
		t.Fatal(err)
	}
	if value *= factor; math.Abs(value-c.Loss) > tolerance*math.Abs(c.Loss) {
		t.Errorf("the loss is %v, want %v", value, c.Loss)
	}
	if got := grads["logits"].Shape(); !got.Eq(tensor.Shape(c.Student.Shape)) {
		t.Fatalf("the gradient is %v; want %v", got, c.Student.Shape)
	}
	largest := 0.0
	for _, g := range c.Grad.Data {
		largest = max(largest, math.Abs(g))
	}
	for i, g := range wide(grads["logits"]) {
		if want := c.Grad.Data[i]; math.Abs(factor*g-want) > tolerance*largest {
			t.Errorf("gradient %d is %v, want %v", i, factor*g, want)
		}
	}
}

func TestTargetGradients(t *testing.T) {
	for i, c := range targetCases(t) {
		loss, _, task := c.term(t)
		t.Run(fmt.Sprintf("%d/%s", i, c.Method), func(t *testing.T) {
			given := given[float64](c, task)
			_, grads, err := Evaluate(loss, given)
			if err != nil {
				t.Fatal(err)
			}
			value := func() float64 {
				v, _, err := Evaluate(loss, given)
				return must(v, err)
			}
			gradcheck.Compare(t, "logits", value, given.Student["logits"].Float64s(), wide(grads["logits"]))
		})
	}
}

// Pixels with their channels last are those with their channels first.
func TestChannelsOfPixels(t *testing.T) {
	last := func(a array) *tensor.Dense {
		n, c, p := a.Shape[0], a.Shape[1], a.Shape[2]*a.Shape[3]
		all := make([]float64, len(a.Data))
		for i, v := range a.Data {
			all[(i/(c*p)*p+i%p)*c+i/p%c] = v
		}
		return dense[float64](all, n, a.Shape[2], a.Shape[3], c)
	}
	for _, c := range targetCases(t) {
		if c.Method != "pixels" && c.Method != "soft_pixels" {
			continue
		}
		loss, _, task := c.term(t)
		of := given[float64](c, task)
		of.Student, of.Teacher = data.Signals{"logits": last(c.Student)}, data.Signals{"logits": last(c.Teacher)}
		value, grads, err := Evaluate(loss, of)
		if err != nil || math.Abs(value-c.Loss) > 1e-12*c.Loss {
			t.Errorf("%s is %v, error %v; want %v", c.Method, value, err, c.Loss)
		}
		for i, want := range wide(last(c.Grad)) {
			if got := wide(grads["logits"])[i]; math.Abs(got-want) > 1e-12 {
				t.Fatalf("%s: gradient %d is %v, want %v", c.Method, i, got, want)
			}
		}
	}
}

func TestWrongTargetsAreRefused(t *testing.T) {
	z, column := dense[float64](nil, 3, 5), dense[float64](nil, 3, 1)
	classes := tensor.New(tensor.WithBacking([]int{0, 1, 0}))
	spread := dense[float64]([]float64{1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, 3, 5)
	on := func(student *tensor.Dense, label *tensor.Dense, task data.Task) Case {
		s := data.Signals{"logits": student}
		return Case{Student: s, Teacher: s, Label: label, Task: task}
	}
	for want, test := range map[string]struct {
		loss Loss
		of   Case
	}{
		"there are no labels; MSE.Label wants some":                                 {MSE{Label: true}, on(z, nil, 0)},
		"there are no labels; BCE wants some":                                       {BCE{}, on(z, nil, data.MultiLabel)},
		"the labels are of Regression; CrossEntropy wants those of Classification":  {CrossEntropy{}, on(z, z, data.Regression)},
		"the labels are of MultiLabel; CrossEntropy wants those of Classification":  {CrossEntropy{}, on(z, z, data.MultiLabel)},
		"the labels are of Classification; Huber.Label wants those of Regression":   {Huber{Label: true}, on(z, classes, 0)},
		"the labels are of MultiLabel; L1.Label wants those of Regression":          {L1{Label: true}, on(z, z, data.MultiLabel)},
		"the labels are of Classification; Bounded wants those of Regression":       {Bounded{}, on(z, spread, 0)},
		"the labels are of Regression; BCE wants those of MultiLabel":               {BCE{}, on(z, z, data.Regression)},
		"the labels are classes, and the student has 5 logits for a row; BCE wants": {BCE{}, on(z, classes, 0)},
		"the student has a single logit for each row, (3, 1); CrossEntropy wants":   {CrossEntropy{}, on(column, classes, 0)},
		"the student has a single logit for each row, (3, 1); KL wants one":         {KL{}, on(column, classes, 0)},
		"the logits are those of MultiLabel; KL wants a distribution over classes":  {KL{}, on(z, z, data.MultiLabel)},
		"the student's side is (3, 5) and the target (3, 1); want equal shapes":     {BCE{}, on(z, column, data.MultiLabel)},
		"bce: 2 weights of a yes; want one for each of 5":                           {BCE{Yes: []float64{1, 2}}, on(z, z, data.MultiLabel)},
		"the label of sample 0 is 7; want -1 to 1":                                  {BCE{}, on(column, tensor.New(tensor.WithBacking([]int{7, 1, 0})), 0)},
		"the label of sample 0 has an answer that is not from 0 to 1":               {BCE{}, on(column, dense[float64]([]float64{2, 0, 1}, 3), data.MultiLabel)},
		"the label of sample 0 has a NaN":                                           {MSE{Label: true}, on(column, dense[float64]([]float64{math.NaN(), 0, 1}, 3), data.Regression)},
	} {
		_, _, err := Evaluate(test.loss, test.of)
		checkError(t, err, want)
	}
	for want, loss := range map[string]validator{
		`distill: MSE.Label is true and MSE.Teacher "x"; want one of them`: MSE{Label: true, Teacher: "x"},
		"L1.Label is true and L1.Teacher":                                  L1{Label: true, Teacher: "x"},
		"Huber.Label is true and Huber.Teacher":                            Huber{Label: true, Teacher: "x"},
		"distill: Huber.Delta is -1; want a finite number above 0":         Huber{Delta: -1},
		"distill: Bounded.Margin is NaN; want":                             Bounded{Margin: math.NaN()},
		"distill: BCE.Yes[1] is 0; want a finite number above 0":           BCE{Yes: []float64{1, 0}},
		"distill: BinaryKL.T is 0 at step 3; want":                         BinaryKL{T: Constant(0)},
	} {
		checkError(t, loss.validate(3), want)
	}
	for _, loss := range []validator{MSE{Label: true}, L1{}, Huber{}, Huber{Delta: 2}, Bounded{}, BCE{}, BinaryKL{}} {
		if err := loss.validate(0); err != nil {
			t.Error(err)
		}
	}
}
