package distill

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// pictures are n samples (6, 5), of classes that mean nothing.
func pictures[T floating](n int) data.Set {
	x, y := gradcheck.Normal(5, n, 6, 5), make([]int, n)
	for i := range y {
		y[i] = i % 3
	}
	return must(data.NewMemory(data.Signals{"x": dense[T](x.Float64s(), n, 6, 5)}, tensor.New(tensor.WithBacking(y)), []string{"a", "b", "c"}))
}

// convolutions is a network with a tap for each layer: the first keeps the size of
// an image, the second halves it, and others keep that.
func convolutions(spec data.Spec, seed uint64, channels ...int) *student.Model {
	return must(student.New(student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x, taps := in["x"], student.Taps{}
		for i, c := range channels {
			conv := student.Conv2d{Out: c, Kernel: 3, Pad: 1, Act: student.ReLU}
			if i == 1 {
				conv.Stride = 2
			}
			name := fmt.Sprint("conv", i+1)
			x = b.Layer(name, conv, x)
			taps[name] = x
		}
		taps["pool"] = b.GlobalAvgPool2d(x)
		taps["logits"] = b.Layer("fc", student.Linear{Out: len(spec.Classes)}, taps["pool"])
		return taps
	}), spec, seed))
}

// featureLosses are those of a student of two convolutions, and a teacher of three.
func featureLosses() map[string]Loss {
	first, last := [2]string{"conv1", "conv2"}, [2]string{"conv1", "conv3"}
	return map[string]Loss{
		"hint":       Hint{"conv2", "conv2"},
		"attention":  AttentionTransfer{"conv2", "conv1", 0},
		"nst":        NST{"conv1", "conv2"},
		"fsp":        FSP{first, last},
		"similarity": SimilarityPreserving{"pool", "pool"},
		"rkd":        RKD{Student: "conv2", Teacher: "pool"},
		"pkt":        PKT{"pool", "conv2"},
		"congruence": CorrelationCongruence{Student: "pool", Teacher: "conv3", Unit: true},
		"vid":        VID{"conv1", "conv2"},
		"ofd":        OFD{"conv2", "conv2", []float64{-0.1, -0.2, -0.3, -0.4, -0.5, -0.6}},
		"review":     ReviewKD{Student: []string{"conv1", "conv2", "pool"}, Teacher: []string{"conv1", "conv2", "pool"}},
		"simkd":      SimKD{"conv2", "conv3"},
		"crd":        CRD{Student: "pool", Teacher: "pool", Negatives: 50, Width: 16},
	}
}

func featureRun(set data.Set, batch int, loss Loss) *Run {
	return &Run{
		Student:   convolutions(set.Spec(), 1, 4, 5),
		Teacher:   teacher.Of(convolutions(set.Spec(), 2, 4, 6, 5), "conv1", "conv2", "conv3", "pool"),
		Terms:     []Term{{Name: "features", Loss: loss}},
		Train:     data.Loader{Set: set, Batch: batch, Seed: 3},
		Optimizer: SGD{Rate: Constant(0.01)},
		Epochs:    2,
		Seed:      5,
	}
}

// A step is an epoch: batches with padding do what those without do.
func TestPaddingOfFeatures(t *testing.T) {
	for name, loss := range featureLosses() {
		t.Run(name, func(t *testing.T) {
			set := pictures[float64](11)
			run := func(batch int) trace {
				r := featureRun(set, batch, loss)
				r.Train = data.Loader{Set: set, Batch: batch, InOrder: true}
				return traceOf(t, r)
			}
			want := run(11)
			if first, last := want.steps[0].Loss, want.steps[1].Loss; first == last {
				t.Errorf("the loss is %v after a step too", last)
			}
			sameTrace(t, run(16), want, 1e-9)
		})
	}
}

// Each loss falls when it is all there is to learn.
func TestFeaturesAreLearned(t *testing.T) {
	digits := must(data.Digits())
	for name, loss := range featureLosses() {
		t.Run(name, func(t *testing.T) {
			r := featureRun(digits.Train, 16, loss)
			r.Optimizer, r.Epochs, r.MaxSteps = Adam{Rate: Constant(0.01)}, 0, 40
			var losses []float64
			for _, s := range traceOf(t, r).steps {
				losses = append(losses, s.Loss)
			}
			if before, after := average(losses[:8]), average(losses[32:]); !(after < before) {
				t.Errorf("the loss went from %v to %v", before, after)
			}
		})
	}
}

func average(v []float64) (sum float64) {
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}

// manyFeatures has all losses with parameters, statistics and memories, of which the
// validation data has none.
func manyFeatures(dir string) *Run {
	set := pictures[float32](22)
	r := featureRun(set, 5, nil)
	r.Terms = nil
	for _, name := range []string{"hint", "vid", "ofd", "review", "crd"} {
		r.Terms = append(r.Terms, Term{Name: name, Weight: Constant(0.1), Loss: featureLosses()[name]})
	}
	r.Optimizer, r.Train, r.Valid = Adam{Rate: Constant(0.01)}, data.Loader{Set: set, Batch: 5, Seed: 3, DropLast: true}, data.Loader{Set: pictures[float32](13), Batch: 6, InOrder: true}
	r.AnyTeacher, r.Monitor = true, ByAccuracy
	r.Teacher = teacher.Of(convolutions(set.Spec(), 2, 4, 6, 5), "conv1", "conv2", "conv3", "pool", "logits")
	r.Dir, r.Resume = dir, true
	return r
}

// grafted is a run of SimKD.
func grafted(dir string) *Run {
	set := pictures[float32](22)
	large := convolutions(set.Spec(), 2, 4, 6, 5)
	r := featureRun(set, 5, SimKD{Teacher: "conv3"})
	r.Student = must(student.Graft{To: student.ResNet{Depth: 8, Out: 7}, Tap: "layer1", Head: "fc"}.From(large, 1))
	r.Teacher = teacher.Of(large, "conv3", "logits")
	r.Optimizer, r.Train = Adam{Rate: Constant(0.01)}, data.Loader{Set: set, Batch: 5, Seed: 3, DropLast: true}
	r.Dir, r.Resume = dir, true
	return r
}

func TestResumeOfFeatures(t *testing.T) {
	for name, make := range map[string]func(dir string) *Run{"many": manyFeatures, "graft": grafted} {
		t.Run(name, func(t *testing.T) {
			want := t.TempDir()
			fit(t, make(want))
			for _, k := range []int{1, 3, 4, 6} {
				dir := t.TempDir()
				for step, err := range make(dir).Steps(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					if step.N == k {
						break
					}
				}
				again := make(dir)
				fit(t, again)
				if !slices.Equal(checkpoint(t, dir), checkpoint(t, want)) {
					t.Errorf("stopped after step %d, the checkpoint differs", k)
				}
			}
		})
	}
}

// A checkpoint has the memories, and every one of them moved.
func TestMemoriesAreSaved(t *testing.T) {
	r := manyFeatures(t.TempDir())
	var memories [][]float64
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		state := must(step.State())
		for _, name := range []string{"param/crd.student.memory", "param/crd.teacher.memory"} {
			memories = append(memories, slices.Clone(wide(state.Tensors[name])))
		}
		for _, name := range []string{"param/crd.student.norm", "param/crd.teacher.norm"} {
			if v := wide(state.Tensors[name]); len(v) != 1 || !(v[0] > 0) {
				t.Errorf("%s is %v", name, v)
			}
		}
		for name := range state.Tensors {
			if strings.HasPrefix(name, "slot/") && (strings.Contains(name, "memory") || strings.Contains(name, "running")) {
				t.Errorf("the optimizer moves %s", name)
			}
		}
	}
	for i := 2; i < len(memories); i++ {
		moved := 0
		for j := range len(memories[i]) / 16 {
			if !slices.Equal(memories[i][j*16:(j+1)*16], memories[i-2][j*16:(j+1)*16]) {
				moved++
			}
		}
		if moved != 5 {
			t.Errorf("step %d moved %d rows of a memory; want those of its 5 samples", i/2+1, moved)
		}
	}
}

// Whatever a loss learns is moved by the first step, and nobody has registered it.
func TestProjectorsAreTrained(t *testing.T) {
	r := manyFeatures(t.TempDir())
	r.Resume, r.Optimizer = false, SGD{Rate: Constant(0.1), Momentum: 0.9}
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		momentum := must(step.State()).Tensors
		for _, name := range []string{"hint.regressor.weight", "vid.regressor.0.weight", "vid.regressor.2.weight", "vid.scale", "ofd.connector.0.weight", "ofd.connector.1.bias",
			"review.layer1.att_conv.weight", "review.layer3.conv2.0.weight", "crd.student.embed.weight", "crd.teacher.embed.weight"} {
			v := momentum["slot/momentum/"+name]
			if v == nil || sizeOf(wide(v)) == 0 {
				t.Errorf("the optimizer does not move %s", name)
			}
		}
		break
	}
}

// The student of SimKD answers with the teacher's head, which stays what it is.
func TestGraftLearns(t *testing.T) {
	r := grafted("")
	r.Resume, r.Epochs = false, 20
	head := map[string][]float64{}
	for p := range r.Student.Params() {
		if p.Frozen {
			head[p.Name] = slices.Clone(wide(p.Value))
		}
	}
	steps := traceOf(t, r).steps
	if first, last := steps[0].Loss, steps[len(steps)-1].Loss; !(last < first/2) {
		t.Errorf("the loss went from %v to %v", first, last)
	}
	if len(head) != 2 {
		t.Errorf("frozen are %q", slices.Collect(maps.Keys(head)))
	}
	for p := range r.Student.Params() {
		if v := head[p.Name]; v != nil && !slices.Equal(v, wide(p.Value)) {
			t.Errorf("%s has changed", p.Name)
		}
	}
}

// unlisted is a source that does not list its samples.
type unlisted struct{ data.Source }

func TestFeaturesRefuse(t *testing.T) {
	set := pictures[float32](11)
	fails := func(want string, change func(r *Run)) {
		t.Helper()
		r := featureRun(set, 4, nil)
		change(r)
		_, err := r.Fit(t.Context())
		checkError(t, err, want)
	}
	for want, loss := range map[string]Loss{
		"distill: Hint.Student or Hint.Teacher is empty":                                            Hint{Student: "conv1"},
		`tap "conv2" is (4, 5, 3, 3) and signal "conv1" (4, 4, 6, 5); Hint wants a map`:             Hint{"conv2", "conv1"},
		`tap "pool" is (4, 5) and signal "conv1" (4, 4, 6, 5); AttentionTransfer wants maps`:        AttentionTransfer{"pool", "conv1", 0},
		"distill: AttentionTransfer.Power is 0.5; want a finite number, 1 or more":                  AttentionTransfer{"conv1", "conv1", 0.5},
		`tap "conv1" is (4, 4, 6, 5) and signal "pool" (4, 5); NST wants maps (R, C, H, W) both`:    NST{"conv1", "pool"},
		`have (4, 5) channels and signals ["conv1" "conv2"] (4, 6); FSP wants as many`:              FSP{[2]string{"conv1", "conv2"}, [2]string{"conv1", "conv2"}},
		"distill: FSP.Student or FSP.Teacher has an empty name":                                     FSP{[2]string{"conv1", "conv2"}, [2]string{"conv1", ""}},
		"distill: RKD.Angle is -1; want a finite number, 0 or more":                                 RKD{Student: "pool", Teacher: "pool", Angle: -1},
		"distill: CorrelationCongruence.Bilinear is true beside Gamma 0.4 and Order 0; want either": CorrelationCongruence{Student: "pool", Teacher: "pool", Bilinear: true, Gamma: 0.4},
		"distill: CorrelationCongruence.Order is 11; want 1 to 10":                                  CorrelationCongruence{Student: "pool", Teacher: "pool", Order: 11},
		`OFD.Margin has 1 numbers and signal "conv2" 6 channels; want one each`:                     OFD{"conv2", "conv2", []float64{-1}},
		"distill: OFD.Margin[1] is 0.5; want a finite number, 0 or less":                            OFD{"conv2", "conv2", []float64{-1, 0.5}},
		`OFD wants a map of the teacher's that is no smaller`:                                       OFD{"conv1", "conv2", nil},
		"distill: ReviewKD has 1 taps in Student and 2 signals in Teacher; want as many":            ReviewKD{Student: []string{"conv1"}, Teacher: []string{"conv1", "conv2"}},
		"distill: ReviewKD.Width is -1; want 1 or more":                                             ReviewKD{Student: []string{"conv1"}, Teacher: []string{"conv1"}, Width: -1},
		`tap "conv2" is (4, 5, 3, 3) and signal "conv2" (4, 6, 3, 3); SimKD wants as many channels`: SimKD{"conv2", "conv2"},
		`no tap of the student is called "projected"`:                                               SimKD{Teacher: "conv2"},
		"distill: CRD.Negatives is -1; want 1 to 16777216":                                          CRD{Student: "pool", Teacher: "pool", Negatives: -1},
		"distill: CRD.T is 0.001; want a finite number, 0.01 or more":                               CRD{Student: "pool", Teacher: "pool", T: 0.001},
		"distill: CRD.Momentum is 1; want 0 or more and less than 1":                                CRD{Student: "pool", Teacher: "pool", Momentum: 1},
		"distill: CRD.Width is -1; want 1 or more":                                                  CRD{Student: "pool", Teacher: "pool", Width: -1},
		"distill: PKT.Student or PKT.Teacher is empty":                                              PKT{},
	} {
		fails(want, func(r *Run) { r.Terms = []Term{{Name: "features", Loss: loss}} })
	}
	crd := []Term{{Name: "crd", Loss: CRD{Student: "pool", Teacher: "pool", Negatives: 3}}}
	fails(`Run.Train is a distill.unlisted, which does not list its samples`, func(r *Run) { r.Terms, r.Train = crd, unlisted{r.Train} })
	fails(`the loss of "crd" couples rows; want 1`, func(r *Run) { r.Terms, r.Accumulate = crd, 2 })
	fails(`the training data lists 1 samples; CRD wants 2 or more`, func(r *Run) {
		r.Terms, r.Train = crd, data.Loader{Set: must(data.Subset(set, []int{3})), Batch: 1}
	})
	fails(`is of a sample that is none of the 3 which the training data lists`, func(r *Run) {
		r.Terms, r.Train = crd, misled{r.Train, data.Loader{Set: must(data.Subset(set, []int{0, 1, 2})), Batch: 1}}
	})
}

// Validation data have samples of their own, of which CRD remembers nothing: it has no
// gradient there, and another term has.
func TestMemoryOfOtherSamples(t *testing.T) {
	all := pictures[float32](22)
	r := manyFeatures("")
	r.Terms, r.Dir, r.Resume = []Term{{Name: "crd", Loss: featureLosses()["crd"]}, {Name: "pkt", Loss: PKT{"pool", "pool"}}}, "", false
	r.Train = data.Loader{Set: must(data.Subset(all, numbered(0, 15))), Batch: 5}
	r.Valid = data.Loader{Set: must(data.Subset(all, numbered(15, 22))), Batch: 7, InOrder: true}
	for _, s := range traceOf(t, r).steps {
		if !s.End {
			continue
		}
		var terms []string
		for _, g := range s.Gradients {
			terms = append(terms, g.Term)
		}
		if slices.Contains(terms, "crd") || !slices.Contains(terms, "pkt") {
			t.Errorf("after epoch %d the gradients on validation data are of %q; want those of pkt alone", s.Epoch, terms)
		}
	}
}

// numbered are the rows from first on, below end.
func numbered(first, end int) (rows []int) {
	for i := first; i < end; i++ {
		rows = append(rows, i)
	}
	return rows
}

// misled is a source that lists the samples of another one.
type misled struct {
	data.Source
	other data.Listed
}

func (s misled) IDs() iter.Seq[uint64] { return s.other.IDs() }

// A tap of tokens and a signal of samples are not compared, nor are both of samples
// where labels are of tokens.
func TestFeaturesOfOtherRows(t *testing.T) {
	tokens, samples := gradcheck.Normal(1, 3, 5, 4), gradcheck.Normal(2, 3, 4)
	for name, loss := range map[string]Loss{
		"Hint": Hint{"a", "a"}, "VID": VID{"a", "a"}, "SimKD": SimKD{"a", "a"}, "ReviewKD": ReviewKD{Student: []string{"a"}, Teacher: []string{"a"}},
		"SimilarityPreserving": SimilarityPreserving{"a", "a"}, "RKD": RKD{Student: "a", Teacher: "a"}, "PKT": PKT{"a", "a"},
		"CorrelationCongruence": CorrelationCongruence{Student: "a", Teacher: "a"}, "CRD": CRD{Student: "a", Teacher: "a"},
	} {
		for want, s := range map[string]*tensor.Dense{
			`tap "a" is (15, 4) and signal "a" (3, 4); ` + name + ` wants 15 rows of both`: tokens,
			`tap "a" is (3, 4) and signal "a" (3, 4); ` + name + ` wants 15 rows of both`:  samples,
		} {
			_, _, err := Evaluate(loss, Case{
				Student: data.Signals{"a": s}, Teacher: data.Signals{"a": samples},
				Label: tensor.New(tensor.WithShape(3, 5), tensor.WithBacking(make([]int, 15))),
			})
			checkError(t, err, want)
		}
	}
}
