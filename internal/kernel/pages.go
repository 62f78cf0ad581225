package kernel

import "unsafe"

// Zeros returns n zeros. Where there are many, and the system has large pages
// for who asks, it asks for them: a step that goes through all the weights of a
// model spends a tenth of its time on finding out where small pages are.
func Zeros[E Float | int8 | uint16 | int32](n int) []E {
	x := make([]E, n)
	size := uintptr(n) * unsafe.Sizeof(E(0))
	if size >= largePage/4 {
		askForLargePages(uintptr(unsafe.Pointer(unsafe.SliceData(x))), size)
	}
	return x
}

// largePage is the size of one, in bytes.
const largePage = 2 << 20
