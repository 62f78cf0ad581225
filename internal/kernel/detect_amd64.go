//go:build amd64

package kernel

import "golang.org/x/sys/cpu"

//go:generate go -C gen run . -out ../simd_amd64.s -stubs ../simd_amd64.go -pkg kernel

// simd says that this CPU runs the assembly. Here alone it is decided; tests
// change it, to compare with the portable path.
var simd = cpu.X86.HasAVX2 && cpu.X86.HasFMA
