package distill

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/godistill/godistill/teacher"
)

// ErrTeacherChanged is the end of a run whose teacher is not live and did not
// stay as it was, or one of the teachers that it is made of, as in a
// [teacher.Named].
var ErrTeacherChanged = errors.New("distill: the teacher changed during the run")

// fingerprints are that of a teacher with such a card or, where it has none, those
// of the teachers that it is made of: one that is live, or has no fingerprint,
// hides what the others are.
func fingerprints(t teacher.Teacher, card teacher.Card) (all [][32]byte, err error) {
	if !card.Live && card.Fingerprint != [32]byte{} {
		return [][32]byte{card.Fingerprint}, nil
	}
	for _, part := range parts(t) {
		prints, err := printsOf(part)
		if err != nil {
			return nil, err
		}
		all = append(all, prints...)
	}
	return all, nil
}

// printsOf are the fingerprints of a teacher as it is now.
func printsOf(t teacher.Teacher) ([][32]byte, error) {
	card, err := t.Card()
	if err != nil {
		return nil, err
	}
	return fingerprints(t, card)
}

// parts are the teachers that one is made of, nil if it is not.
func parts(t teacher.Teacher) (all []teacher.Teacher) {
	switch t := t.(type) {
	case teacher.Named:
		for _, name := range slices.Sorted(maps.Keys(t)) {
			all = append(all, t[name])
		}
	case teacher.Mean:
		all = t.Teachers
	case teacher.Route:
		all = t.Teachers
	case teacher.Surest:
		all = t.Teachers
	}
	return all
}

// checkEarly is checkFrozen after the first step: a teacher that is the student
// would teach to the end.
func (s *session) checkEarly(step int) error {
	if step != s.resumed.Step+1 {
		return nil
	}
	return s.checkFrozen()
}

// checkFrozen refuses a teacher that is not live and is not what it was. It says
// so once.
func (s *session) checkFrozen() error {
	if len(s.prints) == 0 {
		return nil
	}
	now, err := printsOf(s.Teacher)
	switch {
	case err != nil: // there were some
		err = fmt.Errorf("%w: %w", ErrTeacherChanged, err)
	case !slices.Equal(now, s.prints):
		err = ErrTeacherChanged
	}
	if err != nil {
		s.prints = nil
	}
	return err
}
