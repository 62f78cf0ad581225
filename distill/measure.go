package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/ahead"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// Measure is how the student does on one epoch of a source, in eval mode. The
// teacher may be nil. What is measured follows from the Task of the source; Loss
// and Terms are not. It fails when the source is not what the student or the
// teacher was made for.
func Measure(ctx context.Context, m *student.Model, src data.Source, t teacher.Teacher) (Metrics, error) {
	if m == nil || src == nil {
		return Metrics{}, errors.New("distill: Measure wants a student and a source; one is nil")
	}
	card, err := cardOf(t)
	if err != nil {
		return Metrics{}, err
	}
	v := &validation{course: newCourse(m, src, t, card), extra: student.NewParams(0)}
	if err := (&Run{Student: m}).checkData("the source", v.spec, card); err != nil {
		return Metrics{}, err
	}
	return v.measure(ctx, 0, nil)
}

// A validation measures a student on the same data again and again.
type validation struct {
	course
	terms  []Term
	extra  *student.Params
	engine *engine
}

// build compiles the student in eval mode for batches like the first, which it
// returns.
func (v *validation) build(ctx context.Context) (taught, error) {
	first, err := v.first(ctx, State{})
	if errors.Is(err, teacher.ErrMissing) {
		return first, fmt.Errorf("%w; want a recording of these rows too, of data.Concat, or teacher.Or to ask the teacher itself, if the cache has neither TopK nor Half", err)
	}
	if err != nil {
		return first, err
	}
	return first, v.compile(first)
}

func (v *validation) compile(first taught) (err error) {
	mode := student.Mode{Rows: first.Weight.Shape()[0]}
	v.engine, err = newEngine(v.student, v.extra, v.terms, v.spec, v.card, nil, mode)
	return err
}

// measure takes weights and temperatures as they are at a step. The first batch
// is shown to look, unless that is nil.
func (v *validation) measure(ctx context.Context, step int, look func(first taught) error) (Metrics, error) {
	gauge := newGauge(v.spec)
	rows, sums, totals := 0, make([]float64, len(v.terms)), make([]float64, len(v.terms))
	var batches ahead.Maker[taught]
	for b, err := range batches.Make(v.all(ctx)) {
		if err := cmp.Or(ctx.Err(), err); err != nil {
			return Metrics{}, err
		}
		add := func() {
			err = v.batch(step, b, gauge, sums, totals)
			if err == nil && rows == 0 && look != nil {
				err = look(b)
			}
		}
		if v.apart() {
			batches.During(add)
		} else {
			add()
		}
		if err != nil {
			return Metrics{}, err
		}
		rows += b.N
		v.used.takeBack(b)
	}
	if rows == 0 {
		return Metrics{}, fmt.Errorf("distill: %w", errEmpty)
	}
	m := gauge.metrics()
	m.Rows = rows
	for i, t := range v.terms {
		value := t.value(step)
		if totals[i] != 0 {
			value.Value = sums[i] / totals[i]
		}
		if value.Weight != 0 {
			m.Loss += value.Weight * value.Value
		}
		m.Terms = append(m.Terms, value)
	}
	return m, nil
}

// batch adds one batch to the gauge and to the weighted sums of the terms.
func (v *validation) batch(step int, b taught, gauge gauge, sums, totals []float64) error {
	if v.engine == nil {
		if err := v.compile(b); err != nil {
			return err
		}
	}
	out, err := v.engine.pass(step, []taught{b})
	if err != nil {
		return err
	}
	for i, t := range v.engine.totals {
		sums[i] += t * out.terms[i].Value
		totals[i] += t
	}
	logits := v.engine.logits()
	if logits == nil {
		return nil
	}
	return gauge.see(b.Batch, logits, v.engine.taughtLogits())
}
