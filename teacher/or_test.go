package teacher

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// elsewhere are the rows of a toySet under other ids.
func elsewhere() toySet { return toySet{ids: func(i int) uint64 { return uint64(500 + i) }} }

func TestOrAsksSecondWhatIsMissing(t *testing.T) {
	c := record(t, toy(1), toySet{views: 3}, t.TempDir(), Recording{})
	asked := 0
	second := toy(1)
	second.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		asked++
		return toy(1).Do(ctx, b)
	}
	both := Or(c, second)
	for name, test := range map[string]struct {
		set   toySet
		view  uint64
		asked int
	}{
		"recorded":      {toySet{views: 3}, 2, 0},
		"other samples": {elsewhere(), 0, 1},
		"other views":   {toySet{views: 4}, 3, 1},
	} {
		asked = 0
		b := batchOf(t, test.set, test.view)
		got, err := both.Teach(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := toy(1).Teach(t.Context(), b)
		sameBits(t, got, want)
		if asked != test.asked {
			t.Errorf("%s: second was asked %d times; want %d", name, asked, test.asked)
		}
	}
}

func TestOrKeepsOtherErrors(t *testing.T) {
	c := record(t, toy(1), toySet{}, t.TempDir(), Recording{})
	_, err := Or(c, toy(1)).Teach(t.Context(), batchOf(t, toySet{salt: 1}, 0))
	wantError(t, err, ErrStale, "another input")

	broken := toy(1)
	broken.Do = func(context.Context, data.Batch) (data.Signals, error) { return nil, errors.New("broken") }
	_, err = Or(c, broken).Teach(t.Context(), batchOf(t, elsewhere(), 0))
	wantError(t, err, nil, "broken")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Or(c, toy(1)).Teach(cancelled, batchOf(t, toySet{}, 0))
	wantError(t, err, context.Canceled)

	c.Close()
	if _, err = Or(c, toy(1)).Teach(t.Context(), batchOf(t, toySet{}, 0)); err == nil {
		t.Error("a closed cache is no error")
	}
}

func TestOrCovers(t *testing.T) {
	c := record(t, toy(1), toySet{views: 3}, t.TempDir(), Recording{})
	guard := func(first Teacher) func(data.Spec) error {
		return Or(first, toy(1)).(interface{ Covers(data.Spec) error }).Covers
	}
	if err := guard(c)(elsewhere().Spec()); err != nil {
		t.Error(err)
	}
	four := toySet{views: 4}.Spec()
	wantError(t, guard(c)(four), ErrMissing, "4 views; 3 were recorded")
	wantError(t, guard(Or(c, toy(1)))(four), ErrMissing, "4 views; 3 were recorded")
	unbounded := four
	unbounded.Views = 0
	wantError(t, guard(c)(unbounded), ErrMissing, "without bound")
	if err := guard(toy(1))(unbounded); err != nil {
		t.Error(err)
	}
}

func TestOrCard(t *testing.T) {
	changed := func(change func(*Card)) Teacher {
		f := toy(1)
		f.Says.Signals = map[string]data.Field{}
		for name, field := range toy(1).Says.Signals {
			f.Says.Signals[name] = field
		}
		change(&f.Says)
		return f
	}
	unknown := changed(func(c *Card) { c.Classes, c.Fingerprint = nil, [32]byte{} })
	for name, test := range map[string]struct {
		first, second Teacher
		want          Card
	}{
		"equal":          {toy(1), toy(1), toy(1).Says},
		"unknown second": {toy(1), unknown, Card{Signals: toy(1).Says.Signals, Classes: classes}},
		"unknown first":  {unknown, toy(1), Card{Signals: toy(1).Says.Signals, Classes: classes}},
	} {
		got, err := Or(test.first, test.second).Card()
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: card %v; want %v", name, got, test.want)
		}
	}

	for _, test := range []struct {
		other Teacher
		want  string
	}{
		{changed(func(c *Card) { delete(c.Signals, "att") }), "different signals"},
		{changed(func(c *Card) { c.Signals["att"] = data.Field{Shape: tensor.Shape{3}, Dtype: tensor.Float32} }), "different signals"},
		{changed(func(c *Card) { c.Signals["att"] = data.Field{Shape: tensor.Shape{4}, Dtype: tensor.Float64} }), "different signals"},
		{changed(func(c *Card) { c.Classes = []string{"f", "e", "d", "c", "b", "a"} }), "different classes"},
		{changed(func(c *Card) { c.Temps = []float64{1} }), "different temperatures"},
		{toy(2), "different fingerprints"},
		{record(t, toy(1), toySet{}, t.TempDir(), Recording{Half: true}), "different fingerprints; want a cache, and the teacher"},
		{Live(toy(1)), "teacher: Or has a live teacher; want two that have stopped learning"},
		{Mean{}, "teacher: Mean.Teachers is empty"},
		{nil, "teacher: Or has a nil teacher; want two"},
	} {
		for _, both := range []Teacher{Or(toy(1), test.other), Or(test.other, toy(1))} {
			_, err := both.Card()
			wantError(t, err, nil, test.want)
		}
	}
	if _, err := Or(nil, toy(1)).Teach(t.Context(), blank(3)); err == nil {
		t.Error("a nil teacher answers")
	}
}
