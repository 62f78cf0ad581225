// Gen writes the assembly of internal/kernel for CPUs of amd64 with AVX2, FMA
// and F16C: simd_amd64.s, and its declarations in simd_amd64.go. It is a module
// of its own, so that who imports the library never needs what it needs.
//
//	cd internal/kernel && go generate
//
// The functions trust their caller: lengths are multiples of the vector's
// width, but for losses and what they need, which take any, and pointers are to
// as many elements as are read or written.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	products()
	halves()
	int8s()
	packing()
	convolutions()
	pools()
	optimizers()
	activations()
	exponentials()
	gates()
	norms()
	transformers()
	logarithms()
	losses()
	sums()
	squares()
	runtime()
	Generate()
}

// begin starts a function without a frame, whose pointers do not escape.
func begin(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

// end returns to Go, whose own code uses the halves of the registers.
func end() {
	VZEROUPPER()
	RET()
}

func load(name string) Register { return Load(Param(name), GP64()) }

// spaced are the starts of n things, ld bytes apart.
func spaced(first, ld string, n int) []Register {
	all, step := []Register{load(first)}, load(ld)
	for len(all) < n {
		next := GP64()
		MOVQ(all[len(all)-1], next)
		ADDQ(step, next)
		all = append(all, next)
	}
	return all
}

// at is the element of 4 bytes that is i elements behind p.
func at(p Register, i int) Mem { return Mem{Base: p, Disp: 4 * i} }

func zero() VecVirtual {
	y := YMM()
	VXORPS(y, y, y)
	return y
}

// runtime is what the threads and the benchmarks need, and what tells whether
// the rest can run.
func runtime() {
	TEXT("features", NOSPLIT, "func() (ecx uint32)")
	Doc("features is what CPUID says in ECX of leaf 1.")
	MOVL(U32(1), EAX)
	XORL(ECX, ECX)
	CPUID()
	Store(ECX, ReturnIndex(0))
	RET()

	begin("pause", "func(n int)", "pause tells the processor n times that it waits in a loop.")
	n := load("n")
	Label("wait")
	PAUSE()
	DECQ(n)
	JNZ(LabelRef("wait"))
	RET()

	peak("peak", product{lanes: vector})
	peak("widePeak", product{lanes: 2 * vector})

	begin("sweep", "func(n int, x *byte)", "sweep reads n bytes, a multiple of 256, and forgets them.")
	n, x := load("n"), load("x")
	Label("read")
	for i := range 8 {
		VMOVDQU(at(x, vector*i), YMM())
	}
	ADDQ(U32(256), x)
	SUBQ(U32(256), n)
	JNZ(LabelRef("read"))
	end()
}

// peak is as many fused products and sums as can be.
func peak(name string, p product) {
	begin(name, "func(n int)", fmt.Sprintf("%s is n times 12 fused products and sums of %d elements, as fast as can be.", name, p.lanes))
	n := load("n")
	a, b := p.zero(), p.zero()
	var sums []VecVirtual
	for range 12 {
		sums = append(sums, p.zero())
	}
	Label("multiply")
	for _, s := range sums {
		VFMADD231PS(a, b, s)
	}
	DECQ(n)
	JNZ(LabelRef("multiply"))
	end()
}
