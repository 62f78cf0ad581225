package distill

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/student"
)

// A featureCase is a loss with parameters of its own as testdata/features.py
// computes it in float64.
type featureCase struct {
	Method           string
	Config           map[string]float64
	Student, Teacher map[string]array
	Loss             float64
	Grads, Params    map[string]array
}

func (c featureCase) loss() Loss {
	int := func(name string) int { return int(c.Config[name]) }
	switch c.Method {
	case "hint":
		return Hint{Student: "a", Teacher: "b"}
	case "vid":
		return VID{Student: "a", Teacher: "b"}
	case "ofd":
		return OFD{Student: "a", Teacher: "b", Margin: []float64{-0.3, -0.1, -1.0, -0.6, -0.2}}
	case "fsp":
		return FSP{Student: [2]string{"a", "b"}, Teacher: [2]string{"a", "b"}}
	case "reviewkd":
		return ReviewKD{Student: []string{"a", "b", "c"}, Teacher: []string{"a", "b", "c"}, Width: int("width")}
	case "simkd":
		return SimKD{Student: "a", Teacher: "b"}
	case "crd":
		return CRD{Student: "a", Teacher: "b", Negatives: int("negatives"), Width: int("width"), T: c.Config["temperature"], Momentum: c.Config["momentum"]}
	}
	return nil
}

func TestFeatureLossesMatchPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/features.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []featureCase }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	done := map[string]int{}
	for i, c := range file.Cases {
		done[c.Method]++
		t.Run(fmt.Sprintf("%d/%s/float64", i, c.Method), func(t *testing.T) { compareFeatures[float64](t, c, 1e-9, 1e-9) })
		t.Run(fmt.Sprintf("%d/%s/float32", i, c.Method), func(t *testing.T) { compareFeatures[float32](t, c, 1e-4, 1e-5) })
	}
	want := map[string]int{"hint": 3, "vid": 2, "ofd": 1, "fsp": 1, "reviewkd": 2, "simkd": 2, "crd": 2}
	if !maps.Equal(done, want) {
		t.Errorf("the cases are %v; want %v", done, want)
	}
}

func compareFeatures[T floating](t *testing.T, c featureCase, valueTolerance, gradTolerance float64) {
	given := Case{Student: data.Signals{}, Teacher: data.Signals{}}
	for name, v := range c.Student {
		given.Student[name] = dense[T](v.Data, v.Shape...)
	}
	for name, v := range c.Teacher {
		given.Teacher[name] = dense[T](v.Data, v.Shape...)
	}
	trial := must(tryOn(c.loss(), given))
	byFormula(trial.own)
	var out outcome
	for step := range max(1, int(c.Config["steps"])) {
		out = trial.at(step)
	}
	if math.Abs(out.loss-c.Loss) > valueTolerance*math.Abs(c.Loss) {
		t.Errorf("the loss is %v, want %v", out.loss, c.Loss)
	}
	got, seen := gradsOf(trial), 0
	for _, want := range []map[string]array{c.Grads, c.Params} {
		largest := 0.0
		for _, g := range want {
			largest = max(largest, sizeOf(g.Data))
		}
		for name, g := range want {
			seen++
			if bad := off(got[name], g.Data); !(bad <= gradTolerance*largest) {
				t.Errorf("the gradient by %s is off by %v of %v", name, bad, largest)
			}
		}
	}
	if seen != len(got) {
		t.Errorf("there are gradients by %q", slices.Sorted(maps.Keys(got)))
	}
}

// A tried loss is on given values, with parameters of its own.
type tried struct {
	*trial
	own   *student.Params
	given Case
}

func tryOn(loss Loss, c Case) (*tried, error) {
	own := student.NewParams(0)
	t, err := newTrial(Term{Name: "loss", Loss: loss}, own, c)
	return &tried{t, own, c}, err
}

// at is what the loss comes to at a step.
func (t *tried) at(step int) outcome {
	out, _, err := t.run(step, t.given)
	if err != nil {
		panic(err)
	}
	return out
}

// gradsOf are the gradients of the last pass by the taps and by the loss's own
// parameters, without its scope.
func gradsOf(t *tried) map[string][]float64 {
	all := map[string][]float64{}
	for p, g := range t.program.Grads() {
		all[strings.TrimPrefix(p.Name, "loss.")] = slices.Clone(wide(g))
	}
	return all
}

// byFormula gives parameters the values of testdata/features.py, but for the scale
// of CRD, which begins unknown.
func byFormula(own *student.Params) {
	for p := range own.All() {
		name := strings.TrimPrefix(p.Name, "loss.")
		if strings.HasSuffix(name, ".norm") || strings.Contains(name, "running_") {
			continue
		}
		v := make([]float64, p.Value.Shape().TotalSize())
		for i := range v {
			v[i] = float64((i*7919+len(name)*104729+int(name[len(name)-1])*31)%997)/997 - 0.45
		}
		_ = copyPadded(p.Value, dense[float64](v, len(v)))
	}
}

func sizeOf(v []float64) (top float64) {
	for _, x := range v {
		top = max(top, math.Abs(x))
	}
	return top
}

// off is the largest difference, infinite between slices of other lengths.
func off(a, b []float64) (worst float64) {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	for i := range a {
		worst = max(worst, math.Abs(a[i]-b[i]))
	}
	return worst
}

// A feature loss under test, of taps and signals "a" and "b" of these shapes.
type featureTest struct {
	loss             Loss
	student, teacher map[string][]int
	has              property
}

// What the mathematics grants losses of features besides. What one has not, it is
// shown to lack, as those of logits are.
const (
	freeOfShift    property = 1 << (iota + 16) // what is added to all rows of a side changes nothing
	freeOfTurns                                // nor does an orthogonal map of both sides
	freeOfChannels                             // nor does the order of the channels of either side
	freeOfOrder                                // nor that of the rows
	seesMasked                                 // it looks at the batch by a norm, masked rows and all

	atTeacher = zeroAtTeacher | restsAtTeacher
	ofRows    = nonNegative | freeOfOrder | splits
	ofPairs   = nonNegative | freeOfOrder | atTeacher | freeOfTurns
)

func one(shape ...int) map[string][]int { return map[string][]int{"a": shape} }

var margins = []float64{-0.3, -0.2, -0.5, -1}

func featureTests() map[string]featureTest {
	rows, wide, maps, larger := one(5, 6), one(5, 3, 4), one(5, 3, 4, 6), one(5, 4, 7, 5)
	two := map[string][]int{"a": {5, 3, 7, 6}, "b": {5, 4, 3, 5}}
	layers := ReviewKD{Student: []string{"a", "b"}, Teacher: []string{"a", "b"}}
	return map[string]featureTest{
		"hint rows":  {Hint{"a", "a"}, rows, wide, ofRows},
		"hint maps":  {Hint{"a", "a"}, larger, one(5, 3, 4, 5), ofRows},
		"attention":  {AttentionTransfer{"a", "a", 0}, maps, larger, ofRows | atTeacher | symmetric | freeOfScale | freeOfChannels},
		"attention3": {AttentionTransfer{"a", "a", 3}, maps, larger, ofRows | atTeacher | symmetric | freeOfScale | freeOfChannels},
		"nst":        {NST{"a", "a"}, maps, larger, ofRows | atTeacher | symmetric | freeOfScale | freeOfChannels},
		"fsp":        {FSP{[2]string{"a", "b"}, [2]string{"a", "b"}}, two, two, ofRows | atTeacher | symmetric},
		"similarity": {SimilarityPreserving{"a", "a"}, rows, wide, ofPairs | symmetric | freeOfScale},
		"rkd":        {RKD{Student: "a", Teacher: "a"}, rows, wide, ofPairs | symmetric | freeOfShift | freeOfScale},
		"distances":  {RKD{Student: "a", Teacher: "a", Distance: 1}, rows, wide, ofPairs | symmetric | freeOfShift | freeOfScale},
		"angles":     {RKD{Student: "a", Teacher: "a", Angle: 1}, rows, wide, ofPairs | symmetric | freeOfShift | freeOfScale},
		"pkt":        {PKT{"a", "a"}, rows, wide, ofPairs | freeOfScale},
		"cc":         {CorrelationCongruence{Student: "a", Teacher: "a"}, rows, wide, ofPairs | symmetric},
		"cc unit":    {CorrelationCongruence{Student: "a", Teacher: "a", Order: 4, Unit: true}, rows, wide, ofPairs | symmetric | freeOfScale},
		"cc plain":   {CorrelationCongruence{Student: "a", Teacher: "a", Bilinear: true}, rows, wide, ofPairs | symmetric},
		"vid rows":   {VID{"a", "a"}, rows, wide, ofRows &^ nonNegative},
		"vid maps":   {VID{"a", "a"}, maps, larger, ofRows &^ nonNegative},
		"ofd":        {OFD{"a", "a", margins}, one(5, 3, 4, 5), larger, nonNegative | freeOfOrder | seesMasked},
		"review":     {layers, two, two, nonNegative | freeOfOrder | seesMasked},
		"simkd":      {SimKD{"a", "a"}, one(5, 4, 6, 5), larger, ofRows | atTeacher | symmetric},
		"crd":        {CRD{Student: "a", Teacher: "a", Negatives: 7, Width: 4}, rows, wide, nonNegative}, // it knows samples
	}
}

// of is a case of random values, all rows of which count.
func (f featureTest) of(seed uint64) Case {
	c := Case{Student: data.Signals{}, Teacher: data.Signals{}}
	for name, shape := range f.student {
		seed++
		c.Student[name] = gradcheck.Normal(seed, shape...)
	}
	for name, shape := range f.teacher {
		seed++
		c.Teacher[name] = gradcheck.Normal(seed+100, shape...)
	}
	return c
}

// without is the case with a row that does not count, of other values.
func (c Case) without(row int) Case {
	n := 0
	change := func(all data.Signals) data.Signals {
		out := data.Signals{}
		for name, v := range all {
			n = v.Shape()[0]
			changed := v.Clone().(*tensor.Dense)
			x := changed.Float64s()
			for i := row * len(x) / n; i < (row+1)*len(x)/n; i++ {
				x[i] = 3 - 2*x[i]
			}
			out[name] = changed
		}
		return out
	}
	c.Student, c.Teacher = change(c.Student), change(c.Teacher)
	w := make([]float32, n)
	for i := range w {
		w[i] = 1
	}
	w[row] = 0
	c.Weight = tensor.New(tensor.WithBacking(w))
	return c
}

// eachRow is the case with each row by f.
func eachRow(all data.Signals, f func(row []float64)) data.Signals {
	out := data.Signals{}
	for name, v := range all {
		c := v.Clone().(*tensor.Dense)
		n := c.Shape()[0]
		for r, size := 0, c.Shape().TotalSize()/n; r < n; r++ {
			f(c.Float64s()[r*size : (r+1)*size])
		}
		out[name] = c
	}
	return out
}

// rotated is an orthogonal map: a reflection.
func rotated(row []float64) {
	sum := 0.0
	for _, v := range row {
		sum += v
	}
	for i := range row {
		row[i] -= 2 * sum / float64(len(row))
	}
}

// rolled is the case with its rows in another order.
func rolled(all data.Signals) data.Signals {
	out := data.Signals{}
	for name, v := range all {
		x, size := v.Float64s(), v.Shape().TotalSize()/v.Shape()[0]
		out[name] = dense[float64](slices.Concat(x[2*size:], x[:2*size]), v.Shape()...)
	}
	return out
}

func TestFeatureLosses(t *testing.T) {
	for name, f := range featureTests() {
		t.Run(name, func(t *testing.T) {
			c := f.of(1)
			value, grads := evaluated(t, f.loss, c)
			if _, joint := f.loss.(Joint); joint != (f.has&splits == 0) {
				t.Errorf("it is Joint: %t; want that of losses that cannot be taken in parts", joint)
			}
			if value < 0 && f.has&nonNegative != 0 {
				t.Errorf("the loss is %v; want 0 or more", value)
			}
			if size := sizeOfAll(grads); len(grads) != len(f.student) || size == 0 {
				t.Errorf("gradients by %q, of size %v", slices.Collect(maps.Keys(grads)), size)
			}
			for _, same := range f.others(c) {
				v, _ := evaluated(t, f.loss, same.Case)
				tolerance := 1e-9
				if same.by == freeOfScale {
					tolerance = 1e-5 // for what PKT adds to norms
				}
				if equal := math.Abs(v-value) <= tolerance*math.Abs(value); equal != (f.has&same.by != 0) {
					t.Errorf("%s: the loss is %v and was %v; want the same: %t", same.what, v, value, !equal)
				}
			}
			first, _ := evaluated(t, f.loss, c.rows([]int{0, 1}))
			rest, _ := evaluated(t, f.loss, c.rows([]int{2, 3, 4}))
			if mean := (2*first + 3*rest) / 5; (math.Abs(mean-value) <= 1e-9*math.Abs(value)) != (f.has&splits != 0) {
				t.Errorf("in parts the loss is %v, and %v of all; want the same: %t", mean, value, f.has&splits != 0)
			}
			if f.has&zeroAtTeacher != 0 {
				v, g := evaluated(t, f.loss, Case{Student: c.Student, Teacher: c.Student})
				if size := sizeOfAll(g); math.Abs(v) > 1e-12 || size > 1e-8 { // PKT has an ε of 1e-7
					t.Errorf("of a student that is its teacher, the loss is %v and the gradient %v; want 0", v, size)
				}
			}
		})
	}
}

// An other case has the same loss as the first if that has a property.
type other struct {
	Case
	by   property
	what string
}

// others are those of c that the loss can be asked of: sides of a loss with
// parameters of its own cannot be swapped, for these have the shapes of both.
func (f featureTest) others(c Case) []other {
	all := []other{
		{Case{Student: eachRow(c.Student, raised), Teacher: c.Teacher}, freeOfShift, "the student shifted"},
		{Case{Student: c.Student, Teacher: eachRow(c.Teacher, raised)}, freeOfShift, "the teacher shifted"},
		{Case{Student: eachRow(c.Student, stretched(3)), Teacher: eachRow(c.Teacher, stretched(0.2))}, freeOfScale, "scaled"},
		{Case{Student: eachRow(c.Student, rotated), Teacher: eachRow(c.Teacher, rotated)}, freeOfTurns, "rotated"},
		{Case{Student: rolled(c.Student), Teacher: rolled(c.Teacher)}, freeOfOrder, "rows in another order"},
	}
	if f.has&zeroAtTeacher != 0 {
		all = append(all, other{Case{Student: c.Teacher, Teacher: c.Student}, symmetric, "swapped"})
	}
	if len(f.student["a"]) == 4 {
		all = append(all,
			other{Case{Student: eachRow(c.Student, next(f.student["a"])), Teacher: c.Teacher}, freeOfChannels, "the student's channels in another order"},
			other{Case{Student: c.Student, Teacher: eachRow(c.Teacher, next(f.teacher["a"]))}, freeOfChannels, "the teacher's channels in another order"})
	}
	return all
}

// raised adds a number to each of a row's, the same in all rows.
func raised(row []float64) {
	for i := range row {
		row[i] += 0.5 + math.Sin(float64(i))
	}
}

// stretched multiplies a row.
func stretched(k float64) func(row []float64) {
	return func(row []float64) {
		for i := range row {
			row[i] *= k
		}
	}
}

// next puts each channel where the next one was.
func next(shape []int) func(row []float64) {
	size := shape[2] * shape[3]
	return func(row []float64) { copy(row, slices.Concat(row[size:], row[:size])) }
}

// sizeOfAll is the largest gradient.
func sizeOfAll(grads map[string][]float64) (top float64) {
	for _, g := range grads {
		top = max(top, sizeOf(g))
	}
	return top
}

func evaluated(t *testing.T, loss Loss, c Case) (float64, map[string][]float64) {
	t.Helper()
	trial, err := tryOn(loss, c)
	if err != nil {
		t.Fatal(err)
	}
	value := trial.at(0).loss
	grads := gradsOf(trial)
	maps.DeleteFunc(grads, func(name string, _ []float64) bool { return c.Student[name] == nil })
	return value, grads
}

// Rows that do not count have no gradient, and what they are changes nothing: that
// they are there does not either.
func TestMaskedRowsOfFeatures(t *testing.T) {
	for name, f := range featureTests() {
		t.Run(name, func(t *testing.T) {
			const row = 4 // the last, so that CRD's samples have their places without it
			whole := f.of(1).without(row)
			value, grads := evaluated(t, f.loss, whole)
			for tap, g := range grads {
				if size := sizeOf(g[row*len(g)/5:]); size != 0 && f.has&seesMasked == 0 {
					t.Errorf("a row that does not count has a gradient of %v by %q", size, tap)
				}
			}
			if f.has&seesMasked != 0 {
				return // as the batch norms of a student do, it sees masked rows, but no padding
			}
			other := whole.without(row)
			if v, _ := evaluated(t, f.loss, other); v != value {
				t.Errorf("other values of a row that does not count make the loss %v; want %v", v, value)
			}
			if f.has&freeOfOrder == 0 {
				return // there is a sample less to draw
			}
			few := Case{Student: data.Signals{}, Teacher: data.Signals{}}
			for tap, v := range whole.Student {
				few.Student[tap] = dense[float64](v.Float64s()[:4*len(v.Float64s())/5], append([]int{4}, v.Shape()[1:]...)...)
			}
			for signal, v := range whole.Teacher {
				few.Teacher[signal] = dense[float64](v.Float64s()[:4*len(v.Float64s())/5], append([]int{4}, v.Shape()[1:]...)...)
			}
			fewer, less := evaluated(t, f.loss, few)
			if math.Abs(fewer-value) > 1e-12*math.Abs(value) {
				t.Errorf("without the row the loss is %v; want %v", fewer, value)
			}
			for tap, g := range less {
				if bad := off(grads[tap][:len(g)], g); !(bad <= 1e-12*sizeOf(g)) {
					t.Errorf("without the row the gradient by %q is off by %v", tap, bad)
				}
			}
		})
	}
}

// Gradients by the taps and by the loss's own parameters, against differences.
func TestFeatureGradients(t *testing.T) {
	for name, f := range featureTests() {
		t.Run(name, func(t *testing.T) {
			trial := must(tryOn(f.loss, f.of(7).without(1)))
			trial.at(0) // settles what CRD divides by
			before := map[*student.Param]*tensor.Dense{}
			for p := range trial.own.All() {
				before[p] = p.Value.Clone().(*tensor.Dense)
			}
			trial.at(0)
			for p, v := range before {
				_ = copyPadded(p.Value, v) // a memory has moved
			}
			look := must(trial.program.Only(trial.means[0]))
			at := func() float64 {
				if err := look.Run(0); err != nil {
					t.Fatal(err)
				}
				return look.Scalar(trial.means[0])
			}
			grads := gradsOf(trial)
			for p := range trial.program.Grads() {
				gradcheck.Compare(t, p.Name, at, p.Value.Float64s(), grads[strings.TrimPrefix(p.Name, "loss.")])
			}
		})
	}
}

// Features that are zeros, as behind a ReLU that is dead, or of any size to ±1e4, on
// either side, give numbers, in both precisions.
func TestFeaturesFarOut(t *testing.T) {
	for name, f := range featureTests() {
		c := f.of(1)
		for _, by := range [][2]float64{{0, 1}, {1, 0}, {0, 0}, {1e4, 1}, {1, 1e4}, {1e4, 1e4}, {1e4, 0}, {1e-4, 1e4}} {
			far := Case{Student: eachRow(c.Student, stretched(by[0])), Teacher: eachRow(c.Teacher, stretched(by[1]))}
			t.Run(fmt.Sprint(name, " by ", by), func(t *testing.T) {
				finiteFeatures(t, f.loss, far)
				finiteFeatures(t, f.loss, Case{Student: inFloat32(far.Student), Teacher: inFloat32(far.Teacher)})
			})
		}
	}
}

// inFloat32 are signals of float64.
func inFloat32(all data.Signals) data.Signals {
	out := data.Signals{}
	for name, v := range all {
		out[name] = dense[float32](v.Float64s(), v.Shape()...)
	}
	return out
}

func finiteFeatures(t *testing.T, loss Loss, c Case) {
	t.Helper()
	trial := must(tryOn(loss, c))
	if v := trial.at(0).loss; math.IsNaN(v) || math.IsInf(v, 0) {
		t.Errorf("the loss is %v", v)
	}
	for name, g := range gradsOf(trial) {
		for _, v := range g {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("the gradient by %s has %v", name, v)
				break
			}
		}
	}
}
