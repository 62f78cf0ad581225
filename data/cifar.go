package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gorgonia.org/tensor"
)

// cifarPixels is the size of an image in bytes: planes of red, green and blue.
const cifarPixels = 3 * 32 * 32

// CIFAR10 reads a set from files of CIFAR-10 in its binary version, such as
// data_batch_1.bin to data_batch_5.bin, plain or compressed with gzip (A.
// Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
// cs.toronto.edu/~kriz/cifar.html). Samples are in the order of the files. The
// images are the input "x", (3, 32, 32): bytes stay bytes in memory and are read
// as float32 from 0 to 255, for [Normalize] to scale.
//
// An id is made of the name of the file, which no two may share, and the number
// of the record, so that samples keep theirs whatever else is read, and those of
// test files have others. The names of the classes are the lines of
// batches.meta.txt, in the folder of the first file, where that is, and else "0"
// to "9".
func CIFAR10(files ...string) (*Memory, error) {
	return cifar{"batches.meta.txt", 10, 1, 0}.open(files)
}

// CIFAR100 is [CIFAR10] for files of CIFAR-100, train.bin or test.bin, with the
// 100 fine labels. Their names are those in fine_label_names.txt.
func CIFAR100(files ...string) (*Memory, error) {
	return cifar{"fine_label_names.txt", 100, 2, 1}.open(files)
}

// CIFAR100Coarse is [CIFAR100] with the 20 coarse labels. Their names are those
// in coarse_label_names.txt.
func CIFAR100Coarse(files ...string) (*Memory, error) {
	return cifar{"coarse_label_names.txt", 20, 2, 0}.open(files)
}

// A cifar is a kind of labels.
type cifar struct {
	names   string // of the file with the names of the classes
	classes int
	bytes   int // labels of a record
	at      int // which of them is the label
}

func (c cifar) open(files []string) (*Memory, error) {
	if len(files) == 0 {
		return nil, errors.New("data: CIFAR of no files; want 1 or more")
	}
	classes, err := c.readNames(filepath.Join(filepath.Dir(files[0]), c.names))
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	var pixels []byte
	var label []int
	var ids []uint64
	ofID := map[uint64]string{}
	for _, name := range files {
		id := fileID(name)
		if other, ok := ofID[id]; ok {
			return nil, fmt.Errorf("data: CIFAR of %s and %s, whose records would have the same ids; want files of different names", other, name)
		}
		ofID[id] = name
		x, y, err := c.openFile(name, maxElements/cifarPixels-len(label))
		if err != nil {
			return nil, fmt.Errorf("data: %s: %w", name, err)
		}
		pixels, label = append(pixels, x...), append(label, y...)
		ids = append(ids, countFrom(id, len(y))...)
	}
	n := len(label)
	x := tensor.New(tensor.WithShape(n, 3, 32, 32), tensor.WithBacking(pixels))
	m, err := NewMemory(Signals{Input: x}, tensor.New(tensor.WithShape(n), tensor.WithBacking(label)), classes)
	if err != nil {
		return nil, err
	}
	return m.WithIDs(ids)
}

// fileID is the id of the first record of a file, wherever that is and whether
// or not it is compressed. It leaves room for those of the others.
func fileID(name string) uint64 {
	return pathID(strings.TrimSuffix(filepath.Base(name), ".gz")) &^ (1<<32 - 1)
}

func (c cifar) openFile(name string, most int) (pixels []byte, label []int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	pixels, labels, err := readCIFAR(f, c.bytes, most)
	if err != nil {
		return nil, nil, err
	}
	for i := c.at; i < len(labels); i += c.bytes {
		if int(labels[i]) >= c.classes {
			return nil, nil, fmt.Errorf("the label of record %d is %d; want 0 to %d", i/c.bytes, labels[i], c.classes-1)
		}
		label = append(label, int(labels[i]))
	}
	return pixels, label, nil
}

// ReadCIFAR reads images and labels from a file of CIFAR-10, which has 1 label
// byte in each record, or CIFAR-100, which has 2, plain or compressed with gzip.
// The images are (N, 3, 32, 32) of tensor.Uint8; the labels are (N, labelBytes)
// of tensor.Int, coarse before fine. It fails unless r is whole records.
func ReadCIFAR(r io.Reader, labelBytes int) (images, labels *tensor.Dense, err error) {
	if labelBytes != 1 && labelBytes != 2 {
		return nil, nil, fmt.Errorf("data: ReadCIFAR's labelBytes is %d; want 1 for CIFAR-10 or 2 for CIFAR-100", labelBytes)
	}
	x, y, err := readCIFAR(r, labelBytes, maxElements/cifarPixels)
	if err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	n := len(x) / cifarPixels
	images = tensor.New(tensor.WithShape(n, 3, 32, 32), tensor.WithBacking(x))
	return images, tensor.New(tensor.WithShape(n, labelBytes), tensor.WithBacking(asInts(y))), nil
}

// readCIFAR takes records apart, up to so many of them.
func readCIFAR(r io.Reader, labelBytes, most int) (pixels, labels []byte, err error) {
	if r, err = plain(r); err != nil {
		return nil, nil, err
	}
	record := labelBytes + cifarPixels
	raw, err := io.ReadAll(io.LimitReader(r, int64(most)*int64(record)+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("cifar: after %d bytes: %w", len(raw), err)
	case len(raw) > most*record:
		return nil, nil, fmt.Errorf("cifar: has more than %d records of %d bytes", most, record)
	case len(raw) == 0 || len(raw)%record != 0:
		return nil, nil, fmt.Errorf("cifar: has %d bytes; want 1 or more records of %d", len(raw), record)
	}
	n := len(raw) / record
	labels = make([]byte, 0, n*labelBytes)
	for i := range n {
		head, image := raw[i*record:][:labelBytes], raw[i*record+labelBytes:][:cifarPixels]
		labels = append(labels, head...)
		copy(raw[i*cifarPixels:], image) // images move together where they are
	}
	return raw[:n*cifarPixels], labels, nil
}

// maxNames is how many bytes of names there may be; real files have below 1200.
const maxNames = 1 << 16

// readNames reads a line for each class. Without the file, numbers are names.
func (c cifar) readNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return numbered(c.classes), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	lines := bufio.NewScanner(io.LimitReader(f, maxNames))
	for lines.Scan() {
		if name := strings.TrimSpace(lines.Text()); name != "" {
			names = append(names, name)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(names) != c.classes {
		return nil, fmt.Errorf("%s has %d names of classes; want %d", path, len(names), c.classes)
	}
	return names, nil
}

// numbered are n names: "0", "1" and so on.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return names
}
