package distill

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A course is what a student is taught, and by whom.
type course struct {
	student *student.Model
	source  data.Source
	teacher teacher.Teacher // or nil
	card    teacher.Card
	spec    data.Spec // of the source
	classes int       // 0 if their number is not known
	used    *recycler
}

func newCourse(m *student.Model, src data.Source, t teacher.Teacher, card teacher.Card) course {
	c := course{student: m, teacher: t, card: card, spec: src.Spec(), used: &recycler{}}
	c.source = c.used.lend(src)
	if c.classes = len(c.spec.Classes); c.classes == 0 {
		c.classes = classCount(m.Taps()["logits"], c.spec.Label)
	}
	return c
}

// cardOf is the card of a teacher, that of none without one.
func cardOf(t teacher.Teacher) (teacher.Card, error) {
	if t == nil {
		return teacher.Card{}, nil
	}
	card, err := t.Card()
	if err != nil {
		return card, fmt.Errorf("distill: the teacher has no card: %w", err)
	}
	return card, card.Validate()
}

// A taught batch is one with its teacher's answer.
type taught struct {
	data.Batch
	signals data.Signals
}

// ask gets the teacher's answer to a batch, if there is a teacher.
func (c course) ask(ctx context.Context, b data.Batch) (taught, error) {
	if err := ctx.Err(); err != nil {
		return taught{}, err
	}
	if err := checkBatch(b, c.spec, c.classes); err != nil {
		return taught{}, err
	}
	if c.teacher == nil {
		return taught{Batch: b}, nil
	}
	s, err := c.teach(ctx, b)
	if err == nil {
		err = teacher.Check(c.card, b, s)
	}
	return taught{b, s}, err
}

// teach is the teacher's answer. A panic there is an error: a teacher may be
// anybody's code, behind which there is a file or a network.
func (c course) teach(ctx context.Context, b data.Batch) (s data.Signals, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("distill: the teacher panicked: %v", p)
		}
	}()
	return teacher.Ask(ctx, c.teacher, b, c.used.answer())
}

// apart says whether the teacher may be asked for more while the student works.
// One that is live is asked in its turn, and so is one without a fingerprint: it
// may depend on the student, or on what is done between two steps.
func (c course) apart() bool {
	return c.teacher == nil || !c.card.Live && c.card.Fingerprint != [32]byte{}
}

// all yields the batches of epoch 0, with the teacher's answers.
func (c course) all(ctx context.Context) iter.Seq2[taught, error] { return c.from(ctx, 0, 0) }

// from yields those of an epoch from one on.
func (c course) from(ctx context.Context, epoch, batch int) iter.Seq2[taught, error] {
	return func(yield func(taught, error) bool) {
		for b, err := range c.source.Batches(ctx, epoch, batch) {
			t := taught{Batch: b}
			if err == nil {
				t, err = c.ask(ctx, b)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// first is the first batch of all, or of what is to come where the source is live:
// what came before cannot be had again.
func (c course) first(ctx context.Context, to State) (taught, error) {
	epoch, batch := 0, 0
	if _, live := c.source.(data.Live); live {
		epoch, batch = to.Epoch, to.Batch
	}
	for t, err := range c.from(ctx, epoch, batch) {
		return t, err
	}
	return taught{}, errEmpty
}

var errEmpty = errors.New("the source is empty; want one batch or more")

// checkBatch refuses a batch that does not keep what the spec promised: not
// every source is a Loader. 0 classes means that their number is not known.
func checkBatch(b data.Batch, spec data.Spec, classes int) error {
	if b.N < 1 || len(b.ID) != b.N {
		return fmt.Errorf("distill: a batch has N = %d and %d ids; want 1 or more, with an id each", b.N, len(b.ID))
	}
	if err := checkInputs(b); err != nil {
		return err
	}
	axes := tensor.Shape{}
	if spec.Label.Dtype == tensor.Int {
		axes = spec.Label.Shape
	}
	if err := checkRows("weights", b.Weight, b.N, data.Field{Shape: axes, Dtype: tensor.Float32}); err != nil {
		return err
	}
	if err := checkWeights(b); err != nil {
		return err
	}
	if spec.Label.Dtype.Type == nil {
		if b.Label != nil {
			return fmt.Errorf("distill: a batch has labels %v and its Spec none; want both or neither", b.Label.Shape())
		}
		return nil
	}
	if err := checkRows("labels", b.Label, b.N, spec.Label); err != nil {
		return err
	}
	if b.Label.Shape()[0] != b.Weight.Shape()[0] {
		return fmt.Errorf("distill: a batch has labels %v and weights %v; want one size", b.Label.Shape(), b.Weight.Shape())
	}
	if spec.Label.Dtype != tensor.Int {
		return checkTargets(b, spec.Task)
	}
	return checkLabels(b, classes)
}

// classCount is the number of classes that a sample has logits for, beside labels
// of a field, and 0 without logits. A single one is that of the second class of
// two.
func classCount(logits, label data.Field) int {
	var axes tensor.Shape
	if label.Dtype == tensor.Int {
		axes = label.Shape
	}
	switch {
	case logits.Dtype.Type == nil:
		return 0
	case channelsFirst(logits.Shape, axes):
		return max(logits.Shape[0], 2)
	case slices.Equal(logits.Shape, axes):
		return 2
	}
	return max(last(logits.Shape), 2)
}

// rowsOf says whether logits have a row for each of the axes of labels.
func rowsOf(logits, axes tensor.Shape) bool {
	return channelsFirst(logits, axes) || slices.Equal(logits, axes) ||
		len(logits) == len(axes)+1 && slices.Equal(logits[:len(axes)], axes)
}

// last is the last axis, 0 of none.
func last(s tensor.Shape) int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// checkRows wants n rows of a field or more.
func checkRows(what string, t *tensor.Dense, n int, f data.Field) error {
	if t == nil {
		return fmt.Errorf("distill: a batch has no %s", what)
	}
	if s := t.Shape(); t.Dtype() != f.Dtype || len(s) != 1+len(f.Shape) || s[0] < n || !s[1:].Eq(f.Shape) || t.RequiresIterator() {
		return fmt.Errorf("distill: the %s of a batch of %d are %v of %v; want %v of %v for each, side by side", what, n, s, t.Dtype(), f.Shape, f.Dtype)
	}
	return nil
}

// checkInputs refuses what is not finite, which would come back as an answer of
// the teacher. A program refuses what does not fit it.
func checkInputs(b data.Batch) error {
	var first error
	at := ""
	for name, t := range b.In {
		if first != nil && name > at {
			continue // of several errors the first in the alphabet
		}
		if err := checkInput(name, t, b); err != nil {
			first, at = err, name
		}
	}
	return first
}

func checkInput(name string, t *tensor.Dense, b data.Batch) error {
	if t == nil || t.Dims() == 0 || !plain(t) {
		return nil
	}
	for r := range min(b.N, t.Shape()[0]) {
		if !finite(data.Row[float32](t, r)) || !finite(data.Row[float64](t, r)) {
			return fmt.Errorf("distill: input %q of sample %d has a NaN or an infinity; want finite numbers", name, b.ID[r].Sample)
		}
	}
	return nil
}

func finite[T floating](row []T) bool {
	return !slices.ContainsFunc(row, func(v T) bool { return v-v != 0 })
}

func checkWeights(b data.Batch) error {
	size := b.Weight.Shape().TotalSize() / b.Weight.Shape()[0]
	for i, w := range b.Weight.Float32s() {
		switch r := i / size; {
		case r >= b.N && w != 0:
			return fmt.Errorf("distill: the weight of row %d is %v in a batch of %d; padding wants 0", r, w, b.N)
		case !(w >= 0) || w-w != 0:
			return fmt.Errorf("distill: the weight of sample %d is %v; want a finite number, 0 or more", b.ID[r].Sample, w)
		}
	}
	return nil
}

// checkTargets wants labels that are no classes to be numbers, and answers to be
// from 0 to 1.
func checkTargets(b data.Batch, task data.Task) error {
	for r := range b.N {
		if !finite(data.Row[float32](b.Label, r)) || !finite(data.Row[float64](b.Label, r)) {
			return fmt.Errorf("distill: the label of sample %d has a NaN or an infinity; want finite numbers", b.ID[r].Sample)
		}
		if task == data.MultiLabel && (!unit(data.Row[float32](b.Label, r)) || !unit(data.Row[float64](b.Label, r))) {
			return fmt.Errorf("distill: the label of sample %d has an answer that is not from 0 to 1; want 0 for no, 1 for yes", b.ID[r].Sample)
		}
	}
	return nil
}

func unit[T floating](row []T) bool {
	return !slices.ContainsFunc(row, func(v T) bool { return v < 0 || v > 1 })
}

func checkLabels(b data.Batch, count int) error {
	size := b.Label.Shape().TotalSize() / b.Label.Shape()[0]
	for i, y := range classes(b) {
		if r := i / size; r < b.N && (y < data.Unlabelled || count > 0 && y >= count) {
			return fmt.Errorf("distill: the label of sample %d is %d; want -1 to %d", b.ID[r].Sample, y, count-1)
		}
	}
	return nil
}
