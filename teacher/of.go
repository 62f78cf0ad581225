package teacher

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// Of is a student as a teacher, always in eval mode: it answers with taps of
// the model, "logits" if none is named. It reads the model's weights as they
// are when it is asked; a model that is still learning is a [Live] teacher.
// Its fingerprint is that of the taps and of what [student.Model.Save] writes.
func Of(m *student.Model, taps ...string) Teacher {
	if len(taps) == 0 {
		taps = []string{Logits}
	}
	return of{m, slices.Compact(slices.Sorted(slices.Values(taps)))}
}

var errNoModel = errors.New("teacher: the model is nil")

type of struct {
	model *student.Model
	taps  []string
}

func (t of) Card() (Card, error) {
	if t.model == nil {
		return Card{}, errNoModel
	}
	card := Card{Signals: map[string]data.Field{}, Classes: t.model.Spec().Classes}
	all := t.model.Taps()
	for _, name := range t.taps {
		f, ok := all[name]
		if !ok {
			return Card{}, fmt.Errorf("teacher: the model has no tap %q; there are %q", name, slices.Sorted(maps.Keys(all)))
		}
		card.Signals[name] = f
	}
	// The fingerprint of the model is that of its weights alone; a file has
	// the forward pass too.
	h := sha256.New()
	if err := t.model.Save(h); err != nil {
		return Card{}, fmt.Errorf("teacher: %w", err)
	}
	fmt.Fprintf(h, "%q", t.taps)
	card.Fingerprint = [32]byte(h.Sum(nil))
	return card, nil
}

func (t of) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	return t.answer(ctx, b, nil)
}

// answer is Teach in the memory of s, where that fits.
func (t of) answer(ctx context.Context, b data.Batch, s data.Signals) (data.Signals, error) {
	if t.model == nil {
		return nil, errNoModel
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return t.model.PredictInto(s, b, t.taps...)
}

// Covers says what is wrong with data that the model would misread: another
// normalisation than that of the data it learned from.
func (t of) Covers(spec data.Spec) error {
	learned := t.model.Spec()
	for _, name := range slices.Sorted(maps.Keys(learned.In)) {
		want, have := learned.Norm[name], spec.Norm[name]
		if !slices.Equal(have.Mean, want.Mean) || !slices.Equal(have.SD, want.SD) {
			return fmt.Errorf("teacher: input %q is normalised by %v; the model learned from %v", name, have, want)
		}
	}
	return nil
}
