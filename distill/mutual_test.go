package distill

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/atomicfile"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// peers are n runs of students that learn from each other, two or three, with
// the given initial seeds.
func peers(seeds ...uint64) []*Run {
	runs := make([]*Run, len(seeds))
	for i, seed := range seeds {
		runs[i] = toyRun[float32]()
		runs[i].Student = toyStudent(runs[i].Train.Spec(), 0.25, seed)
	}
	for i, r := range runs {
		r.Terms = []Term{{Name: "hard", Loss: CrossEntropy{}}}
		others := teacher.Named{}
		for j, peer := range runs {
			if j != i {
				name := string(rune('a' + j))
				others[name] = teacher.Live(teacher.Of(peer.Student))
				r.Terms = append(r.Terms, Term{Name: name, Loss: KL{Teacher: name + "/logits"}})
			}
		}
		r.Teacher = others
	}
	return runs
}

func mutually(t *testing.T, runs []*Run) (all [][]Step) {
	t.Helper()
	for steps, err := range Mutual(t.Context(), runs...) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, steps)
	}
	return all
}

// Students that start alike stay alike: nobody sees what a peer learned in the
// step, nor is measured against it.
func TestMutualIsSymmetric(t *testing.T) {
	runs := peers(1, 1)
	runs[0].Teacher = teacher.Live(teacher.Of(runs[1].Student))
	runs[1].Teacher = teacher.Live(teacher.Of(runs[0].Student))
	for _, r := range runs {
		r.Terms = Hinton(2, 0.5)
	}
	all := mutually(t, runs)
	if len(all) != 18 {
		t.Errorf("%d steps; want 18", len(all))
	}
	for _, s := range all {
		if s[0].Loss != s[1].Loss || s[0].GradNorm != s[1].GradNorm || s[0].Best != s[1].Best {
			t.Fatalf("step %d: %+v and %+v; want the same", s[0].N, s[0], s[1])
		}
		if v := s[0].Valid; v != nil && (v.Loss != s[1].Valid.Loss || v.Agreement != 1) {
			t.Errorf("step %d: validation %+v and %+v; want the same", s[0].N, *v, *s[1].Valid)
		}
	}
	if runs[0].Student.Fingerprint() != runs[1].Student.Fingerprint() {
		t.Error("the students differ")
	}
}

// Each of three students learns from what the others were before the step: as
// it would if they stayed as they are.
func TestMutualIsSimultaneous(t *testing.T) {
	step := func() []*Run {
		runs := peers(1, 2, 3)
		for _, r := range runs {
			r.MaxSteps, r.Valid = 1, nil
		}
		return runs
	}
	runs := step()
	mutually(t, runs)
	for i := range runs {
		want := traceOf(t, step()[i]).weights
		for p := range runs[i].Student.Params() {
			if !slices.Equal(wide(p.Value), want[p.Name]) {
				t.Errorf("student %d: %s differs", i, p.Name)
			}
		}
	}
}

func TestMutualResumes(t *testing.T) {
	in := func(dirs []string) []*Run {
		runs := peers(1, 2)
		for i, r := range runs {
			r.Dir, r.Resume, r.Every = dirs[i], true, 1
		}
		return runs
	}
	want := []string{t.TempDir(), t.TempDir()}
	whole := in(want)
	mutually(t, whole)
	for k := 1; k <= 18; k += 4 {
		dirs := []string{t.TempDir(), t.TempDir()}
		for steps, err := range Mutual(t.Context(), in(dirs)...) {
			if err != nil {
				t.Fatal(err)
			}
			if steps[0].N > 1 { // what a killed process would find
				for i, dir := range dirs {
					if s := must(ReadState(bytes.NewReader(checkpoint(t, dir)))); s.Step != steps[0].N-1 {
						t.Errorf("run %d: a checkpoint of step %d; want %d", i, s.Step, steps[0].N-1)
					}
				}
			}
			if steps[0].N == k {
				break
			}
		}
		runs := in(dirs)
		mutually(t, runs)
		for i := range runs {
			if runs[i].Student.Fingerprint() != whole[i].Student.Fingerprint() || !bytes.Equal(checkpoint(t, dirs[i]), checkpoint(t, want[i])) {
				t.Errorf("stopped after step %d: run %d ended differently", k, i)
			}
		}
	}
	dirs := []string{want[0], t.TempDir()}
	for _, err := range Mutual(t.Context(), in(dirs)...) {
		checkError(t, err, "distill: run 1 of Mutual resumes after step 0 and run 0 after step 18; want one step")
	}
}

func TestMutualRefuses(t *testing.T) {
	for want, change := range map[string]func([]*Run) []*Run{
		"distill: Mutual has 0 runs; want 2 or more":                  func([]*Run) []*Run { return nil },
		"distill: Mutual has 1 runs; want 2 or more":                  func(r []*Run) []*Run { return r[:1] },
		"distill: run 1 of Mutual is nil":                             func(r []*Run) []*Run { return []*Run{r[0], nil} },
		"distill: runs 0 and 1 of Mutual have the same Student":       func(r []*Run) []*Run { return []*Run{r[0], r[0]} },
		`distill: runs 0 and 2 of Mutual have the Dir "x"`:            func(r []*Run) []*Run { r[0].Dir, r[2].Dir = "x", "x"; return r },
		"run 1 of Mutual: distill: Run.Student is nil":                func(r []*Run) []*Run { r[1].Student = nil; return r },
		"run 2 of Mutual: distill: Run.Epochs and Run.MaxSteps are 0": func(r []*Run) []*Run { r[2].Epochs = 0; return r },
		"data: Loader.Batch is 0":                                     func(r []*Run) []*Run { r[1].Train = data.Loader{Set: toySet[float32](9)}; return r },
		"distill: Groups[0].Match is":                                 func(r []*Run) []*Run { r[1].Groups = []Group{{Match: "?"}}; return r },
	} {
		t.Run(want, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			seen := 0
			for steps, err := range Mutual(t.Context(), change(peers(1, 2, 3))...) {
				seen++
				checkError(t, err, want)
				if steps != nil {
					t.Errorf("%d steps with the error", len(steps))
				}
			}
			if seen != 1 {
				t.Errorf("%d errors; want 1", seen)
			}
		})
	}
}

func TestMutualEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	runs := peers(1, 2)
	runs[1].MaxSteps = 4 // the first to end ends it
	if n := len(mutually(t, runs)); n != 4 {
		t.Errorf("%d steps; want 4", n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range Mutual(ctx, peers(1, 2)...) {
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("error %v; want %v", last, context.Canceled)
	}

	runs = peers(1, 2)
	runs[1].Clip, runs[1].Optimizer = 0, SGD{Rate: Constant(1e30)}
	for _, last = range Mutual(t.Context(), runs...) {
	}
	if last == nil {
		t.Error("no error where a student diverges")
	}

	var out bytes.Buffer
	runs = peers(1, 2)
	runs[0].Log = slog.New(slog.NewTextHandler(&out, nil))
	runs[1].Teacher, runs[1].Terms = newMoody(2), Hinton(2, 0.5)
	for range Mutual(t.Context(), runs...) {
		break
	}
	if !strings.Contains(out.String(), ErrTeacherChanged.Error()) {
		t.Errorf("the log is %q; want %v", out.String(), ErrTeacherChanged)
	}
}

// Measure agrees with a count by hand.
func TestMeasure(t *testing.T) {
	set := toySet[float64](23)
	m := toyStudent(set.Spec(), 0.5, 3)
	before := m.Fingerprint()
	got, err := Measure(t.Context(), m, data.Loader{Set: set, Batch: 9, InOrder: true}, wise[float64]())
	if err != nil {
		t.Fatal(err)
	}
	b := allOf(data.Loader{Set: set, Batch: 23, InOrder: true})[0]
	logits, taught := must(m.Predict(b))["logits"], must(wise[float64]().Teach(t.Context(), b))["logits"]
	var right, nll, labelled, agreed, kl, all float64
	var z, p []float64
	for i, w32 := range b.Weight.Float32s() {
		w := float64(w32)
		z, p = logProbabilities(z, logits, i), logProbabilities(p, taught, i)
		if y := b.Label.Ints()[i]; y >= 0 {
			labelled += w
			nll -= w * z[y]
			if argmax(z) == y {
				right += w
			}
		}
		all += w
		if argmax(z) == argmax(p) {
			agreed += w
		}
		for c := range p {
			kl += w * math.Exp(p[c]) * (p[c] - z[c])
		}
	}
	for name, pair := range map[string][2]float64{
		"accuracy": {got.Accuracy, right / labelled}, "NLL": {got.NLL, nll / labelled},
		"agreement": {got.Agreement, agreed / all}, "KL": {got.TeacherKL, kl / all}, "rows": {float64(got.Rows), 23}, "top 5": {got.Top5, 1},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
	if m.Fingerprint() != before {
		t.Error("the student was changed")
	}
	alone := must(Measure(t.Context(), m, data.Loader{Set: set, Batch: 9, InOrder: true}, nil))
	if alone.Accuracy != got.Accuracy || !math.IsNaN(alone.Agreement) {
		t.Errorf("%+v without a teacher", alone)
	}
}

func TestMeasureRefuses(t *testing.T) {
	set := toySet[float32](9)
	src := data.Loader{Set: set, Batch: 4}
	m := toyStudent(set.Spec(), 0, 1)
	changed := wise[float32]()
	changed.Says.Classes = []string{"d", "c", "b", "a"}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for want, f := range map[string]func() (Metrics, error){
		"distill: Measure wants a student and a source; one is nil": func() (Metrics, error) { return Measure(t.Context(), nil, src, nil) },
		"Measure wants a student and a source":                      func() (Metrics, error) { return Measure(t.Context(), m, nil, nil) },
		"the source has the inputs": func() (Metrics, error) {
			return Measure(t.Context(), m, data.Loader{Set: toySet[float64](9), Batch: 4}, nil)
		},
		"the source and the teacher call class 0": func() (Metrics, error) { return Measure(t.Context(), m, src, changed) },
		"teacher: Func.Do is nil":                 func() (Metrics, error) { return Measure(t.Context(), m, src, teacher.Func{Says: wise[float32]().Says}) },
		"teacher: Card.Signals is empty":          func() (Metrics, error) { return Measure(t.Context(), m, src, teacher.Func{}) },
		"data: Loader.Batch is 0":                 func() (Metrics, error) { return Measure(t.Context(), m, data.Loader{Set: set}, nil) },
		"distill: the source is empty":            func() (Metrics, error) { return Measure(t.Context(), m, batches{spec: set.Spec()}, nil) },
		"context canceled":                        func() (Metrics, error) { return Measure(cancelled, m, src, nil) },
	} {
		_, err := f()
		checkError(t, err, want)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	z := func(rows, cols int) data.Signals { return data.Signals{"logits": dense[float32](nil, rows, cols)} }
	ints := func(v ...int) *tensor.Dense { return tensor.New(tensor.WithBacking(v)) }
	view := must(dense[float32](nil, 3, 6).Slice(nil, tensor.S(0, 4))).(*tensor.Dense)
	for want, test := range map[string]struct {
		loss Loss
		c    Case
	}{
		`distill: Run.Terms[0].Loss of "loss" is nil`:                                         {nil, Case{Student: z(3, 4)}},
		"distill: Case.Student is empty":                                                      {KL{}, Case{}},
		`Case.Student "logits" is no batch`:                                                   {KL{}, Case{Student: data.Signals{"logits": nil}}},
		`Case.Student "logits" is no batch of floats`:                                         {KL{}, Case{Student: data.Signals{"logits": view}}},
		`Case.Student "other" is no batch of floats like`:                                     {KL{}, Case{Student: data.Signals{"logits": dense[float32](nil, 3, 4), "other": dense[float32](nil, 5, 4)}}},
		`Case.Teacher "logits" is no batch of 3 samples`:                                      {KL{}, Case{Student: z(3, 4), Teacher: z(5, 4)}},
		"the student's logits are (3, 4) and the teacher's (3, 5); KL wants the same classes": {KL{}, Case{Student: z(3, 4), Teacher: z(3, 5)}},
		`no signal of the teacher is called "logits"`:                                         {KL{}, Case{Student: z(3, 4)}},
		"CrossEntropy wants some":                                                             {CrossEntropy{}, Case{Student: z(3, 4)}},
		"the labels of a batch of 3 are (2) of int":                                           {CrossEntropy{}, Case{Student: z(3, 4), Label: ints(0, 1)}},
		"labels (5) and weights (3)":                                                          {CrossEntropy{}, Case{Student: z(3, 4), Label: ints(0, 1, 2, 3, 0)}},
		"the label of sample 1 is 4; want -1 to 3":                                            {CrossEntropy{}, Case{Student: z(3, 4), Label: ints(0, 4, 2)}},
		"the weights of a batch of 3 are (3) of float64":                                      {CrossEntropy{}, Case{Student: z(3, 4), Label: ints(0, 1, 2), Weight: dense[float64](nil, 3)}},
		"distill: Case.Weight is of 4 samples; want 3":                                        {MSE{}, Case{Student: z(3, 4), Teacher: z(3, 4), Weight: dense[float32](nil, 4)}},
		"the loss panicked":                                                                   {panics{}, Case{Student: z(3, 4)}},
	} {
		_, _, err := Evaluate(test.loss, test.c)
		checkError(t, err, want)
	}
}

// panics is a loss with a bug.
type panics struct{}

func (panics) Loss(*student.Builder, Lesson) Rows { panic("the loss panicked") }

// With the labels, a student of K learns from the mean of its peers, 1/(K-1) of
// each divergence (1706.00384).
func TestMutualOfThree(t *testing.T) {
	runs := peers(1, 2, 3)
	z := make([]*tensor.Dense, 3)
	b := allOf(runs[0].Train)[0]
	for i, r := range runs {
		r.MaxSteps, r.Valid = 1, nil
		r.Student = toyStudent(r.Train.Spec(), 0, uint64(i+1)) // without dropout
		z[i] = must(r.Student.Predict(b))["logits"]
	}
	for i, r := range runs {
		others := teacher.Named{}
		r.Terms = r.Terms[:1]
		for j, peer := range runs {
			if j != i {
				name := string(rune('a' + j))
				others[name] = teacher.Live(teacher.Of(peer.Student))
				r.Terms = append(r.Terms, Term{Name: name, Weight: Constant(1. / 2), Loss: KL{Teacher: name + "/logits"}})
			}
		}
		r.Teacher = others
	}
	steps := mutually(t, runs)[0]
	for i, step := range steps {
		hard, labelled, soft, all := 0., 0., 0., 0.
		var s, p []float64
		for row, w32 := range b.Weight.Float32s() {
			w := float64(w32)
			s = logProbabilities(s, z[i], row)
			if y := b.Label.Ints()[row]; y >= 0 {
				hard, labelled = hard-w*s[y], labelled+w
			}
			all += w
			for j := range z {
				p = logProbabilities(p, z[j], row)
				for c := range p { // 0 of itself
					soft += w / 2 * math.Exp(p[c]) * (p[c] - s[c])
				}
			}
		}
		if want := hard/labelled + soft/all; math.Abs(step.Loss-want) > 1e-6 {
			t.Errorf("the loss of student %d is %v; want %v", i, step.Loss, want)
		}
	}
}

// keptPeers are two that can be resumed, saved after each step.
func keptPeers(dirs []string) []*Run {
	runs := peers(1, 2)
	for i, r := range runs {
		r.Dir, r.Resume, r.Every = dirs[i], true, 1
	}
	return runs
}

// However far the saving of a step had come when the process was killed, the runs
// go on to the same end.
func TestMutualResumesFromWithinASave(t *testing.T) {
	want := []string{t.TempDir(), t.TempDir()}
	var saved [][2][]byte // by step, from 0
	for steps, err := range Mutual(t.Context(), keptPeers(want)...) {
		if err != nil {
			t.Fatal(err)
		}
		saved = append(saved, [2][]byte{encoded(t, must(steps[0].State())), encoded(t, must(steps[1].State()))})
	}
	old, now := saved[6], saved[7]
	const place, beside = CheckpointFile, CheckpointFile + atomicfile.Suffix
	for name, files := range map[string][2]map[string][]byte{
		"while the first is written":       {{place: old[0], beside: now[0][:999]}, {place: old[1]}},
		"while the second is written":      {{place: old[0], beside: now[0]}, {place: old[1], beside: now[1][:999]}},
		"when both are written":            {{place: old[0], beside: now[0]}, {place: old[1], beside: now[1]}},
		"when the first is in its place":   {{place: now[0]}, {place: old[1], beside: now[1]}},
		"when the second is in its place":  {{place: old[0], beside: now[0]}, {place: now[1]}},
		"when both are":                    {{place: now[0]}, {place: now[1]}},
		"of the first step, not one there": {{beside: saved[0][0]}, {beside: saved[0][1]}},
		"of the first step, the first is":  {{place: saved[0][0]}, {beside: saved[0][1]}},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir()}
			for i, dir := range dirs {
				for file, text := range files[i] {
					if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			mutually(t, keptPeers(dirs))
			for i := range dirs {
				if !bytes.Equal(checkpoint(t, dirs[i]), checkpoint(t, want[i])) {
					t.Errorf("run %d ended differently", i)
				}
				if entries := must(os.ReadDir(dirs[i])); len(entries) != 1 {
					t.Errorf("run %d leaves %v; want the checkpoint alone", i, entries)
				}
			}
		})
	}
	dirs := []string{t.TempDir(), t.TempDir()}
	for file, text := range map[string][]byte{dirs[0] + "/" + place: now[0], dirs[1] + "/" + place: old[1], dirs[1] + "/" + beside: saved[9][1]} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range Mutual(t.Context(), keptPeers(dirs)...) {
		checkError(t, err, "distill: run 1 of Mutual resumes after step 7 and run 0 after step 8; want one step")
	}
}

// When one checkpoint cannot be written none is changed.
func TestMutualSavesAllOrNone(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	var last error
	for steps, err := range Mutual(t.Context(), keptPeers(dirs)...) {
		if last = err; err == nil && steps[0].N == 4 {
			if err := os.Mkdir(filepath.Join(dirs[1], CheckpointFile+atomicfile.Suffix), 0o700); err != nil { // root may write anywhere
				t.Fatal(err)
			}
		}
	}
	checkError(t, last, "distill: save "+filepath.Join(dirs[1], CheckpointFile))
	for _, dir := range dirs {
		if s := must(ReadState(bytes.NewReader(checkpoint(t, dir)))); s.Step != 3 {
			t.Errorf("a checkpoint of step %d; want 3", s.Step)
		}
	}
	if _, err := os.Stat(filepath.Join(dirs[0], CheckpointFile+atomicfile.Suffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new checkpoint of run 0: %v; want none", err)
	}
}

// Runs whose epochs differ in length are saved together all the same.
func TestMutualSavesTogether(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	runs := keptPeers(dirs)
	runs[1].Train = data.Loader{Set: toySet[float32](46), Batch: 11, Seed: 3}
	for _, r := range runs {
		r.Every = 0
	}
	for steps, err := range Mutual(t.Context(), runs...) {
		if err != nil {
			t.Fatal(err)
		}
		if n := steps[0].N; n == 6 || n == 7 { // epochs end after 6 and 5
			for i, dir := range dirs {
				if s := must(ReadState(bytes.NewReader(checkpoint(t, dir)))); s.Step != n-1 {
					t.Errorf("run %d: a checkpoint of step %d; want %d", i, s.Step, n-1)
				}
			}
		}
	}
}
