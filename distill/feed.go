package distill

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A feed is a lesson with the inputs that it is given through: labels, weights
// and the teacher's signals, in the dtype of the student, padded with zeros.
type feed struct {
	lesson Lesson
	slots  []slot
	roll   *roll
	asked  bool  // for places
	places []int // of the batch at hand
}

// A slot is an input that is filled from one tensor of a batch or an answer.
type slot struct {
	own  *tensor.Dense
	from func(data.Batch, data.Signals) *tensor.Dense
	name string
}

// newFeed builds the lesson over the taps of a student.
func newFeed(b *student.Builder, taps student.Taps, spec data.Spec, card teacher.Card, r *roll) *feed {
	axes := []int{b.Rows()}
	if spec.Label.Dtype == tensor.Int {
		axes = append(axes, spec.Label.Shape...)
	}
	f := &feed{roll: r, lesson: Lesson{Student: student.Taps{}, Teacher: student.Taps{}, Task: spec.Task, temps: card.Temps, roll: r}}
	rows := tensor.Shape(axes).TotalSize()
	f.lesson.place = sync.OnceValue(func() *gorgonia.Node { return f.place(b, rows) })
	f.lesson.Weight = f.add(b, "weight", b.Dtype(), tensor.Shape{rows}, func(t data.Batch, _ data.Signals) *tensor.Dense { return t.Weight })
	if spec.Label.Dtype.Type != nil {
		f.label(b, spec.Label, rows)
	}
	for _, name := range slices.Sorted(maps.Keys(card.Signals)) {
		field := card.Signals[name]
		d := b.Dtype()
		if field.Dtype == tensor.Int {
			d = tensor.Int
		}
		shape := append(tensor.Shape{b.Rows()}, field.Shape...)
		if !channelsFirst(field.Shape, axes[1:]) {
			shape = flat(shape, axes)
		}
		n := f.add(b, "teacher/"+name, d, shape, func(_ data.Batch, s data.Signals) *tensor.Dense { return s[name] })
		f.lesson.Teacher[name] = inRows(b.Scope("teacher").Scope(name), n, axes)
	}
	for _, name := range slices.Sorted(maps.Keys(taps)) {
		f.lesson.Student[name] = inRows(b.Scope(name), taps[name], axes)
	}
	return f
}

func (f *feed) label(b *student.Builder, field data.Field, rows int) {
	d, shape := tensor.Int, tensor.Shape{rows}
	if field.Dtype != tensor.Int {
		d, shape = b.Dtype(), append(shape, field.Shape...)
	}
	f.lesson.Label = f.add(b, "label", d, shape, func(t data.Batch, _ data.Signals) *tensor.Dense { return t.Label })
}

// inRows is n as (R, ...), for labels with the given axes, that of the batch
// first. What has no rows of that kind stays as it is.
func inRows(b *student.Builder, n *gorgonia.Node, axes []int) *gorgonia.Node {
	if n.Dtype() == tensor.Int {
		return n
	}
	if channelsFirst(n.Shape()[1:], axes[1:]) {
		n = b.Op(graph.ChannelsLast(n))
	}
	if shape := flat(n.Shape(), axes); len(axes) > 1 && !slices.Equal(shape, n.Shape()) {
		n = b.Reshape(n, shape...)
	}
	return n
}

// channelsFirst says whether a sample's shape is (C, H, W), for labels (H, W).
func channelsFirst(shape tensor.Shape, axes []int) bool {
	return len(axes) == 2 && len(shape) == 3 && slices.Equal(shape[1:], axes)
}

// flat is (B·T, ...) for a shape (B, T, ...) of tokens, (B·H·W, ...) for one of
// pixels, and any other shape as it is.
func flat(shape tensor.Shape, axes []int) tensor.Shape {
	n := len(axes)
	if n < 2 || len(shape) < n || !slices.Equal(shape[:n], axes) {
		return shape
	}
	return append(tensor.Shape{tensor.Shape(axes).TotalSize()}, shape[n:]...)
}

func (f *feed) add(b *student.Builder, name string, d tensor.Dtype, shape tensor.Shape, from func(data.Batch, data.Signals) *tensor.Dense) *gorgonia.Node {
	n, own := b.Input(name, d, shape...), tensor.New(tensor.Of(d), tensor.WithShape(shape...))
	b.Check(gorgonia.Let(n, own))
	f.slots = append(f.slots, slot{own, from, name})
	return n
}

// bind gives a batch, and what the teacher answered to it, to the program.
func (f *feed) bind(p *student.Program, b data.Batch, s data.Signals) error {
	if err := p.Bind(b); err != nil {
		return err
	}
	for _, slot := range f.slots {
		src := slot.from(b, s)
		if src == nil {
			return fmt.Errorf("distill: the batch has no %s", slot.name)
		}
		if err := copyPadded(slot.own, src); err != nil {
			return fmt.Errorf("distill: %s: %w", slot.name, err)
		}
	}
	return nil
}

// copyPadded fills dst with src, converted, and zeros after it.
func copyPadded(dst, src *tensor.Dense) error {
	var n int
	switch dst.Dtype() {
	case tensor.Float32:
		n = convert(dst.Float32s(), src)
	case tensor.Float64:
		n = convert(dst.Float64s(), src)
	default:
		if src.Dtype() != tensor.Int {
			return fmt.Errorf("it is of %v; want int", src.Dtype())
		}
		d := dst.Ints()
		n = copy(d, src.Ints())
		clear(d[n:])
	}
	if n != src.Shape().TotalSize() {
		return fmt.Errorf("%v of %v does not fit %v of %v", src.Shape(), src.Dtype(), dst.Shape(), dst.Dtype())
	}
	return nil
}

// convert is the number of elements of src that found room in dst.
func convert[T floating](dst []T, src *tensor.Dense) int {
	n := 0
	switch src.Dtype() {
	case tensor.Float32:
		n = copyAs(dst, src.Float32s())
	case tensor.Float64:
		n = copyAs(dst, src.Float64s())
	}
	clear(dst[n:])
	return n
}

// copyAs is copy from one float type to another.
func copyAs[To, From floating](dst []To, src []From) int {
	n := min(len(dst), len(src))
	for i, v := range src[:n] {
		dst[i] = To(v)
	}
	return n
}
