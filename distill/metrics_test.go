package distill

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

var approximately = cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-9)}

// logits are those of rows of probabilities.
func logits[T floating](rows ...[]float64) *tensor.Dense {
	var z []float64
	for _, row := range rows {
		for _, p := range row {
			z = append(z, math.Log(p)+3) // softmax does not see the 3
		}
	}
	return dense[T](z, len(rows), len(rows[0]))
}

func TestMeter(t *testing.T) {
	nan := math.NaN()
	student := logits[float64]([]float64{0.7, 0.2, 0.1}, []float64{0.5, 0.25, 0.25}, []float64{0.2, 0.2, 0.6})
	teacher := logits[float64]([]float64{0.5, 0.5, 0}, []float64{0.25, 0.25, 0.5}, []float64{0.2, 0.2, 0.6})
	top := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]int{0, 1, 2, 0, 2, 9}))
	kl1 := 0.5*math.Log(0.5/0.7) + 0.5*math.Log(0.5/0.2)
	kl2 := 0.25*math.Log(0.25/0.5) + 0.5*math.Log(0.5/0.25)
	tests := map[string]struct {
		teacher *tensor.Dense
		labels  []int
		weights []float32
		want    Metrics
	}{
		"nothing": {want: Metrics{Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: nan, TeacherKL: nan}},
		"labels": {labels: []int{0, 1, 2}, want: Metrics{
			Accuracy: 2.0 / 3, Top5: 1, NLL: -math.Log(0.7*0.25*0.6) / 3,
			// Three bins: right at 0.7, wrong at 0.5, right at 0.6.
			ECE: (0.3 + 0.5 + 0.4) / 3, Agreement: nan, TeacherKL: nan,
		}},
		"some labels": {labels: []int{0, -1, 0}, want: Metrics{
			Accuracy: 0.5, Top5: 1, NLL: -math.Log(0.7*0.2) / 2, ECE: (0.3 + 0.6) / 2, Agreement: nan, TeacherKL: nan,
		}},
		"a teacher": {teacher: teacher, want: Metrics{
			Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: 2.0 / 3, TeacherKL: (kl1 + kl2) / 3,
		}},
		"a top-k teacher": {teacher: top, weights: []float32{3, 1, 1}, want: Metrics{
			Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: 0.8, TeacherKL: nan,
		}},
		"weights": {teacher: teacher, labels: []int{0, 1, 99}, weights: []float32{3, 1, 0}, want: Metrics{
			Accuracy: 0.75, Top5: 1, NLL: -(3*math.Log(0.7) + math.Log(0.25)) / 4, ECE: (3*0.3 + 0.5) / 4,
			Agreement: 0.75, TeacherKL: (3*kl1 + kl2) / 4,
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var m meter
			if err := m.add(student, test.teacher, test.labels, test.weights); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, m.metrics(), approximately); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMeterSharesBins(t *testing.T) {
	var m meter // two rows at 0.8, one of them right: their gaps cancel to 0.6
	row := []float64{0.8, 0.1, 0.1}
	if err := m.add(logits[float32](row, row), nil, []int{0, 1}, nil); err != nil {
		t.Fatal(err)
	}
	if got := m.metrics().ECE; math.Abs(got-0.3) > 1e-6 {
		t.Errorf("%v, want 0.3", got)
	}
}

func TestMeterIsStable(t *testing.T) {
	var m meter
	row := dense[float32]([]float64{1e4, 1e4, -1e4}, 1, 3)
	if err := m.add(row, row, []int{2}, nil); err != nil {
		t.Fatal(err)
	}
	if got := m.metrics(); math.Abs(got.NLL-2e4-math.Ln2) > 1e-9 || got.TeacherKL != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTopPlacesWithTies(t *testing.T) {
	tests := []struct {
		label     int
		row       []float64
		one, five float64
	}{
		{0, []float64{1, 1, 1, 1, 1, 1, 1}, 1, 1},
		{4, []float64{1, 1, 1, 1, 1, 1, 1}, 0, 1},
		{5, []float64{1, 1, 1, 1, 1, 1, 1}, 0, 0},
		{6, []float64{1, 2, 3, 4, 5, 6, 6}, 0, 1},
		{2, []float64{1, 2, 3, 4, 5, 6, 7}, 0, 1},
		{1, []float64{1, 2, 3, 4, 5, 6, 7}, 0, 0},
		{2, []float64{1, 2, 3}, 1, 1},
		{0, []float64{1e4, -1e4, math.Inf(-1)}, 1, 1},
		{0, []float64{math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()}, 0, 0},
	}
	for _, test := range tests {
		var m meter
		if err := m.add(dense[float32](test.row, 1, len(test.row)), nil, []int{test.label}, nil); err != nil {
			t.Fatal(err)
		}
		if got := m.metrics(); got.Accuracy != test.one || got.Top5 != test.five {
			t.Errorf("label %d of %v: accuracy %v and %v, want %v and %v", test.label, test.row, got.Accuracy, got.Top5, test.one, test.five)
		}
	}
}

// A weight of two is a row twice, and order and batches do not matter.
func TestMeterProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const classes = 7
		n := rapid.IntRange(1, 9).Draw(t, "rows")
		draw := func(name string) []float64 {
			return rapid.SliceOfN(rapid.Float64Range(-20, 20), n*classes, n*classes).Draw(t, name)
		}
		student, teacher := draw("student"), draw("teacher")
		labels := rapid.SliceOfN(rapid.IntRange(-1, classes-1), n, n).Draw(t, "labels")
		weights := rapid.SliceOfN(rapid.IntRange(0, 3), n, n).Draw(t, "weights")

		var whole, split meter
		var w []float32
		for _, v := range weights {
			w = append(w, float32(v))
		}
		if err := whole.add(dense[float64](student, n, classes), dense[float64](teacher, n, classes), labels, w); err != nil {
			t.Fatal(err)
		}
		for r := n - 1; r >= 0; r-- {
			at := r * classes
			for range weights[r] {
				err := split.add(dense[float64](student[at:at+classes], 1, classes), dense[float64](teacher[at:at+classes], 1, classes), labels[r:r+1], nil)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff(split.metrics(), whole.metrics(), approximately); diff != "" {
			t.Fatal(diff)
		}
		if kl := whole.metrics().TeacherKL; kl < -1e-12 {
			t.Fatalf("a divergence of %v", kl)
		}
	})
}

func TestMeterRefuses(t *testing.T) {
	z := dense[float32](nil, 3, 4)
	tests := []struct {
		student, teacher *tensor.Dense
		labels           []int
		weights          []float32
		want             string
	}{
		{dense[float32](nil, 12), nil, nil, nil, "the student's logits are (12) of float32"},
		{tensor.New(tensor.WithShape(3, 4), tensor.Of(tensor.Int)), nil, nil, nil, "the student's logits are (3, 4) of int"},
		{z, dense[float32](nil, 3, 5), nil, nil, "the teacher's logits are (3, 5) of float32; want the student's (3, 4)"},
		{z, tensor.New(tensor.WithShape(3, 1), tensor.WithBacking([]int{0, 4, 0})), nil, nil, "the teacher's first class of row 1 is 4; want 0 to 3"},
		{z, tensor.New(tensor.WithShape(3, 1), tensor.WithBacking([]int{0, 3, -1})), nil, nil, "the teacher's first class of row 2 is -1; want 0 to 3"},
		{z, tensor.New(tensor.WithBacking([]int{0, 3, 1})), nil, nil, "the teacher's logits are (3) of int; want the student's (3, 4)"},
		{z, nil, []int{1, 2}, nil, "2 labels; want one for each of 3 rows"},
		{z, nil, []int{1, 2, 4}, nil, "the label of row 2 is 4; want less than 4"},
		{z, nil, nil, make([]float32, 5), "5 weights; want one for each of 3 rows"},
	}
	for _, test := range tests {
		checkError(t, new(meter).add(test.student, test.teacher, test.labels, test.weights), test.want)
	}
}

func TestBetter(t *testing.T) {
	nan := math.NaN()
	unlabelled := Metrics{Accuracy: nan, NLL: nan, TeacherKL: 1, Loss: 1}
	alone := Metrics{Accuracy: nan, NLL: nan, TeacherKL: nan, Loss: 1}
	with := func(m Metrics, change func(*Metrics)) Metrics { change(&m); return m }
	tests := map[string]struct {
		monitor Monitor
		a, b    Metrics
		want    bool
	}{
		"accuracy":         {nil, Metrics{Accuracy: 0.6, NLL: 9}, Metrics{Accuracy: 0.5}, true},
		"lower accuracy":   {nil, Metrics{Accuracy: 0.4}, Metrics{Accuracy: 0.5, NLL: 9}, false},
		"equal":            {nil, Metrics{Accuracy: 0.4}, Metrics{Accuracy: 0.4}, false},
		"a tie by NLL":     {nil, Metrics{Accuracy: 0.4, NLL: 1, Loss: 9}, Metrics{Accuracy: 0.4, NLL: 2}, true},
		"a tie by loss":    {nil, Metrics{Accuracy: 0.4, NLL: 1, Loss: 1}, Metrics{Accuracy: 0.4, NLL: 1, Loss: 2}, true},
		"without labels":   {nil, with(unlabelled, func(m *Metrics) { m.TeacherKL, m.Loss = 0.5, 9 }), unlabelled, true},
		"without anything": {nil, with(alone, func(m *Metrics) { m.Loss = 0.5 }), alone, true},
		"NaN is worse":     {ByLoss, Metrics{Loss: nan}, Metrics{Loss: 1e9}, false},
		"all beats NaN":    {ByLoss, Metrics{Loss: 1e9}, Metrics{Loss: nan}, true},
		"by NLL":           {ByNLL, Metrics{NLL: 1}, Metrics{NLL: 2, Accuracy: 1}, true},
		"by agreement":     {ByAgreement, Metrics{Agreement: 0.2}, Metrics{Agreement: 0.1}, true},
		"by divergence":    {ByTeacherKL, Metrics{TeacherKL: 0.2}, Metrics{TeacherKL: 0.1}, false},
	}
	for name, test := range tests {
		if got := test.monitor.better(test.a, test.b); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestMetricsJSON(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	m := Metrics{Rows: 3, Loss: inf, Terms: []TermValue{{"hard", nan, 0.5, 0}, {"soft", -inf, 1, 4}}, Accuracy: 0.1, Top5: nan, NLL: 1e-300, ECE: nan, Agreement: 1, TeacherKL: -inf}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"rows":3,"loss":"+Inf","terms":[{"name":"hard","value":null,"weight":0.5},{"name":"soft","value":"-Inf","weight":1,"temperature":4}],` +
		`"accuracy":0.1,"top5":null,"nll":1e-300,"ece":null,"agreement":1,"teacher_kl":"-Inf"}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	back := Metrics{Top5: 7}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`{"loss":"x"}`, `{"loss":{}}`, `{"rows":1.5}`, `[]`, `{"terms":[{"value":true}]}`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("no error for %s", bad)
		}
	}
}

func ExampleTermValue_MarshalJSON() {
	text, err := json.Marshal(TermValue{Name: "soft", Value: math.NaN(), Weight: 0.9})
	fmt.Println(string(text), err)
	// Output: {"name":"soft","value":null,"weight":0.9} <nil>
}
