package distill

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Mutual trains several students in lockstep, each taught by what the others
// are before the step (deep mutual learning, Zhang et al. 2018, 1706.00384).
// Teachers that are students here are live ones: teacher.Live(teacher.Of(peer)).
// It yields the steps of all runs, in their order, until the first run ends.
// Their checkpoints are written together, whenever one of them is due, and those
// of a process that was killed can be resumed, whenever that was.
// Errors are as those of [Run.Steps].
func Mutual(ctx context.Context, runs ...*Run) iter.Seq2[[]Step, error] {
	return func(yield func([]Step, error) bool) {
		left := false
		err := mutual(ctx, runs, func(steps []Step) bool {
			left = !yield(steps, nil)
			return !left
		})
		switch {
		case err != nil && left:
			runs[0].log().Error("the runs were left, and did not end well", "error", err)
		case err != nil:
			yield(nil, err)
		}
	}
}

func mutual(ctx context.Context, runs []*Run, yield func([]Step) bool) (err error) {
	sessions, err := beginAll(ctx, runs)
	if err != nil {
		return err
	}
	sound := true
	defer func() {
		if sound && sessions[0].moved() {
			err = errors.Join(err, saveAll(sessions))
		}
		for _, s := range sessions {
			err = errors.Join(err, s.end())
		}
	}()
	next := make([]func() (group, error, bool), len(sessions))
	for i, s := range sessions {
		var stop func()
		next[i], stop = iter.Pull2(s.groups(ctx))
		defer stop()
	}
	for !anyOver(sessions) {
		groups, err := pull(next)
		if err != nil {
			return err
		}
		steps, err := lockstep(ctx, sessions, groups)
		if err != nil {
			sound = false
			return err
		}
		if !yield(steps) {
			return nil
		}
		if err := checkpointAll(sessions, steps); err != nil {
			return err
		}
	}
	return nil
}

// beginAll opens all runs, or none. All of them are held before any file is
// looked at.
func beginAll(ctx context.Context, runs []*Run) (sessions []*session, err error) {
	if err := checkRuns(runs); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, s := range sessions {
				s.release()
			}
		}
	}()
	for i, r := range runs {
		s := newSession(r)
		sessions = append(sessions, s)
		err := s.validate()
		if err == nil {
			err = s.hold()
		}
		if err != nil {
			return sessions, fmt.Errorf("run %d of Mutual: %w", i, err)
		}
	}
	if err := finishSaving(sessions); err != nil {
		return sessions, err
	}
	for i, s := range sessions {
		if _, err := s.open(ctx); err != nil {
			return sessions, fmt.Errorf("run %d of Mutual: %w", i, err)
		}
		if s.state.Step != sessions[0].state.Step {
			return sessions, fmt.Errorf("distill: run %d of Mutual resumes after step %d and run 0 after step %d; want one step", i, s.state.Step, sessions[0].state.Step)
		}
	}
	return sessions, nil
}

// checkRuns refuses runs that would write to the same things.
func checkRuns(runs []*Run) error {
	if len(runs) < 2 {
		return fmt.Errorf("distill: Mutual has %d runs; want 2 or more", len(runs))
	}
	for i, r := range runs {
		if r == nil {
			return fmt.Errorf("distill: run %d of Mutual is nil; want a Run", i)
		}
		for j, other := range runs[:i] {
			if r.Student != nil && r.Student == other.Student {
				return fmt.Errorf("distill: runs %d and %d of Mutual have the same Student; want one each", j, i)
			}
			if r.Every != other.Every {
				return fmt.Errorf("distill: Every is %d in run %d of Mutual and %d in run %d; want one, or they cannot be resumed together", other.Every, j, r.Every, i)
			}
			if r.Dir != "" && r.Dir == other.Dir {
				return fmt.Errorf("distill: runs %d and %d of Mutual have the Dir %q; want one each", j, i, r.Dir)
			}
		}
	}
	return nil
}

func anyOver(sessions []*session) bool {
	over := false
	for _, s := range sessions {
		over = s.over() || over
	}
	return over
}

// pull asks all teachers before any student changes.
func pull(next []func() (group, error, bool)) ([]group, error) {
	groups := make([]group, len(next))
	for i := range next {
		g, err, ok := next[i]()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("distill: run %d of Mutual has no more data", i)
		}
		groups[i] = g
	}
	return groups, nil
}

// lockstep changes all students before any is measured: they may be measured
// against each other.
func lockstep(ctx context.Context, sessions []*session, groups []group) ([]Step, error) {
	steps := make([]Step, len(sessions))
	for i, s := range sessions {
		var err error
		if steps[i], err = s.learn(groups[i]); err != nil {
			return nil, err
		}
	}
	for i, s := range sessions {
		err := s.measure(ctx, &steps[i])
		if err == nil {
			err = s.checkEarly(steps[i].N)
		}
		if err != nil {
			return nil, err
		}
	}
	return steps, nil
}
