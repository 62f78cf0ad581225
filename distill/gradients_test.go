package distill

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godistill/godistill/data"
)

// coolingRun is the toy run with a temperature that falls.
func coolingRun[T floating]() *Run {
	r := toyRun[T]()
	r.Terms[1].Loss = KL{T: Linear(4, 1, 18)}
	return r
}

// pulls is what a step should have in Gradients on a batch, with the weights as
// they are.
func pulls(t *testing.T, r *Run, s Step, b data.Batch) map[string]float64 {
	t.Helper()
	at := s.N - 1
	c := Case{
		Student: must(r.Student.Predict(b, "l1", "logits")),
		Teacher: must(r.Teacher.Teach(t.Context(), b)),
		Label:   head(b.Label, b.N), Weight: head(b.Weight, b.N),
	}
	_, hard, err := Evaluate(CrossEntropy{}, c)
	if err != nil {
		t.Fatal(err)
	}
	_, soft, err := Evaluate(KL{T: Constant(Linear(4, 1, 18)(at))}, c)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{
		"hard logits": r.Terms[0].weight(at) * length(wide(hard["logits"])),
		"soft logits": r.Terms[1].weight(at) * length(wide(soft["logits"])),
	}
	if w := r.Terms[2].weight(at); w > 0 {
		all["hint l1"] = w * length(hintGradient(t, s, c))
	}
	return all
}

// hintGradient is that of the mean of (Wx + b - t)² over rows and numbers by x.
func hintGradient(t *testing.T, s Step, c Case) (all []float64) {
	t.Helper()
	tensors := must(s.State()).Tensors
	w, bias := wide(tensors["param/hint.regressor.weight"]), wide(tensors["param/hint.regressor.bias"])
	x, want, rows := wide(c.Student["l1"]), wide(c.Teacher["hidden"]), wide(c.Weight)
	sum := 0.0
	for _, v := range rows {
		sum += v
	}
	in, out := len(w)/len(bias), len(bias)
	for r, weight := range rows {
		by := make([]float64, in)
		for o := range out {
			off := bias[o] - want[r*out+o]
			for i := range in {
				off += w[o*in+i] * x[r*in+i]
			}
			for i := range in {
				by[i] += 2 / float64(out) * off * w[o*in+i] * weight / sum
			}
		}
		all = append(all, by...)
	}
	return all
}

func length(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}

func TestGradientsOfTerms(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testGradients[float32](t, 1e-5) })
	t.Run("float64", func(t *testing.T) { testGradients[float64](t, 1e-12) })
}

func testGradients[T floating](t *testing.T, tolerance float64) {
	r := coolingRun[T]()
	batch := allOf(r.Valid)[0]
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if step.N > 1 && !step.End {
			if step.Gradients != nil {
				t.Errorf("step %d has %v; want nothing within an epoch", step.N, step.Gradients)
			}
			continue
		}
		got := map[string]float64{}
		for _, g := range step.Gradients {
			got[g.Term+" "+g.Tap] = g.Norm
		}
		if step.N == 1 { // they were taken before it
			if names := fmt.Sprint(slices.Sorted(maps.Keys(got))); names != "[hard logits hint l1 soft logits]" {
				t.Errorf("step 1 has gradients of %s", names)
			}
			continue
		}
		want := pulls(t, r, step, batch)
		if len(got) != len(want) {
			t.Errorf("step %d has %v; want %v", step.N, got, want)
		}
		for name, w := range want {
			if g := got[name]; !(math.Abs(g-w) <= tolerance*w) {
				t.Errorf("step %d: the gradient of %s is %v; want %v", step.N, name, g, w)
			}
		}
	}
}

// Before the first step, they are those of the student as it was given.
func TestGradientsBeforeTheFirstStep(t *testing.T) {
	r := coolingRun[float64]()
	want := pulls(t, &Run{Student: r.Student, Teacher: r.Teacher, Terms: append(r.Terms[:2:2], Term{Weight: Constant(0)})}, Step{N: 1}, allOf(r.Valid)[0])
	step := traceOf(t, r).steps[0]
	for _, g := range step.Gradients {
		if w, ok := want[g.Term+" "+g.Tap]; ok && !(math.Abs(g.Norm-w) <= 1e-12*w) {
			t.Errorf("the gradient of %s at %s is %v; want %v", g.Term, g.Tap, g.Norm, w)
		}
	}
}

// Without validation data the batch is one of the step, whose size may change.
func TestGradientsWithoutValid(t *testing.T) {
	r := coolingRun[float32]()
	r.Valid, r.Epochs, r.MaxSteps = nil, 0, 14
	var have []int
	for _, s := range traceOf(t, r).steps {
		if len(s.Gradients) > 0 {
			have = append(have, s.N)
		}
	}
	if !slices.Equal(have, []int{1, 6, 12, 14}) {
		t.Errorf("steps %v have gradients; want the first, the ends of epochs and the last", have)
	}
}

// A run that goes on has the gradients of one that never stopped.
func TestGradientsWhenResumed(t *testing.T) {
	steps := func(dir string, until int) (all []Step) {
		r := coolingRun[float32]()
		r.Dir, r.Resume = dir, true
		for s, err := range r.Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			s.session = nil
			if all = append(all, s); s.N == until {
				break
			}
		}
		return all
	}
	want := must(json.Marshal(steps(t.TempDir(), 0)))
	for _, until := range []int{1, 5, 6, 11} {
		dir := t.TempDir()
		got := must(json.Marshal(append(steps(dir, until), steps(dir, 0)...)))
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("stopped after step %d (-want +got):\n%s", until, diff)
		}
	}
}

func TestTemperaturesAreKept(t *testing.T) {
	r := coolingRun[float32]()
	for _, s := range traceOf(t, r).steps {
		want := []float64{0, Linear(4, 1, 18)(s.N - 1), 0}
		all := [][]TermValue{s.Terms}
		if s.Valid != nil {
			all = append(all, s.Valid.Terms)
		}
		for _, terms := range all {
			for i, term := range terms {
				if term.T != want[i] {
					t.Errorf("step %d: the temperature of %q is %v; want %v", s.N, term.Name, term.T, want[i])
				}
			}
		}
	}
	text := string(must(json.Marshal([]any{TermValue{Name: "hard", Value: 1}, TermValue{Name: "soft", T: 4}, TapGradient{"soft", "l1", math.NaN()}})))
	if want := `[{"name":"hard","value":1,"weight":0},{"name":"soft","value":0,"weight":0,"temperature":4},{"term":"soft","tap":"l1","norm":null}]`; text != want {
		t.Errorf("the JSON is %s; want %s", text, want)
	}
}
