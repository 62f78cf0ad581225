package kernel

import "math"

// MaxHalf is the largest float16.
const MaxHalf = 65504

// Half is a w of [Linear] whose elements were rounded to float16: half as much
// to read, for products that wait for memory. It may be used from many
// goroutines.
type Half struct {
	in, out   int
	w, packed []uint16 // one of them
}

// PackHalf rounds w (out, in) to float16, and packs it. What is beyond MaxHalf
// and rounds to more becomes infinite.
func PackHalf(w []float32, in, out int) *Half {
	h := &Half{in: in, out: out}
	if packed := pack32(true, out, in, w[:out*in]); packed != nil {
		h.packed = halves(packed)
	} else {
		h.w = halves(w[:out*in])
	}
	return h
}

// Linear is [Linear] with the rounded w, to the last bit.
func (h *Half) Linear(y, x, bias []float32, rows int, act Act) {
	p := product[float32]{tb: true, half: h.packed}
	if h.packed == nil {
		w := borrow[float32](len(h.w))
		defer giveBack(w)
		widenAll(*w, h.w)
		p.b = *w
	}
	p.linear(y, x, bias, rows, h.in, h.out, act)
}

func halves(x []float32) []uint16 {
	all := Zeros[uint16](len(x))
	for i, v := range x {
		all[i] = toHalf(v)
	}
	return all
}

func widenAll(dst []float32, src []uint16) {
	each(len(src), 4, func(from, to int) { Widen(dst[from:to], src[from:to]) })
}

// Widen converts the elements of src, which is exact.
func Widen(dst []float32, src []uint16) {
	done := widenFast(dst, src)
	for i, h := range src[done:] {
		dst[done+i] = fromHalf(h)
	}
}

// toHalf rounds to the nearest float16, and to the even one of two.
func toHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00 // NaN
	case bits >= 0x477ff000:
		return sign | 0x7c00 // infinite
	case bits < 0x38800000: // a multiple of 2⁻²⁴, as is what is added to 0.5
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-0x3f000000)
	}
	bits += 0xfff + bits>>13&1
	return sign | uint16((bits-112<<23)>>13)
}

// fromHalf is exact. The bits of a float16 are those of a float32 that is 2¹¹²
// times too small.
func fromHalf(h uint16) float32 {
	bits := uint32(h&0x7fff) << 13
	v := math.Float32frombits(bits) * 0x1p112
	if h&0x7c00 == 0x7c00 {
		v = math.Float32frombits(bits | 0x7f800000) // infinite, or NaN
	}
	return math.Float32frombits(math.Float32bits(v) | uint32(h&0x8000)<<16)
}
