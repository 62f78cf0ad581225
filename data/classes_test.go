package data

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

func TestOfClasses(t *testing.T) {
	x := tensor.New(tensor.WithShape(7, 3), tensor.Of(tensor.Float32))
	set, err := NewMemory(Signals{"x": x}, tensor.New(tensor.WithBacking([]int{2, 0, 1, 2, -1, 3, 0})), nil)
	if err != nil {
		t.Fatal(err)
	}
	some, err := OfClasses(set, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint64
	for i := range some.Len() {
		ids = append(ids, some.ID(i))
	}
	if want := []uint64{set.ID(0), set.ID(3), set.ID(5)}; !slices.Equal(ids, want) {
		t.Errorf("the rows are %v; want %v", ids, want)
	}
	numbers, err := NewMemory(Signals{"x": x}, tensor.New(tensor.WithShape(7, 3), tensor.Of(tensor.Float32)), nil)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := NewMemory(Signals{"x": x}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, try := range map[string]func() (Set, error){
		"data: OfClasses: the set is nil":             func() (Set, error) { return OfClasses(nil, 1) },
		"no row of the classes [-1 7]; want one or":   func() (Set, error) { return OfClasses(set, -1, 7) },
		"no row of the classes []; want one or more":  func() (Set, error) { return OfClasses(set) },
		"without classes as labels, one for a sample": func() (Set, error) { return OfClasses(numbers, 1) },
		"of a set without classes as labels":          func() (Set, error) { return OfClasses(bare, 1) },
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q", err, want)
		}
	}
}
