package teacher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A Route is several teachers of which each sample has its own, chosen before
// any is asked: specialists for some of the classes, or for some of the inputs.
// Each is asked about its own samples alone. A choice that depends on the
// answers is that of a [Surest].
//
// It answers all signals of its teachers, and refuses teachers whose signals,
// classes or temperatures differ.
type Route struct {
	// Teachers are asked in turn, those that have samples in a batch.
	Teachers []Teacher
	// To is the index of the teacher of sample r of a batch: [ByLabel], or a rule
	// of one's own. It has to depend on that sample alone.
	To func(b data.Batch, r int) (int, error)
	// Rule stands for To in the fingerprint, and has to change whenever To does.
	// Without one the fingerprint is unknown, and the teacher cannot be recorded.
	Rule string
}

// ByLabel is a Route by the class of a sample: teachers has the index of the
// teacher of each class, and unlabelled is that of samples without a label. It
// refuses labels other than one class for a sample.
func ByLabel(teachers []int, unlabelled int) func(data.Batch, int) (int, error) {
	teachers = slices.Clone(teachers)
	return func(b data.Batch, r int) (int, error) {
		if b.Label == nil {
			return unlabelled, nil
		}
		switch label := data.Row[int](b.Label, r); {
		case len(label) != 1:
			return 0, fmt.Errorf("labels are %v of %v; ByLabel wants one class for a sample", b.Label.Shape(), b.Label.Dtype())
		case label[0] < 0:
			return unlabelled, nil
		case label[0] >= len(teachers):
			return 0, fmt.Errorf("the label is %d; ByLabel has teachers for %d classes", label[0], len(teachers))
		default:
			return teachers[label[0]], nil
		}
	}
}

// Card implements [Teacher].
func (r Route) Card() (Card, error) {
	if err := r.validate(); err != nil {
		return Card{}, err
	}
	var all Card
	var prints [][32]byte
	for i, t := range r.Teachers {
		card, err := t.Card()
		if err != nil {
			return Card{}, fmt.Errorf("teacher: Route.Teachers[%d]: %w", i, err)
		}
		if i == 0 {
			all = card
		}
		if what := all.differs(card); what != "" {
			return Card{}, fmt.Errorf("teacher: Route.Teachers[%d] has other %s than the teachers before it; want the same", i, what)
		}
		all.Classes, _ = agree(all.Classes, card.Classes)
		all.Live = all.Live || card.Live
		prints = append(prints, card.Fingerprint)
	}
	all.Fingerprint = join("route "+r.Rule, prints...)
	if r.Rule == "" {
		all.Fingerprint = [32]byte{}
	}
	return all, nil
}

// Teach implements [Teacher].
func (r Route) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	rows, err := r.rows(b)
	if err != nil {
		return nil, err
	}
	var all answers
	for i, t := range r.Teachers {
		if len(rows[i]) == 0 {
			continue
		}
		own := choose(b, rows[i])
		s, err := t.Teach(ctx, own)
		if err == nil {
			err = all.add(b.N, own, rows[i], s)
		}
		if err != nil {
			return nil, fmt.Errorf("teacher: Route.Teachers[%d]: %w", i, err)
		}
	}
	return all.signals, nil
}

// Covers says before the first batch why one of the teachers cannot answer
// samples of a spec, if it can tell: see [Cache.Covers]. A cache of the samples
// of one teacher alone covers the data.
func (r Route) Covers(spec data.Spec) error { return covers(spec, r.Teachers...) }

func (r Route) validate() error {
	if r.To == nil {
		return errors.New("teacher: Route.To is nil; want a function, such as ByLabel")
	}
	return members("Route", r.Teachers)
}

// rows are the samples of each teacher.
func (r Route) rows(b data.Batch) ([][]int, error) {
	if err := checkIDs(b); err != nil {
		return nil, err
	}
	if err := checkSamples(b); err != nil {
		return nil, err
	}
	rows := make([][]int, len(r.Teachers))
	for row := range b.N {
		i, err := r.To(b, row)
		if err != nil {
			return nil, fmt.Errorf("teacher: Route.To: %s: %w", describe(b.ID[row]), err)
		}
		if i < 0 || i >= len(rows) {
			return nil, fmt.Errorf("teacher: Route.To says %d of %s; want 0 to %d", i, describe(b.ID[row]), len(rows)-1)
		}
		rows[i] = append(rows[i], row)
	}
	return rows, nil
}

// checkSamples refuses tensors that do not have a row for each sample.
func checkSamples(b data.Batch) error {
	for _, name := range slices.Sorted(maps.Keys(b.In)) {
		if t := b.In[name]; t == nil || !rowsFor(t, b.N) {
			return fmt.Errorf("teacher: input %q is no contiguous row-major tensor with a row for each of %d samples", name, b.N)
		}
	}
	if b.Label != nil && !rowsFor(b.Label, b.N) || b.Weight != nil && !rowsFor(b.Weight, b.N) {
		return fmt.Errorf("teacher: labels or weights are no contiguous row-major tensor with a row for each of %d samples", b.N)
	}
	return nil
}

func rowsFor(t *tensor.Dense, n int) bool {
	return t.Dims() > 0 && t.Shape()[0] >= n && !t.RequiresIterator() && t.DataOrder().IsRowMajor()
}

// choose is a batch of some samples of another. Of all, it is that.
func choose(b data.Batch, rows []int) data.Batch {
	if len(rows) == b.N {
		return b
	}
	some := data.Batch{N: len(rows), In: data.Signals{}, Label: gather(b.Label, rows), Weight: gather(b.Weight, rows)}
	for _, r := range rows {
		some.ID = append(some.ID, b.ID[r])
	}
	for name, t := range b.In {
		some.In[name] = gather(t, rows)
	}
	return some
}

// gather is a copy of some rows of t.
func gather(t *tensor.Dense, rows []int) *tensor.Dense {
	if t == nil {
		return nil
	}
	some := room(nil, fieldOf(t), len(rows))
	for i, r := range rows {
		copyRow(some, i, t, r)
	}
	return some
}

func copyRow(dst *tensor.Dense, i int, src *tensor.Dense, r int) {
	copy(data.Row[float32](dst, i), data.Row[float32](src, r))
	copy(data.Row[float64](dst, i), data.Row[float64](src, r))
	copy(data.Row[int](dst, i), data.Row[int](src, r))
}

// answers are those of several teachers to parts of a batch, put together.
type answers struct {
	fields  map[string]data.Field // of what the first has answered
	signals data.Signals
}

// add writes what was said of a part, some rows of n, to its place.
func (a *answers) add(n int, part data.Batch, rows []int, s data.Signals) error {
	if a.fields == nil {
		a.fields, a.signals = map[string]data.Field{}, data.Signals{}
		for name, t := range s {
			a.fields[name] = fieldOf(t)
		}
	}
	if err := Check(Card{Signals: a.fields}, part, s); err != nil {
		return err
	}
	for name, f := range a.fields {
		if a.signals[name] == nil {
			a.signals[name] = room(nil, f, n)
		}
		for i, r := range rows {
			copyRow(a.signals[name], r, s[name], i)
		}
	}
	return nil
}
