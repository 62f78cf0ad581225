package infer

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// A Precision is what becomes of a student's weights when it is loaded: those
// of its linear layers, (out, in). Biases and activations are computed as ever.
// [Compare] tells what it does to the answers.
//
//	small, err := infer.Int8.Open("student.safetensors")
//
// With fewer bits less is read, which is what a few rows at a time wait for. A
// student of float64 is rounded to float32 first.
type Precision uint8

const (
	// Full keeps the weights as they are.
	Full Precision = iota
	// Float16 rounds each weight to the nearest float16, of 11 significant bits.
	// Sums are of float32. A weight beyond 65504 cannot be loaded. On CPUs
	// without AVX2 and F16C, this is slower than Full.
	Float16
	// Int8 rounds the weights of each output to integers from -127 to 127, times
	// a scale that makes the largest fit; and as they come the inputs of each
	// layer, by a scale for each row. So a row depends on itself alone. Sums are
	// of integers, and exact; a layer may have 133144 inputs.
	Int8
)

var precisions = [...]string{Full: "full", Float16: "float16", Int8: "int8"}

// String is the name in lower case.
func (p Precision) String() string {
	if int(p) < len(precisions) {
		return precisions[p]
	}
	return fmt.Sprintf("Precision(%d)", uint8(p))
}

// Open loads the student that was saved to a file, with weights of this
// precision. It fails where [Load] does, and on weights that have none.
func (p Precision) Open(path string) (*Predictor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	defer f.Close()
	student, err := read(f, p)
	if err != nil {
		return nil, fmt.Errorf("infer: %s: %w", path, err)
	}
	return student, nil
}

// Load reads a saved student to its end, with weights of this precision. It
// fails where [Load] does, and on weights that have none.
func (p Precision) Load(r io.Reader) (*Predictor, error) {
	student, err := read(r, p)
	if err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	return student, nil
}

// packer brings weights into this precision; nil leaves them as they are.
func (p Precision) packer() plan.Packer[float32] {
	switch p {
	case Float16:
		return packFloat16
	case Int8:
		return packInt8
	}
	return nil
}

func packFloat16(w []float32, in, out int) (plan.Weight[float32], error) {
	beyond := func(v float32) bool { return math.Abs(float64(v)) > kernel.MaxHalf }
	if i := slices.IndexFunc(w, beyond); i >= 0 {
		return nil, fmt.Errorf("has %v; a float16 is %d at most", w[i], kernel.MaxHalf)
	}
	return kernel.PackHalf(w, in, out), nil
}

func packInt8(w []float32, in, out int) (plan.Weight[float32], error) {
	if in > kernel.MaxInt8Inputs {
		return nil, fmt.Errorf("has %d inputs; want %d at most, for sums to fit an int32", in, kernel.MaxInt8Inputs)
	}
	return kernel.PackInt8(w, in, out), nil
}
