package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"gorgonia.org/tensor"
)

// IDX reads a set from an IDX file of images and one of their labels, which
// are whole numbers, (N). Without labels that name is empty; classes may be
// nil. The images are the input "x": bytes stay bytes in memory and are read
// as float32 from 0 to 255, for [Normalize] to scale.
func IDX(images, labels string, classes []string) (*Memory, error) {
	x, err := openIDX(images)
	if err != nil {
		return nil, err
	}
	var y *tensor.Dense
	if labels != "" {
		if y, err = openIDX(labels); err != nil {
			return nil, err
		}
	}
	return NewMemory(Signals{Input: x}, widen(y), classes)
}

func openIDX(name string) (*tensor.Dense, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	t, err := readIDX(f)
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", name, err)
	}
	return t, nil
}

// widen makes labels of bytes labels of int.
func widen(labels *tensor.Dense) *tensor.Dense {
	if labels == nil || labels.Dtype() != tensor.Uint8 {
		return labels
	}
	wide := asInts(labels.Data().([]uint8))
	return tensor.New(tensor.WithShape(labels.Shape()...), tensor.WithBacking(wide))
}

// ReadIDX reads an array in the IDX format of MNIST (Y. LeCun, C. Cortes and
// C. Burges, yann.lecun.com/exdb/mnist), plain or compressed with gzip. Bytes
// become tensor.Uint8, signed integers tensor.Int, and the float types what
// they are; nothing is scaled. It fails unless the array is the whole of r.
func ReadIDX(r io.Reader) (*tensor.Dense, error) {
	t, err := readIDX(r)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return t, nil
}

func readIDX(r io.Reader) (*tensor.Dense, error) {
	r, err := plain(r)
	if err != nil {
		return nil, err
	}
	kind, shape, err := readIDXHeader(r)
	if err != nil {
		return nil, err
	}
	raw, err := readExactly(r, kind.size*shape.TotalSize())
	if err != nil {
		return nil, fmt.Errorf("idx of %s with shape %v: %w", kind.name, shape, err)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(kind.decode(raw))), nil
}

// An idxKind is a type of IDX elements.
type idxKind struct {
	name   string
	size   int // in bytes
	decode func(raw []byte) any
}

var idxKinds = map[byte]idxKind{
	0x08: {"unsigned byte", 1, func(raw []byte) any { return raw }},
	0x09: {"signed byte", 1, func(raw []byte) any { return asInts(bigEndian[int8](raw)) }},
	0x0B: {"short", 2, func(raw []byte) any { return asInts(bigEndian[int16](raw)) }},
	0x0C: {"int", 4, func(raw []byte) any { return asInts(bigEndian[int32](raw)) }},
	0x0D: {"float", 4, func(raw []byte) any { return bigEndian[float32](raw) }},
	0x0E: {"double", 8, func(raw []byte) any { return bigEndian[float64](raw) }},
}

func bigEndian[E any](raw []byte) []E {
	v := make([]E, len(raw)/binary.Size(*new(E)))
	// Decode fails on short input and types of no fixed size only.
	_, _ = binary.Decode(raw, binary.BigEndian, v)
	return v
}

func asInts[E uint8 | int8 | int16 | int32](v []E) []int {
	wide := make([]int, len(v))
	for i, x := range v {
		wide[i] = int(x)
	}
	return wide
}

// maxAxes is how many axes an IDX array may have; real ones have up to four.
const maxAxes = 8

func readIDXHeader(r io.Reader) (idxKind, tensor.Shape, error) {
	var magic [4]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return idxKind{}, nil, fmt.Errorf("idx magic number: %w", err)
	}
	kind, ok := idxKinds[magic[2]]
	if axes := magic[3]; !ok || magic[0] != 0 || magic[1] != 0 || axes < 1 || axes > maxAxes {
		return idxKind{}, nil, fmt.Errorf("idx magic number is %#x; want 0, 0, a known type, 1 to %d axes", magic, maxAxes)
	}
	axes := make([]uint32, magic[3])
	if err := binary.Read(r, binary.BigEndian, axes); err != nil {
		return idxKind{}, nil, fmt.Errorf("idx shape: %w", err)
	}
	shape, size := make(tensor.Shape, len(axes)), uint64(1)
	for i, n := range axes {
		// Both factors are below 1<<32.
		if size *= uint64(n); size < 1 || size > maxElements {
			return idxKind{}, nil, fmt.Errorf("idx shape is %d; want axes of 1 or more, and at most %d elements", axes, maxElements)
		}
		shape[i] = int(n)
	}
	return kind, shape, nil
}

// readExactly reads n bytes, which must be all that r has. It allocates by what
// is there, not by n.
func readExactly(r io.Reader, n int) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, int64(n)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("after %d of %d bytes: %w", len(raw), n, err)
	case len(raw) < n:
		return nil, fmt.Errorf("has %d bytes of data; want %d", len(raw), n)
	case len(raw) > n:
		return nil, fmt.Errorf("has more than %d bytes of data", n)
	}
	return raw, nil
}

// plain undoes gzip where it is found.
func plain(r io.Reader) (io.Reader, error) {
	if r == nil {
		return nil, errors.New("the io.Reader is nil")
	}
	buffered := bufio.NewReader(r)
	// An error of Peek comes back at the first read.
	if start, _ := buffered.Peek(2); !bytes.Equal(start, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	unzipped, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return unzipped, nil
}
