package distill

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/ahead"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// CheckpointFile is the name of the checkpoint in the folder of a run.
const CheckpointFile = "checkpoint.safetensors"

// A session is a run that has begun: all that changes while it lasts.
type session struct {
	*Run
	card   teacher.Card
	prints [][32]byte // of the teachers that are to stay as they are
	course course     // of Run.Train
	roll   *roll      // of its samples
	train  *engine
	valid  *validation
	extra  *student.Params
	tuned  map[*student.Param]*tuning
	pairs  []pair // of Run.Average
	config []Setting
	total  int // steps planned, 0 if that is not known

	state   State // the place in the training, and the best epoch so far
	best    map[string]*tensor.Dense
	probe   probe
	opening []TapGradient // of the first step
	began   time.Time
	ending  Ending
	resumed State
	closed  bool
	held    []any // what no other run may have
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

// begin opens a run that is valid, and the only one of its student and folder.
func (s *session) begin(ctx context.Context) (Plan, error) {
	if err := s.validate(); err != nil {
		return Plan{}, err
	}
	err := s.hold()
	var plan Plan
	if err == nil {
		plan, err = s.open(ctx)
	}
	if err != nil {
		s.release()
	}
	return plan, err
}

// open checks everything that can be checked before the first step, and says
// what will be done. The student is not touched before all of it is in order.
func (s *session) open(ctx context.Context) (Plan, error) {
	var err error
	if s.card, err = cardOf(s.Teacher); err != nil {
		return Plan{}, err
	}
	if s.prints, err = fingerprints(s.Teacher, s.card); err != nil {
		return Plan{}, err
	}
	if err := s.checkSources(); err != nil {
		return Plan{}, err
	}
	if s.pairs, err = s.Average.pairs(s.Student); err != nil {
		return Plan{}, err
	}
	perEpoch := s.plan()
	if err := s.validateSchedules(s.total, s.card); err != nil {
		return Plan{}, err
	}
	if s.config, err = s.describe(); err != nil {
		return Plan{}, err
	}
	if err := s.load(); err != nil {
		return Plan{}, err
	}
	first, valid, err := s.build(ctx)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Name: s.name(), Dir: s.Dir, Done: s.state.Step, Steps: s.total, StepsPerEpoch: perEpoch, Config: s.config}
	for _, t := range s.Terms {
		plan.Terms = append(plan.Terms, t.Name)
	}
	if plan.Preflight, err = s.preflight(ctx, first); err != nil {
		return Plan{}, err
	}
	if s.state.Step == 0 {
		if s.opening, err = s.gradients(0, valid); err != nil {
			return Plan{}, err
		}
	}
	if err := s.makeDir(); err != nil {
		return Plan{}, err
	}
	s.began = time.Now()
	return plan, s.restore()
}

// describe lists everything that the bytes of the run depend on.
func (s *session) describe() ([]Setting, error) {
	forward, err := forward(s.Student)
	if err != nil {
		return nil, err
	}
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
	if s.Average.Model != nil {
		all = append(all, describe("", struct{ Average Average }{s.Average}, s.total)...)
	}
	all = append(all, describe("Student.Module", s.Student.Module(), 0)...)
	all = append(all, describe("Student.Frozen", frozen(s.Student), 0)...)
	all = append(all, describe(studentWeights, s.Student.Fingerprint(), 0)...)
	return append(all, describe(studentForward, forward, 0)...), nil
}

// forward is a hash of what a student saves, its forward pass above all: a
// module that is a function shows no other sign of what it computes.
func forward(m *student.Model) ([32]byte, error) {
	h := sha256.New()
	err := m.Save(h)
	return [32]byte(h.Sum(nil)), err
}

// frozen are the names of the parameters that are not trained.
func frozen(m *student.Model) (names []string) {
	for p := range m.Params() {
		if p.Frozen {
			names = append(names, p.Name)
		}
	}
	return names
}

// A guard is a teacher that can tell before the first step that it has no
// answers for some data, as a cache can.
type guard interface{ Covers(data.Spec) error }

// An asking source has answers of a model, which a student that is to learn from
// its own is.
type asking interface{ Asks() *student.Model }

func (s *session) checkSources() error {
	for _, src := range []data.Source{s.Train, s.Valid} {
		if v, ok := src.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return err
			}
		}
	}
	if src, ok := s.Train.(asking); ok && src.Asks() != s.Student {
		return errors.New("distill: Run.Train has answers of another model than Run.Student; want a Solver.Model that is the student")
	}
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
	if s.Epochs <= math.MaxInt/max(perEpoch, 1) {
		s.total = s.Epochs * perEpoch
	}
	if s.MaxSteps > 0 && (s.total == 0 || s.MaxSteps < s.total) {
		s.total = s.MaxSteps
	}
	return perEpoch
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
	var groups ahead.Maker[group]
	for g, err := range groups.Make(s.groups(ctx)) {
		if err := cmp.Or(ctx.Err(), err); err != nil {
			return err
		}
		var step Step
		take := func() { step, err = s.take(ctx, g) }
		if s.looksAhead(g) {
			groups.During(take)
		} else {
			take()
		}
		if err == nil {
			err = s.checkEarly(step.N)
		}
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

// looksAhead says whether the teacher may be asked for the next group while the
// student learns from g: not before it is known that the one is not the other,
// nor past a measurement, which may end the run and asks the teacher too. A live
// source waits for the step.
func (s *session) looksAhead(g group) bool {
	if _, live := s.Train.(data.Live); live {
		return false
	}
	next := s.state.Step + 1
	return s.course.apart() && next > s.resumed.Step+1 && next != s.MaxSteps && !g.end
}

// groups yields what the steps to come are made of, with the teacher's answers.
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

// epoch yields the groups of one epoch. Each waits until it is known whether it
// is the last: a source that is live says so beforehand, any other is read ahead.
func (s *session) epoch(ctx context.Context, epoch, from int) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		size, known := max(s.Accumulate, 1), 0
		if live, ok := s.Train.(data.Live); ok {
			known = live.Len()
		}
		var held []data.Batch
		next := from
		give := func(end bool) bool {
			g := group{epoch: epoch, next: next, end: end}
			for _, b := range held {
				t, err := s.course.ask(ctx, b)
				if err != nil {
					yield(g, err)
					return false
				}
				g.batches = append(g.batches, t)
			}
			held = held[:0]
			return yield(g, nil)
		}
		for b, err := range s.course.source.Batches(ctx, epoch, from) {
			if len(held) == size && !give(false) {
				return
			}
			if err != nil {
				yield(group{}, err)
				return
			}
			held = append(held, b)
			if next++; len(held) == size && next < known && !give(false) {
				return
			}
		}
		if len(held) == 0 {
			yield(group{}, fmt.Errorf("distill: Run.Train has no batch %d in epoch %d; want one or more", from, epoch))
			return
		}
		give(true)
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

func (s *session) result() Result {
	return Result{Steps: s.state.Step, Epochs: s.state.Epoch, Why: s.ending, Valid: s.state.BestMetrics, BestEpoch: s.state.BestEpoch}
}
