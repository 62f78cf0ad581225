package teacher

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// Each sample is answered as its own teacher would, who sees no other.
func TestRoute(t *testing.T) {
	b := batchOf(t, toySet{}, 0)
	b.Label.Ints()[2] = data.Unlabelled
	one, two, three := toy(1), toy(2), toy(3)
	teachers := []Teacher{one, two, three}
	seen := make([][]uint64, 3)
	r := Route{To: ByLabel([]int{1, 0, 0, 1, 1, 0}, 2)}
	for i, tr := range []Func{one, two, three} {
		do := tr.Do
		tr.Do = func(ctx context.Context, some data.Batch) (data.Signals, error) {
			for n, id := range some.ID {
				seen[i] = append(seen[i], id.Sample)
				at := slices.Index(b.ID, id)
				for _, pair := range [][2][]float32{
					{data.Row[float32](some.In["x"], n), data.Row[float32](b.In["x"], at)},
					{data.Row[float32](some.Weight, n), data.Row[float32](b.Weight, at)},
				} {
					if !slices.Equal(pair[0], pair[1]) {
						t.Errorf("teacher %d sees %v of sample %d; want %v", i, pair[0], id.Sample, pair[1])
					}
				}
				if !slices.Equal(data.Row[int](some.In["mask"], n), data.Row[int](b.In["mask"], at)) || some.Label.Ints()[n] != b.Label.Ints()[at] {
					t.Errorf("teacher %d sees another mask or label of sample %d", i, id.Sample)
				}
			}
			return do(ctx, some)
		}
		r.Teachers = append(r.Teachers, tr)
	}
	got := answer(t, r, b)
	card, err := r.Card()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(card, b, got); err != nil {
		t.Fatal(err)
	}
	of := []int{1, 0, 0, 1, 1, 0}
	want := make([][]uint64, 3)
	for row, id := range b.ID {
		i := 2
		if y := b.Label.Ints()[row]; y >= 0 {
			i = of[y]
		}
		want[i] = append(want[i], id.Sample)
		all := answer(t, teachers[i], b)
		for name := range all {
			if string(bits(gather(got[name], []int{row}))) != string(bits(gather(all[name], []int{row}))) {
				t.Errorf("sample %d: %q is not what teacher %d says", id.Sample, name, i)
			}
		}
	}
	for i := range want {
		if !slices.Equal(seen[i], want[i]) || len(want[i]) == 0 {
			t.Errorf("teacher %d was asked about %v; want %v", i, seen[i], want[i])
		}
	}
}

// A route is recorded as any teacher is, and none without a rule.
func TestRouteIsRecorded(t *testing.T) {
	r := Route{Teachers: []Teacher{toy(1), toy(2)}, To: ByLabel([]int{1, 0, 0, 1, 1, 0}, 0), Rule: "six"}
	b := batchOf(t, toySet{}, 0)
	sameBits(t, answer(t, record(t, r, toySet{}, t.TempDir(), Recording{Batch: 3}), b), answer(t, r, b))
	r.Rule = ""
	_, err := Record(t.Context(), r, toySet{}, t.TempDir(), Recording{})
	wantError(t, err, nil, "Fingerprint")
}

// Nobody is asked about nothing, and of a whole batch there is no copy.
func TestRouteToOne(t *testing.T) {
	b := batchOf(t, toySet{}, 0)
	r := Route{Teachers: []Teacher{failing{errors.New("asked")}, toy(1)}, To: func(data.Batch, int) (int, error) { return 1, nil }}
	sameBits(t, answer(t, r, b), answer(t, toy(1), b))
	if whole := choose(b, []int{0, 1, 2, 3, 4, 5, 6}); whole.In["x"] != b.In["x"] {
		t.Error("the whole batch is a copy")
	}
}

func TestRouteCard(t *testing.T) {
	to := ByLabel([]int{0, 1, 0, 1, 0, 1}, 0)
	seen := map[[32]byte]int{}
	for i, r := range []Route{
		{Teachers: []Teacher{toy(1), toy(2)}, To: to, Rule: "odd"},
		{Teachers: []Teacher{toy(2), toy(1)}, To: to, Rule: "odd"},
		{Teachers: []Teacher{toy(1), toy(2)}, To: to, Rule: "even"},
		{Teachers: []Teacher{toy(1), toy(2)}, To: to},
	} {
		card, err := r.Card()
		if err != nil {
			t.Fatal(err)
		}
		if len(card.Signals) != 4 || len(card.Classes) != 6 || card.Live {
			t.Errorf("card %v", card)
		}
		if j, ok := seen[card.Fingerprint]; ok {
			t.Errorf("route %d has the fingerprint of %d", i, j)
		}
		if (card.Fingerprint == [32]byte{}) != (r.Rule == "") {
			t.Errorf("rule %q, fingerprint %x", r.Rule, card.Fingerprint)
		}
		seen[card.Fingerprint] = i
	}
	card, err := Route{Teachers: []Teacher{toy(1), Live(toy(2))}, To: to, Rule: "odd"}.Card()
	if err != nil || !card.Live {
		t.Errorf("live is %v, error %v; want true", card.Live, err)
	}
}

func TestRouteRefuses(t *testing.T) {
	b := batchOf(t, toySet{}, 0)
	all := func(i int, err error) func(data.Batch, int) (int, error) {
		return func(data.Batch, int) (int, error) { return i, err }
	}
	other := toy(2)
	other.Says.Classes = []string{"b", "a", "c", "d", "e", "f"}
	less := toy(2)
	less.Says.Signals = map[string]data.Field{Logits: less.Says.Signals[Logits]}
	tempered := toy(2)
	tempered.Says.Temps = []float64{4}
	for _, test := range []struct {
		r     Route
		words []string
	}{
		{Route{Teachers: []Teacher{toy(1)}}, []string{"Route.To is nil"}},
		{Route{To: all(0, nil)}, []string{"Route.Teachers is empty"}},
		{Route{Teachers: []Teacher{toy(1), nil}, To: all(0, nil)}, []string{"Route.Teachers[1] is nil"}},
	} {
		_, err := test.r.Card()
		wantError(t, err, nil, test.words...)
		_, err = test.r.Teach(t.Context(), b)
		wantError(t, err, nil, test.words...)
	}
	for want, second := range map[string]Teacher{
		"Route.Teachers[1] has other classes":      other,
		"Route.Teachers[1] has other signals":      less,
		"Route.Teachers[1] has other temperatures": tempered,
		"Route.Teachers[1]: broken":                failing{errors.New("broken")},
	} {
		_, err := Route{Teachers: []Teacher{toy(1), second}, To: all(0, nil)}.Card()
		wantError(t, err, nil, want)
	}
	broken := errors.New("broken")
	rule := func(to func(data.Batch, int) (int, error)) Route {
		return Route{Teachers: []Teacher{toy(1), failing{broken}, fixed(toy(1).Says, nil)}, To: to}
	}
	half := func(b data.Batch, r int) (int, error) { return r % 2 * 2, nil }
	soft := b
	soft.Label = tensor.New(tensor.WithShape(10, 6), tensor.Of(tensor.Float32))
	short := b
	short.In = data.Signals{"x": tensor.New(tensor.WithShape(3, 3, 5), tensor.Of(tensor.Float32))}
	light := b
	light.Weight = tensor.New(tensor.WithShape(4), tensor.Of(tensor.Float32))
	for _, test := range []struct {
		r     Route
		b     data.Batch
		is    error
		words []string
	}{
		{rule(all(3, nil)), b, nil, []string{"Route.To says 3 of sample", "want 0 to 2"}},
		{rule(all(-1, nil)), b, nil, []string{"Route.To says -1"}},
		{rule(all(0, broken)), b, broken, []string{"Route.To: sample"}},
		{rule(all(1, nil)), b, broken, []string{"Route.Teachers[1]"}},
		{rule(half), b, nil, []string{"Route.Teachers[2]", "missing"}},
		{rule(ByLabel([]int{0, 1}, 0)), b, nil, []string{"ByLabel has teachers for 2 classes"}},
		{rule(ByLabel([]int{0, 1}, 0)), soft, nil, []string{"(10, 6) of float32; ByLabel wants one class"}},
		{rule(all(0, nil)), data.Batch{}, nil, []string{"Batch.N is 0"}},
		{rule(all(0, nil)), short, nil, []string{`input "x"`, "7 samples"}},
		{rule(all(0, nil)), light, nil, []string{"labels or weights", "7 samples"}},
	} {
		_, err := test.r.Teach(t.Context(), test.b)
		wantError(t, err, test.is, test.words...)
	}
	none := b
	none.Label = nil
	sameBits(t, answer(t, rule(ByLabel(nil, 0)), none), answer(t, toy(1), b))
}

// Of three teachers each is the surest of some rows, and hand-computed.
func TestSurest(t *testing.T) {
	f := data.Field{Shape: tensor.Shape{3}, Dtype: tensor.Float64}
	rows := func(v ...float64) Teacher {
		return fixed(logitsCard(f), data.Signals{Logits: tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(v))})
	}
	ln := math.Log
	// Probabilities: the largest are .6, .5 and .4 of row 0, and so on. Of row 3
	// the first has the larger one, .52, and the second the smaller entropy:
	// .52 .24 .24 is 1.025 nats, .5 .49 .01 is 0.742.
	z := [][]float64{
		{ln(.6), ln(.3), ln(.1), 0, 0, 0, 5000, 4999, 4998, ln(.52), ln(.24), ln(.24)},
		{ln(.2), ln(.5), ln(.3), 1, 1, 0, 0, 3000, 0, ln(.5), ln(.49), ln(.01)},
		{ln(.4), ln(.3), ln(.3), 2, 1, 2.5, 1, 1, 1, 7, 7, 7},
	}
	teachers := []Teacher{rows(z[0]...), rows(z[1]...), rows(z[2]...)}
	for by, picks := range map[Sureness][]int{SureTop: {0, 2, 1, 0}, SureEntropy: {0, 2, 1, 1}} {
		got := answer(t, Surest{Teachers: teachers, By: by}, blank(4))[Logits].Float64s()
		for r, i := range picks {
			if want := z[i][3*r : 3*r+3]; !slices.Equal(got[3*r:3*r+3], want) {
				t.Errorf("by %d: row %d is %v; want %v of teacher %d", by, r, got[3*r:3*r+3], want, i)
			}
		}
	}
}

// The rows of tokens have teachers of their own; of equals the first is taken.
func TestSurestOfTokens(t *testing.T) {
	f := data.Field{Shape: tensor.Shape{3, 4}, Dtype: tensor.Float32}
	z := [2][]float32{make([]float32, 5*3*4), make([]float32, 5*3*4)}
	for r := range 15 {
		z[r%2][4*r+r%4] = 9 // the other is uniform
	}
	z[1][4*14], z[0][4*14+2] = 9, 9
	teachers := make([]Teacher, 2)
	for i := range z {
		teachers[i] = fixed(logitsCard(f), data.Signals{Logits: tensor.New(tensor.WithShape(5, 3, 4), tensor.WithBacking(z[i]))})
	}
	got := answer(t, Surest{Teachers: teachers}, blank(5))[Logits]
	for r := range 15 {
		if want := z[r%2][4*r : 4*r+4]; !slices.Equal(got.Float32s()[4*r:4*r+4], want) {
			t.Errorf("row %d is %v; want %v", r, got.Float32s()[4*r:4*r+4], want)
		}
	}
}

func TestSurestCard(t *testing.T) {
	seen := map[[32]byte]int{}
	for i, s := range []Surest{
		{Teachers: []Teacher{toy(1), toy(2)}},
		{Teachers: []Teacher{toy(2), toy(1)}},
		{Teachers: []Teacher{toy(1), toy(2)}, By: SureEntropy},
	} {
		card, err := s.Card()
		if err != nil || len(card.Signals) != 1 || card.Signals[Logits].Size() != 6 || len(card.Classes) != 6 {
			t.Errorf("card %v, error %v", card, err)
		}
		if j, ok := seen[card.Fingerprint]; ok {
			t.Errorf("%d has the fingerprint of %d", i, j)
		}
		seen[card.Fingerprint] = i
	}
	pixels := fixed(logitsCard(data.Field{Shape: tensor.Shape{3, 4, 5}, Dtype: tensor.Float32}), nil)
	for want, s := range map[string]Surest{
		"Surest.Teachers is empty":      {},
		"Surest.Teachers[1] is nil":     {Teachers: []Teacher{toy(1), nil}},
		"Surest.By is 2":                {Teachers: []Teacher{toy(1)}, By: 2},
		"(C) or (T, C)":                 {Teachers: []Teacher{pixels}},
		"Surest.Teachers[0]: broken":    {Teachers: []Teacher{failing{errors.New("broken")}}},
		"Surest.Teachers[1] has logits": {Teachers: []Teacher{toy(1), zoo()}},
	} {
		_, err := s.Card()
		wantError(t, err, nil, want)
	}
	_, err := Surest{}.Teach(t.Context(), blank(3))
	wantError(t, err, nil, "Surest.Teachers is empty")
	_, err = Surest{Teachers: []Teacher{zoo()}}.Teach(t.Context(), blank(4))
	wantError(t, err, nil, "Surest.Teachers[0]", "(3, 5); want (4, 5)")
}

// Teachers made of others pass on what these cannot answer.
func TestCombinationsCover(t *testing.T) {
	c := record(t, toy(1), toySet{views: 3}, t.TempDir(), Recording{})
	to := func(data.Batch, int) (int, error) { return 0, nil }
	for name, tr := range map[string]guard{
		"Mean":   Mean{Teachers: []Teacher{toy(2), c}},
		"Named":  Named{"a": toy(2), "b": c},
		"Live":   Live(c).(guard),
		"Or":     Or(c, toy(1)).(guard),
		"Route":  Route{Teachers: []Teacher{toy(2), c}, To: to},
		"Surest": Surest{Teachers: []Teacher{toy(2), c}},
		"Select": selectOf(t, Select{Classes: classes[1:4]}, c).(guard),
	} {
		if err := tr.Covers(toySet{views: 3}.Spec()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := tr.Covers(toySet{views: 4}.Spec())
		wantError(t, err, ErrMissing, "4 views; 3 were recorded")
	}
}
