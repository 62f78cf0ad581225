package teacher

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/x448/float16"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A row of the cache has a fixed size, all of it little-endian: the id (sample
// and view, 8 bytes each), a hash of the input (8), the columns, and the
// CRC-32C of all that (4). Rows stand in any order; files of rows with one
// layout may be concatenated.
const (
	rowHead = 24
	rowTail = 4
)

// maxRow is how many bytes a row may have.
const maxRow = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

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

func encode[E data.Element](dst []byte, c code, row []E) []byte {
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
	hash := sha256.Sum256(l.appendInput(nil, b, r))
	dst = append(dst, hash[:rowHead-16]...)
	for _, c := range l.signals {
		dst = c.append(dst, s[c.name], r)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
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

// appendInput appends what of sample r is hashed: the inputs in the order of
// their names.
func (l layout) appendInput(dst []byte, b data.Batch, r int) []byte {
	for _, c := range l.inputs {
		dst = append(append(dst, c.name...), 0)
		dst = c.append(dst, b.In[c.name], r)
	}
	return dst
}

func appendID(dst []byte, id data.ID) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, id.Sample)
	return binary.LittleEndian.AppendUint64(dst, id.View)
}

func rowID(row []byte) data.ID {
	return data.ID{Sample: binary.LittleEndian.Uint64(row), View: binary.LittleEndian.Uint64(row[8:])}
}

// intact says whether a row is that of id, as it was written.
func intact(row []byte, id data.ID) bool {
	body, sum := row[:len(row)-rowTail], row[len(row)-rowTail:]
	return rowID(row) == id && binary.LittleEndian.Uint32(sum) == crc32.Checksum(body, castagnoli)
}
