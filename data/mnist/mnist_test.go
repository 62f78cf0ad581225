package mnist

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
)

// pack writes a file in the IDX format.
func pack(t *testing.T, name string, head []uint32, content []byte) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	for _, err := range []error{binary.Write(z, binary.BigEndian, head), binary.Write(z, binary.BigEndian, content), z.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for part, labels := range map[string][]byte{"train": {5, 0, 9}, "t10k": {7, 3}} {
		n := uint32(len(labels))
		pixels := make([]byte, 28*28*len(labels))
		pixels[28+3] = labels[0]
		pack(t, filepath.Join(dir, part+"-images-idx3-ubyte.gz"), []uint32{0x803, n, 28, 28}, pixels)
		pack(t, filepath.Join(dir, part+"-labels-idx1-ubyte.gz"), []uint32{0x801, n}, labels)
	}
	train, test, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set   data.Set
		n     int
		label int
	}{{train, 3, 5}, {test, 2, 7}} {
		b, err := data.NewBatch(c.set.Spec(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.set.Read(0, 0, data.Sample{Batch: &b}); err != nil {
			t.Fatal(err)
		}
		if got := b.In[data.Input].Float32s()[28+3]; c.set.Len() != c.n || b.Label.Ints()[0] != c.label || got != float32(c.label) || c.set.Spec().Classes[9] != "9" {
			t.Errorf("%d images of %q, the first is a %d with a pixel of %v; want %d and a %d, in pixel and label", c.set.Len(), c.set.Spec().Classes, b.Label.Ints()[0], got, c.n, c.label)
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
