package teacher

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"unsafe"

	"github.com/x448/float16"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/kernel"
)

// A row of the cache has a fixed size, all of it little-endian: the id (sample
// and view, 8 bytes each), the CRC-32 of the inputs in the order of their names
// (4), the columns, and the CRC-32 of all that (4). Rows stand in any order.
//
// A CRC finds mistakes, not forgeries, and processors have instructions for it:
// to hash an image by SHA-256 takes several times as long as to read its row.
const (
	rowHead = 20
	rowTail = 4
)

// maxRow is how many bytes a row may have.
const maxRow = 1 << 30

// A column is where a signal is in a row, or an input in what is hashed.
type column struct {
	name  string
	field data.Field
	code  code
	below int // values are indices below it; 0: no limit
}

// A code is how an element is written.
type code int

const (
	f32 code = iota
	f64
	i64
	f16
	u16
	u32
)

func (c code) size() int { return [...]int{4, 8, 8, 2, 2, 4}[c] }

// exact is the code that loses nothing of a dtype.
func exact(d tensor.Dtype) code {
	return map[tensor.Dtype]code{tensor.Float32: f32, tensor.Float64: f64, tensor.Int: i64}[d]
}

func (c column) size() int { return c.code.size() * c.field.Size() }

// append appends row r of t to dst.
func (c column) append(dst []byte, t *tensor.Dense, r int) []byte {
	switch c.field.Dtype {
	case tensor.Float32:
		return encode(dst, c.code, data.Row[float32](t, r))
	case tensor.Float64:
		return encode(dst, c.code, data.Row[float64](t, r))
	}
	return encode(dst, c.code, data.Row[int](t, r))
}

// read reads row r of t from the start of src.
func (c column) read(src []byte, t *tensor.Dense, r int) error {
	switch c.field.Dtype {
	case tensor.Float32:
		decode(src, c.code, data.Row[float32](t, r))
	case tensor.Float64:
		decode(src, c.code, data.Row[float64](t, r))
	default:
		row := data.Row[int](t, r)
		decode(src, c.code, row)
		for _, v := range row {
			if c.below > 0 && v >= c.below {
				return fmt.Errorf("signal %q has class %d of %d", c.name, v, c.below)
			}
		}
	}
	return nil
}

// bytes is row r of t as it is written: its own memory, if it lies there so.
func (c column) bytes(t *tensor.Dense, r int) []byte {
	switch c.field.Dtype {
	case tensor.Float32:
		return written(c.code, data.Row[float32](t, r))
	case tensor.Float64:
		return written(c.code, data.Row[float64](t, r))
	}
	return written(c.code, data.Row[int](t, r))
}

func written[E data.Element](c code, row []E) []byte {
	if isWritten[E](c) {
		return memory(row)
	}
	return encode(nil, c, row)
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// isWritten says that elements lie in memory as they are written.
func isWritten[E data.Element](c code) bool {
	return littleEndian && int(unsafe.Sizeof(E(0))) == c.size()
}

// memory are the bytes of a row.
func memory[E data.Element](row []E) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(row))), len(row)*int(unsafe.Sizeof(E(0))))
}

func encode[E data.Element](dst []byte, c code, row []E) []byte {
	if isWritten[E](c) {
		return append(dst, memory(row)...)
	}
	size, start := c.size(), len(dst)
	dst = slices.Grow(dst, len(row)*size)[:start+len(row)*size]
	le, to := binary.LittleEndian, dst[start:]
	switch c {
	case f32:
		for i, v := range row {
			le.PutUint32(to[i*4:], math.Float32bits(float32(v)))
		}
	case f64:
		for i, v := range row {
			le.PutUint64(to[i*8:], math.Float64bits(float64(v)))
		}
	case i64:
		for i, v := range row {
			le.PutUint64(to[i*8:], uint64(v))
		}
	case f16:
		for i, v := range row {
			le.PutUint16(to[i*2:], float16.Fromfloat32(float32(v)).Bits())
		}
	case u16:
		for i, v := range row {
			le.PutUint16(to[i*2:], uint16(v))
		}
	case u32:
		for i, v := range row {
			le.PutUint32(to[i*4:], uint32(v))
		}
	}
	return dst
}

func decode[E data.Element](src []byte, c code, row []E) {
	if isWritten[E](c) {
		copy(memory(row), src)
		return
	}
	if singles, ok := any(row).([]float32); ok && littleEndian {
		kernel.Widen(singles, unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(src))), len(row)))
		return
	}
	le, size := binary.LittleEndian, c.size()
	for i := range row {
		at := src[i*size:]
		switch c {
		case f32:
			row[i] = E(math.Float32frombits(le.Uint32(at)))
		case f64:
			row[i] = E(math.Float64frombits(le.Uint64(at)))
		case i64:
			row[i] = E(le.Uint64(at))
		case f16:
			row[i] = E(float16.Frombits(le.Uint16(at)).Float32())
		case u16:
			row[i] = E(le.Uint16(at))
		case u32:
			row[i] = E(le.Uint32(at))
		}
	}
}

// A layout is how the signals of a cache are laid out in its rows.
type layout struct {
	inputs  []column // what is hashed
	signals []column // what is stored
	size    int      // of a row, in bytes
}

// append appends the row of sample r of a batch to dst.
func (l layout) append(dst []byte, b data.Batch, s data.Signals, r int) []byte {
	start := len(dst)
	dst = appendID(dst, b.ID[r])
	dst = binary.LittleEndian.AppendUint32(dst, l.hash(b, r))
	for _, c := range l.signals {
		dst = c.append(dst, s[c.name], r)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

// read reads the signals of a row into sample r of s.
func (l layout) read(row []byte, s data.Signals, r int) error {
	at := row[rowHead:]
	for _, c := range l.signals {
		if err := c.read(at, s[c.name], r); err != nil {
			return err
		}
		at = at[c.size():]
	}
	return nil
}

// hash is the CRC-32 of the inputs of sample r.
func (l layout) hash(b data.Batch, r int) (hash uint32) {
	for _, c := range l.inputs {
		hash = crc32.Update(hash, crc32.IEEETable, c.bytes(b.In[c.name], r))
	}
	return hash
}

func appendID(dst []byte, id data.ID) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, id.Sample)
	return binary.LittleEndian.AppendUint64(dst, id.View)
}

func rowID(row []byte) data.ID {
	return data.ID{Sample: binary.LittleEndian.Uint64(row), View: binary.LittleEndian.Uint64(row[8:])}
}

// intact says whether a row is that of id, as it was written.
func intact(row []byte, id data.ID) bool { return rowID(row) == id && sound(row) }

// sound says whether a row is as it was written.
func sound(row []byte) bool {
	body, sum := row[:len(row)-rowTail], row[len(row)-rowTail:]
	return binary.LittleEndian.Uint32(sum) == crc32.ChecksumIEEE(body)
}
