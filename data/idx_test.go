package data_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// idx writes values as an IDX array.
func idx(kind byte, values any, shape ...uint32) []byte {
	raw := []byte{0, 0, kind, byte(len(shape))}
	raw = must(binary.Append(raw, binary.BigEndian, shape))
	return must(binary.Append(raw, binary.BigEndian, values))
}

func zip(raw []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	must(w.Write(raw))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func TestReadIDX(t *testing.T) {
	for _, test := range []struct {
		name string
		raw  []byte
		want *tensor.Dense
	}{
		{"unsigned byte", idx(8, count[uint8](60), 3, 4, 5), dense(count[uint8](60), 3, 4, 5)},
		{"signed byte", idx(9, []int8{-1, 0, 127}, 3), dense([]int{-1, 0, 127}, 3)},
		{"short", idx(11, []int16{-1, 0, 32767}, 3), dense([]int{-1, 0, 32767}, 3)},
		{"int", idx(12, []int32{-1, 0, 1 << 30}, 3, 1), dense([]int{-1, 0, 1 << 30}, 3, 1)},
		{"float", idx(13, []float32{0.5, -2, 3}, 1, 3), dense([]float32{0.5, -2, 3}, 1, 3)},
		{"double", idx(14, []float64{0.1}, 1), dense([]float64{0.1}, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, raw := range [][]byte{test.raw, zip(test.raw)} {
				got, err := data.ReadIDX(bytes.NewReader(raw))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got, denses); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestReadIDXRefuses(t *testing.T) {
	good := idx(8, count[uint8](60), 3, 4, 5)
	zipped := zip(good)
	zipped[len(zipped)-8]++ // its checksum
	for _, test := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "data: idx magic number: EOF"},
		{"magic", []byte("GIF89a"), "idx magic number is 0x47494638"},
		{"type", idx(10, []uint8{1}, 1), "idx magic number is 0x00000a01"},
		{"no axes", []byte{0, 0, 8, 0}, "1 to 8 axes"},
		{"many axes", []byte{0, 0, 8, 9}, "1 to 8 axes"},
		{"half a shape", good[:10], "idx shape: unexpected EOF"},
		{"no samples", idx(8, []uint8{}, 0, 4), "axes of 1 or more"},
		{"overflow", idx(8, []uint8{}, 1<<31, 1<<31, 4), "at most 2147483647 elements"},
		{"truncated", good[:50], "idx of unsigned byte with shape (3, 4, 5): has 34 bytes of data; want 60"},
		{"claims much", idx(14, []uint8{1, 2, 3}, 1<<30), "has 3 bytes of data; want 8589934592"},
		{"too long", append(good, 0), "has more than 60 bytes"},
		{"gzip header", []byte{0x1f, 0x8b, 7}, "gzip"},
		{"gzip checksum", zipped, "after 60 of 60 bytes: gzip: invalid checksum"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := data.ReadIDX(bytes.NewReader(test.raw))
			wantError(t, err, test.want)
		})
	}
}

func TestIDX(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, raw []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	images := file("images.gz", zip(idx(8, count[uint8](60), 3, 4, 5)))
	set := must(data.IDX(images, file("labels", idx(8, []uint8{2, 0, 3}, 3)), classes))
	b := read(t, set, 2, 0)
	want := dense(count[float32](60)[40:], 1, 4, 5)
	if diff := cmp.Diff(want, b.In[data.Input], denses); diff != "" {
		t.Error(diff)
	}
	if got := data.Row[int](b.Label, 0)[0]; got != 3 {
		t.Errorf("label is %d; want 3", got)
	}
	if set := must(data.IDX(images, "", nil)); set.Spec().Label.Dtype != (tensor.Dtype{}) {
		t.Error("a set without labels has them")
	}
	broken := file("broken", []byte("no"))
	for _, test := range []struct{ images, labels, want string }{
		{filepath.Join(dir, "none"), "", "no such file"},
		{broken, "", broken + ": idx magic number"},
		{images, broken, broken + ": idx magic number"},
		{images, file("four", idx(8, []uint8{1, 2, 3, 0}, 4)), "label has 4 samples"},
		{images, file("high", idx(8, []uint8{1, 4, 3}, 3)), "sample 1: label is 4"},
	} {
		_, err := data.IDX(test.images, test.labels, classes)
		wantError(t, err, test.want)
	}
}

func FuzzReadIDX(f *testing.F) {
	for _, raw := range [][]byte{
		nil,
		idx(8, count[uint8](60), 3, 4, 5),
		idx(11, []int16{-1, 2, 3}, 3),
		idx(14, []float64{0.1, 0.2, 0.3}, 3, 1),
		idx(8, []uint8{1}, 1<<31, 1<<31),
		{0, 0, 8, 255},
	} {
		f.Add(raw)
		f.Add(zip(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		x, err := data.ReadIDX(bytes.NewReader(raw))
		if err != nil {
			return
		}
		// What was read can be used, or is refused.
		if m, err := data.NewMemory(data.Signals{"x": x}, nil, nil); err == nil {
			read(t, m, m.Len()-1, 0)
		}
	})
}
