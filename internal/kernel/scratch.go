package kernel

import (
	"math/bits"
	"sync"
)

// pools keep scratch by its size, the next power of two.
type pools [bits.UintSize + 1]sync.Pool

var pools32, pools64 pools

// pool is the one for n elements of F.
func pool[F Float](n int) *sync.Pool {
	class := bits.Len(uint(n))
	if _, ok := any(F(0)).(float32); ok {
		return &pools32[class]
	}
	return &pools64[class]
}

// borrow returns scratch of n elements, whose values are arbitrary.
func borrow[F Float](n int) *[]F {
	s, ok := pool[F](n).Get().(*[]F)
	if !ok {
		all := make([]F, 1<<bits.Len(uint(n)))
		s = &all
	}
	*s = (*s)[:n]
	return s
}

func giveBack[F Float](s *[]F) { pool[F](len(*s)).Put(s) }
