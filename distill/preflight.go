package distill

import (
	"context"
	"fmt"
	"math"
)

// A Preflight is what was found out before the first step. What makes the run
// pointless is an error instead.
type Preflight struct {
	// TeacherFingerprint is that of a teacher that is not live, zero if it has
	// none. It is compared after the first step and when the run ends, however it
	// does: see [ErrTeacherChanged].
	TeacherFingerprint [32]byte
	// TeacherAccuracy is that of a teacher that is not live on the labelled
	// rows of Run.Valid, NaN if it was not measured.
	TeacherAccuracy float64
	// TeacherR2 is that of such a teacher where labels are no classes: 1 less the
	// square of what it is off by over that of what labels are off their mean by.
	// Of yes-or-no questions it is that of the probabilities of a yes.
	TeacherR2 float64
	// Gradients are how much each term pulls at the student: in Value, the norm of
	// its gradient by all parameters of the student that are trained, on the first
	// batch, and its Weight at step 0. That is one measure for terms that look at
	// different taps. Terms of weight 0, or without a gradient there, are left out.
	Gradients []TermValue
	// OneHot and Uniform are the shares of the teacher's soft targets, on the
	// first batch and at the temperature of step 0, whose largest probability is
	// above 0.999, or within 0.001 of 1/C: they say no more than a label, or
	// nothing. Of several terms they are the largest, and NaN where none compares
	// distributions.
	OneHot, Uniform float64
	// Warnings are for people.
	Warnings []string
}

func (p *Preflight) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// preflight looks at what the run is about to do.
func (s *session) preflight(ctx context.Context, first taught) (*Preflight, error) {
	p := &Preflight{TeacherAccuracy: math.NaN(), TeacherR2: math.NaN(), OneHot: math.NaN(), Uniform: math.NaN()}
	if !s.card.Live {
		p.TeacherFingerprint = s.card.Fingerprint
	}
	if err := s.checkTeacher(ctx, p); err != nil {
		return nil, err
	}
	if print := s.Train.Spec().Fingerprint; s.Valid != nil && print != [32]byte{} && print == s.Valid.Spec().Fingerprint {
		p.warn("Run.Valid is the data of Run.Train: it says nothing about other data, and the best epoch is not the best")
	}
	if s.state.Step == 0 {
		if err := s.tryTerms(first, p); err != nil {
			return nil, err
		}
	}
	for _, w := range p.Warnings {
		s.log().Warn(w)
	}
	return p, nil
}
