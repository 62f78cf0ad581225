package distill

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
)

// sums are texts of which the completion alone is to be learned.
var sums = text.List{
	{Prompt: "1+2=", Completion: "3"}, {Prompt: "12+30=", Completion: "42"}, {Prompt: "7+8=", Completion: "15"},
	{Prompt: "5=", Completion: "5"}, {Prompt: "100+1=", Completion: "101"}, {Prompt: "0+0=", Completion: "0"},
}

// rowsOfSums are those of sums, with or without segments.
func rowsOfSums(context int, segments bool) text.Sequences {
	return text.Sequences{Tokenizer: must(text.NewCharacters("0123456789+=")), Context: context, Segments: segments}
}

// languages are models of each kind, for the characters of sums.
var languages = map[string]lm.Config{
	"llama": {Vocab: 15, Width: 12, Inner: 16, Layers: 2, Heads: 4, KeyHeads: 2, HeadWidth: 4, Context: 64},
	"deepseek": {
		Vocab: 15, Width: 12, Inner: 16, Layers: 2, Heads: 3, Context: 64, Ahead: 2,
		Mixture: &lm.Mixture{Experts: 4, Each: 2, Shared: 1, ExpertWidth: 8, Dense: 1, Normalized: true, BiasStep: 0.125},
		Latent:  &lm.Latent{Rank: 7, Plain: 3, Turned: 4, Values: 5},
	},
}

// language64 is a model of float64 for the rows of a set.
func language64(c lm.Config, set data.Set, seed uint64) *student.Model {
	c.Spread = 0.3
	return must(student.NewOf(c, set.Spec(), tensor.Float64, seed))
}

// sumsRun distils all of a set in each step, by every term that the model has.
func sumsRun(c lm.Config, set data.Set) *Run {
	terms := Hinton(2, 0.5)
	for k := range c.Ahead {
		terms = append(terms, Term{Name: fmt.Sprint("ahead", k+1), Weight: Constant(0.3), Loss: CrossEntropy{Student: fmt.Sprint("ahead", k+1)}})
	}
	if c.Mixture != nil {
		terms = append(terms, Term{Name: "balance", Weight: Constant(0.1), Loss: LossFunc(func(_ *student.Builder, l Lesson) Rows {
			return Rows{Value: l.Student["balance"]}
		})})
	}
	return &Run{
		Student: language64(c, set, 1), Teacher: teacher.Of(language64(languages["llama"], set, 2)), Terms: terms,
		Train: data.Loader{Set: set, Batch: set.Len()}, Optimizer: SGD{Rate: Constant(0.3)}, MaxSteps: 5, AnyTeacher: true,
	}
}

// tokenTrace is the trace of a run that says nothing of its rows.
func tokenTrace(t *testing.T, r *Run) trace {
	tr := traceOf(t, r)
	for i := range tr.steps {
		tr.steps[i].Rows = 0
	}
	return tr
}

// Texts that share rows train a student, by a teacher and by all its terms, as texts
// in rows of their own do; and so they do whatever the rows are filled up with.
func TestPackedTextsTrainAsSeparateOnes(t *testing.T) {
	for name, c := range languages {
		t.Run(name, func(t *testing.T) {
			separate := tokenTrace(t, sumsRun(c, must(rowsOfSums(14, true).Of(sums))))
			if first, last := separate.steps[0].Loss, separate.steps[4].Loss; !(last < first) {
				t.Errorf("the loss was %v and is %v; want less", first, last)
			}
			packed := must(rowsOfSums(30, true).Pack(sums))
			if n := packed.Len(); n >= len(sums) || n < 2 {
				t.Fatalf("there are %d rows; want fewer than texts, and some", n)
			}
			t.Run("packed", func(t *testing.T) { sameTrace(t, tokenTrace(t, sumsRun(c, packed)), separate, 1e-12) })
			t.Run("padded", func(t *testing.T) {
				sameTrace(t, tokenTrace(t, sumsRun(c, must(rowsOfSums(23, true).Of(sums)))), separate, 1e-12)
			})
		})
	}
	// Without experts, padding needs no segments.
	c := languages["llama"]
	short := tokenTrace(t, sumsRun(c, must(rowsOfSums(14, false).Of(sums))))
	t.Run("padded", func(t *testing.T) {
		sameTrace(t, tokenTrace(t, sumsRun(c, must(rowsOfSums(23, false).Of(sums)))), short, 1e-12)
	})
	// What the texts of a row see of each other is told from that.
	mixed := tokenTrace(t, sumsRun(c, must(rowsOfSums(30, false).Pack(sums))))
	if math.Abs(mixed.steps[0].Loss-short.steps[0].Loss) < 1e-6 {
		t.Error("without segments, the texts of a row do not see each other")
	}
}

// A teacher of another vocabulary that has as many tokens is found before the first
// step: what it says of validation data is wrong.
func TestTeacherOfAnotherVocabulary(t *testing.T) {
	rows := func(digits string) data.Set {
		return must(text.Sequences{Tokenizer: must(text.NewCharacters(digits)), Context: 14}.Of(sums))
	}
	ours, theirs := rows("0123456789+="), rows("=5+317092468")
	master := sumsRun(languages["llama"], theirs)
	master.Teacher, master.Terms, master.MaxSteps, master.Optimizer = nil, Hinton(1, 0)[:1], 200, Adam{Rate: Constant(0.02)}
	fit(t, master)
	for set, want := range map[data.Set]string{theirs: "", ours: "Run.AnyTeacher"} {
		r := sumsRun(languages["llama"], set)
		r.Teacher, r.Valid, r.MaxSteps, r.AnyTeacher = teacher.Of(master.Student), r.Train, 1, false
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
	}
}

// changed is a teacher whose logits (N, T, C) were changed for tokens.
func changed(of teacher.Teacher, change func(b data.Batch, z []float64, tokens, classes int) []float64) teacher.Teacher {
	return teacher.Func{Says: must(of.Card()), Do: func(ctx context.Context, b data.Batch) (data.Signals, error) {
		s, err := of.Teach(ctx, b)
		if err != nil {
			return nil, err
		}
		z := s["logits"]
		all := change(b, slices.Clone(z.Float64s()), z.Shape()[1], z.Shape()[2])
		return data.Signals{"logits": tensor.New(tensor.WithShape(z.Shape()...), tensor.WithBacking(all))}, nil
	}}
}

// The mask of completions is the weight of rows: what a teacher says of prompts and of
// padding changes nothing, in a single bit, and what it says of completions does.
func TestTeacherOfMaskedTokens(t *testing.T) {
	set := must(rowsOfSums(14, false).Of(sums))
	spoilt := func(weight float32) trace {
		r := sumsRun(languages["llama"], set)
		r.Teacher = changed(r.Teacher, func(b data.Batch, z []float64, tokens, classes int) []float64 {
			for row := range b.N * tokens {
				if b.Weight.Float32s()[row] == weight {
					z[row*classes+row%classes] += 7
				}
			}
			return z
		})
		return traceOf(t, r)
	}
	want, masked, taught := spoilt(-1), spoilt(0), spoilt(1)
	for i, s := range want.steps {
		if masked.steps[i].Loss != s.Loss || taught.steps[i].Loss == s.Loss {
			t.Errorf("step %d: the loss is %v, %v with other prompts and %v with other completions", i, s.Loss, masked.steps[i].Loss, taught.steps[i].Loss)
		}
	}
	for name, w := range want.weights {
		if !slices.Equal(masked.weights[name], w) {
			t.Errorf("%s depends on what the teacher says of prompts", name)
		}
	}
}

// A student that is its teacher has nothing to learn from it where tokens stand side
// by side, and a lot where one of them is a place off.
func TestStudentAndTeacherAreAligned(t *testing.T) {
	set := must(rowsOfSums(14, false).Of(sums))
	for _, by := range []int{0, 1, -1} {
		r := sumsRun(languages["llama"], set)
		r.Terms, r.MaxSteps = []Term{{Name: "soft", Loss: KL{T: Constant(2)}}}, 1
		r.Teacher = changed(teacher.Of(language64(languages["llama"], set, 1)), func(b data.Batch, z []float64, tokens, classes int) []float64 {
			moved := slices.Clone(z)
			for row := range b.N * tokens {
				if to := row%tokens + by; to >= 0 && to < tokens {
					copy(moved[(row+by)*classes:(row+by+1)*classes], z[row*classes:])
				}
			}
			return moved
		})
		s := traceOf(t, r).steps[0]
		if by == 0 && !(s.Loss < 1e-13 && s.GradNorm < 1e-13) || by != 0 && !(s.Loss > 0.05 && s.GradNorm > 0.05) {
			t.Errorf("off by %d: the loss is %v and the norm of the gradient %v", by, s.Loss, s.GradNorm)
		}
	}
}

// A recording of a language model's three largest logits teaches the divergence over
// these and one bucket for all others, of the tokens that count.
func TestSparseTargetsOfALanguageModel(t *testing.T) {
	const top, T = 3, 2.0
	set := must(rowsOfSums(14, false).Of(sums))
	r := sumsRun(languages["deepseek"], set)
	big := language64(languages["llama"], set, 2)
	r.Teacher = record(t, teacher.Of(big), set, teacher.Recording{TopK: top, Temps: []float64{T}})
	r.Terms, r.MaxSteps, r.Optimizer = []Term{{Name: "soft", Loss: KL{T: Constant(T)}}}, 120, Adam{Rate: Constant(0.02)}

	b := allOf(data.Loader{Set: set, Batch: set.Len(), InOrder: true})[0]
	p, q := tokenChances(t, big, b, T), tokenChances(t, r.Student, b, T)
	want, total := 0.0, 0.0
	for row, w := range b.Weight.Float32s() {
		want += float64(w) * T * T * bucketed(p[row], q[row], top)
		total += float64(w)
	}
	steps := traceOf(t, r).steps
	if got := steps[0].Loss; math.Abs(got-want/total) > 1e-6 {
		t.Errorf("the loss is %v; want %v", got, want/total)
	}
	if last := steps[len(steps)-1].Loss; !(last < steps[0].Loss/10) {
		t.Errorf("the loss was %v and is %v; want a tenth", steps[0].Loss, last)
	}
}

// tokenChances are a model's probabilities at a temperature, of each token.
func tokenChances(t *testing.T, m *student.Model, b data.Batch, T float64) (all [][]float64) {
	t.Helper()
	z := must(m.Predict(b))["logits"]
	for row := range slices.Chunk(z.Float64s(), z.Shape()[2]) {
		p, sum := make([]float64, len(row)), 0.0
		for i, v := range row {
			p[i] = math.Exp(v / T)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		all = append(all, p)
	}
	return all
}

// bucketed is KL(p ‖ q) over the most probable classes by p and a bucket for others.
func bucketed(p, q []float64, top int) (sum float64) {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if p[a] > p[b] {
			return -1
		}
		return 1
	})
	restP, restQ := 1.0, 1.0
	for _, c := range order[:top] {
		sum += p[c] * math.Log(p[c]/q[c])
		restP, restQ = restP-p[c], restQ-q[c]
	}
	return sum + restP*math.Log(restP/restQ)
}

// Two vocabularies that differ are compared by the universal loss, where it is asked
// for: it falls, by its gradient alone and beside the labels.
func TestUniversalLossOfTwoVocabularies(t *testing.T) {
	set := must(rowsOfSums(14, false).Of(sums))
	c := languages["llama"]
	c.Vocab = 23 // of the teacher
	for _, hard := range []bool{false, true} {
		r := sumsRun(languages["llama"], set)
		r.Teacher = teacher.Of(language64(c, set, 3))
		r.Terms, r.MaxSteps, r.Optimizer = []Term{{Name: "universal", Loss: UniversalLogit{}}}, 150, Adam{Rate: Constant(0.01)}
		if hard {
			r.Terms = append(r.Terms, Term{Name: "hard", Loss: CrossEntropy{}})
		}
		steps := traceOf(t, r).steps
		first, last := steps[0].Terms[0].Value, steps[len(steps)-1].Terms[0].Value
		if !hard && !(last < first/2) {
			t.Errorf("the universal loss was %v and is %v; want half", first, last)
		}
		if at := steps[len(steps)-1]; hard && !(at.Accuracy == 1 && at.Loss < steps[0].Loss/2) {
			t.Errorf("the loss was %v and is %v with an accuracy of %v; want half, and all", steps[0].Loss, at.Loss, at.Accuracy)
		}
	}
}
