//go:build amd64

package kernel

import "golang.org/x/sys/cpu"

//go:generate go -C gen run . -out ../simd_amd64.s -stubs ../simd_amd64.go -pkg kernel

// simd says that this CPU runs the assembly. Here alone it is decided; tests
// change it, to compare with the portable path.
var simd = cpu.X86.HasAVX2 && cpu.X86.HasFMA && hasF16C()

// simd512 says that products take AVX-512 as well.
var simd512 = simd && cpu.X86.HasAVX512F

// hasF16C says that the CPU converts float16, which x/sys does not tell. That
// the system keeps its registers, AVX2 does.
func hasF16C() bool { return features()&(1<<29) != 0 }
