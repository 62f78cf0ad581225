package distill

import (
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// A tap that teaches is a signal of a teacher: the value and the gradient by the
// tap that learns are the same, and there is none by the one that teaches.
func TestSelfIsATeacher(t *testing.T) {
	t.Run("float64", selfIsATeacher[float64])
	t.Run("float32", selfIsATeacher[float32])
}

func selfIsATeacher[T floating](t *testing.T) {
	exit := dense[T]([]float64{1, -2, 3, 0.5, 0, 1, -1, 4, 2, 2, 2, -3}, 3, 4)
	logits := dense[T]([]float64{2, -1, 0, 0.5, 0, 5, -1, 1, 2, -2, 0, 3}, 3, 4)
	wide := dense[T]([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 3, 5)
	for _, loss := range []Loss{
		KL{T: Constant(3), Student: "exit", Teacher: "logits"},
		MSE{Student: "exit", Teacher: "logits"},
		Hint{Student: "exit", Teacher: "wide"}, // with parameters
	} {
		label := tensor.New(tensor.WithBacking([]int{1, -1, 2}))
		want, grads, err := Evaluate(loss, Case{
			Student: data.Signals{"exit": exit},
			Teacher: data.Signals{"logits": logits, "wide": wide},
			Label:   label,
		})
		if err != nil {
			t.Fatal(err)
		}
		got, own, err := Evaluate(Self{Of: loss}, Case{
			Student: data.Signals{"exit": exit, "logits": logits, "wide": wide},
			Label:   label,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got != want || want == 0 {
			t.Errorf("%T: the loss is %v; want %v", loss, got, want)
		}
		if len(own) != 1 || !slices.Equal(own["exit"].Data().([]T), grads["exit"].Data().([]T)) {
			t.Errorf("%T: the gradients are %v; want %v", loss, own, grads)
		}
	}
}

// exits is a network of two hidden layers with a classifier after the first, too.
var exits = student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
	l1 := b.Layer("l1", student.Linear{Out: 6, Act: student.Tanh}, in["x"])
	l2 := b.Layer("l2", student.Linear{Out: 7, Act: student.Tanh}, l1)
	return student.Taps{
		"l1": l1, "l2": l2,
		"exit":   b.Layer("exit", student.Linear{Out: toyClasses}, l1),
		"logits": b.Layer("head", student.Linear{Out: toyClasses}, l2),
	}
})

// selfRun is a run of a network that teaches itself, and has no teacher.
func selfRun(soft Loss) *Run {
	r := toyRun[float64]()
	r.Student, r.Teacher = must(student.New(exits, r.Train.Spec(), 1)), nil
	r.Terms = []Term{{Name: "hard", Loss: CrossEntropy{}}, {Name: "soft", Loss: soft}}
	return r
}

// The deeper exit learns as if it taught nobody.
func TestSelfLeavesTheTeacherAlone(t *testing.T) {
	r := selfRun(Self{Of: KL{Student: "exit"}})
	r.Clip, r.Optimizer, r.MaxSteps, r.Valid = 0, SGD{Rate: Constant(0.1)}, 1, nil
	alone := selfRun(Self{Of: KL{Student: "exit"}})
	alone.Clip, alone.Optimizer, alone.MaxSteps, alone.Valid = 0, r.Optimizer, 1, nil
	alone.Terms = alone.Terms[:1]
	got, want := traceOf(t, r), traceOf(t, alone)
	for name, w := range want.weights {
		same := slices.Equal(got.weights[name], w)
		if shared := name == "l1.weight" || name == "l1.bias"; same == shared && name[:4] != "exit" {
			t.Errorf("%s is the same: %t", name, same)
		}
	}
	if slices.Equal(got.weights["exit.weight"], want.weights["exit.weight"]) {
		t.Error("the exit learns nothing")
	}
	if n := len(fit(t, selfRun(Self{Of: KL{Student: "exit"}})).Valid.Terms); n != 2 {
		t.Errorf("%d terms are measured; want 2", n)
	}
}

func TestSelfRefuses(t *testing.T) {
	for want, loss := range map[string]Loss{
		"distill: Self.Of is nil; want a loss":       Self{},
		"distill: KL.T is -1 at step 0":              Self{Of: KL{T: Constant(-1), Student: "exit"}},
		`no signal of the teacher is called "logit"`: Self{Of: KL{Student: "exit", Teacher: "logit"}},
		`no tap of the student is called "exit2"`:    Self{Of: KL{Student: "exit2"}},
		`the loss of "soft" couples rows; want 1`:    Self{Of: coupled{}},
		`"soft" couples rows`:                        Self{Of: Self{Of: joint{}}},
	} {
		r := selfRun(loss)
		r.Accumulate = 2
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
	}
}
