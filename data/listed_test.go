package data_test

import (
	"slices"
	"testing"

	"github.com/godistill/godistill/data"
)

// A loader lists the samples of its set, however it deals them out.
func TestLoaderListsItsSamples(t *testing.T) {
	digits, err := data.Digits()
	if err != nil {
		t.Fatal(err)
	}
	set, err := data.Subset(digits.Train, []int{7, 3, 12, 5})
	if err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for i := range set.Len() {
		want = append(want, set.ID(i))
	}
	for _, l := range []data.Listed{data.Loader{Set: set, Batch: 3}, data.Loader{Set: set, Batch: 2, Seed: 5, DropLast: true}} {
		if got := slices.Collect(l.IDs()); len(got) != 4 || !slices.Equal(got, want) {
			t.Errorf("the ids are %v; want %v", got, want)
		}
		for id := range l.IDs() {
			if id != want[0] {
				t.Errorf("the first id is %v; want %v", id, want[0])
			}
			break
		}
	}
	if got := slices.Collect(data.Loader{}.IDs()); got != nil {
		t.Errorf("without a set there is %v", got)
	}
}
