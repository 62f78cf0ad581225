package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

const (
	bins = 15 // of confidence
	// Beyond so many classes there is no matrix of them: it would be of their
	// square.
	maxConfused = 1000
	// farthest is how many samples are shown for a model.
	farthest = 24
)

// A Named model is one of those that [Examine] looks at.
type Named struct {
	Name  string
	Model *student.Model
}

// An Examination is how models do on the same samples, beside their teacher.
type Examination struct {
	// Task is that of the data, and Samples their number.
	Task    data.Task
	Samples int
	// Classes are their names, or numbers from 0 where they have none. There are
	// none in tasks that are no Classification.
	Classes []string
	// Teacher is nil if there was none.
	Teacher *Grade
	// Models are in the order that Examine was given them in.
	Models []Grade
}

// A Grade is how one model did. Rows are samples, tokens or pixels, and count by
// their weight.
type Grade struct {
	// Name is that of the model.
	Name string
	// Accuracy, NLL in nats and ECE are those of [distill.Metrics]. They, Classes
	// and Bins are of the rows whose label is a class: NaN, and nil, where there is
	// none.
	Accuracy, NLL, ECE float64
	// Classes has a tally for each class of the labels.
	Classes []Tally
	// Bins has 15 of equal width, by the probability of the first choice (Guo et
	// al. 2017, 1706.04599).
	Bins []Bin

	// Agreement and TeacherKL are those of [distill.Metrics]. They and the rest are
	// those of a model beside its teacher: NaN, and nil, without one.
	Agreement, TeacherKL float64
	// Confusion is, for each class that is the teacher's first choice, the weight
	// of the rows by the model's. It is nil beyond 1000 classes.
	Confusion [][]float64
	// Apart are the samples at which the model is furthest from the teacher, the
	// furthest first: 24, or as many as there are.
	Apart []Sample
}

// A Tally counts the rows of a class, and those of them that the model got right.
type Tally struct{ Rows, Right float64 }

// A Bin has the rows whose first choice has a probability within it: their
// weight, the mean of that probability, and the share of them that are right.
type Bin struct{ Rows, Confidence, Accuracy float64 }

// A Sample is one at which a model and its teacher are apart.
type Sample struct {
	// ID is that of the sample.
	ID data.ID
	// Distance is the mean over the rows of KL(teacher || model) in nats at T = 1,
	// for MultiLabel of its sum over the questions, and for Regression the root
	// mean square of the difference.
	Distance float64
	// Label, Teacher and Model are classes, where a sample has one, else -1: the
	// label, and what both put first, with the probabilities TeacherP and ModelP.
	Label, Teacher, Model int
	TeacherP, ModelP      float64
	// Picture is the input as a PNG, nil if it is no image.
	Picture []byte
}

// Examine reads epoch 0 of a source once, and grades models beside their teacher,
// which may be nil. What makes no sense for a task is left out. It fails on data
// that a model or the teacher was not made for, on answers that are not finite,
// and where the teacher has no "logits", as one of top-k logits.
//
//	seen, err := report.Examine(ctx, test, teacher.Of(big),
//		report.Named{Name: "control", Model: control}, report.Named{Name: "distilled", Model: distilled})
func Examine(ctx context.Context, src data.Source, t teacher.Teacher, models ...Named) (*Examination, error) {
	if src == nil {
		return nil, errors.New("report: Examine: the source is nil; want a data.Source")
	}
	x, err := newExaminer(src.Spec(), t, models)
	if err != nil {
		return nil, fmt.Errorf("report: Examine: %w", err)
	}
	for b, err := range src.Batches(ctx, 0, 0) {
		if err = cmp.Or(err, ctx.Err()); err == nil {
			err = x.see(ctx, b)
		}
		if err != nil {
			return nil, fmt.Errorf("report: Examine: %w", err)
		}
	}
	return x.conclude()
}

// An examiner gathers what becomes an Examination.
type examiner struct {
	spec    data.Spec
	camera  camera
	teacher *examinee // or nil
	models  []*examinee
	samples int
}

// An examinee is a model or the teacher, with what was seen of it.
type examinee struct {
	name   string
	asked  teacher.Teacher
	card   teacher.Card
	layout layout
	values []float64 // the logits of one sample
	row    []float64 // the log probabilities of one row

	tallies        []Tally
	bins           [bins]Bin // sums
	nll            float64
	agreed, kl, of float64
	confusion      [][]float64
	apart          []candidate
}

func newExaminer(spec data.Spec, t teacher.Teacher, models []Named) (*examiner, error) {
	x := &examiner{spec: spec, camera: cameraOf(spec)}
	if t != nil {
		e, err := newExaminee("teacher", t, spec)
		if err != nil {
			return nil, err
		}
		x.teacher = e
	}
	if t == nil && len(models) == 0 {
		return nil, errors.New("there is no teacher and no model; want one or more")
	}
	for i, m := range models {
		if m.Model == nil {
			return nil, fmt.Errorf("model %d, %q, is nil; want one that student.New made", i, m.Name)
		}
		if err := sameNorm(spec, m.Model.Spec()); err != nil {
			return nil, fmt.Errorf("model %q: %w", m.Name, err)
		}
		e, err := newExaminee(m.Name, teacher.Of(m.Model), spec)
		if err == nil && t != nil && e.layout != x.teacher.layout {
			err = fmt.Errorf("its logits are %v and the teacher's %v; want one shape", e.card.Signals[teacher.Logits].Shape, x.teacher.card.Signals[teacher.Logits].Shape)
		}
		if err != nil {
			return nil, fmt.Errorf("model %q: %w", m.Name, err)
		}
		x.models = append(x.models, e)
	}
	return x, nil
}

// sameNorm wants inputs to be what the model was made for.
func sameNorm(have, want data.Spec) error {
	for name := range want.In {
		a, b := have.Norm[name], want.Norm[name]
		if !slices.Equal(a.Mean, b.Mean) || !slices.Equal(a.SD, b.SD) {
			return fmt.Errorf("input %q of the source has another data.Norm than that of the model; want one for both", name)
		}
	}
	return nil
}

func newExaminee(name string, t teacher.Teacher, spec data.Spec) (*examinee, error) {
	card, err := t.Card()
	if err == nil {
		err = card.Validate()
	}
	if err != nil {
		return nil, err
	}
	e := &examinee{name: name, asked: t, card: card}
	logits, ok := card.Signals[teacher.Logits]
	if !ok {
		return nil, fmt.Errorf("%s has no signal %q; want whole logits", name, teacher.Logits)
	}
	if e.layout, err = layoutOf(logits, spec); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if c := e.layout.choices(); spec.Task == data.Classification {
		e.tallies = make([]Tally, c)
		if c <= maxConfused {
			e.confusion = make([][]float64, c)
			for i := range e.confusion {
				e.confusion[i] = make([]float64, c)
			}
		}
	}
	return e, nil
}

// A layout says where the rows of a sample are in its logits.
type layout struct {
	rows, classes int
	planes        bool // logits are (C, H, W)
}

// layoutOf is that of logits beside labels, which have axes where they are
// classes of tokens or of pixels.
func layoutOf(logits data.Field, spec data.Spec) (layout, error) {
	shape, axes := logits.Shape, spec.Label.Shape
	if !ints(spec.Label) {
		axes = nil
	}
	size, rows := logits.Size(), axes.TotalSize()
	l := layout{rows: rows, classes: size / max(rows, 1)}
	n := len(axes)
	switch {
	case n == 0 && (len(shape) < 2 || spec.Task != data.Classification):
	case n == 2 && len(shape) == 3 && slices.Equal(shape[1:], axes):
		l.planes = true
	case n > 0 && (len(shape) == n+1 && slices.Equal(shape[:n], axes) || slices.Equal(shape, axes)):
	default:
		return l, fmt.Errorf("logits are %v for a sample; want a row for each label of %v", shape, axes)
	}
	if names := len(spec.Classes); spec.Task == data.Classification && names > 0 && names != l.choices() {
		return l, fmt.Errorf("logits are %v for a sample; the source has %d classes", shape, names)
	}
	return l, nil
}

// ints says whether a field is of whole numbers.
func ints(f data.Field) bool { return f.Dtype.Type != nil && f.Dtype.Kind() == reflect.Int }

// choices is how many classes there are: a single logit is that of the second of
// two.
func (l layout) choices() int { return max(l.classes, 2) }

// row is row r of the logits of a sample, in dst's memory.
func (l layout) row(dst, values []float64, r int) []float64 {
	dst = dst[:0]
	if l.classes == 1 {
		dst = append(dst, 0)
	}
	for c := range l.classes {
		at := r*l.classes + c
		if l.planes {
			at = c*l.rows + r
		}
		dst = append(dst, values[at])
	}
	return dst
}

// see grades the answers to a batch.
func (x *examiner) see(ctx context.Context, b data.Batch) error {
	if b.N < 1 || len(b.ID) != b.N {
		return fmt.Errorf("a batch has N = %d and %d ids; want 1 or more, with an id each", b.N, len(b.ID))
	}
	answers := make([]data.Signals, len(x.models))
	for i, e := range x.models {
		var err error
		if answers[i], err = e.answer(ctx, b); err != nil {
			return fmt.Errorf("model %q: %w", e.name, err)
		}
	}
	var taught data.Signals
	if x.teacher != nil {
		var err error
		if taught, err = x.teacher.answer(ctx, b); err != nil {
			return fmt.Errorf("the teacher: %w", err)
		}
	}
	for i := range b.N {
		if err := x.sample(b, i, taught, answers); err != nil {
			return fmt.Errorf("sample %d: %w", b.ID[i].Sample, err)
		}
	}
	x.samples += b.N
	return nil
}

// answer is what a model says about a batch, as its card has it.
func (e *examinee) answer(ctx context.Context, b data.Batch) (data.Signals, error) {
	s, err := e.asked.Teach(ctx, b)
	if err == nil {
		err = teacher.Check(e.card, b, s)
	}
	return s, err
}

// sample grades the answers to sample i of a batch.
func (x *examiner) sample(b data.Batch, i int, taught data.Signals, answers []data.Signals) error {
	labels, weights := data.Row[int](b.Label, i), data.Row[float32](b.Weight, i)
	if x.teacher != nil {
		x.teacher.read(taught, i)
		if err := x.teacher.label(x.spec.Task, labels, weights); err != nil {
			return err
		}
	}
	for k, e := range x.models {
		e.read(answers[k], i)
		if err := e.label(x.spec.Task, labels, weights); err != nil {
			return err
		}
		if x.teacher != nil {
			c := e.compare(x.spec.Task, x.teacher, labels, weights)
			c.ID = b.ID[i]
			e.keep(c, func() []float64 { return x.camera.pixels(b, i) })
		}
	}
	return nil
}

func (e *examinee) read(s data.Signals, i int) {
	e.values = append(e.values[:0], data.Row[float64](s[teacher.Logits], i)...)
	for _, v := range data.Row[float32](s[teacher.Logits], i) {
		e.values = append(e.values, float64(v))
	}
}

// weightOf is that of row r, 1 where there are none.
func weightOf(weights []float32, r int) float64 {
	if r >= len(weights) {
		return 1
	}
	return float64(weights[r])
}

// logProbabilities are those of row r of the sample that was read.
func (e *examinee) logProbabilities(r int) []float64 {
	e.row = e.layout.row(e.row, e.values, r)
	kernel.LogSoftmax(e.row, e.row, 1)
	return e.row
}

// label grades the sample that was read by its labels, if they are classes.
func (e *examinee) label(task data.Task, labels []int, weights []float32) error {
	if task != data.Classification || len(labels) != e.layout.rows {
		return nil
	}
	for r, y := range labels {
		w := weightOf(weights, r)
		if y < 0 || w == 0 {
			continue
		}
		if y >= e.layout.choices() {
			return fmt.Errorf("the label is %d; want less than %d", y, e.layout.choices())
		}
		row := e.logProbabilities(r)
		first, right := argmax(row), 0.0
		if first == y {
			right = w
		}
		e.tallies[y].Rows += w
		e.tallies[y].Right += right
		e.nll -= w * row[y]
		confidence := math.Exp(row[first])
		bin := &e.bins[min(max(int(math.Ceil(confidence*bins))-1, 0), bins-1)]
		bin.Rows, bin.Confidence, bin.Accuracy = bin.Rows+w, bin.Confidence+w*confidence, bin.Accuracy+right
	}
	return nil
}

// compare grades the sample that was read by what the teacher says.
func (e *examinee) compare(task data.Task, t *examinee, labels []int, weights []float32) candidate {
	c := candidate{Sample: Sample{Label: -1, Teacher: -1, Model: -1}}
	if task != data.Classification {
		c.Distance = distance(task, t.values, e.values)
		return c
	}
	sum, total := 0.0, 0.0
	for r := range e.layout.rows {
		w := weightOf(weights, r)
		if w == 0 {
			continue
		}
		p, q := t.logProbabilities(r), e.logProbabilities(r)
		kl := divergence(p, q)
		sum, total = sum+w*kl, total+w
		a, b := argmax(p), argmax(q)
		e.kl, e.of = e.kl+w*kl, e.of+w
		if a == b {
			e.agreed += w
		}
		if e.confusion != nil {
			e.confusion[a][b] += w
		}
		if e.layout.rows == 1 {
			c.Teacher, c.Model, c.TeacherP, c.ModelP = a, b, math.Exp(p[a]), math.Exp(q[b])
			if len(labels) == 1 {
				c.Label = labels[0]
			}
		}
	}
	c.Distance = sum / total // NaN of a sample that does not count
	return c
}

// divergence is KL(p || q) of log probabilities.
func divergence(p, q []float64) float64 {
	kl := 0.0
	for k, v := range p {
		if !math.IsInf(v, -1) { // 0 log 0 = 0
			kl += math.Exp(v) * (v - q[k])
		}
	}
	return kl
}

// distance is that of answers which are no classes.
func distance(task data.Task, t, s []float64) float64 {
	sum := 0.0
	for i := range t {
		if task == data.MultiLabel {
			p, q := []float64{0, t[i]}, []float64{0, s[i]}
			kernel.LogSoftmax(p, p, 1)
			kernel.LogSoftmax(q, q, 1)
			sum += divergence(p, q)
			continue
		}
		sum += (t[i] - s[i]) * (t[i] - s[i])
	}
	if task == data.MultiLabel {
		return sum
	}
	return math.Sqrt(sum / float64(len(t)))
}

func argmax(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// A candidate is a sample that may be among the furthest.
type candidate struct {
	Sample
	pixels []float64
}

// keep keeps a sample as long as it is among the furthest. Its pixels are copied
// then.
func (e *examinee) keep(c candidate, pixels func() []float64) {
	if math.IsNaN(c.Distance) {
		return
	}
	at, _ := slices.BinarySearchFunc(e.apart, c, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.Distance, a.Distance), cmp.Compare(a.ID.Sample, b.ID.Sample), cmp.Compare(a.ID.View, b.ID.View))
	})
	if at == farthest {
		return
	}
	c.pixels = pixels()
	e.apart = slices.Insert(e.apart, at, c)
	e.apart = e.apart[:min(len(e.apart), farthest)]
}

// conclude is the examination of all that was seen.
func (x *examiner) conclude() (*Examination, error) {
	if x.samples == 0 {
		return nil, errors.New("report: Examine: the source is empty; want one batch or more")
	}
	all := &Examination{Task: x.spec.Task, Samples: x.samples}
	if x.spec.Task == data.Classification {
		all.Classes = slices.Clone(x.spec.Classes)
		for c := len(all.Classes); c < x.choices(); c++ {
			all.Classes = append(all.Classes, strconv.Itoa(c))
		}
	}
	if x.teacher != nil {
		g := x.teacher.grade()
		all.Teacher = &g
	}
	for _, e := range x.models {
		g := e.grade()
		pictures, err := x.camera.develop(e.apart)
		if err != nil {
			return nil, fmt.Errorf("report: Examine: %w", err)
		}
		for i, c := range e.apart {
			c.Picture = pictures[i]
			g.Apart = append(g.Apart, c.Sample)
		}
		all.Models = append(all.Models, g)
	}
	return all, nil
}

func (x *examiner) choices() int {
	if x.teacher != nil {
		return x.teacher.layout.choices()
	}
	return x.models[0].layout.choices()
}

// grade turns sums into means.
func (e *examinee) grade() Grade {
	g := Grade{Name: e.name, Agreement: e.agreed / e.of, TeacherKL: e.kl / e.of}
	if e.of > 0 {
		g.Confusion = e.confusion
	}
	labelled, right, gap := 0.0, 0.0, 0.0
	for _, t := range e.tallies {
		labelled, right = labelled+t.Rows, right+t.Right
	}
	g.Accuracy, g.NLL, g.ECE = right/labelled, e.nll/labelled, math.NaN()
	if labelled == 0 {
		return g
	}
	g.Classes = e.tallies
	for _, b := range e.bins {
		gap += math.Abs(b.Accuracy - b.Confidence)
		b.Confidence, b.Accuracy = b.Confidence/b.Rows, b.Accuracy/b.Rows
		g.Bins = append(g.Bins, b)
	}
	g.ECE = gap / labelled
	return g
}
