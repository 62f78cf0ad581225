package distill

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
)

// counting are texts that count, modulo 7, from any number on: 8 ids each.
func counting(n int) data.Set {
	rng := rand.New(rand.NewPCG(1, 2))
	var ids, next []int
	for range n {
		from := rng.IntN(7)
		for i := range 8 {
			ids, next = append(ids, (from+i)%7), append(next, (from+i+1)%7)
		}
	}
	shaped := func(v []int) *tensor.Dense { return tensor.New(tensor.WithShape(n, 8), tensor.WithBacking(v)) }
	return must(data.NewMemory(data.Signals{data.Input: shaped(ids)}, shaped(next), nil))
}

// A language model with experts and a head ahead learns from the teacher and the
// labels, by terms that draw from its taps.
func TestLanguageModelLearns(t *testing.T) {
	big := must(lm.New(lm.Config{Vocab: 7, Width: 16, Inner: 24, Layers: 1, Heads: 2, Context: 8}, 8, 1))
	small := must(lm.New(lm.Config{
		Vocab: 7, Width: 12, Inner: 16, Layers: 1, Heads: 2, Context: 8, Ahead: 1,
		Mixture: &lm.Mixture{Experts: 4, Each: 2, ExpertWidth: 8, Normalized: true, BiasStep: 0.001},
	}, 8, 2))
	train := data.Loader{Set: counting(30), Batch: 8}
	must((&Run{Student: big, Terms: Hinton(1, 0)[:1], Train: train, Optimizer: Adam{Rate: Constant(0.01)}, Epochs: 30}).Fit(t.Context()))
	terms := append(Hinton(2, 0.5),
		Term{Name: "ahead", Weight: Constant(0.3), Loss: CrossEntropy{Student: "ahead1"}},
		Term{Name: "balance", Weight: Constant(0.01), Loss: LossFunc(func(_ *student.Builder, l Lesson) Rows {
			return Rows{Value: l.Student["balance"]}
		})},
	)
	run := Run{Student: small, Teacher: teacher.Of(big), Terms: terms, Train: train, Optimizer: Adam{Rate: Constant(0.01)}, Epochs: 60}
	must(run.Fit(t.Context()))
	if m := must(Measure(t.Context(), small, train, run.Teacher)); m.Accuracy < 0.99 {
		t.Errorf("the accuracy is %v; want 0.99 or more", m.Accuracy)
	}
}

func TestVocabulariesThatDiffer(t *testing.T) {
	model := func(vocab int) *student.Model {
		return must(lm.New(lm.Config{Vocab: vocab, Width: 8, Inner: 8, Layers: 1, Heads: 2, Context: 8}, 8, 1))
	}
	run := Run{
		Student: model(7), Teacher: teacher.Of(model(9)), Terms: Hinton(2, 0.5),
		Train: data.Loader{Set: counting(4), Batch: 4}, Optimizer: Adam{Rate: Constant(0.01)}, MaxSteps: 1,
	}
	_, err := run.Fit(t.Context())
	checkError(t, err, "the student's logits are (32, 7) and the teacher's (32, 9); KL wants the same classes: take UniversalLogit for others")
	run.Student, run.Teacher = model(5), nil
	run.Terms = Hinton(2, 0)[:1]
	_, err = run.Fit(t.Context())
	checkError(t, err, "the label of sample 0 is 6; want -1 to 4")
}
