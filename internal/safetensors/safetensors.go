// Package safetensors reads and writes the safetensors format: a JSON header
// of named shapes, then the bytes of the tensors.
//
//	w := safetensors.Of("weight", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6})
//	if err := safetensors.Write(out, []safetensors.Tensor{w}, nil); err != nil {
//		return err
//	}
//	f, err := safetensors.Read(in)
//	if err != nil {
//		return err
//	}
//	t, ok := f.Lookup("weight")
//
// What is written depends on names and values alone, and is what the reference
// implementation writes for them. What is read may come from anyone: names that
// occur twice, ranges that overlap or leave a hole, and sizes that disagree are
// refused, and no length is believed before that many bytes were read.
//
// Source: https://github.com/huggingface/safetensors#format
package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// maxHeader is the largest header that the format allows, in bytes.
const maxHeader = 100_000_000

// metaKey is the entry of the header that is no tensor.
const metaKey = "__metadata__"

// A Tensor is a named array.
type Tensor struct {
	Name  string // unique in a file
	Dtype string // as in the format: F32, F64, F16, BF16, I64, ...
	Shape []int  // empty for a single number
	Data  []byte // row-major, little-endian
}

// A File is what one file holds.
type File struct {
	// Meta is the free text of the header, by key. It may be nil.
	Meta map[string]string
	// Tensors are in the order of their bytes, which they share.
	Tensors []Tensor
}

// Lookup returns the tensor of that name.
func (f *File) Lookup(name string) (Tensor, bool) {
	i := slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// Element is what Of and Values convert.
type Element interface {
	float32 | float64 | int64
}

// Of is the tensor of shape that holds a copy of values: F32, F64 or I64. Write
// checks that they are as many as the shape says.
func Of[E Element](name string, shape []int, values []E) Tensor {
	data, _ := binary.Append(nil, binary.LittleEndian, values) // fails for other types only
	return Tensor{Name: name, Dtype: dtypeOf[E](), Shape: slices.Clone(shape), Data: data}
}

// Values is a copy of the elements of t. It fails when they are of another
// type than E.
func Values[E Element](t Tensor) ([]E, error) {
	want := dtypeOf[E]()
	if t.Dtype != want {
		return nil, fmt.Errorf("safetensors: tensor %q is %s; want %s", t.Name, t.Dtype, want)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	values := make([]E, len(t.Data)/binary.Size(E(0)))
	_, err := binary.Decode(t.Data, binary.LittleEndian, values)
	return values, err
}

func dtypeOf[E Element]() string {
	switch any(E(0)).(type) {
	case float32:
		return "F32"
	case float64:
		return "F64"
	}
	return "I64"
}

// dtypes are the types of elements in the order of the reference
// implementation, which is the reverse of that of the file.
var dtypes = []struct {
	name string
	size uint64 // bytes
}{
	{"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1},
	{"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2},
	{"I32", 4}, {"U32", 4}, {"F32", 4},
	{"C64", 8}, {"F64", 8}, {"I64", 8}, {"U64", 8},
}

// rank is the index of a type in dtypes, or -1.
func rank(dtype string) int {
	for i, d := range dtypes {
		if d.name == dtype {
			return i
		}
	}
	return -1
}

// order sorts tensors by type, largest elements first, then by name: every
// tensor is aligned.
func order(a, b Tensor) int {
	if c := rank(b.Dtype) - rank(a.Dtype); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// check says whether the parts of t agree.
func (t Tensor) check() error {
	size, err := t.size()
	if err != nil {
		return err
	}
	if len(t.Data) != size {
		return fmt.Errorf("safetensors: tensor %q has %d bytes; %s of shape %v has %d", t.Name, len(t.Data), t.Dtype, t.Shape, size)
	}
	return nil
}

// size is how many bytes t should have.
func (t Tensor) size() (int, error) {
	r := rank(t.Dtype)
	if r < 0 {
		return 0, fmt.Errorf("safetensors: tensor %q has the unknown dtype %q", t.Name, t.Dtype)
	}
	size := dtypes[r].size
	for _, dim := range t.Shape {
		if dim < 0 {
			return 0, fmt.Errorf("safetensors: tensor %q has shape %v; want sizes of 0 or more", t.Name, t.Shape)
		}
		var over uint64
		if over, size = bits.Mul64(size, uint64(dim)); over != 0 || size > math.MaxInt {
			return 0, fmt.Errorf("safetensors: tensor %q has shape %v, which is too large", t.Name, t.Shape)
		}
	}
	return int(size), nil
}
