package teacher

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// animals is a classifier of five classes that says the same of three samples.
func animals(z ...float64) Func {
	card := logitsCard(data.Field{Shape: tensor.Shape{5}, Dtype: tensor.Float64})
	card.Classes = []string{"beagle", "cat", "car", "poodle", "husky"}
	card.Signals["pool"] = data.Field{Shape: tensor.Shape{4}, Dtype: tensor.Float32}
	return fixed(card, data.Signals{
		Logits: tensor.New(tensor.WithShape(3, 5), tensor.WithBacking(z)),
		"pool": matrix(3, 4, make([]float32, 12)...),
	})
}

func zoo() Func {
	return animals(
		1, 2, 3, 4, 5,
		0, -1, 7, 2, 3,
		900, 5, -5, 901, -900, // exp overflows
	)
}

func selectOf(t *testing.T, s Select, from Teacher) Teacher {
	t.Helper()
	to, err := s.Of(from)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestSelect(t *testing.T) {
	to := selectOf(t, Select{
		Classes: []string{"cat", "dog", "vehicle", "husky"},
		From:    map[string][]string{"dog": {"poodle", "beagle"}, "vehicle": {"car"}},
	}, zoo())
	got := answer(t, to, blank(3))
	want := []float64{
		2, math.Log(math.Exp(4) + math.Exp(1)), 3, 5,
		-1, math.Log(math.Exp(2) + 1), 7, 3,
		5, 901 + math.Log1p(math.Exp(-1)), -5, -900,
	}
	for i, z := range got[Logits].Float64s() {
		if math.Abs(z-want[i]) > 1e-12 {
			t.Errorf("logit %d is %v; want %v", i, z, want[i])
		}
	}
	card, err := to.Card()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(card, blank(3), got); err != nil || len(got) != 2 {
		t.Errorf("%d signals, error %v; want the logits and the pool of the card", len(got), err)
	}
	if want := []string{"cat", "dog", "vehicle", "husky"}; !slices.Equal(card.Classes, want) {
		t.Errorf("classes %q; want %q", card.Classes, want)
	}
	if f := zoo().Says.Signals[Logits]; f.Shape[0] != 5 {
		t.Errorf("the teacher's card says %v now", f.Shape)
	}
}

// Probabilities are the teacher's, given that it is one of the classes.
func TestSelectIsConditional(t *testing.T) {
	z := answer(t, zoo(), blank(3))[Logits].Float64s()[:5]
	got := answer(t, selectOf(t, Select{
		Classes: []string{"dog", "car"},
		From:    map[string][]string{"dog": {"beagle", "poodle", "husky"}},
	}, zoo()), blank(3))[Logits].Float64s()[:2]
	dog := naiveSoftmax(z, 0) + naiveSoftmax(z, 3) + naiveSoftmax(z, 4)
	if want := dog / (dog + naiveSoftmax(z, 2)); math.Abs(naiveSoftmax(got, 0)-want) > 1e-12 {
		t.Errorf("a dog has probability %v; want %v", naiveSoftmax(got, 0), want)
	}
}

// What is only put in another order keeps its bits, of tokens in float32 too.
func TestSelectReorders(t *testing.T) {
	f := data.Field{Shape: tensor.Shape{3, 4}, Dtype: tensor.Float32}
	z := make([]float32, 5*3*4)
	for i := range z {
		z[i] = float32(math.Sin(float64(i)))
	}
	card := logitsCard(f)
	card.Classes = []string{"a", "b", "c", "d"}
	from := fixed(card, data.Signals{Logits: tensor.New(tensor.WithShape(5, 3, 4), tensor.WithBacking(z))})
	got := answer(t, selectOf(t, Select{Classes: []string{"d", "a", "b"}}, from), blank(5))[Logits]
	if !slices.Equal(got.Shape(), tensor.Shape{5, 3, 3}) {
		t.Fatalf("shape %v; want (5, 3, 3)", got.Shape())
	}
	for r := range 15 {
		if row, want := got.Float32s()[3*r:3*r+3], []float32{z[4*r+3], z[4*r], z[4*r+1]}; !slices.Equal(row, want) {
			t.Errorf("row %d is %v; want %v", r, row, want)
		}
	}
	back := selectOf(t, Select{Classes: classes}, selectOf(t, Select{Classes: []string{"f", "e", "d", "c", "b", "a"}}, toy(1)))
	b := batchOf(t, toySet{}, 0)
	sameBits(t, answer(t, back, b), answer(t, toy(1), b))
}

// Pixels are rows of classes like any other, whichever axis those are.
func TestSelectOfPixels(t *testing.T) {
	z := make([]float64, 2*5*3*4)
	for i := range z {
		z[i] = 900 * math.Sin(float64(i))
	}
	s := Select{Classes: []string{"car", "dog", "cat"}, From: map[string][]string{"dog": {"husky", "beagle"}}}
	names := []string{"beagle", "cat", "car", "poodle", "husky"}
	pick := func(shape tensor.Shape, dtype tensor.Dtype, z []float64) data.Signals {
		card, n := logitsCard(data.Field{Shape: shape, Dtype: dtype}), len(z)/shape.TotalSize()
		card.Classes = names
		to := selectOf(t, s, fixed(card, data.Signals{Logits: dense(card.Signals[Logits], n, z)}))
		all := answer(t, to, blank(n))
		if card, err := to.Card(); err != nil || Check(card, blank(n), all) != nil {
			t.Fatalf("card: %v, answer: %v", err, Check(card, blank(n), all))
		}
		return all
	}
	// at is where class c of a pixel is among n of them.
	at := func(first bool, n, sample, c, pixel int) int {
		if first {
			return (sample*n+c)*12 + pixel
		}
		return (sample*12+pixel)*n + c
	}
	for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, first := range []bool{true, false} {
			shape := tensor.Shape{3, 4, 5}
			if first {
				shape = tensor.Shape{5, 3, 4}
			}
			all := floats(pick(shape, dtype, z)[Logits])
			for sample := range 2 {
				for pixel := range 12 {
					var row []float64
					for c := range 5 {
						row = append(row, z[at(first, 5, sample, c, pixel)])
					}
					want := floats(pick(tensor.Shape{5}, dtype, row)[Logits])
					for c := range 3 {
						if got := all[at(first, 3, sample, c, pixel)]; got != want[c] {
							t.Errorf("%v %v: class %d of pixel %d of sample %d is %v; want %v", shape, dtype, c, pixel, sample, got, want[c])
						}
					}
				}
			}
		}
	}
}

// A selection has to come before the largest are kept: its own are recorded.
func TestSelectOfTopK(t *testing.T) {
	set := toySet{}
	some := Select{Classes: []string{"e", "b", "d", "a"}}
	_, err := some.Of(record(t, toy(1), set, t.TempDir(), Recording{TopK: 3}))
	wantError(t, err, nil, `"logits.top"`, "left out", "recorded with TopK")
	c := record(t, selectOf(t, some, toy(1)), set, t.TempDir(), Recording{TopK: 3})
	want := answer(t, selectOf(t, some, toy(1)), batchOf(t, set, 0))
	reduction{3, []float64{1}, false}.reduce(want, Logits, data.Field{Shape: tensor.Shape{4}, Dtype: tensor.Float32})
	delete(want, Logits)
	sameBits(t, answer(t, c, batchOf(t, set, 0)), want)
}

func TestSelectFingerprint(t *testing.T) {
	seen := map[[32]byte]int{{}: -1, zoo().Says.Fingerprint: -2}
	other := zoo()
	other.Says.Fingerprint[5]++
	for i, to := range []Teacher{
		selectOf(t, Select{Classes: []string{"cat", "car"}}, zoo()),
		selectOf(t, Select{Classes: []string{"car", "cat"}}, zoo()),
		selectOf(t, Select{Classes: []string{"cat", "car"}, From: map[string][]string{"car": {"cat"}, "cat": {"car"}}}, zoo()),
		selectOf(t, Select{Classes: []string{"cat", "car"}, From: map[string][]string{"car": {"car", "husky"}}}, zoo()),
		selectOf(t, Select{Classes: []string{"cat", "car"}}, other),
	} {
		card, err := to.Card()
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := seen[card.Fingerprint]; ok {
			t.Errorf("%d has the fingerprint of %d", i, j)
		}
		seen[card.Fingerprint] = i
	}
	card, err := selectOf(t, Select{Classes: classes[:4]}, Live(toy(1))).Card()
	if err != nil || !card.Live {
		t.Errorf("card %v, error %v; want a live one", card, err)
	}
}

func TestSelectRefuses(t *testing.T) {
	with := func(change func(*Card)) Teacher {
		tr := zoo()
		change(&tr.Says)
		return tr
	}
	cat := Select{Classes: []string{"cat"}}
	for _, test := range []struct {
		s     Select
		of    Teacher
		words []string
	}{
		{cat, nil, []string{"Select of a nil teacher"}},
		{cat, failing{errors.New("broken")}, []string{"Select: broken"}},
		{cat, with(func(c *Card) { delete(c.Signals, Logits) }), []string{"dense logits"}},
		{cat, with(func(c *Card) { c.Signals[Logits] = data.Field{Shape: tensor.Shape{3, 4, 6, 5}, Dtype: tensor.Float32} }), []string{"(3, 4, 6, 5)", "(C, H, W)"}},
		{cat, with(func(c *Card) { c.Signals[Logits] = data.Field{Shape: tensor.Shape{5}, Dtype: tensor.Int} }), []string{"dtype int", "a float type"}},
		{cat, with(func(c *Card) { c.Signals[Logits] = data.Field{Dtype: tensor.Float32} }), []string{"shape ()"}},
		{cat, with(func(c *Card) { c.Signals[Logits] = data.Field{Shape: tensor.Shape{5, 3, 5}, Dtype: tensor.Float32} }), []string{"(5, 3, 5)", "5 classes first or last"}},
		{cat, with(func(c *Card) { c.Signals[Logits] = data.Field{Shape: tensor.Shape{3, 5, 4}, Dtype: tensor.Float32} }), []string{"5 classes", "(3, 5, 4)"}},
		{cat, with(func(c *Card) { c.Classes = nil }), []string{"names 0 classes and has logits of shape (5)"}},
		{cat, with(func(c *Card) { c.Classes = c.Classes[:4] }), []string{"names 4 classes"}},
		{Select{}, zoo(), []string{"Select.Classes is empty"}},
		{Select{Classes: []string{"cat", "lion", "car", "tiger"}}, zoo(), []string{`does not know ["lion" "tiger"]`, `it knows ["beagle" "cat"`, "Select.From"}},
		{Select{Classes: []string{"cat"}, From: map[string][]string{"cat": {"lynx"}}}, zoo(), []string{`["lynx"]`}},
		{Select{Classes: []string{"cat"}, From: map[string][]string{"dog": {"husky"}}}, zoo(), []string{`Select.From has "dog"`}},
		{Select{Classes: []string{"cat"}, From: map[string][]string{"cat": {}}}, zoo(), []string{`Select.From["cat"] is empty`}},
		{Select{Classes: []string{"cat", "cat"}}, zoo(), []string{`"cat" for "cat" and for "cat"; want it once`}},
		{Select{Classes: []string{"cat", "dog"}, From: map[string][]string{"dog": {"husky", "cat"}}}, zoo(), []string{`"cat" for "cat" and for "dog"`}},
	} {
		_, err := test.s.Of(test.of)
		wantError(t, err, nil, test.words...)
	}
	many := make([]string, 30)
	for i := range many {
		many[i] = string(rune('A' + i))
	}
	_, err := cat.Of(with(func(c *Card) {
		c.Signals[Logits] = data.Field{Shape: tensor.Shape{30}, Dtype: tensor.Float32}
		c.Classes = many
	}))
	wantError(t, err, nil, "and 10 more")
}

func TestSelectChecksAnswers(t *testing.T) {
	tr := zoo()
	to := selectOf(t, Select{Classes: []string{"cat"}}, tr)
	_, err := to.Teach(t.Context(), blank(4))
	wantError(t, err, nil, "Select", "(3, 5); want (4, 5)")
	broken := errors.New("broken")
	asked := hooked(func() error { return broken })
	_, err = selectOf(t, Select{Classes: []string{"b"}}, asked).Teach(t.Context(), batchOf(t, toySet{}, 0))
	wantError(t, err, broken)
}

// A selection is recorded like any other teacher.
func TestSelectOfACache(t *testing.T) {
	set := toySet{}
	to := selectOf(t, Select{Classes: []string{"e", "b"}}, toy(1))
	b := batchOf(t, set, 0)
	sameBits(t, answer(t, record(t, to, set, t.TempDir(), Recording{}), b), answer(t, to, b))
	c := record(t, toy(1), set, t.TempDir(), Recording{})
	late := selectOf(t, Select{Classes: []string{"e", "b"}}, c)
	sameBits(t, answer(t, late, b), answer(t, to, b))
}
