package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/x448/float16"
)

func TestFloats(t *testing.T) {
	want := []float64{1, -0.5, 3.140625, 0, 65280, -0.0078125} // all of which bfloat16 has
	var half, brain []byte
	var single []float32
	for _, v := range want {
		half = binary.LittleEndian.AppendUint16(half, uint16(float16.Fromfloat32(float32(v))))
		brain = binary.LittleEndian.AppendUint16(brain, uint16(math.Float32bits(float32(v))>>16))
		single = append(single, float32(v))
	}
	shape := []int{2, 3}
	for _, tensor := range []Tensor{
		{"half", "F16", shape, half}, {"brain", "BF16", shape, brain}, Of("single", shape, single), Of("double", shape, want),
	} {
		wide, err := Floats[float64](tensor)
		narrow, err2 := Floats[float32](tensor)
		if err != nil || err2 != nil || !cmp.Equal(wide, want) || !cmp.Equal(narrow, single) {
			t.Errorf("%s: %v and %v, errors %v and %v; want %v", tensor.Name, wide, narrow, err, err2, want)
		}
	}
	far, err := Floats[float32](Of("far", nil, []float64{1e300}))
	if err != nil || !math.IsInf(float64(far[0]), 1) {
		t.Errorf("1e300 is %v, error %v; want +Inf", far, err)
	}
	_, err = Floats[float32](Of("whole", nil, []int64{1}))
	if err == nil || err.Error() != `safetensors: tensor "whole" is I64; want F16, BF16, F32 or F64` {
		t.Errorf("error %v", err)
	}
	_, err = Floats[float64](Tensor{"short", "F16", shape, half[:11]})
	if err == nil || !strings.Contains(err.Error(), "has 11 bytes") {
		t.Errorf("error %v", err)
	}
}

// What Floats returns is a copy.
func TestFloatsAreACopy(t *testing.T) {
	tensor := Of("a", nil, []float32{7})
	v, err := Floats[float32](tensor)
	if err != nil {
		t.Fatal(err)
	}
	tensor.Data[0] ^= 1
	if v[0] != 7 {
		t.Errorf("%v; want 7", v)
	}
}

func TestFromHalf(t *testing.T) {
	for i := range 1 << 16 {
		got, want := fromHalf(uint16(i)), float16.Frombits(uint16(i)).Float32()
		if math.Float32bits(got) != math.Float32bits(want) && got == got {
			t.Fatalf("%#04x is %v, want %v", i, got, want)
		}
	}
}

// Whatever a file says, its floats are as many as its shape, or an error.
func FuzzFloats(f *testing.F) {
	for _, file := range hostile {
		f.Add(file)
	}
	f.Add(written(f, []Tensor{{"a", "F16", []int{3}, make([]byte, 6)}, {"b", "BF16", []int{1, 2}, []byte{0, 0x7c, 1, 0xff}}, Of("c", nil, []float64{math.Inf(1)})}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		read, err := Read(bytes.NewReader(file))
		if err != nil {
			return
		}
		for _, tensor := range read.Tensors {
			wide, err := Floats[float64](tensor)
			narrow, err2 := Floats[float32](tensor)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("errors %v and %v", err, err2)
			}
			size := 1
			for _, n := range tensor.Shape {
				size *= n
			}
			if err == nil && (len(wide) != size || len(narrow) != size) {
				t.Fatalf("%d and %d floats of shape %v", len(wide), len(narrow), tensor.Shape)
			}
			for i, v := range narrow {
				if diff := cmp.Diff(float32(wide[i]), v, cmpopts.EquateNaNs()); diff != "" {
					t.Fatal(diff)
				}
			}
		}
	})
}
