package teacher

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// network reads the input "x" of a toySet, and has the taps l1 (7), drop1, l2,
// flatten and logits (6).
var network = student.MLP{Hidden: []int{7}, Out: 6, Dropout: 0.5}

func studentOf(t testing.TB, m student.Module, seed uint64) *student.Model {
	t.Helper()
	model, err := student.New(m, toySet{}.Spec(), seed)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// nudge changes one element of the parameter of that name.
func nudge(m *student.Model, name string) *student.Model {
	for p := range m.Params() {
		if p.Name == name {
			p.Value.Float32s()[3] += 0.5
			p.Touch()
		}
	}
	return m
}

func answer(t testing.TB, tr Teacher, b data.Batch) data.Signals {
	t.Helper()
	s, err := tr.Teach(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOfCard(t *testing.T) {
	for _, test := range []struct {
		taps []string
		want string
	}{
		{nil, "map[logits:{(6) float32}]"},
		{[]string{"l1", "logits"}, "map[l1:{(7) float32} logits:{(6) float32}]"},
		{[]string{"flatten"}, "map[flatten:{(15) float32}]"},
	} {
		card, err := Of(studentOf(t, network, 1), test.taps...).Card()
		if err != nil || card.Validate() != nil {
			t.Fatalf("%q: %v, %v", test.taps, err, card.Validate())
		}
		if got := fmt.Sprint(card.Signals); got != test.want {
			t.Errorf("%q: signals %s; want %s", test.taps, got, test.want)
		}
		if fmt.Sprint(card.Classes) != fmt.Sprint(classes) || card.Live || card.Temps != nil {
			t.Errorf("%q: card %+v", test.taps, card)
		}
	}
}

func TestOfFingerprint(t *testing.T) {
	print := func(tr Teacher) [32]byte {
		t.Helper()
		card, err := tr.Card()
		if err != nil {
			t.Fatal(err)
		}
		return card.Fingerprint
	}
	tanh := network
	tanh.Act = student.Tanh
	seen := map[[32]byte]string{{}: "nothing"}
	for name, tr := range map[string]Teacher{
		"base":       Of(studentOf(t, network, 1)),
		"seed":       Of(studentOf(t, network, 2)),
		"weight":     Of(nudge(studentOf(t, network, 1), "l1.weight")),
		"bias":       Of(nudge(studentOf(t, network, 1), "l2.bias")),
		"activation": Of(studentOf(t, tanh, 1)), // of the same weights
		"tap":        Of(studentOf(t, network, 1), "l1"),
		"taps":       Of(studentOf(t, network, 1), "l1", "logits"),
	} {
		p := print(tr)
		if other, ok := seen[p]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[p] = name
	}

	m := studentOf(t, network, 1)
	names := []string{"logits", "l1", "logits"}
	tr := Of(m, names...)
	names[0] = "changed"
	want := print(Of(m, "l1", "logits"))
	if print(tr) != want {
		t.Error("the order of the taps changes the fingerprint")
	}
	answer(t, tr, batchOf(t, toySet{}, 0))
	var file bytes.Buffer
	loaded := studentOf(t, network, 9)
	if err := m.Save(&file); err != nil {
		t.Fatal(err)
	}
	if err := loaded.Load(&file); err != nil {
		t.Fatal(err)
	}
	if print(tr) != want || print(Of(loaded, "l1", "logits")) != want {
		t.Error("teaching, or saving and loading, changes the fingerprint")
	}
}

// A teacher is asked about the valid rows, in eval mode, whatever the batch is
// padded to.
func TestOfTeach(t *testing.T) {
	set := toySet{}
	padded := batchOf(t, set, 0)
	whole, err := data.NewBatch(set.Spec(), padded.N)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range padded.ID {
		if err := whole.Append(set, int(100-id.Sample)/3, 0); err != nil {
			t.Fatal(err)
		}
	}
	m := studentOf(t, network, 1)
	tr := Of(m, "drop1", "logits")
	card, err := tr.Card()
	if err != nil {
		t.Fatal(err)
	}
	got := answer(t, tr, padded)
	if err := Check(card, padded, got); err != nil {
		t.Error(err)
	}
	sameBits(t, got, answer(t, tr, whole))

	plain := network
	plain.Dropout = 0 // its parameters have the same names, and so the same values
	want := answer(t, Of(studentOf(t, plain, 1), "l1", "logits"), padded)
	sameBits(t, got, data.Signals{"drop1": want["l1"], "logits": want["logits"]})

	// What was answered is the caller's; what will be follows the weights.
	nudge(m, "l2.bias")
	after := answer(t, tr, padded)
	sameBits(t, got, data.Signals{"drop1": want["l1"], "logits": want["logits"]})
	if string(bits(after["logits"])) == string(bits(got["logits"])) {
		t.Error("another bias, and the same logits")
	}
}

func TestOfRefuses(t *testing.T) {
	b := batchOf(t, toySet{}, 0)
	for _, test := range []struct {
		teacher Teacher
		words   []string
	}{
		{Of(nil), []string{"teacher: the model is nil"}},
		{Of(studentOf(t, network, 1), "logits", "l3"), []string{`no tap "l3"`, `"drop1"`, `"logits"`}},
	} {
		_, err := test.teacher.Card()
		wantError(t, err, nil, test.words...)
		_, err = test.teacher.Teach(t.Context(), b)
		wantError(t, err, nil, test.words...)
	}

	tr := Of(studentOf(t, network, 1))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := tr.Teach(cancelled, b)
	wantError(t, err, context.Canceled)
	_, err = tr.Teach(t.Context(), data.Batch{})
	wantError(t, err, nil, "no inputs")
	b.In = data.Signals{"x": tensor.New(tensor.WithShape(10, 4, 5), tensor.Of(tensor.Float32)), "mask": b.In["mask"]}
	_, err = tr.Teach(t.Context(), b)
	wantError(t, err, nil, `"x"`, "(10, 4, 5)", "(10, 3, 5)")
}

func TestOfManyGoroutines(t *testing.T) {
	set := toySet{}
	tr := Of(studentOf(t, network, 1))
	var wg sync.WaitGroup
	for n := range set.Len() {
		b, err := data.NewBatch(set.Spec(), n+3) // graphs of several sizes
		for i := 0; i <= n && err == nil; i++ {
			err = b.Append(set, i, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := answer(t, tr, b)
		for range 2 {
			wg.Go(func() {
				for range 5 {
					got, err := tr.Teach(context.Background(), b)
					if err != nil || string(bits(got["logits"])) != string(bits(want["logits"])) {
						t.Errorf("%d rows: another answer, error %v", b.N, err)
					}
					if _, err := tr.Card(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// A recorded student answers what the live one does, although it was asked in
// other batches.
func TestCacheOfStudent(t *testing.T) {
	set := toySet{views: 3}
	tr := Of(studentOf(t, network, 1), "l1", "logits")
	c := record(t, tr, set, t.TempDir(), Recording{Batch: 4})
	want, err := tr.Card()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Card(); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("card %v, error %v; want %v", got, err, want)
	}
	for view := range uint64(3) {
		b := batchOf(t, set, view)
		sameBits(t, answer(t, c, b), answer(t, tr, b))
	}
	_, err = Record(t.Context(), Live(tr), set, t.TempDir(), Recording{})
	wantError(t, err, nil, "live")
}

// A model misreads data that were normalised in another way than its own.
func TestOfCovers(t *testing.T) {
	norm := func(mean float64) data.Spec {
		spec := toySet{}.Spec()
		spec.Norm = map[string]data.Norm{"x": {Mean: []float64{mean}, SD: []float64{2}}}
		return spec
	}
	model, err := student.New(network, norm(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	covers := Of(model).(interface{ Covers(data.Spec) error }).Covers
	if err := covers(norm(1)); err != nil {
		t.Error(err)
	}
	for _, other := range []data.Spec{norm(3), toySet{}.Spec()} {
		if err := covers(other); err == nil || !strings.Contains(err.Error(), `input "x" is normalised by`) {
			t.Errorf("the error is %v; want it to name the input and both norms", err)
		}
	}
}
