package kernel

import (
	"math/bits"
	"sync"
)

// pools keep scratch by its size, the next power of two.
type pools [bits.UintSize + 1]sync.Pool

var pools8, poolsInt32, pools32, pools64 pools

// storable is what there is scratch of.
type storable interface{ Float | int8 | int32 }

// pool is the one for n elements of E.
func pool[E storable](n int) *sync.Pool {
	class := bits.Len(uint(n))
	switch any(E(0)).(type) {
	case int8:
		return &pools8[class]
	case int32:
		return &poolsInt32[class]
	case float32:
		return &pools32[class]
	}
	return &pools64[class]
}

// borrow returns scratch of n elements, whose values are arbitrary.
func borrow[E storable](n int) *[]E {
	s, ok := pool[E](n).Get().(*[]E)
	if !ok {
		all := Zeros[E](1 << bits.Len(uint(n)))
		s = &all
	}
	*s = (*s)[:n]
	return s
}

func giveBack[E storable](s *[]E) { pool[E](len(*s)).Put(s) }
