package infer

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/x448/float16"

	"github.com/godistill/godistill/internal/plan"
	"github.com/godistill/godistill/internal/safetensors"
)

func logitsOf(t *testing.T, p *Predictor, x []float32) []float32 {
	t.Helper()
	z, err := p.Logits(x)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// A student in float16 is the one whose weights were rounded before.
func TestFloat16(t *testing.T) {
	rounded := tensors[float32]()
	for _, i := range []int{0, 2} {
		w, err := safetensors.Values[float32](rounded[i])
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range w {
			w[j] = float16.Fromfloat32(v).Float32()
		}
		rounded[i] = safetensors.Of(rounded[i].Name, rounded[i].Shape, w)
	}
	x := convert[float32](random(100*nIn, 1))
	got := logitsOf(t, loadedAs(t, file(t, header, tensors[float32]()), Float16), x)
	if want := logitsOf(t, loaded(t, file(t, header, rounded)), x); !slices.Equal(got, want) {
		t.Errorf("the logits are %v, want %v", got[:nOut], want[:nOut])
	}
}

// grid rounds each row of n to 127 steps on either side of 0.
func grid(x []float64, n int) []float64 {
	var y []float64
	for row := range slices.Chunk(x, n) {
		top := 0.0
		for _, v := range row {
			top = max(top, math.Abs(v))
		}
		for _, v := range row {
			y = append(y, math.RoundToEven(v*127/top)*top/127)
		}
	}
	return y
}

// A student in int8 is by definition one that rounds weights and inputs.
func TestInt8(t *testing.T) {
	p := loadedAs(t, file(t, header, tensors[float32]()), Int8)
	const rows = 30
	x := convert[float32](random(rows*nIn, 1))
	out, err := p.Run(map[string][]float32{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	norm, w0, w1 := header.Norm["x"], grid(w0, nIn), grid(w1, nHidden)
	product := func(x, w []float64) (y []float64) {
		for row := range slices.Chunk(w, len(x)) {
			sum := 0.0
			for i, v := range grid(x, len(x)) {
				sum += v * row[i]
			}
			y = append(y, sum)
		}
		return y
	}
	for r := range rows {
		in := convert[float64](x[r*nIn : (r+1)*nIn])
		for i := range in {
			in[i] = (in[i] - norm.Mean[i]) / norm.SD[i]
		}
		hidden := product(in, w0)
		for i, v := range hidden {
			hidden[i] = math.Tanh(v + b0[i])
		}
		near(t, out["hidden"][r*nHidden:], hidden, 2e-6)
		near(t, out["logits"][r*nOut:], product(hidden, w1), 2e-5)
	}
}

// A student of float64 is rounded to float32 first.
func TestPrecisionOfFloat64(t *testing.T) {
	x := convert[float32](random(20*nIn, 2))
	for _, precision := range []Precision{Float16, Int8} {
		got := logitsOf(t, loadedAs(t, file(t, header, tensors[float64]()), precision), x)
		if want := logitsOf(t, loadedAs(t, file(t, header, tensors[float32]()), precision), x); !slices.Equal(got, want) {
			t.Errorf("%v: the logits are %v, want %v", precision, got[:nOut], want[:nOut])
		}
	}
}

// Of an output without weights the bias is left.
func TestInt8OfZeros(t *testing.T) {
	zeros := tensors[float32]()
	zeros[0] = safetensors.Of("l0.weight", []int{nHidden, nIn}, make([]float32, nHidden*nIn))
	out, err := loadedAs(t, file(t, header, zeros), Int8).Run(map[string][]float32{"x": {1, 2, 3, 4, 9, 1, 2, 3, 4, 5}})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out["hidden"] {
		near(t, []float32{v}, []float64{math.Tanh(b0[i%nHidden])}, 1e-6)
	}
}

func TestPrecisionRefuses(t *testing.T) {
	wide := make([]float32, 133145)
	wide[3] = -70000
	one := func(w safetensors.Tensor) []byte {
		return file(t, plan.Header{Plan: &plan.Plan{
			Inputs:  []plan.Value{{Name: "x", Shape: []int{w.Shape[1]}}},
			Steps:   []plan.Step{{Op: "linear", In: []int{0}, Params: []string{"w"}, Shape: []int{w.Shape[0]}}},
			Outputs: []plan.Output{{Name: "logits", Value: 1}},
		}}, []safetensors.Tensor{w})
	}
	whole := one(safetensors.Of("w", []int{3, 4}, convert[float32](random(12, 1))))
	for _, test := range []struct {
		precision Precision
		file      []byte
		want      string
	}{
		{3, whole, "Precision is 3; want Full, Float16 or Int8"},
		{Float16, one(safetensors.Of("w", []int{1, len(wide)}, wide)), `parameter "w" has -70000; a float16 is 65504 at most`},
		{Int8, one(safetensors.Of("w", []int{1, len(wide)}, wide)), `parameter "w" has 133145 inputs; want 133144 at most`},
		{Int8, one(safetensors.Of("w", []int{3, 1}, []float64{1, 1e300, 2})), `parameter "w" is not finite in float32`},
		{Int8, one(safetensors.Of("w", []int{3, 1}, []float32{1, 2, float32(math.NaN())})), `parameter "w" is not finite`},
		{Int8, whole[:50], "safetensors: "},
	} {
		path := filepath.Join(t.TempDir(), "student.safetensors")
		if err := os.WriteFile(path, test.file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, loading := test.precision.Load(bytes.NewReader(test.file))
		_, opening := test.precision.Open(path)
		for prefix, err := range map[string]error{"infer: ": loading, "infer: " + path + ": ": opening} {
			if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: error %v; want one with %q", test.precision, err, prefix+test.want)
			}
		}
	}
	if _, err := Int8.Open("nowhere"); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "infer: ") {
		t.Errorf("error %v", err)
	}
}

func TestPrecisionString(t *testing.T) {
	if got := Full.String() + Float16.String() + Int8.String() + Precision(9).String(); got != "fullfloat16int8Precision(9)" {
		t.Error(got)
	}
}
