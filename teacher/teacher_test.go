package teacher

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A toySet has 7 samples of two inputs, whose values depend on the id, the
// view and salt alone.
type toySet struct {
	salt  float32
	views int
	spec  func(*data.Spec)
	ids   func(i int) uint64
}

func (toySet) Len() int { return 7 }

func (s toySet) ID(i int) uint64 {
	if s.ids != nil {
		return s.ids(i)
	}
	return uint64(100 - 3*i)
}

func (s toySet) Spec() data.Spec {
	spec := data.Spec{
		In: map[string]data.Field{
			"x":    {Shape: tensor.Shape{3, 5}, Dtype: tensor.Float32},
			"mask": {Shape: tensor.Shape{4}, Dtype: tensor.Int},
		},
		Label:       data.Field{Dtype: tensor.Int},
		Classes:     []string{"a", "b", "c", "d", "e", "f"},
		Norm:        map[string]data.Norm{"x": {Mean: []float64{0.5}, SD: []float64{2}}},
		Views:       max(s.views, 1),
		Fingerprint: [32]byte{1, byte(s.salt)},
	}
	if s.spec != nil {
		s.spec(&spec)
	}
	return spec
}

func (s toySet) Read(i int, view uint64, dst data.Sample) error {
	for j := range data.Row[float32](dst.Batch.In["x"], dst.Row) {
		data.Row[float32](dst.Batch.In["x"], dst.Row)[j] = float32(s.ID(i))/3 + float32(view) + s.salt + float32(j)
	}
	for j := range data.Row[int](dst.Batch.In["mask"], dst.Row) {
		data.Row[int](dst.Batch.In["mask"], dst.Row)[j] = int(view) + j
	}
	data.Row[int](dst.Batch.Label, dst.Row)[0] = i % 6
	return nil
}

var classes = []string{"a", "b", "c", "d", "e", "f"}

// toy answers logits (6), features (3, 4), float64 attention (3) and a count.
func toy(seed float64) Func {
	fields := map[string]data.Field{
		Logits:     {Shape: tensor.Shape{6}, Dtype: tensor.Float32},
		"features": {Shape: tensor.Shape{3, 4}, Dtype: tensor.Float32},
		"att":      {Shape: tensor.Shape{3}, Dtype: tensor.Float64},
		"count":    {Dtype: tensor.Int},
	}
	return Func{
		Says: Card{Signals: fields, Classes: classes, Fingerprint: [32]byte{9, byte(seed)}},
		Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
			s := data.Signals{}
			for name, f := range fields {
				s[name] = room(nil, f, b.N)
				for r := range b.N {
					x := float64(data.Row[float32](b.In["x"], r)[3]) + seed
					for j := range data.Row[float32](s[name], r) {
						data.Row[float32](s[name], r)[j] = float32(9 * math.Sin(x*float64(j+1)))
					}
					for j := range data.Row[float64](s[name], r) {
						data.Row[float64](s[name], r)[j] = math.Cos(x / float64(j+1))
					}
					for j := range data.Row[int](s[name], r) {
						data.Row[int](s[name], r)[j] = -int(b.ID[r].Sample) << 20
					}
				}
			}
			return s, nil
		},
	}
}

// batchOf has all samples of a view in a shuffled order, and padding.
func batchOf(t testing.TB, set data.Set, view uint64) data.Batch {
	t.Helper()
	b, err := data.NewBatch(set.Spec(), set.Len()+3)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range rand.New(rand.NewPCG(3, 1)).Perm(set.Len()) {
		if err := b.Append(set, i, view); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// blank is a batch of n samples without inputs.
func blank(n int) data.Batch { return data.Batch{N: n, ID: make([]data.ID, n)} }

// fixed is a teacher that answers the same values whatever it is asked.
func fixed(card Card, s data.Signals) Func {
	return Func{Says: card, Do: func(context.Context, data.Batch) (data.Signals, error) { return s, nil }}
}

func logitsCard(f data.Field) Card {
	return Card{Signals: map[string]data.Field{Logits: f}, Fingerprint: [32]byte{1}}
}

func matrix(rows, columns int, v ...float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(rows, columns), tensor.WithBacking(v))
}

func wantError(t *testing.T, err error, is error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", words)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error %q is not %q", err, is)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not mention %q", err, word)
		}
	}
}

// sameBits compares signals bit by bit.
func sameBits(t *testing.T, got, want data.Signals) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d signals; want %d", len(got), len(want))
	}
	for name := range want {
		if got[name] == nil {
			t.Fatalf("no signal %q", name)
		}
		if !slices.Equal(got[name].Shape(), want[name].Shape()) || got[name].Dtype() != want[name].Dtype() {
			t.Fatalf("%s: %v of %s; want %v of %s", name, got[name].Shape(), got[name].Dtype(), want[name].Shape(), want[name].Dtype())
		}
		if string(bits(got[name])) != string(bits(want[name])) {
			t.Errorf("%s: %v; want %v", name, got[name].Data(), want[name].Data())
		}
	}
}

func bits(t *tensor.Dense) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, t.Data())
	if ints, ok := t.Data().([]int); ok {
		b, err = nil, nil
		for _, v := range ints {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	if err != nil {
		panic(err)
	}
	return b
}

func TestFunc(t *testing.T) {
	_, err := Func{}.Teach(t.Context(), blank(1))
	wantError(t, err, nil, "Func.Do is nil")
	card, err := toy(1).Card()
	if err != nil || card.Fingerprint != toy(1).Says.Fingerprint {
		t.Errorf("card %v, error %v", card, err)
	}
}

func TestLive(t *testing.T) {
	card, err := Live(toy(1)).Card()
	if err != nil || !card.Live {
		t.Errorf("card %v, error %v; want a live one", card, err)
	}
	b := batchOf(t, toySet{}, 0)
	want, _ := toy(1).Teach(t.Context(), b)
	got, err := Live(toy(1)).Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, got, want)
}

func TestNilTeachers(t *testing.T) {
	for _, test := range []struct {
		teacher Teacher
		is      error
	}{
		{Live(nil), errNoLive}, {(*Cache)(nil), errNotOpen}, {new(Cache), errNotOpen},
	} {
		_, err := test.teacher.Card()
		wantError(t, err, test.is)
		_, err = test.teacher.Teach(t.Context(), blank(3))
		wantError(t, err, test.is)
	}
	wantError(t, new(Cache).Covers(toySet{}.Spec()), errNotOpen)
	wantError(t, (*Cache)(nil).Close(), errNotOpen)
}

func TestCheck(t *testing.T) {
	field := data.Field{Shape: tensor.Shape{3}, Dtype: tensor.Float32}
	card := logitsCard(field)
	b := data.Batch{N: 4, ID: []data.ID{{Sample: 5}, {Sample: 6}, {Sample: 7, View: 2}, {Sample: 8}}}
	good := func() []float32 { return make([]float32, 12) }
	nan, inf := good(), good()
	nan[7], inf[11] = float32(math.NaN()), float32(math.Inf(-1))
	sliced, _ := matrix(4, 5, make([]float32, 20)...).Slice(nil, tensor.S(0, 3))
	turned := matrix(3, 4, good()...)
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		answer *tensor.Dense
		words  []string
	}{
		{"missing", nil, []string{`"logits"`, "missing"}},
		{"dtype", tensor.New(tensor.WithShape(4, 3), tensor.Of(tensor.Float64)), []string{"float64; want float32"}},
		{"rows", matrix(6, 3, make([]float32, 18)...), []string{"(6, 3); want (4, 3)"}},
		{"shape", matrix(4, 5, make([]float32, 20)...), []string{"(4, 5); want (4, 3)"}},
		{"rank", tensor.New(tensor.WithShape(4, 3, 1), tensor.Of(tensor.Float32)), []string{"(4, 3, 1)"}},
		{"slice", sliced.(*tensor.Dense), []string{"contiguous"}},
		{"transpose", turned, []string{"contiguous"}},
		{"columns first", tensor.New(tensor.WithShape(4, 3), tensor.Of(tensor.Float32), tensor.AsFortran(nil)), []string{"row-major"}},
		{"NaN", matrix(4, 3, nan...), []string{"sample 7, view 2", "NaN"}},
		{"infinity", matrix(4, 3, inf...), []string{"sample 8, view 0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantError(t, Check(card, b, data.Signals{Logits: test.answer}), nil, test.words...)
		})
	}
	if err := Check(card, b, data.Signals{Logits: matrix(4, 3, good()...), "more": nil}); err != nil {
		t.Errorf("a good answer: %v", err)
	}
	wantError(t, Check(card, data.Batch{}, nil), nil, "Batch.N is 0")
	wantError(t, Check(card, data.Batch{N: 2}, nil), nil, "Batch.ID has 0 ids")
}

func TestCardValidate(t *testing.T) {
	tests := []struct {
		field data.Field
		words []string
	}{
		{data.Field{Shape: tensor.Shape{3}}, []string{"dtype none"}},
		{data.Field{Shape: tensor.Shape{3}, Dtype: tensor.Uint8}, []string{"dtype uint8"}},
		{data.Field{Shape: tensor.Shape{3, 0}, Dtype: tensor.Int}, []string{"(3, 0)"}},
		{data.Field{Shape: tensor.Shape{3, -1}, Dtype: tensor.Int}, []string{"(3, -1)"}},
		{data.Field{Shape: tensor.Shape{1 << 20, 1 << 20, 1 << 24}, Dtype: tensor.Int}, []string{"shape"}},
	}
	for _, test := range tests {
		wantError(t, logitsCard(test.field).Validate(), nil, test.words...)
	}
	wantError(t, Card{}.Validate(), nil, "Card.Signals is empty")
	if err := toy(1).Says.Validate(); err != nil {
		t.Error(err)
	}
}

func TestNamed(t *testing.T) {
	both := Named{"b": toy(2), "a": toy(1)}
	card, err := both.Card()
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, toySet{}, 0)
	s, err := both.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(card, b, s); err != nil {
		t.Error(err)
	}
	if len(card.Signals) != 8 || !slices.Equal(card.Classes, classes) || card.Live {
		t.Errorf("card %v", card)
	}
	want, _ := toy(2).Teach(t.Context(), b)
	sameBits(t, data.Signals{Logits: s["b/logits"]}, data.Signals{Logits: want[Logits]})
}

func TestNamedFingerprint(t *testing.T) {
	unknown := toy(2)
	unknown.Says.Fingerprint = [32]byte{}
	seen := map[[32]byte]int{}
	for i, n := range []Named{{"a": toy(1), "b": toy(2)}, {"a": toy(2), "b": toy(1)}, {"a": toy(1), "c": toy(2)}, {"a": toy(1)}, {"a": unknown}} {
		card, err := n.Card()
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := seen[card.Fingerprint]; ok {
			t.Errorf("Named %d has the fingerprint of %d", i, j)
		}
		seen[card.Fingerprint] = i
		if zero := card.Fingerprint == [32]byte{}; zero != (i == 4) {
			t.Errorf("Named %d: zero fingerprint is %v", i, zero)
		}
	}
}

func TestNamedRefuses(t *testing.T) {
	broken := errors.New("broken")
	other, cold, hot := toy(2), toy(1), toy(2)
	other.Says.Classes = []string{"b", "a", "c", "d", "e", "f"}
	cold.Says.Temps, hot.Says.Temps = []float64{1}, []float64{4}
	tests := []struct {
		named Named
		words []string
	}{
		{nil, []string{"Named is empty"}},
		{Named{"": toy(1)}, []string{`name ""`}},
		{Named{"a/b": toy(1)}, []string{`"a/b"`}},
		{Named{"a": nil}, []string{`Named["a"] is nil`}},
		{Named{"a": toy(1), "b": other}, []string{`Named["b"]`, "classes"}},
		{Named{"a": cold, "b": hot}, []string{`Named["b"] has Temps [4]; want [1]`}},
		{Named{"a": failing{broken}}, []string{`Named["a"]: broken`}},
	}
	for _, test := range tests {
		_, err := test.named.Card()
		wantError(t, err, nil, test.words...)
	}
	_, err := Named{"a": failing{broken}}.Teach(t.Context(), blank(1))
	wantError(t, err, broken, `Named["a"]`)
	_, err = Named{}.Teach(t.Context(), blank(1))
	wantError(t, err, nil, "empty")
	card, err := Named{"a": toy(1), "b": Live(toy(2))}.Card()
	if err != nil || !card.Live {
		t.Errorf("live is %v, error %v; want true", card.Live, err)
	}
}

type failing struct{ err error }

func (f failing) Card() (Card, error) { return Card{}, f.err }
func (f failing) Teach(context.Context, data.Batch) (data.Signals, error) {
	return nil, f.err
}
