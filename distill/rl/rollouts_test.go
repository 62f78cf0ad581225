package rl_test

import (
	"bytes"
	stdcontext "context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/rl"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

var float32s, float64s = tensor.Float32, tensor.Float64

func batches(t testing.TB, s data.Source, epoch, from int) (all []data.Batch) {
	t.Helper()
	for b, err := range s.Batches(t.Context(), epoch, from) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// learning is a run by rollouts.
func learning(m *student.Model, r *rl.Rollouts, epochs int) distill.Run {
	return distill.Run{
		Student: m, Teacher: r, Terms: rl.Terms(0.2, 0), Train: r,
		Optimizer: distill.Adam{Rate: distill.Constant(0.02)}, Epochs: epochs, Clip: 1,
	}
}

func solved(t testing.TB, m *student.Model) float64 {
	t.Helper()
	s := *rollouts(m).Solver
	report, err := reason.Evaluate(t.Context(), must(reason.NewSolver(s)), task.Set{Task: parity{}, Split: task.Test, Rows: 40, Seed: 2}, 4)
	if err != nil {
		t.Fatal(err)
	}
	return report.All.Pass1.Mean
}

// A model that has learned nothing learns to be right from being right, in both
// dtypes, and with several steps to a rollout.
func TestModelLearnsFromRewards(t *testing.T) {
	for name, change := range map[string]func(*rl.Rollouts, *distill.Run){
		"once":     func(*rl.Rollouts, *distill.Run) {},
		"unscaled": func(r *rl.Rollouts, _ *distill.Run) { r.Unscaled = true },
		"passes": func(r *rl.Rollouts, run *distill.Run) {
			r.Passes, r.Parts, run.Optimizer = 2, 3, distill.Adam{Rate: distill.Constant(0.005)}
		},
		"reference": func(r *rl.Rollouts, run *distill.Run) {
			r.Reference, run.Terms = model(float32s, 1), rl.Terms(0.2, 0.01)
		},
	} {
		m := model(float32s, 1)
		r := rollouts(m)
		r.Batch, r.Group = 12, 12
		run := learning(m, r, 60)
		change(r, &run)
		before := solved(t, m)
		if _, err := run.Fit(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		if after := solved(t, m); before > 0.3 || after < 0.9 {
			t.Errorf("%s: of the problems %.2f are solved, and %.2f before; want 0.9 or more", name, after, before)
		}
	}
}

// problems are three of those of rollouts, from one on.
func problems(r *rl.Rollouts, from int) (all []task.Problem) {
	for i := range 3 {
		all = append(all, must(r.Problems.Problem(from+i)))
	}
	return all
}

// What a batch says of a token is what the sampler and the reward said.
func TestRollout(t *testing.T) {
	m := model(float64s, 1)
	r := rollouts(m)
	r.Reference = model(float64s, 2)
	b := batches(t, r, 2, 0)[0]
	groups := must(r.Solver.Solve(t.Context(), problems(r, 6), 5, 2*15))
	said := must(r.Teach(t.Context(), b))
	row := 0
	for _, group := range groups {
		var rewards []float64
		for _, a := range group {
			worth := 0.0
			if a.Right {
				worth++
			}
			if a.Formed {
				worth += 0.25
			}
			rewards = append(rewards, worth)
		}
		advantages := rl.Advantages(rewards, true)
		for i, a := range group {
			at := func(name string, token int) float64 {
				return float64(data.Row[float32](said[name], row)[len(a.Prompt)-1+token])
			}
			for token, p := range a.LogProbs {
				for name, want := range map[string]float64{"advantage": advantages[i], "reward": rewards[i], "sampled": p, "share": 1 / float64(len(a.IDs))} {
					if got := at(name, token); !near(got, want, 1e-6) {
						t.Errorf("row %d: %s of token %d is %v; want %v", row, name, token, got, want)
					}
				}
			}
			row++
		}
	}
	if b.N != row {
		t.Errorf("there are %d rows; want %d", b.N, row)
	}
	checkReference(t, r.Reference, b)
}

// checkReference compares the reference's signal with its logits.
func checkReference(t *testing.T, m *student.Model, b data.Batch) {
	logits := must(m.Predict(b))["logits"]
	vocab := logits.Shape()[2]
	for i, w := range b.Weight.Float32s() {
		want := 0.0
		if w != 0 {
			z := logits.Float64s()[i*vocab:][:vocab]
			sum := 0.0
			for _, v := range z {
				sum += math.Exp(v)
			}
			want = z[b.Label.Ints()[i]] - math.Log(sum)
		}
		if got := float64(b.In["reference"].Float32s()[i]); !near(got, want, 1e-6) {
			t.Errorf("reference of token %d is %v; want %v", i, got, want)
		}
	}
}

// The parts of a pass are the rollout, and passes are alike.
func TestParts(t *testing.T) {
	r := rollouts(model(float32s, 1))
	whole := batches(t, r, 1, 0)[0]
	r.Parts, r.Passes = 3, 2
	all := batches(t, r, 1, 0)
	if len(all) != 6 || r.Len() != 6 {
		t.Fatalf("there are %d batches, and Len is %d; want 6", len(all), r.Len())
	}
	row := 0
	for _, b := range all[:3] {
		for i := range b.N {
			for name := range whole.In {
				if !reflect.DeepEqual(data.Row[float32](b.In[name], i), data.Row[float32](whole.In[name], row)) ||
					!reflect.DeepEqual(data.Row[int](b.In[name], i), data.Row[int](whole.In[name], row)) {
					t.Errorf("row %d of %s is another", row, name)
				}
			}
			row++
		}
	}
	if row != whole.N || !reflect.DeepEqual(all[:3], all[3:]) {
		t.Errorf("%d rows in a pass; want %d, and the same in the next", row, whole.N)
	}
}

// A run that is stopped at any step and resumed has the same bytes, within a
// rollout too.
func TestResume(t *testing.T) {
	weights := func(m *student.Model) []byte {
		var b bytes.Buffer
		if err := m.Save(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	run := func(dir string, steps int) (*student.Model, error) {
		m := model(float32s, 1)
		r := rollouts(m)
		r.Passes, r.Parts, r.File = 2, 3, filepath.Join(dir, "rollout.json")
		one := learning(m, r, 3)
		one.Dir, one.Resume = dir, true
		if steps > 0 {
			for step, err := range one.Steps(t.Context()) {
				if err != nil {
					return nil, err
				}
				if step.N == steps {
					break
				}
			}
			return m, nil
		}
		_, err := one.Fit(t.Context())
		return m, err
	}
	want := weights(must(run(t.TempDir(), 0)))
	for _, stop := range []int{1, 4, 6, 8, 17} {
		dir := t.TempDir()
		must(run(dir, stop))
		if got := weights(must(run(dir, 0))); !bytes.Equal(got, want) {
			t.Errorf("stopped after step %d, the weights are others", stop)
		}
	}
}

// A process that is killed at any step leaves a folder that a run goes on from to the
// same bytes, whenever checkpoints are due, and wherever the folder is then.
func TestKilled(t *testing.T) {
	run := func(dir string, every int) (distill.Run, *student.Model) {
		m := model(float32s, 1)
		r := rollouts(m)
		r.Passes, r.Parts, r.File = 2, 3, filepath.Join(dir, "rollout.json")
		one := learning(m, r, 3)
		one.Dir, one.Every, one.Resume = dir, every, true
		return one, m
	}
	for _, every := range []int{0, 1, 4, 5, 100} {
		one, m := run(t.TempDir(), every)
		copies := map[int]string{}
		for step, err := range one.Steps(t.Context()) {
			if n := must(step, err).N; n%3 != 0 { // which is before its checkpoint is written
				copies[n] = t.TempDir()
				if err := os.CopyFS(copies[n], os.DirFS(one.Dir)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for n, dir := range copies {
			again, got := run(dir, every)
			if _, err := again.Fit(t.Context()); err != nil {
				t.Errorf("every %d steps, killed at step %d: %v", every, n, err)
			} else if got.Fingerprint() != m.Fingerprint() {
				t.Errorf("every %d steps, killed at step %d, the weights are others", every, n)
			}
		}
	}
}

// A judge that fails in the middle of a rollout ends the run, which can be resumed to
// the bytes of one whose judge never did.
func TestJudgeFails(t *testing.T) {
	run := func(dir string, fails int) (*student.Model, error) {
		m := model(float32s, 1)
		r := rollouts(m)
		r.Passes, r.Parts, r.File = 2, 3, filepath.Join(dir, "rollout.json")
		asked := 0
		r.Reward = rl.RewardFunc(func(_ task.Problem, a reason.Answer) (float64, error) {
			if asked++; asked == fails {
				return 0, os.ErrDeadlineExceeded
			}
			return float64(len(a.IDs)), nil
		})
		one := learning(m, r, 4)
		one.Dir, one.Resume = dir, true
		_, err := one.Fit(t.Context())
		return m, err
	}
	want := must(run(t.TempDir(), 0)).Fingerprint()
	for fails, steps := range map[int]int{7: 0, 22: 0, 37: 6, 60: 12} { // of 15 answers each, the first rollout twice
		dir := t.TempDir()
		if _, err := run(dir, fails); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a judge that fails: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, distill.CheckpointFile)); (err == nil) != (steps > 0) {
			t.Errorf("after %d steps, the checkpoint is %v", steps, err)
		}
		if got, err := run(dir, 0); err != nil || got.Fingerprint() != want {
			t.Errorf("failed at answer %d and resumed, the weights are others, %v", fails, err)
		}
	}
}

// What is resumed has the problems and the reference that it had.
func TestResumeWithOthers(t *testing.T) {
	run := func(dir string, change func(*rl.Rollouts)) error {
		m := model(float32s, 1)
		r := rollouts(m)
		r.Reference = model(float32s, 2)
		change(r)
		one := learning(m, r, 2)
		one.Dir, one.Resume, one.MaxSteps = dir, true, 1
		_, err := one.Fit(t.Context())
		return err
	}
	for _, c := range []struct {
		want   string
		change func(*rl.Rollouts)
	}{
		{"", func(r *rl.Rollouts) { r.File = filepath.Join(t.TempDir(), "rollout.json") }},
		{"Train.Spec.In[reference]", func(r *rl.Rollouts) { r.Reference = nil }},
		{"Train.Spec.Fingerprint", func(r *rl.Rollouts) { r.Reference = model(float32s, 3) }},
		{"Train.Problems.Seed", func(r *rl.Rollouts) { r.Problems.Seed = 9 }},
	} {
		dir := t.TempDir()
		if err := run(dir, func(*rl.Rollouts) {}); err != nil {
			t.Fatal(err)
		}
		if err := run(dir, c.change); c.want != "" {
			wantError(t, err, c.want)
		} else if err != nil {
			t.Error(err)
		}
	}
}

// One that is stopped while answers are drawn ends with that error, and nothing runs
// on; a second run with the same rollouts is as the first.
func TestStoppedWhileSampling(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, stop := stdcontext.WithCancelCause(t.Context())
	m := model(float32s, 1)
	r := rollouts(m)
	asked := 0
	r.Reward = rl.RewardFunc(func(_ task.Problem, a reason.Answer) (float64, error) {
		if asked++; asked == 40 { // within the third rollout, the first of which is asked for twice
			stop(errors.New("enough"))
		}
		return float64(len(a.IDs)), nil
	})
	run := learning(m, r, 5)
	if result, err := run.Fit(ctx); !errors.Is(err, stdcontext.Canceled) || result.Steps != 1 {
		t.Errorf("stopped while sampling: %+v, %v", result, err)
	}
	var prints [2][32]byte
	for i := range prints {
		r.Solver.Model = model(float32s, 1)
		r.Solver = must(reason.NewSolver(*r.Solver))
		run = learning(r.Solver.Model, r, 3)
		if _, err := run.Fit(t.Context()); err != nil {
			t.Fatal(err)
		}
		prints[i] = r.Solver.Model.Fingerprint()
	}
	if prints[0] != prints[1] {
		t.Error("a second run with the same rollouts has other weights")
	}
}

// Patience is with rollouts that follow each other, of one run.
func TestPatienceBeginsAnew(t *testing.T) {
	m := model(float32s, 1)
	r := rollouts(m)
	r.Reward, r.Patience = rl.RewardFunc(func(task.Problem, reason.Answer) (float64, error) { return 1, nil }), 4
	for range 2 {
		run := learning(m, r, 3)
		if _, err := run.Fit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Without its file, or with that of another rollout, a run within one cannot go on.
func TestResumeWithoutTheFile(t *testing.T) {
	r := rollouts(model(float32s, 1))
	r.Passes = 3
	ask := func() error {
		for _, err := range r.Batches(t.Context(), 4, 1) {
			return err
		}
		return nil
	}
	wantError(t, ask(), "rl: batch 1 of rollout 4 is asked for, which is not at hand; want Rollouts.File")
	r.File = filepath.Join(t.TempDir(), "rollout.json")
	wantError(t, ask(), "rl: Rollouts.File: open")
	batches(t, r, 3, 0)
	wantError(t, ask(), "has rollout 3, of 3 problems; want 4, of 3")
	batches(t, r, 4, 0)
	if err := ask(); err != nil {
		t.Error(err)
	}
	r.Group = 4
	wantError(t, ask(), "5 answers to problem 0; want Group, 4")
	r.Group = 5
	text := string(must(os.ReadFile(r.File)))
	if err := os.WriteFile(r.File, []byte(strings.Replace(text, `"LogProbs":[`, `"LogProbs":[-1,-1,-1,-1,-1,-1,`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, ask(), "probabilities of them; want as many")
	if err := os.WriteFile(r.File, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, ask(), "rl: Rollouts.File: unexpected end of JSON")
}

// Rewards that are always equal teach nothing: the run goes on for a while, and then
// says so.
func TestEqualRewards(t *testing.T) {
	m := model(float32s, 1)
	r := rollouts(m)
	r.Reward = rl.RewardFunc(func(task.Problem, reason.Answer) (float64, error) { return 0.5, nil })
	r.Patience = 4
	before := m.Fingerprint()
	run := learning(m, r, 10)
	result, err := run.Fit(t.Context())
	wantError(t, err, "rl: in 4 rollouts of 3 problems no answer was worth more or less than the others to its problem, the last 0.5")
	if m.Fingerprint() != before {
		t.Errorf("the model has learnt from equal rewards, %+v", result)
	}
}

// broken verifies nothing.
type broken struct{ parity }

func (broken) Verify(task.Problem, string) (bool, error) { return false, os.ErrPermission }

func TestBadRollouts(t *testing.T) {
	m := model(float32s, 1)
	for want, change := range map[string]func(*rl.Rollouts){
		"rl: Rollouts: reason: the Solver is not one that NewSolver made": func(r *rl.Rollouts) {
			r.Solver = &reason.Solver{Model: m, Sampling: lm.Sampling{Temperature: 1}}
		},
		"rl: Rollouts.Solver is nil":                func(r *rl.Rollouts) { r.Solver = nil },
		"rl: Rollouts: reason: task: Set.Rows is 0": func(r *rl.Rollouts) { r.Problems.Rows = 0 },
		"rl: Rollouts: reason: the problems are of modular, and Solver.Task is parity; want one task": func(r *rl.Rollouts) {
			r.Problems.Task = task.Modular{}
		},
		"rl: Rollouts.Batch is 0; want 1 problem or more":     func(r *rl.Rollouts) { r.Batch = 0 },
		"rl: Rollouts.Group is 1; want 2 answers or more":     func(r *rl.Rollouts) { r.Group = 1 },
		"rl: Rollouts.Context is 0":                           func(r *rl.Rollouts) { r.Context = 0 },
		"rl: Rollouts.Passes is -1":                           func(r *rl.Rollouts) { r.Passes = -1 },
		"rl: Rollouts.Parts is 2; want a divisor of Batch, 3": func(r *rl.Rollouts) { r.Parts = 2 },
		"rl: Rollouts.Patience is -1":                         func(r *rl.Rollouts) { r.Patience = -1 },
		"rl: Rollouts.Reference is the model that learns":     func(r *rl.Rollouts) { r.Reference = m },
		"rl: the solver samples at temperature 0.6":           func(r *rl.Rollouts) { r.Solver.Sampling.Temperature = 0.6 },
		"top-p 0.9":                    func(r *rl.Rollouts) { r.Solver.Sampling.TopP = 0.9 },
		`the student wants "x" of (7)`: func(r *rl.Rollouts) { r.Context = 3 },
		"permission denied":            func(r *rl.Rollouts) { r.Solver.Task = broken{} },
	} {
		r := rollouts(m)
		change(r)
		run := learning(m, r, 2)
		_, err := run.Fit(t.Context())
		wantError(t, err, want)
	}
	r := rollouts(m)
	run := learning(m, r, 2)
	run.Terms = rl.Terms(0.2, 0.1)
	_, err := run.Fit(t.Context())
	wantError(t, err, `"reference"`)
	r.Context = 3
	for _, err := range r.Batches(t.Context(), 0, 0) {
		wantError(t, err, "do not fit a context of 3")
	}
	r.Context = context
	_, err = r.Teach(t.Context(), must(data.NewBatch(reason.Spec(context), 2)))
	wantError(t, err, `rl: the batch has no "advantage"; Rollouts teach their own batches alone: want no Run.Valid`)
}
