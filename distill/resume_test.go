package distill

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/safetensors"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// keptRun is the toy run with a folder.
func keptRun(dir string) *Run {
	r := toyRun[float32]()
	r.Dir, r.Resume = dir, true
	return r
}

// An end is all that a run leaves.
type end struct {
	file   []byte
	print  [32]byte
	result Result
}

func finishIn(t *testing.T, dir string) end {
	t.Helper()
	r := keptRun(dir)
	result := fit(t, r)
	return end{checkpoint(t, dir), r.Student.Fingerprint(), result}
}

func sameEnd(t *testing.T, got, want end) {
	t.Helper()
	if got.print != want.print {
		t.Error("the weights differ")
	}
	if !bytes.Equal(got.file, want.file) {
		t.Error("the checkpoints differ")
	}
	if diff := cmp.Diff(want.result, got.result, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

// States are equal bytes at every step.
func TestSameSeedSameBytes(t *testing.T) {
	states := func() (all [][]byte) {
		for step, err := range toyRun[float32]().Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, encoded(t, must(step.State())))
		}
		return all
	}
	a, b := states(), states()
	if len(a) != 18 || !slices.EqualFunc(a, b, bytes.Equal) {
		t.Errorf("%d and %d steps, or not the same bytes", len(a), len(b))
	}
	if _, err := (Step{}).State(); err == nil {
		t.Error("a step of no run has a state")
	}
}

// Stopped after any step, and resumed, it is the run that was never stopped.
func TestResumeAfterEveryStep(t *testing.T) {
	want := finishIn(t, t.TempDir())
	for k := 1; k <= 18; k++ {
		t.Run(fmt.Sprint("break after ", k), func(t *testing.T) {
			dir := t.TempDir()
			for step, err := range keptRun(dir).Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if step.N == k {
					break
				}
			}
			sameEnd(t, finishIn(t, dir), want)
		})
		t.Run(fmt.Sprint("cancel after ", k), func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var last error
			for step, err := range keptRun(dir).Steps(ctx) {
				if last = err; step.N == k {
					cancel()
				}
			}
			if k < 18 && !errors.Is(last, context.Canceled) {
				t.Errorf("error %v; want %v", last, context.Canceled)
			}
			sameEnd(t, finishIn(t, dir), want)
		})
	}
	t.Run("again and again", func(t *testing.T) {
		dir := t.TempDir()
		for range 18 {
			for _, err := range keptRun(dir).Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		sameEnd(t, finishIn(t, dir), want)
	})
}

// broken is a source that cancels when it is read for the nth time.
type broken struct {
	data.Source
	reads  *int
	n      int
	cancel func()
}

func (s broken) Batches(ctx context.Context, epoch, from int) iter.Seq2[data.Batch, error] {
	if *s.reads++; *s.reads == s.n {
		s.cancel()
	}
	return s.Source.Batches(ctx, epoch, from)
}

// An epoch that was not measured is not over.
func TestCancelWhileMeasuring(t *testing.T) {
	want := finishIn(t, t.TempDir())
	for n := 1; n <= 4; n++ { // the first time is the preflight's
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := keptRun(t.TempDir())
			r.Valid = broken{r.Valid, new(int), n, cancel}
			if _, err := r.Fit(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v; want %v", err, context.Canceled)
			}
			if n == 1 {
				checkEmpty(t, r.Dir)
			}
			again := keptRun(r.Dir)
			again.Valid = broken{again.Valid, new(int), 0, nil}
			fit(t, again)
			if again.Student.Fingerprint() != want.print {
				t.Error("the weights differ")
			}
		})
	}
}

// killedDir tells this test that it is the process that will be killed.
const killedDir = "DISTILL_TEST_KILLED_DIR"

func TestResumeAfterKill(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		runToBeKilled(t, dir)
		return
	}
	want := finishIn(t, t.TempDir())
	dir := t.TempDir()
	killed := 0
	for _, after := range []int{1, 4, 5, 2, 3} {
		if killAfter(t, dir, after) {
			killed++
		}
	}
	if killed < 3 {
		t.Errorf("killed %d times; want 3 or more", killed)
	}
	sameEnd(t, finishIn(t, dir), want)
}

func runToBeKilled(t *testing.T, dir string) {
	r := keptRun(dir)
	r.Every = 1
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("step", step.N)
		time.Sleep(5 * time.Millisecond)
	}
}

// killAfter kills a process after so many steps, unless it ends before.
func killAfter(t *testing.T, dir string, steps int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestResumeAfterKill$")
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; seen < steps && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "step ") {
			seen++
		}
	}
	_ = cmd.Process.Kill()
	err := cmd.Wait()
	return err != nil && strings.Contains(err.Error(), "killed")
}

func TestResumeFinished(t *testing.T) {
	dir := t.TempDir()
	want := finishIn(t, dir)
	if n := want.result.BestEpoch; n < 0 || want.result.Valid == nil {
		t.Fatalf("best epoch %d", n)
	}
	r := keptRun(dir)
	for step, err := range r.Steps(t.Context()) {
		t.Errorf("step %v, error %v; want none", step, err)
	}
	sameEnd(t, finishIn(t, dir), want)
}

// Whoever derived something from the weights is told that they are others now.
func TestResumeTouches(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		r := keptRun(dir)
		r.Valid = nil
		fit(t, r) // the second time there is nothing left to do but to restore
		for p := range r.Student.Params() {
			if p.Version() == 0 {
				t.Errorf("%s was written to, and not touched", p.Name)
			}
		}
	}
}

// The steps to come cannot depend on what was tried before.
func TestResumeEarlyStopped(t *testing.T) {
	stopping := func(dir string) *Run {
		r := keptRun(dir)
		r.Epochs, r.Patience = 20, 2
		r.Monitor = func(m Metrics) float64 { return -math.Abs(m.NLL - 1) } // which training passes by
		return r
	}
	whole := stopping(t.TempDir())
	want := fit(t, whole)
	if want.Why != EarlyStopped || want.BestEpoch < 1 || want.Epochs != want.BestEpoch+3 {
		t.Fatalf("%+v; want a stop two epochs after the best", want)
	}
	dir := t.TempDir()
	for stopped := range want.Steps {
		r := stopping(dir)
		for _, err := range r.Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if s := must(loadState(filepath.Join(dir, CheckpointFile))); s.Step != stopped+1 {
			t.Fatalf("step %d; want %d", s.Step, stopped+1)
		}
	}
	last := stopping(dir)
	got := fit(t, last)
	if got.Why != EarlyStopped || got.Steps != want.Steps || got.BestEpoch != want.BestEpoch {
		t.Errorf("%+v; want %+v", got, want)
	}
	if last.Student.Fingerprint() != whole.Student.Fingerprint() || !bytes.Equal(checkpoint(t, dir), checkpoint(t, whole.Dir)) {
		t.Error("the weights or the checkpoints differ")
	}
}

func TestResumeRefusesAnotherRun(t *testing.T) {
	dir := t.TempDir()
	for range keptRun(dir).Steps(t.Context()) {
		break
	}
	before := checkpoint(t, dir)
	otherTeacher := wise[float32]()
	otherTeacher.Says.Fingerprint[3] = 9
	for want, change := range map[string]func(*Run){
		"Train.Batch 8; this run has 4":                               func(r *Run) { r.Train = data.Loader{Set: toySet[float32](46), Batch: 4, Seed: 3} },
		"Train.Seed 3; this run has 4":                                func(r *Run) { r.Train = data.Loader{Set: toySet[float32](46), Batch: 8, Seed: 4} },
		"Train.Spec.Fingerprint":                                      func(r *Run) { r.Train = data.Loader{Set: toySet[float32](47), Batch: 8, Seed: 3} },
		"Valid.Spec.Fingerprint":                                      func(r *Run) { r.Valid = data.Loader{Set: toySet[float32](24), Batch: 9, InOrder: true} },
		"Valid data.Loader; this run has nil":                         func(r *Run) { r.Valid = nil },
		"Seed 5; this run has 6":                                      func(r *Run) { r.Seed = 6 },
		"Terms[1].Loss.T 2; this run has 3":                           func(r *Run) { r.Terms[1].Loss = KL{T: Constant(3)} },
		"Terms[1].Weight 0.7; this run has 0.8":                       func(r *Run) { r.Terms[1].Weight = Constant(0.8) },
		"Terms[2].Name":                                               func(r *Run) { r.Terms = r.Terms[:2] },
		"Terms[0].Loss distill.CrossEntropy; this run has distill.KL": func(r *Run) { r.Terms[0].Loss = KL{} },
		"Optimizer distill.Adam; this run has distill.AdamW":          func(r *Run) { r.Optimizer = AdamW(r.Optimizer.(Adam)) },
		"Optimizer.Rate":                                              func(r *Run) { r.Optimizer = Adam{Rate: Cosine(0.05, 0.02, 18)} },
		"Clip 1; this run has 0":                                      func(r *Run) { r.Clip = 0 },
		"Accumulate 1; this run has 2":                                func(r *Run) { r.Accumulate = 2 },
		"Epochs 3; this run has 4":                                    func(r *Run) { r.Epochs, r.Optimizer = 4, Adam{Rate: Cosine(0.05, 0.01, 18)} },
		"MaxSteps 0; this run has 18":                                 func(r *Run) { r.MaxSteps = 18 },
		"Patience 0; this run has 2":                                  func(r *Run) { r.Patience = 2 },
		"Monitor nil; this run has":                                   func(r *Run) { r.Monitor = ByNLL },
		`without Groups[0].Match; this run has "*.bias"`:              func(r *Run) { r.Groups = []Group{{Match: "*.bias", NoDecay: true}} },
		"Teacher.Fingerprint":                                         func(r *Run) { r.Teacher = otherTeacher },
		"Student.Module.Dropout 0.25":                                 func(r *Run) { r.Student = toyStudent(r.Train.Spec(), 0.5, 1) },
		"; want the weights that the run began with: make the student anew, with its seed": func(r *Run) { r.Student = toyStudent(r.Train.Spec(), 0.25, 2) },
	} {
		t.Run(want, func(t *testing.T) {
			r := keptRun(dir)
			change(r)
			print := r.Student.Fingerprint()
			_, err := r.Fit(t.Context())
			checkError(t, err, want)
			if err != nil && !strings.HasPrefix(err.Error(), "distill: the checkpoint was made with") {
				t.Errorf("error %q", err)
			}
			if r.Student.Fingerprint() != print {
				t.Error("the student was changed")
			}
		})
	}
	if !bytes.Equal(before, checkpoint(t, dir)) {
		t.Error("the checkpoint was changed")
	}
}

func TestResumeRefusesBadFiles(t *testing.T) {
	dir := t.TempDir()
	for range keptRun(dir).Steps(t.Context()) {
		break
	}
	good := checkpoint(t, dir)
	path := filepath.Join(dir, CheckpointFile)
	write := func(text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for cut := 0; cut < len(good); cut += 97 {
		write(good[:cut])
		_, err := keptRun(dir).Fit(t.Context())
		checkError(t, err, "distill: read checkpoint: "+path+": safetensors: ")
	}
	for _, name := range []string{"param/l1.weight", "param/hint.regressor.bias", "slot/m/l2.bias", "slot/v/hint.regressor.weight"} {
		s := must(ReadState(bytes.NewReader(good)))
		lost := s.Tensors[name]
		delete(s.Tensors, name)
		write(encoded(t, s))
		_, err := keptRun(dir).Fit(t.Context())
		checkError(t, err, "distill: the checkpoint has no "+name)
		s.Tensors[name] = dense[float32](nil, 3, 5, 7)
		write(encoded(t, s))
		_, err = keptRun(dir).Fit(t.Context())
		checkError(t, err, fmt.Sprintf("distill: the checkpoint has no %s of %v", name, lost.Shape()))
	}
	s := must(ReadState(bytes.NewReader(good)))
	s.Batch = 99
	write(encoded(t, s))
	_, err := keptRun(dir).Fit(t.Context())
	checkError(t, err, "first batch is 99")
	write([]byte(file(t, "{}", safetensors.Of("x", []int{3}, []float32{1, 2, 3}))))
	_, err = keptRun(dir).Fit(t.Context())
	checkError(t, err, "distill: the checkpoint was made without Seed")

	write(good) // what was refused did no harm
	want := finishIn(t, t.TempDir())
	sameEnd(t, finishIn(t, dir), want)
}

// A live teacher is another at each start: it is no part of the configuration.
func TestResumeWithLiveTeacher(t *testing.T) {
	dir := t.TempDir()
	live := func() *Run {
		r := keptRun(dir)
		r.Teacher = moody{wise[float32](), true, 0, new(int)}
		return r
	}
	for step := range live().Steps(t.Context()) {
		if step.N == 5 {
			break
		}
	}
	r := live()
	first, err := r.Teacher.Card() // as if it had been asked before
	if err != nil || first.Fingerprint == (teacher.Card{}).Fingerprint {
		t.Fatal(err)
	}
	if result := fit(t, r); result.Steps != 18 {
		t.Errorf("%d steps; want 18", result.Steps)
	}
}

// The state of a run that has ended would be a mix of its last step and its
// best epoch.
func TestStateAfterTheRunIsRefused(t *testing.T) {
	var last Step
	for step, err := range toyRun[float32]().Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		last = step
		if _, err := step.State(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := last.State()
	checkError(t, err, "distill: the run has ended")
}

// Epochs without end are a way to say that MaxSteps is.
func TestManyEpochs(t *testing.T) {
	r := toyRun[float32]()
	r.Epochs, r.MaxSteps = math.MaxInt, 7
	if got := fit(t, r); got.Steps != 7 {
		t.Errorf("%d steps; want 7", got.Steps)
	}
}

// What cannot be resumed leaves the student as it was.
func TestFailedResumeLeavesTheStudent(t *testing.T) {
	dir := t.TempDir()
	for step, err := range keptRun(dir).Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if step.N == 8 {
			break
		}
	}
	r := keptRun(dir)
	r.Resume = true
	before := r.Student.Fingerprint()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Fit(ctx); !errors.Is(err, context.Canceled) || r.Student.Fingerprint() != before {
		t.Errorf("the error is %v; want it cancelled, and the student as it was", err)
	}
	if _, err := r.Fit(t.Context()); err != nil {
		t.Errorf("after a failed attempt: %v", err)
	}
}

func TestFrozenParametersAreInTheConfig(t *testing.T) {
	dir := t.TempDir()
	fit(t, keptRun(dir))
	r := keptRun(dir)
	r.Resume = true
	for p := range r.Student.Params() {
		p.Frozen = p.Name == "l1.weight"
	}
	_, err := r.Fit(t.Context())
	checkError(t, err, "Student.Frozen")
}

// The module of a closure shows nothing of itself; what it saves does.
func TestResumeSeesTheForwardPass(t *testing.T) {
	dir := t.TempDir()
	run := func(act student.Act) *Run {
		r := keptRun(dir)
		r.Terms = Hinton(2, 0.5)
		r.Student = must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
			h := b.Layer("l1", student.Linear{Out: 6, Act: act}, in["x"])
			return student.Taps{"logits": b.Layer("l2", student.Linear{Out: toyClasses}, h)}
		}), r.Train.Spec(), 1))
		return r
	}
	for range run(student.Tanh).Steps(t.Context()) {
		break
	}
	_, err := run(student.ReLU).Fit(t.Context())
	checkError(t, err, "distill: the checkpoint was made with Student.Forward")
	checkError(t, err, "; want the network that the run began with")
	fit(t, run(student.Tanh))
}

// What a newcomer writes first: the student is no longer what it was.
func TestResumeWithTheSameStudent(t *testing.T) {
	r := keptRun(t.TempDir())
	for range r.Steps(t.Context()) {
		break
	}
	_, err := r.Fit(t.Context())
	checkError(t, err, "want the weights that the run began with: make the student anew, with its seed")
}
