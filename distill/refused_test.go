package distill

import (
	"math"
	"reflect"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestLossesOfLogitsRefuseValues(t *testing.T) {
	at := func(v float64) Schedule { return func(step int) float64 { return v * float64(step) / 3 } }
	for want, loss := range map[string]validator{
		"distill: ReverseKL.T is 0 at step 3; want a finite number above 0":       ReverseKL{T: at(0)},
		"distill: JSD.T is -1 at step 3; want a finite number above 0":            JSD{T: at(-1)},
		"distill: JSD.Beta is 1.5 at step 3; want 0 to 1":                         JSD{Beta: at(1.5)},
		"distill: SkewKL.T is NaN at step 3":                                      SkewKL{T: at(math.NaN())},
		"distill: SkewKL.Lambda is -0.5 at step 3; want 0 to 1":                   SkewKL{Lambda: at(-0.5)},
		"distill: SkewReverseKL.T is +Inf at step 3":                              SkewReverseKL{T: at(math.Inf(1))},
		"distill: SkewReverseKL.Lambda is NaN at step 3; want 0 to 1":             SkewReverseKL{Lambda: at(math.NaN())},
		"distill: TotalVariation.T is 0 at step 3":                                TotalVariation{T: at(0)},
		"distill: UniversalLogit.T is 0 at step 3":                                UniversalLogit{T: at(0)},
		"distill: DKD.T is 0 at step 3":                                           DKD{T: at(0)},
		"distill: DKD.Alpha is -2 at step 3; want a finite number, 0 or more":     DKD{Alpha: at(-2)},
		"distill: DKD.Beta is +Inf at step 3; want a finite number, 0 or more":    DKD{Beta: at(math.Inf(1))},
		"distill: NKD.T is 0 at step 3":                                           NKD{T: at(0)},
		"distill: NKD.Gamma is -1 at step 3; want a finite number, 0 or more":     NKD{Gamma: at(-1)},
		"distill: WSLD.T is 0 at step 3":                                          WSLD{T: at(0)},
		"distill: DIST.T is 0 at step 3":                                          DIST{T: at(0)},
		"distill: DIST.Beta is -1 at step 3; want a finite number, 0 or more":     DIST{Beta: at(-1)},
		"distill: DIST.Gamma is NaN at step 3; want a finite number, 0 or more":   DIST{Gamma: at(math.NaN())},
		"distill: KL.T is -4 at step 3":                                           Standardized{Of: KL{T: at(-4)}},
		"distill: Standardized.Of is a distill.DIST, which couples rows; want":    Standardized{Of: DIST{}},
		"distill: Order.Top is 1; want 2 or more, or 0 for 5":                     Order{Top: 1},
		"distill: Order.Top is -3; want 2 or more, or 0 for 5":                    Order{Top: -3},
		"distill: Order.Margin is -1 at step 3; want a finite number, 0 or more":  Order{Margin: at(-1)},
		"distill: Corrected.T is 0 at step 3":                                     Corrected{T: at(0)},
		"distill: Corrected.Margin is 1 at step 3; want 0 or more and below 1":    Corrected{Margin: at(1)},
		"distill: VirtualTeacher.T is 0 at step 3":                                VirtualTeacher{T: at(0)},
		"distill: VirtualTeacher.Sure is 0 at step 3; want above 0, and at most ": VirtualTeacher{Sure: at(0)},
	} {
		checkError(t, loss.validate(3), want)
	}
	for name, m := range methods {
		if v, ok := m.loss.(validator); ok {
			if err := v.validate(3); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// No number of a method may be none, and the error says which.
func TestMethodsRefuseNaN(t *testing.T) {
	for _, m := range methods {
		name := reflect.TypeOf(m.loss).Name()
		for i, f := range reflect.VisibleFields(reflect.TypeOf(m.loss)) {
			if f.Type != reflect.TypeFor[Schedule]() {
				continue
			}
			wrong := reflect.New(reflect.TypeOf(m.loss)).Elem()
			wrong.Field(i).Set(reflect.ValueOf(Constant(math.NaN())))
			checkError(t, wrong.Interface().(validator).validate(3), "distill: "+name+"."+f.Name+" is NaN at step 3; want ")
		}
	}
}

func TestLossesOfLogitsRefuseCases(t *testing.T) {
	z, other := dense[float64](nil, 3, 5), dense[float64](nil, 3, 4)
	pair, single := dense[float64](nil, 3, 2), dense[float64](nil, 3, 1)
	classes := tensor.New(tensor.WithBacking([]int{0, 1, 0}))
	soft := dense[float64]([]float64{1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, 3, 5)
	on := func(student, teacher, label *tensor.Dense, task data.Task) Case {
		c := Case{Student: data.Signals{"logits": student}, Label: label, Task: task}
		if teacher != nil {
			c.Teacher = data.Signals{"logits": teacher}
		}
		return c
	}
	top := topped[float64](drawn(1, 1, 3, 5), drawn(2, 1, 3, 5), 3, 2, 1)
	top.Label = classes
	rows := on(dense[float64](nil, 2, 3, 4), dense[float64](nil, 2, 4), tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(make([]int, 6))), 0)
	one := on(z, z, classes, 0)
	one.Weight = dense[float32]([]float64{0, 0, 1}, 3)
	for want, test := range map[string]struct {
		loss Loss
		of   Case
	}{
		"the student's logits are (3, 2), of two classes; DKD wants 3 or more: take KL":                          {DKD{}, on(pair, pair, classes, 0)},
		"the student's logits are (3, 5) and the teacher's (3, 4); ReverseKL wants the same classes: take Univ":  {ReverseKL{}, on(z, other, nil, 0)},
		"DIST compares rows, and of this batch 1 has a weight; want 2 or more: Loader.DropLast leaves out a":     {DIST{}, one},
		"the student's logits are (6, 4) and the teacher's (2, 4); KL wants as many rows of both":                {KL{}, rows},
		"the student's logits are (6, 4) and the teacher's (2, 4); UniversalLogit wants as many rows of both":    {UniversalLogit{}, rows},
		"the student's side is (6, 4) and the target (2, 4); want equal shapes":                                  {MSE{}, rows},
		"no signal of the teacher is called \"logits\"":                                                          {JSD{}, on(z, nil, nil, 0)},
		"the teacher has only the 2 largest of \"logits\"; this loss wants all of them":                          {SkewKL{}, top},
		"there are no labels; NKD wants some":                                                                    {NKD{}, on(z, z, nil, 0)},
		"there are no labels; VirtualTeacher wants some":                                                         {VirtualTeacher{}, on(z, nil, nil, 0)},
		"the labels are distributions, (3, 5); WSLD wants a class for each row":                                  {WSLD{}, on(z, z, soft, 0)},
		"the labels are distributions, (3, 5); Corrected wants a class for each row":                             {Corrected{}, on(z, z, soft, 0)},
		"the logits are those of MultiLabel; TotalVariation wants a distribution over classes: take BinaryKL":    {TotalVariation{}, on(z, z, z, data.MultiLabel)},
		"the logits are those of Regression; UniversalLogit wants a distribution over classes":                   {UniversalLogit{}, on(z, other, z, data.Regression)},
		"the logits are those of MultiLabel; Standardized wants a distribution over classes":                     {Standardized{}, on(z, z, z, data.MultiLabel)},
		"no tap of the student is called \"aux\"; there are [\"logits\"]":                                        {Standardized{Of: KL{Student: "aux"}}, on(z, z, nil, 0)},
		"the student has a single logit for each row, (3, 1); Order wants one for each class: take BinaryKL":     {Order{}, on(single, single, nil, 0)},
		"the student has a single logit for each row, (3, 1); SkewReverseKL wants one for each class: take Bina": {SkewReverseKL{}, on(single, single, nil, 0)},
	} {
		_, _, err := Evaluate(test.loss, test.of)
		checkError(t, err, want)
	}
	for _, m := range methods {
		if _, ok := m.loss.(KL); ok {
			continue
		}
		_, _, err := Evaluate(m.loss, top)
		switch m.loss.(type) {
		case CrossEntropy, VirtualTeacher:
			checkError(t, err, "")
		default:
			checkError(t, err, "the teacher has only the 2 largest")
		}
	}
}
