package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Floats is a copy of the elements of t, which may be F16, BF16, F32 or F64, as
// E: exact where E is as wide, else rounded to the nearest, and infinite beyond
// its range. It fails on other types.
func Floats[E float32 | float64](t Tensor) ([]E, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	switch t.Dtype {
	case "F16":
		return widen[E](t.Data, fromHalf), nil
	case "BF16":
		return widen[E](t.Data, func(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }), nil
	case "F32":
		return convert[float32, E](t)
	case "F64":
		return convert[float64, E](t)
	}
	return nil, fmt.Errorf("safetensors: tensor %q is %s; want F16, BF16, F32 or F64", t.Name, t.Dtype)
}

func widen[E float32 | float64](data []byte, value func(bits uint16) float32) []E {
	all := make([]E, len(data)/2)
	for i := range all {
		all[i] = E(value(binary.LittleEndian.Uint16(data[2*i:])))
	}
	return all
}

func convert[From, To float32 | float64](t Tensor) ([]To, error) {
	from, err := Values[From](t)
	if err != nil {
		return nil, err
	}
	if same, ok := any(from).([]To); ok {
		return same, nil
	}
	to := make([]To, len(from))
	for i, v := range from {
		to[i] = To(v)
	}
	return to, nil
}

// fromHalf is a float16, of which float32 has all. Its bits are those of a
// float32 that is 2¹¹² times too small.
func fromHalf(h uint16) float32 {
	bits := uint32(h&0x7fff) << 13
	v := math.Float32frombits(bits) * 0x1p112
	if h&0x7c00 == 0x7c00 {
		v = math.Float32frombits(bits | 0x7f800000) // infinite, or NaN
	}
	return math.Float32frombits(math.Float32bits(v) | uint32(h&0x8000)<<16)
}
