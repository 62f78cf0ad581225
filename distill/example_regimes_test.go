package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// lesson is a run of some epochs on the digits, for the examples of regimes.
func lesson(small *student.Model, t teacher.Teacher, terms ...distill.Term) *distill.Run {
	digits := must(data.Digits())
	return &distill.Run{
		Student: small, Teacher: t, Terms: terms,
		Train:     data.Loader{Set: digits.Train, Batch: 32},
		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
}

// A student much smaller than its teacher learns from an assistant, which is
// between them and has learned from the teacher (1902.03393): one run after the
// other.
func ExampleRun_assistants() {
	digits := must(data.Digits())
	master := trained(digits.Train, 64, 1)
	for i, width := range []int{24, 8} {
		small := network(digits.Train, width, uint64(i))
		result := must(lesson(small, teacher.Of(master), distill.Hinton(4, 0.9)...).Fit(context.Background()))
		fmt.Printf("width %d agrees with its teacher on more than 80%%: %t\n", width, result.Valid.Agreement > 0.8)
		master = small
	}
	// Output:
	// width 24 agrees with its teacher on more than 80%: true
	// width 8 agrees with its teacher on more than 80%: true
}

// Each generation has the network of the one before, and learns from it and from
// the labels (1805.04770, which takes the mean of all generations in the end).
func ExampleRun_bornAgain() {
	digits := must(data.Digits())
	born := []teacher.Teacher{teacher.Of(trained(digits.Train, 12, 1))}
	for seed := range uint64(2) {
		child := network(digits.Train, 12, 2+seed)
		must(lesson(child, born[seed], distill.Hinton(1, 0.5)...).Fit(context.Background()))
		born = append(born, teacher.Of(child))
	}
	test := data.Loader{Set: digits.Test, Batch: 100, InOrder: true}
	last := network(digits.Train, 12, 9)
	must(lesson(last, teacher.Mean{Teachers: born}, distill.Hinton(1, 0.9)...).Fit(context.Background()))
	m := must(distill.Measure(context.Background(), last, test, nil))
	fmt.Println(len(born), "generations, more than 85% right:", m.Accuracy > 0.85)
	// Output: 3 generations, more than 85% right: true
}

// A rate that stays high leaves weights that jump about. Their average does not.
func ExampleAverage() {
	ctx := context.Background()
	digits := must(data.Digits())
	small, mean := network(digits.Train, 16, 1), network(digits.Train, 16, 1)
	run := lesson(small, nil, distill.Term{Name: "labels", Loss: distill.CrossEntropy{}})
	run.Optimizer = distill.Adam{Rate: distill.Constant(0.06)}
	run.Average = distill.Average{Model: mean, Decay: distill.MovingAverage(0.98), Valid: true}
	must(run.Fit(ctx))

	test := data.Loader{Set: digits.Test, Batch: 100, InOrder: true}
	last, averaged := must(distill.Measure(ctx, small, test, nil)), must(distill.Measure(ctx, mean, test, nil))
	fmt.Println("more often right:", averaged.Accuracy > last.Accuracy)
	fmt.Println("less than half the loss:", averaged.NLL < last.NLL/2)
	// Output:
	// more often right: true
	// less than half the loss: true
}

// Of the digits one in twenty has its label. The moving average of the student
// teaches it about all of them, more and more (1703.01780).
func ExampleAverage_meanTeacher() {
	digits := must(data.Digits())
	few := must(data.HideLabels(digits.Train, func(i int) bool { return i%20 == 0 }))
	net := student.MLP{Hidden: []int{32}, Out: 10, Dropout: 0.1}
	small, mean := must(student.New(net, few.Spec(), 1)), must(student.New(net, few.Spec(), 1))
	run := lesson(small, teacher.Live(teacher.Of(mean)),
		distill.Term{Name: "labels", Loss: distill.CrossEntropy{}},
		distill.Term{Name: "mean", Weight: distill.Linear(0, 1, 150), Loss: distill.KL{}},
	)
	run.Train = data.Loader{Set: few, Batch: 64}
	run.Average = distill.Average{Model: mean, Decay: distill.MovingAverage(0.95)}
	var last distill.Step
	for step, err := range run.Steps(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		last = step
	}
	fmt.Println("more than 65% right:", last.Valid.Accuracy > 0.65)
	fmt.Println("agrees with its mean on more than 90%:", last.Valid.Agreement > 0.9)
	// Output:
	// more than 65% right: true
	// agrees with its mean on more than 90%: true
}

// A network has a classifier after its first layer too, which learns from the
// labels and from the last one (1905.08094).
func ExampleSelf() {
	digits := must(data.Digits())
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x := b.Layer("flatten", student.Flatten{}, in[data.Input])
		l1 := b.Layer("l1", student.Linear{Out: 16, Act: student.ReLU}, x)
		l2 := b.Layer("l2", student.Linear{Out: 24, Act: student.ReLU}, l1)
		return student.Taps{
			"l1": l1, "l2": l2,
			"exit":   b.Layer("exit", student.Linear{Out: 10}, l1),
			"logits": b.Layer("head", student.Linear{Out: 10}, l2),
		}
	})
	run := lesson(must(student.New(net, digits.Train.Spec(), 1)), nil,
		distill.Term{Name: "labels", Loss: distill.CrossEntropy{}},
		distill.Term{Name: "labels, early", Weight: distill.Constant(0.7), Loss: distill.CrossEntropy{Student: "exit"}},
		distill.Term{Name: "itself", Weight: distill.Constant(0.3), Loss: distill.Self{Of: distill.KL{
			T: distill.Constant(3), Student: "exit", Teacher: "logits",
		}}},
		distill.Term{Name: "its layers", Weight: distill.Constant(0.03), Loss: distill.Self{Of: distill.Hint{
			Student: "l1", Teacher: "l2",
		}}},
	)
	result := must(run.Fit(context.Background()))
	fmt.Println("more than 90% right:", result.Valid.Accuracy > 0.9)
	for _, t := range result.Valid.Terms[1:3] {
		fmt.Printf("%s: below 0.5: %t\n", t.Name, t.Value < 0.5)
	}
	// Output:
	// more than 90% right: true
	// labels, early: below 0.5: true
	// itself: below 0.5: true
}

// Patient and consistent teaching (2106.05237): teacher and student see the same
// mixture of two moved digits, another one each time, and there are no labels but
// what the teacher says.
func ExampleRun_consistent() {
	digits := must(data.Digits())
	moved := must(data.Shift{Pixels: 1}.Of(digits.Train))
	mixed := must(data.Mixup{Seed: 1}.Of(moved))
	small := network(digits.Train, 32, 2)
	run := lesson(small, teacher.Of(trained(moved, 64, 1)), distill.Term{Name: "soft", Loss: distill.KL{T: distill.Constant(2)}})
	train := data.Loader{Set: mixed, Batch: 64}
	run.Train, run.Epochs = train, 25
	run.Optimizer = distill.Adam{Rate: distill.Cosine(0.01, 0, 25*train.Len())}
	result := must(run.Fit(context.Background()))
	fmt.Println("agrees with its teacher on more than 85%:", result.Valid.Agreement > 0.85)
	// Output: agrees with its teacher on more than 85%: true
}

// A student that begins with some blocks of its teacher (1910.01108) is further
// after an epoch than one that begins anew.
func ExampleRun_cut() {
	ctx := context.Background()
	digits := must(data.Digits())
	layers := func(blocks int) student.Module {
		s := student.Sequence{
			{Name: "flatten", Layer: student.Flatten{}},
			{Name: "stem", Layer: student.Linear{Out: 24, Act: student.ReLU}},
		}
		for i := range blocks {
			s = append(s, student.Named{Name: fmt.Sprint("block.", i), Layer: student.Linear{Out: 24, Act: student.ReLU}})
		}
		return append(s, student.Named{Name: "head", Layer: student.Linear{Out: 10}})
	}
	large := must(student.New(layers(4), digits.Train.Spec(), 1))
	must(lesson(large, nil, distill.Term{Name: "labels", Loss: distill.CrossEntropy{}}).Fit(ctx))

	cut := must(student.Cut{To: layers(2)}.From(large, 1))
	fresh := must(student.New(layers(2), digits.Train.Spec(), 1))
	var agreement []float64
	for _, small := range []*student.Model{cut, fresh} {
		run := lesson(small, teacher.Of(large), distill.Hinton(4, 0.9)...)
		run.Epochs = 1
		agreement = append(agreement, must(run.Fit(ctx)).Valid.Agreement)
	}
	fmt.Printf("%d parameters of %d; further: %t\n", cut.Size(), large.Size(), agreement[0] > agreement[1])
	// Output: 3010 parameters of 4210; further: true
}

// Three students learn from the labels and from the mean divergence from the two
// others.
func ExampleMutual_three() {
	digits := must(data.Digits())
	students := []*student.Model{network(digits.Train, 8, 1), network(digits.Train, 12, 2), network(digits.Train, 16, 3)}
	var runs []*distill.Run
	for i, small := range students {
		run := lesson(small, nil, distill.Term{Name: "labels", Loss: distill.CrossEntropy{}})
		peers := teacher.Named{}
		for j, peer := range students {
			if name := fmt.Sprint("peer ", j); j != i {
				peers[name] = teacher.Live(teacher.Of(peer))
				run.Terms = append(run.Terms, distill.Term{
					Name: name, Weight: distill.Constant(1. / 2), Loss: distill.KL{Teacher: name + "/logits"},
				})
			}
		}
		run.Teacher, run.Epochs = peers, 8
		runs = append(runs, run)
	}
	var last []distill.Step
	for steps, err := range distill.Mutual(context.Background(), runs...) {
		if err != nil {
			log.Fatal(err)
		}
		last = steps
	}
	for _, step := range last {
		fmt.Println(len(step.Terms), "terms, more than 80% right:", step.Valid.Accuracy > 0.8)
	}
	// Output:
	// 3 terms, more than 80% right: true
	// 3 terms, more than 80% right: true
	// 3 terms, more than 80% right: true
}

// A temperature that falls from 7 to 1 in the first half, and labels that count
// more and more: first what the teacher says, the labels in the end, much
// as Annealing-KD has it (2104.07163).
func ExampleLinear_annealing() {
	digits := must(data.Digits())
	steps := 10 * data.Loader{Set: digits.Train, Batch: 32}.Len()
	run := lesson(network(digits.Train, 12, 2), teacher.Of(trained(digits.Train, 64, 1)),
		distill.Term{Name: "soft", Weight: distill.Linear(1, 0, steps), Loss: distill.KL{T: distill.Linear(7, 1, steps/2)}},
		distill.Term{Name: "labels", Weight: distill.Linear(0, 1, steps), Loss: distill.CrossEntropy{}},
	)
	for step, err := range run.Steps(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if step.N == 1 || step.N == steps {
			fmt.Printf("step %d: soft %.2f, labels %.2f\n", step.N, step.Terms[0].Weight, step.Terms[1].Weight)
		}
		if step.N == steps {
			fmt.Println("more than 85% right:", step.Valid.Accuracy > 0.85)
		}
	}
	// Output:
	// step 1: soft 1.00, labels 0.00
	// step 350: soft 0.00, labels 1.00
	// more than 85% right: true
}

// Two students without any teacher: one of labels that are mixed with the uniform
// distribution, one of a virtual teacher that is always right (1909.11723). They
// are right as often as one of labels alone, and less sure of it.
func ExampleRun_teacherFree() {
	digits := must(data.Digits())
	for _, terms := range [][]distill.Term{
		{{Name: "labels", Loss: distill.CrossEntropy{}}},
		{{Name: "smoothed labels", Loss: distill.CrossEntropy{Smoothing: 0.1}}},
		{{Name: "virtual teacher", Weight: distill.Constant(0.9), Loss: distill.VirtualTeacher{}},
			{Name: "labels", Weight: distill.Constant(0.1), Loss: distill.CrossEntropy{}}},
	} {
		valid := must(lesson(network(digits.Train, 32, 1), nil, terms...).Fit(context.Background())).Valid
		fmt.Printf("%s: more than 90%% right: %t, sure to within 5%%: %t\n", terms[0].Name, valid.Accuracy > 0.9, valid.ECE < 0.05)
	}
	// Output:
	// labels: more than 90% right: true, sure to within 5%: true
	// smoothed labels: more than 90% right: true, sure to within 5%: false
	// virtual teacher: more than 90% right: true, sure to within 5%: false
}

// evenOrOdd is the digits with other classes.
type evenOrOdd struct{ data.Set }

func (s evenOrOdd) Spec() data.Spec {
	spec := s.Set.Spec()
	spec.Classes, spec.Fingerprint = []string{"even", "odd"}, [32]byte{} // its labels are others
	return spec
}

func (s evenOrOdd) Read(i int, view uint64, dst data.Sample) error {
	err := s.Set.Read(i, view, dst)
	data.Row[int](dst.Batch.Label, dst.Row)[0] %= 2
	return err
}

// A teacher of ten digits teaches a student of two classes, which it has no names
// for.
func ExampleRun_otherClasses() {
	digits := must(data.Digits())
	train, valid := evenOrOdd{digits.Train}, evenOrOdd{digits.Valid}
	two := must(teacher.Select{
		Classes: []string{"even", "odd"},
		From:    map[string][]string{"even": {"0", "2", "4", "6", "8"}, "odd": {"1", "3", "5", "7", "9"}},
	}.Of(teacher.Of(trained(digits.Train, 64, 1))))
	run := lesson(network(train, 8, 2), two, distill.Hinton(1, 0.9)...)
	run.Train, run.Valid = data.Loader{Set: train, Batch: 32}, data.Loader{Set: valid, Batch: 100, InOrder: true}
	result := must(run.Fit(context.Background()))
	fmt.Println("agrees with its teacher on more than 90%:", result.Valid.Agreement > 0.9)
	// Output: agrees with its teacher on more than 90%: true
}

// Two teachers have learned half of the digits each, and every digit is taught by
// the one that knows it.
func ExampleRun_specialists() {
	digits := must(data.Digits())
	half := func(from int) teacher.Teacher {
		known := must(data.HideLabels(digits.Train, func(i int) bool { return digitOf(digits.Train, i)/5 == from/5 }))
		return teacher.Of(trained(known, 32, 1))
	}
	route := teacher.Route{
		Teachers: []teacher.Teacher{half(0), half(5)},
		To:       teacher.ByLabel([]int{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}, 0),
		Rule:     "below 5",
	}
	result := must(lesson(network(digits.Train, 16, 2), route, distill.Hinton(2, 0.9)...).Fit(context.Background()))
	fmt.Println("more than 85% right:", result.Valid.Accuracy > 0.85)
	// Output: more than 85% right: true
}

// digitOf is the label of a sample.
func digitOf(set data.Set, i int) int {
	b := must(data.NewBatch(set.Spec(), 1))
	if err := b.Append(set, i, 0); err != nil {
		log.Fatal(err)
	}
	return b.Label.Ints()[0]
}
