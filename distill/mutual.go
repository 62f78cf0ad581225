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
func Mutual(ctx context.Context, runs ...*Run) iter.Seq2[[]Step, error] {
	return func(yield func([]Step, error) bool) {
		if err := mutual(ctx, runs, yield); err != nil {
			yield(nil, err)
		}
	}
}

func mutual(ctx context.Context, runs []*Run, yield func([]Step, error) bool) (err error) {
	if len(runs) < 2 {
		return fmt.Errorf("distill: Mutual has %d runs; want 2 or more", len(runs))
	}
	sessions := make([]*session, len(runs))
	next := make([]func() (group, error, bool), len(runs))
	for i, r := range runs {
		s := newSession(r)
		if _, err := s.open(ctx); err != nil {
			return err
		}
		var stop func()
		sessions[i] = s
		next[i], stop = iter.Pull2(s.groups(ctx))
		defer stop()
	}
	sound := true
	defer func() {
		for _, s := range sessions {
			err = errors.Join(err, s.close(sound))
		}
	}()
	for !anyOver(sessions) {
		steps, e := lockstep(ctx, sessions, next)
		if e != nil {
			sound = ctx.Err() != nil
			return e
		}
		if !yield(steps, nil) {
			return nil
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

// lockstep asks all teachers before any student changes.
func lockstep(ctx context.Context, sessions []*session, next []func() (group, error, bool)) ([]Step, error) {
	groups := make([]group, len(sessions))
	for i := range sessions {
		g, err, ok := next[i]()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("distill: run %d of Mutual has no more data", i)
		}
		groups[i] = g
	}
	steps := make([]Step, len(sessions))
	for i, s := range sessions {
		var err error
		if steps[i], err = s.learn(ctx, groups[i]); err != nil {
			return nil, err
		}
	}
	return steps, nil
}
