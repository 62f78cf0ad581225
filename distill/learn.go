package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// take takes a step, and measures the student where an epoch or the run ends.
// After an error, the state is neither that before the step nor that after it.
func (s *session) take(ctx context.Context, g group) (Step, error) {
	step, err := s.learn(g)
	if err == nil {
		err = s.measure(ctx, &step)
	}
	if err == nil && s.Valid == nil && s.pauses(step) {
		step.Gradients, err = s.gradients(step.N-1, g.batches[0])
	}
	if err == nil {
		s.course.used.takeBack(g.batches...)
	}
	return step, err
}

// learn takes one optimizer step.
func (s *session) learn(g group) (Step, error) {
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
	grads := s.opening
	s.opening = nil
	return Step{
		N: at + 1, Epoch: g.epoch, End: g.end, Rows: out.rows, Loss: out.loss, Terms: out.terms,
		Accuracy: out.right / out.labelled, Rate: s.Optimizer.LearningRate(at), GradNorm: norm,
		Gradients: grads,
		session:   s,
	}, nil
}

// build compiles the student and its terms for batches like the first one, and
// for those of the validation data. It returns the first batches of both, of
// Train twice without Valid.
func (s *session) build(ctx context.Context) (first, valid taught, err error) {
	s.course, s.roll = newCourse(s.Student, s.Train, s.Teacher, s.card), &roll{source: s.Train}
	if first, err = s.course.first(ctx, s.state); err != nil {
		return first, first, fmt.Errorf("distill: Run.Train: %w", err)
	}
	mode := student.Mode{Rows: first.Weight.Shape()[0], Training: true, Seed: s.Seed}
	if s.train, err = newEngine(s.Student, s.extra, s.Terms, s.course.spec, s.card, s.roll, mode); err != nil {
		return first, first, err
	}
	if err := s.tune(); err != nil {
		return first, first, err
	}
	if s.resumed.Tensors != nil {
		if err := s.recallAll(s.extra.All); err != nil {
			return first, first, err
		}
	}
	if s.Valid != nil {
		s.valid = &validation{course: newCourse(s.measured(), s.Valid, s.Teacher, s.card), terms: s.Terms, extra: s.extra}
		if valid, err = s.valid.build(ctx); err != nil {
			return first, first, fmt.Errorf("distill: Run.Valid: %w", err)
		}
		return first, valid, nil
	}
	return first, first, nil
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
			slot := graph.Zeros(p.Value.Dtype(), p.Value.Shape()...)
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
	if err := s.checkRate(step); err != nil {
		return 0, err
	}
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
		if t.maxNorm > 0 {
			bound(p.Value, t.maxNorm)
		}
		p.Touch()
	}
	return norm, s.follow(step)
}

// trained are the parameters that no group freezes, with their gradients.
func (s *session) trained(n int) (params []*student.Param, grads []*tensor.Dense) {
	params, grads = s.train.grads(n)
	kept := 0
	for i, p := range params {
		if !s.tuned[p].freeze {
			params[kept], grads[kept] = p, grads[i]
			kept++
		}
	}
	return params[:kept], grads[:kept]
}

func isNumber(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// pauses says whether the student is looked at after a step.
func (s *session) pauses(after Step) bool { return after.End || after.N == s.MaxSteps }

// measure validates the student after the last step of an epoch, or of all, and
// remembers the epoch if it is the best.
func (s *session) measure(ctx context.Context, step *Step) error {
	if s.Valid == nil || !s.pauses(*step) {
		return nil
	}
	m, err := s.valid.measure(ctx, step.N-1, func(first taught) (err error) {
		step.Gradients, err = s.gradients(step.N-1, first)
		return err
	})
	if err != nil {
		return fmt.Errorf("distill: Run.Valid: %w", err)
	}
	if s.state.BestMetrics == nil && math.IsNaN(s.Monitor.score(m)) {
		return errors.New("distill: Run.Monitor says NaN of the first metrics of Run.Valid; want a number (ByAccuracy and ByNLL want labels, ByAgreement a teacher, ByTeacherKL all of its logits, ByRMSE a regression)")
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

// keep copies the weights of what is measured as the best so far.
func (s *session) keep() {
	if s.best == nil {
		s.best = map[string]*tensor.Dense{}
	}
	for p := range s.measured().Params() {
		if s.best[p.Name] == nil {
			s.best[p.Name] = tensor.New(tensor.Of(p.Value.Dtype()), tensor.WithShape(p.Value.Shape()...))
		}
		_ = copyPadded(s.best[p.Name], p.Value) // same shape and dtype
	}
}
