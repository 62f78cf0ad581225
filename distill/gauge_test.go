package distill

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
)

// batchOf are rows with labels and weights, nil for none and for 1 each.
func batchOf(n int, label *tensor.Dense, weights ...float64) data.Batch {
	if weights == nil {
		for range n {
			weights = append(weights, 1)
		}
	}
	return data.Batch{N: n, Label: label, Weight: dense[float32](weights, n)}
}

func TestQuestions(t *testing.T) {
	nan := math.NaN()
	student := dense[float32]([]float64{2, -1, 0.5, -3, 1, -0.5}, 2, 3)
	label := dense[float32]([]float64{1, 1, 0, 0, 1, 0.25}, 2, 3)
	teacher := dense[float32]([]float64{1, 1, 1, -1, -1, -1}, 2, 3)
	log := func(z float64) float64 { return -math.Log(1 / (1 + math.Exp(-z))) }
	first := log(2) + log(-1) + log(-0.5)
	second := log(3) + log(1) + 0.25*log(-0.5) + 0.75*log(0.5)
	kl := func(t, z float64) float64 {
		p, q := 1/(1+math.Exp(-t)), 1/(1+math.Exp(-z))
		return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
	}
	firstKL := kl(1, 2) + kl(1, -1) + kl(1, 0.5)
	secondKL := kl(-1, -3) + kl(-1, 1) + kl(-1, -0.5)
	for name, test := range map[string]struct {
		batch   data.Batch
		teacher *tensor.Dense
		want    Metrics
	}{
		"nothing": {batchOf(2, nil), nil, Metrics{Accuracy: nan, NLL: nan, Agreement: nan, TeacherKL: nan, Answers: &Answers{nan, nan}}},
		"labels": {batchOf(2, label), nil, Metrics{
			Accuracy: 4.0 / 6, NLL: (first + second) / 2, Agreement: nan, TeacherKL: nan,
			Answers: &Answers{F1: 4.0 / 6, AUROC: nan}, // 2 of both, 1 of each alone
		}},
		"weights": {batchOf(2, label, 3, 1), nil, Metrics{
			Accuracy: 6.0 / 12, NLL: (3*first + second) / 4, Agreement: nan, TeacherKL: nan,
			Answers: &Answers{F1: 8.0 / 14, AUROC: nan},
		}},
		"a teacher": {batchOf(2, nil, 3, 1), teacher, Metrics{
			Accuracy: nan, NLL: nan, Agreement: 8.0 / 12, TeacherKL: (3*firstKL + secondKL) / 4, Answers: &Answers{nan, nan},
		}},
	} {
		g := newGauge(data.Spec{Task: data.MultiLabel})
		if err := g.see(test.batch, student, test.teacher); err != nil {
			t.Fatal(err)
		}
		test.want.Top5, test.want.ECE = nan, nan
		if diff := cmp.Diff(test.want, g.metrics(), approximately); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRegression(t *testing.T) {
	nan := math.NaN()
	student := dense[float64]([]float64{1, 2, 5, 4, 3, 5, 9, 9, 9}, 3, 3)
	label := dense[float64]([]float64{0, 2, 5, 4, 7, 5, 0, 0, 5}, 3, 3) // the last never varies
	teacher := dense[float64]([]float64{1, 2, 3, 4, 3, 1, 0, 0, 0}, 3, 3)
	for name, test := range map[string]struct {
		batch   data.Batch
		teacher *tensor.Dense
		want    Numbers
	}{
		"nothing": {batchOf(3, nil), nil, Numbers{nan, nan, nan, nan}},
		"labels": {batchOf(3, label, 1, 1, 0), nil, Numbers{
			MAE: 5.0 / 6, RMSE: math.Sqrt(17.0 / 6), R2: (1 - 1.0/8 + 1 - 16/12.5) / 2, TeacherRMSE: nan,
		}},
		"weights": {batchOf(3, label, 3, 1, 0), nil, Numbers{
			MAE: 7.0 / 12, RMSE: math.Sqrt(19.0 / 12), R2: (1 - 3.0/12 + 1 - 16/18.75) / 2, TeacherRMSE: nan,
		}},
		"a teacher": {batchOf(3, nil, 3, 1, 0), teacher, Numbers{nan, nan, nan, math.Sqrt((3*4 + 16) / 12.0)}},
	} {
		g := newGauge(data.Spec{Task: data.Regression})
		if err := g.see(test.batch, student, test.teacher); err != nil {
			t.Fatal(err)
		}
		want := Metrics{Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: nan, TeacherKL: nan, Numbers: &test.want}
		if diff := cmp.Diff(want, g.metrics(), approximately); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// R² of labels far from 0 does not drown in them.
func TestRegressionFarFromZero(t *testing.T) {
	var near, far regression
	y, z := []float64{1, 2, 4}, []float64{1.5, 2, 3}
	shift := func(v []float64, by float64) *tensor.Dense {
		var all []float64
		for _, x := range v {
			all = append(all, x+by)
		}
		return dense[float64](all, 3, 1)
	}
	for g, by := range map[*regression]float64{&near: 0, &far: 1e9} {
		if err := g.see(batchOf(3, shift(y, by)), shift(z, by), nil); err != nil {
			t.Fatal(err)
		}
	}
	a, b := near.metrics().Numbers, far.metrics().Numbers
	if math.Abs(a.R2-b.R2) > 1e-6 || a.R2 != near.explained() {
		t.Errorf("R² is %v, and %v of the same 1e9 higher", a.R2, b.R2)
	}
}

func TestPixelMetrics(t *testing.T) {
	g := newGauge(data.Spec{Label: data.Field{Shape: tensor.Shape{1, 3}, Dtype: tensor.Int}})
	label := tensor.New(tensor.WithShape(2, 1, 3), tensor.WithBacking([]int{0, 0, 1, -1, 1, 0}))
	b := data.Batch{N: 2, Label: label, Weight: dense[float32]([]float64{1, 1, 1, 1, 2, 0}, 2, 1, 3)}
	z := logits[float32]([]float64{0.6, 0.2, 0.1, 0.1}, []float64{0.2, 0.6, 0.1, 0.1}, []float64{0.1, 0.7, 0.1, 0.1},
		[]float64{0, 0, 1, 0}, []float64{0.1, 0.2, 0.6, 0.1}, []float64{0, 0, 0, 1})
	if err := g.see(b, z, nil); err != nil {
		t.Fatal(err)
	}
	m := g.metrics()
	if want := (1.0/2 + 1.0/4 + 0) / 3; math.Abs(m.Pixels.IoU-want) > 1e-12 || math.Abs(m.Accuracy-2.0/5) > 1e-12 || m.Answers != nil {
		t.Errorf("%+v, %+v; want an IoU of %v and an accuracy of 2/5", m, m.Pixels, want)
	}
}

// A single logit, or two, are measured as classes and as one question.
func TestBinaryMetrics(t *testing.T) {
	label := tensor.New(tensor.WithBacking([]int{1, 0, 1, -1, 0}))
	one := dense[float64]([]float64{2, 1, -1, 7, -2}, 5, 1)
	two := dense[float64]([]float64{0, 2, 1, 2, 0, -1, 0, 7, 2, 0}, 5, 2)
	want := Answers{F1: 2.0 / 4, AUROC: 3.0 / 4}
	for _, z := range []*tensor.Dense{one, two} {
		g := newGauge(data.Spec{Label: data.Field{Dtype: tensor.Int}})
		if err := g.see(batchOf(5, label), z, z); err != nil {
			t.Fatal(err)
		}
		m := g.metrics()
		nll := (math.Log1p(math.Exp(-2)) + math.Log1p(math.Exp(1)) + math.Log1p(math.Exp(1)) + math.Log1p(math.Exp(-2))) / 4
		if m.Accuracy != 0.5 || m.Agreement != 1 || m.TeacherKL != 0 || math.Abs(m.NLL-nll) > 1e-12 || *m.Answers != want {
			t.Errorf("logits %v: %+v, %+v; want %+v", z.Shape(), m, *m.Answers, want)
		}
	}
}

// The area is the share of pairs that are in order.
func TestAUROC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type score struct {
			z, yes, weight float64
		}
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) score {
			return score{
				float64(rapid.IntRange(-6, 6).Draw(t, "z")) / 4,
				rapid.SampledFrom([]float64{0, 0.25, 1}).Draw(t, "yes"), float64(rapid.IntRange(0, 3).Draw(t, "weight")),
			}
		}), 1, 20).Draw(t, "scores")
		var m ranking
		won, pairs := 0.0, 0.0
		for _, a := range all {
			m.add(a.z, a.yes, a.weight)
			for _, b := range all {
				w := a.weight * a.yes * b.weight * (1 - b.yes)
				pairs += w
				switch {
				case a.z > b.z:
					won += w
				case a.z == b.z:
					won += w / 2
				}
			}
		}
		got, want := m.area(), won/pairs
		if !(math.Abs(got-want) < 1e-12) && !(math.IsNaN(got) && pairs == 0) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
	var m ranking
	m.add(math.NaN(), 1, 1)
	m.add(1, 0, 1)
	m.add(2, 1, 1)
	if v := m.area(); !math.IsNaN(v) {
		t.Errorf("%v of a score that is no number; want NaN", v)
	}
	m = ranking{}
	for i := range 1_000_000 {
		m.add(1+float64(i)/1e6, float64(i%2), 1)
	}
	if len(m.bins) > 2049 || math.Abs(m.area()-0.5) > 1e-3 {
		t.Errorf("%d bins for a million scores, an area of %v", len(m.bins), m.area())
	}
	if m = (ranking{}); !math.IsNaN(m.area()) {
		t.Error("an area of nothing")
	}
	m.add(math.Copysign(0, -1), 1, 1)
	m.add(0, 0, 1)
	if m.area() != 0.5 {
		t.Errorf("0 and -0 are no tie: %v", m.area())
	}
}

// Batches of any size are one.
func TestGaugesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "rows")
		draw := func(name string, low, high float64) []float64 {
			return rapid.SliceOfN(rapid.Float64Range(low, high), 3*n, 3*n).Draw(t, name)
		}
		z, taught, y := draw("student", -9, 9), draw("teacher", -9, 9), draw("label", 0, 1)
		for _, task := range []data.Task{data.MultiLabel, data.Regression} {
			whole, split := newGauge(data.Spec{Task: task}), newGauge(data.Spec{Task: task})
			see := func(g gauge, from, to int) {
				part := func(v []float64) *tensor.Dense { return dense[float64](v[3*from:3*to], to-from, 3) }
				if err := g.see(batchOf(to-from, part(y)), part(z), part(taught)); err != nil {
					t.Fatal(err)
				}
			}
			see(whole, 0, n)
			for r := range n {
				see(split, r, r+1)
			}
			if diff := cmp.Diff(whole.metrics(), split.metrics(), approximately); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestGaugesRefuse(t *testing.T) {
	for _, task := range []data.Task{data.MultiLabel, data.Regression} {
		err := newGauge(data.Spec{Task: task}).see(batchOf(3, dense[float32](nil, 3, 4)), dense[float32](nil, 3, 5), nil)
		checkError(t, err, "distill: the student's logits are (3, 5), the labels (3, 4); want a label for each")
	}
}

func TestMonitorsOfTasks(t *testing.T) {
	nan := math.NaN()
	numbers := func(rmse, taught float64) Metrics {
		return Metrics{Accuracy: nan, TeacherKL: nan, NLL: nan, Numbers: &Numbers{RMSE: rmse, TeacherRMSE: taught}}
	}
	for name, test := range map[string]struct {
		monitor Monitor
		a, b    Metrics
	}{
		"numbers":           {nil, numbers(1, 9), numbers(2, 1)},
		"without labels":    {nil, numbers(nan, 1), numbers(nan, 2)},
		"by the error":      {ByRMSE, numbers(1, 9), numbers(2, 1)},
		"by the teacher":    {ByTeacherRMSE, numbers(2, 1), numbers(1, 9)},
		"by F1":             {ByF1, Metrics{Answers: &Answers{F1: 0.5}}, Metrics{Answers: &Answers{F1: 0.4}, Accuracy: 1}},
		"F1 of no answers":  {ByF1, Metrics{Answers: &Answers{}}, Metrics{}},
		"RMSE of classes":   {ByRMSE, numbers(9, 9), Metrics{}},
		"a class's teacher": {ByTeacherRMSE, numbers(9, 9), Metrics{}},
	} {
		if !test.monitor.better(test.a, test.b) || test.monitor.better(test.b, test.a) {
			t.Errorf("%s: want the first to be better", name)
		}
	}
}

func TestMetricsOfTasksInJSON(t *testing.T) {
	nan := math.NaN()
	m := Metrics{Answers: &Answers{F1: 0.5, AUROC: nan}, Numbers: &Numbers{1, math.Inf(1), nan, 4}, Pixels: &Pixels{IoU: 0.25}}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"rows":0,"loss":0,"terms":null,"accuracy":0,"top5":0,"nll":0,"ece":0,"agreement":0,"teacher_kl":0,` +
		`"answers":{"f1":0.5,"auroc":null},"numbers":{"mae":1,"rmse":"+Inf","r2":null,"teacher_rmse":4},"pixels":{"iou":0.25}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	var back Metrics
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	back = Metrics{}
	if err := json.Unmarshal([]byte(`{"answers":{},"numbers":{},"pixels":{}}`), &back); err != nil || !math.IsNaN(back.Answers.F1) || !math.IsNaN(back.Numbers.R2) || !math.IsNaN(back.Pixels.IoU) {
		t.Errorf("error %v, %+v; want NaN for what is absent", err, back)
	}
}
