package mnist

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/mnist/mnisttest"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if err := mnisttest.Write(dir, 70, 30, 55); err != nil {
		t.Fatal(err)
	}
	train, test, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for want, set := range map[int]data.Set{70: train, 30: test} {
		if spec := set.Spec(); set.Len() != want || len(spec.Classes) != 10 || spec.Classes[9] != "9" {
			t.Errorf("%d images of %q; want %d of the ten digits", set.Len(), spec.Classes, want)
		}
		b, err := data.NewBatch(set.Spec(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Read(0, 0, data.Sample{Batch: &b}); err != nil {
			t.Fatal(err)
		}
		// The place of the class is brighter than noise ever is.
		class, pixels := b.Label.Ints()[0], b.In[data.Input].Float32s()
		top, left, dark := 4+12*(class/5), 1+5*(class%5), 0
		for r := range 8 {
			for c := range 5 {
				if pixels[(top+r)*28+left+c] < 55 {
					dark++
				}
			}
		}
		if dark > 0 {
			t.Errorf("%d pixels of a %d are darker than its label says", dark, class)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	if _, _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v; want one of a file that is not there", err)
	}
	t.Setenv("PATH", "")
	if _, _, err := Read(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "want the files there, or a folder that has them") {
		t.Errorf("without the go command the error is %v; want what to do", err)
	}
}
