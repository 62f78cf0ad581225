package teacher

import (
	"errors"
	"math"
	"testing"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

func TestMean(t *testing.T) {
	f := data.Field{Shape: tensor.Shape{4}, Dtype: tensor.Float64}
	rows := func(v ...float64) Teacher {
		return fixed(logitsCard(f), data.Signals{Logits: tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(v))})
	}
	// 1e4 overflows exp: the average must stay in log space.
	z := [][]float64{
		{1, 2, 3, 4, 0, -1, 5, 2, 1e4, 0, 0, -1e4},
		{4, 3, 2, 0, 1, 1, 1, 1, 0, 1e4, 3, 0},
		{0, 0, 0, 9, -3, 2, 7, 7, 5, 6, 7, 8},
	}
	teachers := []Teacher{rows(z[0]...), rows(z[1]...), rows(z[2]...)}
	for _, weights := range [][]float64{nil, {1, 2, 5}} {
		shares := []float64{1. / 3, 1. / 3, 1. / 3}
		if weights != nil {
			shares = []float64{1. / 8, 2. / 8, 5. / 8}
		}
		logits := teach(t, Mean{Teachers: teachers, Weights: weights}, blank(3))
		probs := teach(t, Mean{Teachers: teachers, Weights: weights, Pool: PoolProbabilities}, blank(3))
		for at := range 12 {
			var sum, p float64
			for i := range z {
				sum += shares[i] * z[i][at]
				p += shares[i] * naiveSoftmax(z[i][at/4*4:at/4*4+4], at%4)
			}
			if got := logits[at]; math.Abs(got-sum) > 1e-9 {
				t.Errorf("weights %v: mean logit %d is %v; want %v", weights, at, got, sum)
			}
			if got := probs[at]; math.Abs(math.Exp(got)-p) > 1e-12 || math.IsInf(got, 0) {
				t.Errorf("weights %v: log mean probability %d is %v; want %v", weights, at, got, math.Log(p))
			}
		}
	}
}

func teach(t *testing.T, m Mean, b data.Batch) []float64 {
	t.Helper()
	s, err := m.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return floats(s[Logits])
}

func naiveSoftmax(z []float64, c int) float64 {
	var sum float64
	for _, v := range z {
		sum += math.Exp(v - z[c])
	}
	return 1 / sum
}

// The mean of one teacher is that teacher: bit by bit, or up to a constant.
func TestMeanOfOne(t *testing.T) {
	b := batchOf(t, toySet{}, 0)
	want, _ := toy(1).Teach(t.Context(), b)
	got, err := Mean{Teachers: []Teacher{toy(1)}}.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, got, data.Signals{Logits: want[Logits]})
}

// Probabilities stay a distribution, of token rows too.
func TestMeanIsADistribution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := data.Field{Shape: tensor.Shape{5, 3}, Dtype: tensor.Float32}
		m := Mean{Pool: PoolProbabilities}
		for range rapid.IntRange(1, 4).Draw(t, "teachers") {
			v := rapid.SliceOfN(rapid.Float32Range(-1e30, 1e30), 30, 30).Draw(t, "logits")
			logits := tensor.New(tensor.WithShape(2, 5, 3), tensor.WithBacking(v))
			m.Teachers = append(m.Teachers, fixed(logitsCard(f), data.Signals{Logits: logits}))
			m.Weights = append(m.Weights, rapid.Float64Range(1e-6, 1e6).Draw(t, "weight"))
		}
		s, err := m.Teach(t.Context(), blank(2))
		if err != nil {
			t.Fatal(err)
		}
		for row := floats(s[Logits]); len(row) > 0; row = row[3:] {
			if lse := kernel.LogSumExp(row[:3], 1); math.Abs(lse) > 1e-5 {
				t.Fatalf("probabilities %v have the sum exp(%v)", row[:3], lse)
			}
		}
	})
}

func TestMeanCard(t *testing.T) {
	seen := map[[32]byte]int{}
	for i, m := range []Mean{
		{Teachers: []Teacher{toy(1), toy(2)}},
		{Teachers: []Teacher{toy(1), toy(3)}},
		{Teachers: []Teacher{toy(1), toy(2)}, Weights: []float64{1, 2}},
		{Teachers: []Teacher{toy(1), toy(2)}, Pool: PoolProbabilities},
	} {
		card, err := m.Card()
		if err != nil {
			t.Fatal(err)
		}
		if len(card.Signals) != 1 || card.Signals[Logits].Size() != 6 || len(card.Classes) != 6 || card.Live {
			t.Errorf("card %v", card)
		}
		if j, ok := seen[card.Fingerprint]; ok {
			t.Errorf("mean %d has the fingerprint of %d", i, j)
		}
		seen[card.Fingerprint] = i
	}
	card, err := Mean{Teachers: []Teacher{toy(1), Live(toy(2))}}.Card()
	if err != nil || !card.Live {
		t.Errorf("live is %v, error %v; want true", card.Live, err)
	}
}

func TestMeanRefuses(t *testing.T) {
	with := func(change func(*Card)) Teacher {
		card := logitsCard(data.Field{Shape: tensor.Shape{6}, Dtype: tensor.Float32})
		change(&card)
		return fixed(card, nil)
	}
	field := func(f data.Field) Teacher { return with(func(c *Card) { c.Signals[Logits] = f }) }
	topk := with(func(c *Card) { c.Signals = map[string]data.Field{Logits + TopSuffix: c.Signals[Logits]} })
	broken := errors.New("broken")
	tests := []struct {
		mean  Mean
		words []string
	}{
		{Mean{}, []string{"Mean.Teachers is empty"}},
		{Mean{Teachers: []Teacher{toy(1), nil}}, []string{"Mean.Teachers[1] is nil"}},
		{Mean{Teachers: []Teacher{toy(1)}, Pool: 2}, []string{"Mean.Pool is 2"}},
		{Mean{Teachers: []Teacher{toy(1)}, Weights: []float64{}}, []string{"Mean.Weights has 0 elements"}},
		{Mean{Teachers: []Teacher{toy(1)}, Weights: []float64{0}}, []string{"Mean.Weights[0] is 0"}},
		{Mean{Teachers: []Teacher{toy(1)}, Weights: []float64{math.NaN()}}, []string{"Mean.Weights[0] is NaN"}},
		{Mean{Teachers: []Teacher{toy(1)}, Weights: []float64{math.Inf(1)}}, []string{"sum +Inf"}},
		{Mean{Teachers: []Teacher{toy(1), field(data.Field{Shape: tensor.Shape{7}, Dtype: tensor.Float32})}}, []string{"Teachers[1]", "(7)", "want (6)"}},
		{Mean{Teachers: []Teacher{toy(1), field(data.Field{Shape: tensor.Shape{6}, Dtype: tensor.Float64})}}, []string{"Teachers[1]", "float64"}},
		{Mean{Teachers: []Teacher{field(data.Field{Shape: tensor.Shape{6}, Dtype: tensor.Int})}}, []string{"float type"}},
		{Mean{Teachers: []Teacher{field(data.Field{Dtype: tensor.Float32})}, Pool: PoolProbabilities}, []string{"(C) or (T, C)"}},
		{Mean{Teachers: []Teacher{toy(1), topk}}, []string{"Teachers[1]", "dense logits"}},
		{Mean{Teachers: []Teacher{toy(1), with(func(c *Card) { c.Classes = []string{"b", "a", "c", "d", "e", "f"} })}}, []string{"Teachers[1]", "classes"}},
		{Mean{Teachers: []Teacher{failing{broken}}}, []string{"Teachers[0]: broken"}},
	}
	for _, test := range tests {
		_, err := test.mean.Card()
		wantError(t, err, nil, test.words...)
	}
}

func TestMeanChecksAnswers(t *testing.T) {
	card := logitsCard(data.Field{Shape: tensor.Shape{3}, Dtype: tensor.Float32})
	good := fixed(card, data.Signals{Logits: matrix(4, 3, make([]float32, 12)...)})
	tests := []struct {
		second Teacher
		words  []string
	}{
		{fixed(card, nil), []string{"Teachers[1]", "missing"}},
		{fixed(card, data.Signals{Logits: matrix(4, 5, make([]float32, 20)...)}), []string{"Teachers[1]", "(4, 5); want (4, 3)"}},
		{failing{errors.New("broken")}, []string{"Teachers[1]: broken"}},
	}
	for _, test := range tests {
		_, err := Mean{Teachers: []Teacher{good, test.second}}.Teach(t.Context(), blank(4))
		wantError(t, err, nil, test.words...)
		_, err = Mean{Teachers: []Teacher{test.second, test.second}}.Teach(t.Context(), blank(6))
		wantError(t, err, nil, "Teachers[0]")
	}
	vector := data.Signals{Logits: tensor.New(tensor.WithShape(4), tensor.Of(tensor.Float32))}
	_, err := Mean{Teachers: []Teacher{fixed(card, vector)}, Pool: PoolProbabilities}.Teach(t.Context(), blank(4))
	wantError(t, err, nil, "(C) or (T, C)")
}

// Numbers and pixels have logits of any shape.
func TestMeanOfAnyShape(t *testing.T) {
	for _, shape := range []tensor.Shape{{}, {3, 4, 5}} {
		f := data.Field{Shape: shape, Dtype: tensor.Float32}
		of := func(v float64) Teacher {
			values := make([]float64, 6*f.Size())
			for i := range values {
				values[i] = v + float64(i)
			}
			return fixed(logitsCard(f), data.Signals{Logits: dense(f, 6, values)})
		}
		m := Mean{Teachers: []Teacher{of(1), of(4)}, Weights: []float64{2, 1}}
		card, err := m.Card()
		if err != nil || !card.Signals[Logits].Shape.Eq(shape) {
			t.Fatalf("card %v, error %v", card, err)
		}
		for i, v := range teach(t, m, blank(6)) {
			if math.Abs(v-float64(i+2)) > 1e-5 {
				t.Fatalf("%v: element %d is %v; want %d", shape, i, v, i+2)
			}
		}
	}
}
