package data_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
)

const cifarPixels = 3 * 32 * 32

// cifar writes a record for each row of labels. Pixel p of image i is
// 7 i + p/256 + p, modulo 256.
func cifar(first int, labels ...[]byte) []byte {
	var raw []byte
	for i, bytes := range labels {
		raw = append(raw, bytes...)
		for p := range cifarPixels {
			raw = append(raw, cifarPixel(first+i, p))
		}
	}
	return raw
}

func cifarPixel(i, p int) byte { return byte(7*i + p/256 + p) }

// write makes a file in a folder.
func write(t testing.TB, dir, name string, raw []byte) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func checkCIFAR(t *testing.T, set data.Set, labels []int) {
	t.Helper()
	if set.Len() != len(labels) {
		t.Fatalf("%d samples; want %d", set.Len(), len(labels))
	}
	for i, want := range labels {
		b := read(t, set, i, 0)
		if got := b.Label.Ints()[0]; got != want {
			t.Errorf("label %d is %d; want %d", i, got, want)
		}
		if shape := b.In["x"].Shape(); !slices.Equal(shape, []int{1, 3, 32, 32}) {
			t.Errorf("images are %v", shape)
		}
		for p, v := range b.In["x"].Float32s() {
			if v != float32(cifarPixel(i, p)) {
				t.Fatalf("image %d has %v at pixel %d; want %v", i, v, p, cifarPixel(i, p))
			}
		}
	}
}

func TestCIFAR10(t *testing.T) {
	dir := t.TempDir()
	one := write(t, dir, "data_batch_1.bin", cifar(0, []byte{3}, []byte{0}, []byte{9}))
	two := write(t, dir, "data_batch_2.bin.gz", zip(cifar(3, []byte{1}, []byte{4})))
	set := must(data.CIFAR10(one, two))
	checkCIFAR(t, set, []int{3, 0, 9, 1, 4})
	if got := set.Spec().Classes; !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
		t.Errorf("classes are %q", got)
	}
	write(t, dir, "batches.meta.txt", []byte("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"))
	if got := must(data.CIFAR10(one)).Spec().Classes; got[0] != "airplane" || got[9] != "truck" || len(got) != 10 {
		t.Errorf("classes are %q", got)
	}
}

func TestCIFAR100(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "train.bin", cifar(0, []byte{3, 99}, []byte{19, 0}, []byte{7, 42}))
	checkCIFAR(t, must(data.CIFAR100(file)), []int{99, 0, 42})
	checkCIFAR(t, must(data.CIFAR100Coarse(file)), []int{3, 19, 7})
	for name, n := range map[string]int{"fine_label_names.txt": 100, "coarse_label_names.txt": 20} {
		var names strings.Builder
		for i := range n {
			fmt.Fprintf(&names, "name %d\r\n", i)
		}
		write(t, dir, name, []byte(names.String()))
	}
	fine, coarse := must(data.CIFAR100(file)).Spec().Classes, must(data.CIFAR100Coarse(file)).Spec().Classes
	if len(fine) != 100 || fine[99] != "name 99" || len(coarse) != 20 || coarse[19] != "name 19" {
		t.Errorf("classes are %q and %q", fine, coarse)
	}
}

// A record has one id, whichever files are read with its own.
func TestCIFARKeepsIDs(t *testing.T) {
	dir := t.TempDir()
	one := write(t, dir, "data_batch_1.bin", cifar(0, []byte{3}, []byte{0}))
	two := write(t, dir, "data_batch_2.bin", cifar(0, []byte{1}, []byte{4}, []byte{5}))
	zipped := write(t, dir, "data_batch_2.bin.gz", zip(cifar(0, []byte{1})))
	both, alone, test := must(data.CIFAR10(one, two)), must(data.CIFAR10(two)), must(data.CIFAR10(write(t, dir, "test_batch.bin", cifar(0, []byte{1}))))
	if both.ID(4) != alone.ID(2) || both.ID(2) != must(data.CIFAR10(zipped)).ID(0) {
		t.Error("ids depend on the other files, or on compression")
	}
	if _, err := data.Concat(both, test); err != nil {
		t.Error(err)
	}
	_, err := data.CIFAR10(one, two, one)
	wantError(t, err, fmt.Sprintf("data: CIFAR of %s and %[1]s, whose records would have the same ids; want files of different names", one))
}

func TestReadCIFAR(t *testing.T) {
	x, y, err := data.ReadCIFAR(bytes.NewReader(cifar(0, []byte{3, 99}, []byte{250, 1}, []byte{5, 6})), 2)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Shape(), []int{3, 3, 32, 32}) || !slices.Equal(y.Shape(), []int{3, 2}) {
		t.Errorf("shapes are %v and %v", x.Shape(), y.Shape())
	}
	if want := []int{3, 99, 250, 1, 5, 6}; !slices.Equal(y.Ints(), want) {
		t.Errorf("labels are %v; want %v", y.Ints(), want)
	}
	_, _, err = data.ReadCIFAR(bytes.NewReader(nil), 3)
	wantError(t, err, "data: ReadCIFAR's labelBytes is 3; want 1 for CIFAR-10 or 2 for CIFAR-100")
	_, _, err = data.ReadCIFAR(nil, 1)
	wantError(t, err, "nil")
}

func TestCIFARRefuses(t *testing.T) {
	dir := t.TempDir()
	good := cifar(0, []byte{3}, []byte{9})
	for _, test := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "cifar: has 0 bytes; want 1 or more records of 3073"},
		{"truncated", good[:6000], "cifar: has 6000 bytes; want 1 or more records of 3073"},
		{"hundred", cifar(0, []byte{3, 4}), "cifar: has 3074 bytes"},
		{"label", cifar(0, []byte{3}, []byte{10}), "the label of record 1 is 10; want 0 to 9"},
		{"gzip", zip(good)[:40], "unexpected EOF"},
	} {
		file := write(t, dir, test.name, test.raw)
		_, err := data.CIFAR10(write(t, dir, "good", good), file)
		wantError(t, err, "data: "+file+": ")
		wantError(t, err, test.want)
	}
	_, err := data.CIFAR10()
	wantError(t, err, "data: CIFAR of no files")
	_, err = data.CIFAR10(filepath.Join(dir, "none"))
	wantError(t, err, "no such file")
	coarse := write(t, dir, "coarse", cifar(0, []byte{20, 99}))
	must(data.CIFAR100(coarse))
	_, err = data.CIFAR100Coarse(coarse)
	wantError(t, err, "label of record 0 is 20; want 0 to 19")
	write(t, dir, "batches.meta.txt", []byte("cat\ndog\n"))
	_, err = data.CIFAR10(filepath.Join(dir, "good"))
	wantError(t, err, "batches.meta.txt has 2 names of classes; want 10")
	write(t, dir, "fine_label_names.txt", []byte(strings.Repeat("same\n", 100)))
	_, err = data.CIFAR100(coarse)
	wantError(t, err, `has "same" twice`)
}

func FuzzReadCIFAR(f *testing.F) {
	for _, raw := range [][]byte{nil, {3}, cifar(0, []byte{3}, []byte{9}), cifar(0, []byte{3, 77}), zip(cifar(0, []byte{3}))} {
		f.Add(raw, 1)
		f.Add(raw, 2)
	}
	f.Fuzz(func(t *testing.T, raw []byte, labelBytes int) {
		x, y, err := data.ReadCIFAR(bytes.NewReader(raw), labelBytes)
		if err != nil {
			return
		}
		if n := x.Shape()[0]; y.Shape()[0] != n || n < 1 {
			t.Fatalf("%d images and %d labels", n, y.Shape()[0])
		}
		m := must(data.NewMemory(data.Signals{"x": x}, y, nil))
		read(t, m, m.Len()-1, 0)
	})
}
