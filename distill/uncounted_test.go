package distill

import (
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// uncounted is a run on a source that does not say how long an epoch is, so
// that schedules can only be checked as they go.
func uncounted() *Run {
	r := toyRun[float32]()
	source := r.Train.(data.Loader)
	r.Train, r.Valid, r.Teacher = batches{source.Spec(), allOf(source)}, nil, nil
	r.Terms = []Term{{Name: "hard", Loss: CrossEntropy{}}}
	r.Optimizer = SGD{Rate: Constant(0.1)}
	return r
}

func TestSchedulesAreCheckedAsTheyGo(t *testing.T) {
	falling := Linear(1, -1, 8)
	for want, change := range map[string]func(*Run){
		"the learning rate at step":         func(r *Run) { r.Optimizer = SGD{Rate: falling} },
		`the weight of term "hard" at step`: func(r *Run) { r.Terms[0].Weight = falling },
		"distill: KL.T is": func(r *Run) {
			r.Teacher, r.Terms = wise[float32](), []Term{{Name: "soft", Loss: KL{T: Linear(1, -1, 8)}}}
		},
	} {
		r := uncounted()
		change(r)
		result, err := r.Fit(t.Context())
		checkError(t, err, want)
		if result == nil || result.Steps == 0 || result.Steps > 7 {
			t.Errorf("%s: %+v; want some steps before the error", want, result)
		}
	}
}

// A schedule may be a table, which is no longer than the run.
func TestScheduleOfATable(t *testing.T) {
	table := make([]float64, 18)
	for i := range table {
		table[i] = 0.1
	}
	r := uncounted()
	r.Optimizer = SGD{Rate: func(step int) float64 { return table[step] }}
	if got := fit(t, r); got.Steps != 18 {
		t.Errorf("%d steps; want 18", got.Steps)
	}
}

func TestLabelsWithoutASpecAreRefused(t *testing.T) {
	r := uncounted()
	source := r.Train.(batches)
	source.spec.Label = data.Field{}
	r.Train, r.Teacher = source, wise[float32]()
	r.Terms = []Term{{Name: "soft", Loss: KL{}}}
	_, err := r.Fit(t.Context())
	checkError(t, err, "and its Spec none; want both or neither")
}

// What is read ahead changes no byte, and is no part of a configuration.
func TestPrefetchIsNotInTheConfig(t *testing.T) {
	for _, s := range describe("Train", data.Loader{Batch: 3, Prefetch: 4}, 0) {
		if strings.Contains(s.Name, "Prefetch") {
			t.Errorf("%s is %s in the configuration", s.Name, s.Value)
		}
	}
}

// Logits of whole texts, beside labels of tokens, have no accuracy.
func TestLogitsOfOtherRowsThanLabels(t *testing.T) {
	x := dense[float32](nil, 6, 5, 3)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i%7) - 3
	}
	labels := tensor.New(tensor.WithShape(6, 5), tensor.WithBacking(make([]int, 30)))
	set := must(data.NewMemory(data.Signals{"x": x}, labels, nil))
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		h := b.Layer("l1", student.Linear{Out: 4}, in["x"])
		whole := b.Layer("flatten", student.Flatten{}, h)
		return student.Taps{"tokens": h, "logits": b.Layer("l2", student.Linear{Out: 7}, whole)}
	})
	r := uncounted()
	r.Student = must(student.New(net, set.Spec(), 1))
	r.Train = data.Loader{Set: set, Batch: 3}
	r.Terms = []Term{{Name: "tokens", Loss: CrossEntropy{Student: "tokens"}}}
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if step.Accuracy == step.Accuracy {
			t.Errorf("the accuracy is %v; want NaN", step.Accuracy)
		}
	}
}
