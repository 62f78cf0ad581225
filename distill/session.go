package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// CheckpointFile is the name of the checkpoint in the folder of a run.
const CheckpointFile = "checkpoint.safetensors"

// ErrTeacherChanged is the end of a run whose teacher is not live and did not
// stay as it was.
var ErrTeacherChanged = errors.New("distill: the teacher changed during the run")

// A session is a run that has begun: all that changes while it lasts.
type session struct {
	*Run
	card   teacher.Card
	train  *engine
	valid  *validation
	extra  *student.Params
	tuned  map[*student.Param]*tuning
	config []Setting
	total  int // steps planned, 0 if that is not known

	state   State // the place in the training, and the best epoch so far
	best    map[string]*tensor.Dense
	began   time.Time
	ending  Ending
	resumed State
}

// A tuning is what the optimizer keeps for one parameter.
type tuning struct {
	treatment
	slots []*tensor.Dense
}

func newSession(r *Run) *session {
	s := &session{Run: r, extra: student.NewParams(r.Seed), ending: Interrupted}
	s.state.BestEpoch = -1
	return s
}

// open checks everything that can be checked before the first batch, and says
// what will be done.
func (s *session) open(ctx context.Context) (Plan, error) {
	if err := s.validate(); err != nil {
		return Plan{}, err
	}
	if s.Teacher != nil {
		card, err := s.Teacher.Card()
		if err != nil {
			return Plan{}, fmt.Errorf("distill: the teacher has no card: %w", err)
		}
		if err := card.Validate(); err != nil {
			return Plan{}, err
		}
		s.card = card
	}
	if err := s.checkSources(); err != nil {
		return Plan{}, err
	}
	perEpoch := s.plan()
	if err := s.validateSchedules(s.total, s.card); err != nil {
		return Plan{}, err
	}
	s.config = s.describe()
	if err := s.load(); err != nil {
		return Plan{}, err
	}
	s.began = time.Now()
	if s.Valid != nil {
		s.valid = &validation{course: s.course(s.Valid), terms: s.Terms, extra: s.extra}
	}
	plan := Plan{Name: cmp.Or(s.Name, "run"), Dir: s.Dir, Done: s.state.Step, Steps: s.total, StepsPerEpoch: perEpoch, Config: s.config}
	for _, t := range s.Terms {
		plan.Terms = append(plan.Terms, t.Name)
	}
	var err error
	plan.Preflight, err = s.preflight(ctx)
	return plan, err
}

// describe lists everything that the bytes of the run depend on.
func (s *session) describe() []Setting {
	// Schedules come last: they look different when the number of steps is.
	all := describe("", struct {
		Seed                                   uint64
		Train, Valid                           data.Source
		Accumulate, Epochs, MaxSteps, Patience int
		Monitor                                Monitor
		Clip                                   float64
		Groups                                 []Group
		Optimizer                              Optimizer
		Terms                                  []Term
	}{
		s.Seed, s.Train, s.Valid, max(s.Accumulate, 1), s.Epochs, s.MaxSteps, s.Patience,
		s.Monitor, s.Clip, s.Groups, s.Optimizer, s.Terms,
	}, s.total)
	all = append(all, describe("Train.Spec", s.Train.Spec(), 0)...)
	if s.Valid != nil {
		all = append(all, describe("Valid.Spec", s.Valid.Spec(), 0)...)
	}
	if !s.card.Live { // else it is another at every step
		all = append(all, describe("Teacher.Fingerprint", s.card.Fingerprint, 0)...)
	}
	all = append(all, describe("Student.Module", s.Student.Module(), 0)...)
	return append(all, describe("Student.Fingerprint", s.Student.Fingerprint(), 0)...)
}

func (s *session) course(src data.Source) course {
	return course{student: s.Student, source: src, teacher: s.Teacher, card: s.card}
}

// A guard is a teacher that can tell before the first step that it has no
// answers for some data, as a cache can.
type guard interface{ Covers(data.Spec) error }

func (s *session) checkSources() error {
	if err := s.checkData("Run.Train", s.Train.Spec(), s.card); err != nil {
		return err
	}
	if g, ok := s.Teacher.(guard); ok {
		if err := g.Covers(s.Train.Spec()); err != nil {
			return err
		}
	}
	if s.Valid == nil {
		return nil
	}
	return s.checkData("Run.Valid", s.Valid.Spec(), s.card)
}

// plan finds out how many steps there will be, and how many in an epoch.
func (s *session) plan() (perEpoch int) {
	if c, ok := s.Train.(data.Counted); ok {
		n := max(s.Accumulate, 1)
		perEpoch = (c.Len() + n - 1) / n
	}
	s.total = s.Epochs * perEpoch
	if s.MaxSteps > 0 && (s.total == 0 || s.MaxSteps < s.total) {
		s.total = s.MaxSteps
	}
	return perEpoch
}

// load takes up the checkpoint, if the run is to be resumed and there is one.
func (s *session) load() error {
	if !s.Resume {
		return nil
	}
	state, err := loadState(filepath.Join(s.Dir, CheckpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := diff(state.Config, s.config); err != nil {
		return err
	}
	s.resumed = state
	s.state = State{
		Step: state.Step, Epoch: state.Epoch, Batch: state.Batch,
		Best: state.Best, BestEpoch: state.BestEpoch, BestMetrics: state.BestMetrics, Stale: state.Stale,
	}
	if state.BestMetrics != nil {
		s.keep()
		for name, t := range s.best {
			if err := s.recall("best/"+name, t); err != nil {
				return err
			}
		}
	}
	return s.restore(s.Student.Params)
}

// restore copies the checkpoint's parameters.
func (s *session) restore(params func() iter.Seq[*student.Param]) error {
	for p := range params() {
		if err := s.recall("param/"+p.Name, p.Value); err != nil {
			return err
		}
		p.Touch()
	}
	return nil
}

func (s *session) recall(name string, dst *tensor.Dense) error {
	src := s.resumed.Tensors[name]
	if src == nil || !src.Shape().Eq(dst.Shape()) || src.Dtype() != dst.Dtype() {
		return fmt.Errorf("distill: the checkpoint has no %s of %v, %v", name, dst.Shape(), dst.Dtype())
	}
	return copyPadded(dst, src)
}

// A group is what one optimizer step is made of.
type group struct {
	batches     []taught
	epoch, next int  // the epoch, and the batch after this group
	end         bool // of the epoch
}

// run trains until something ends it, or yield says no.
func (s *session) run(ctx context.Context, yield func(Step) bool) (err error) {
	sound := true
	defer func() { err = errors.Join(err, s.close(sound)) }()
	if s.over() {
		return nil
	}
	for g, err := range s.groups(ctx) {
		if err != nil {
			return err
		}
		step, err := s.take(ctx, g)
		if err != nil {
			sound = false
			return err
		}
		if !yield(step) {
			return nil
		}
		if s.over() {
			return nil
		}
		if err := s.checkpoint(g.end); err != nil {
			return err
		}
	}
	return nil
}

// groups yields what the steps to come are made of, asking the teacher when it
// is their turn.
func (s *session) groups(ctx context.Context) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		for epoch := s.state.Epoch; s.Epochs == 0 || epoch < s.Epochs; epoch++ {
			from := 0
			if epoch == s.state.Epoch {
				from = s.state.Batch
			}
			for g, err := range s.epoch(ctx, epoch, from) {
				if !yield(g, err) || err != nil {
					return
				}
			}
		}
	}
}

// epoch yields the groups of one epoch. Each waits until it is known whether
// it is the last.
func (s *session) epoch(ctx context.Context, epoch, from int) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		var held []data.Batch
		next := from
		give := func(end bool) bool {
			g := group{epoch: epoch, next: next, end: end}
			for _, b := range held {
				t, err := s.course(s.Train).ask(ctx, b)
				if err != nil {
					yield(g, err)
					return false
				}
				g.batches = append(g.batches, t)
			}
			held = nil
			return yield(g, nil)
		}
		for b, err := range s.Train.Batches(ctx, epoch, from) {
			if err != nil {
				yield(group{}, err)
				return
			}
			if len(held) == max(s.Accumulate, 1) && !give(false) {
				return
			}
			held = append(held, b)
			next++
		}
		if len(held) == 0 {
			yield(group{}, fmt.Errorf("distill: Run.Train has no batch %d in epoch %d; want one or more", from, epoch))
			return
		}
		give(true)
	}
}

// take takes a step, and measures the student where an epoch ends. After an
// error, the state is neither that before the step nor that after it.
func (s *session) take(ctx context.Context, g group) (Step, error) {
	step, err := s.learn(g)
	if err == nil {
		err = s.measure(ctx, &step)
	}
	return step, err
}

// learn takes one optimizer step.
func (s *session) learn(g group) (Step, error) {
	if s.train == nil {
		if err := s.build(g.batches[0]); err != nil {
			return Step{}, err
		}
	}
	at := s.state.Step
	out, err := s.train.pass(at, g.batches)
	if err != nil {
		return Step{}, err
	}
	norm, err := s.update(at, out, len(g.batches))
	if err != nil {
		return Step{}, err
	}
	s.state.Step, s.state.Epoch, s.state.Batch = at+1, g.epoch, g.next
	if g.end {
		s.state.Epoch, s.state.Batch = g.epoch+1, 0
	}
	return Step{
		N: at + 1, Epoch: g.epoch, End: g.end, Rows: out.rows, Loss: out.loss, Terms: out.terms,
		Accuracy: out.right / out.labelled, Rate: s.Optimizer.LearningRate(at), GradNorm: norm,
		state: s.snapshot,
	}, nil
}

// build compiles the student and its terms for batches like the first.
func (s *session) build(b taught) error {
	rows := b.Weight.Shape()[0]
	mode := student.Mode{Rows: rows, Training: true, Seed: s.Seed}
	e, err := newEngine(s.Student, s.extra, s.Terms, s.Train.Spec(), s.card, mode)
	if err != nil {
		return err
	}
	s.train = e
	if err := s.tune(); err != nil {
		return err
	}
	if s.resumed.Tensors != nil {
		if err := s.restore(s.extra.All); err != nil {
			return err
		}
	}
	if s.Dir == "" {
		return nil
	}
	return os.MkdirAll(s.Dir, 0o755)
}

// tune finds out how each parameter is treated, and makes room for what the
// optimizer keeps.
func (s *session) tune() error {
	params, _ := s.train.grads(1)
	if len(params) == 0 {
		return errors.New("distill: no trainable parameter of the student reaches the loss; is it wired to the student's taps?")
	}
	for _, p := range s.train.program.Unused() {
		s.log().Warn("a parameter does not reach the loss and will not be trained", "parameter", p.Name)
	}
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Name
	}
	treatments, err := treat(s.Groups, names)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(treatments, func(t treatment) bool { return !t.freeze }) {
		return errors.New("distill: Run.Groups freeze every parameter; want one or more to train")
	}
	s.tuned = map[*student.Param]*tuning{}
	for i, p := range params {
		t := &tuning{treatment: treatments[i]}
		for _, name := range s.Optimizer.Slots() {
			slot := tensor.New(tensor.Of(p.Value.Dtype()), tensor.WithShape(p.Value.Shape()...))
			if s.resumed.Tensors != nil {
				if err := s.recall("slot/"+name+"/"+p.Name, slot); err != nil {
					return err
				}
			}
			t.slots = append(t.slots, slot)
		}
		s.tuned[p] = t
	}
	return nil
}

// update changes the weights by the gradients of the last pass, over n
// batches, unless something is no number any more.
func (s *session) update(step int, out outcome, n int) (norm float64, err error) {
	for _, t := range out.terms {
		if t.Weight != 0 && !isNumber(t.Value) {
			return 0, &DivergedError{Step: step + 1, Term: t.Name, Value: t.Value}
		}
	}
	params, grads := s.trained(n)
	norm = gradNorm(grads)
	if !isNumber(norm) {
		return norm, &DivergedError{Step: step + 1, Term: "gradient", Value: norm}
	}
	if s.Clip > 0 {
		clip(grads, norm, s.Clip)
	}
	rate := s.Optimizer.LearningRate(step)
	for i, p := range params {
		t := s.tuned[p]
		if err := s.Optimizer.Update(step, rate*t.rate, t.decay, p.Value, grads[i], t.slots); err != nil {
			return norm, err
		}
		p.Touch()
	}
	return norm, nil
}

// trained are the parameters that no group freezes, with their gradients.
func (s *session) trained(n int) (params []*student.Param, grads []*tensor.Dense) {
	all, g := s.train.grads(n)
	for i, p := range all {
		if !s.tuned[p].freeze {
			params, grads = append(params, p), append(grads, g[i])
		}
	}
	return params, grads
}

func isNumber(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// measure validates the student after the last step of an epoch, and remembers
// the epoch if it is the best.
func (s *session) measure(ctx context.Context, step *Step) error {
	if !step.End || s.Valid == nil {
		return nil
	}
	m, err := s.valid.measure(ctx, step.N-1)
	if err != nil {
		return fmt.Errorf("distill: Run.Valid: %w", err)
	}
	step.Valid = &m
	if s.state.BestMetrics != nil && !s.Monitor.better(m, *s.state.BestMetrics) {
		s.state.Stale++
		return nil
	}
	step.Best = true
	s.state.Best, s.state.BestEpoch, s.state.BestMetrics, s.state.Stale = s.Monitor.score(m), step.Epoch, &m, 0
	s.keep()
	return nil
}

// keep copies the student's weights as the best so far.
func (s *session) keep() {
	if s.best == nil {
		s.best = map[string]*tensor.Dense{}
	}
	for p := range s.Student.Params() {
		if s.best[p.Name] == nil {
			s.best[p.Name] = tensor.New(tensor.Of(p.Value.Dtype()), tensor.WithShape(p.Value.Shape()...))
		}
		_ = copyPadded(s.best[p.Name], p.Value) // same shape and dtype
	}
}

// over says whether the run is at an end, and why.
func (s *session) over() bool {
	switch {
	case s.Patience > 0 && s.state.Stale >= s.Patience:
		s.ending = EarlyStopped
	case s.Epochs > 0 && s.state.Epoch >= s.Epochs, s.MaxSteps > 0 && s.state.Step >= s.MaxSteps:
		s.ending = Finished
	case s.Budget > 0 && time.Since(s.began) >= s.Budget:
		s.ending = OutOfTime
	default:
		return false
	}
	return true
}

// checkpoint saves the state, if it is time to: at the end of an epoch, or
// after Every steps.
func (s *session) checkpoint(end bool) error {
	due := end
	if s.Every > 0 {
		due = s.state.Step%s.Every == 0
	}
	if s.Dir == "" || !due {
		return nil
	}
	return s.save()
}

func (s *session) save() error {
	return saveState(filepath.Join(s.Dir, CheckpointFile), s.snapshot())
}

// snapshot is the state with the tensors that are in use: it is not a copy.
func (s *session) snapshot() State {
	state := s.state
	state.Config = s.config
	state.Tensors = map[string]*tensor.Dense{}
	for p := range s.Student.Params() {
		state.Tensors["param/"+p.Name] = p.Value
	}
	for p := range s.extra.All() {
		state.Tensors["param/"+p.Name] = p.Value
	}
	for p, t := range s.tuned {
		for i, name := range s.Optimizer.Slots() {
			state.Tensors["slot/"+name+"/"+p.Name] = t.slots[i]
		}
	}
	for name, t := range s.best {
		state.Tensors["best/"+name] = t
	}
	return state
}

// close leaves a checkpoint, if the last step is sound, gives the student its
// best weights, and makes sure that the teacher is what it was.
func (s *session) close(sound bool) error {
	var err error
	if s.Dir != "" && s.train != nil && sound {
		err = s.save()
	}
	if s.ending != Interrupted {
		s.settle()
	}
	if s.Teacher == nil || s.card.Live {
		return err
	}
	card, e := s.Teacher.Card()
	if e == nil && card.Fingerprint != s.card.Fingerprint {
		e = ErrTeacherChanged
	}
	return errors.Join(err, e)
}

// settle gives the student the weights of the best epoch.
func (s *session) settle() {
	for p := range s.Student.Params() {
		if t := s.best[p.Name]; t != nil {
			_ = copyPadded(p.Value, t) // same shape and dtype
			p.Touch()
		}
	}
}

func (s *session) result() Result {
	return Result{Steps: s.state.Step, Epochs: s.state.Epoch, Why: s.ending, Valid: s.state.BestMetrics, BestEpoch: s.state.BestEpoch}
}
