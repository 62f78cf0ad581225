package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// raw is a file of this header and data, whatever they say.
func raw(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func written(t testing.TB, tensors []Tensor, meta map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The expected bytes are those of the reference implementation's own tests.
func TestWriteMatchesReference(t *testing.T) {
	sixFloats := "\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40\x00\x00\xa0\x40"
	values := []float32{0, 1, 2, 3, 4, 5}
	for _, test := range []struct {
		tensors []Tensor
		meta    map[string]string
		want    []byte
	}{
		{nil, nil, raw("{}      ", "")},
		{nil, map[string]string{"framework": "pt"}, raw(`{"__metadata__":{"framework":"pt"}}     `, "")},
		{
			[]Tensor{Of("attn.0", []int{1, 2, 3}, values)}, nil,
			raw(`{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}`, sixFloats),
		},
		{
			[]Tensor{Of("attn0", []int{1, 1, 2, 3}, values)}, nil,
			raw(`{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       `, sixFloats),
		},
	} {
		if got := written(t, test.tensors, test.meta); !bytes.Equal(got, test.want) {
			t.Errorf("wrote\n%q, want\n%q", got, test.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shapes := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 5), 0, 4), 0, 6).Draw(t, "shapes")
		meta := rapid.MapOfN(rapid.String(), rapid.String(), 1, 3).Draw(t, "meta")
		var tensors []Tensor
		for i, shape := range shapes {
			dtype := dtypes[rapid.IntRange(0, len(dtypes)-1).Draw(t, "dtype")]
			tensor := Tensor{Name: fmt.Sprintf("<%d>", i), Dtype: dtype.name, Shape: shape}
			size, _ := tensor.size()
			tensor.Data = bytes.Repeat([]byte{byte(i + 1)}, size)
			tensors = append(tensors, tensor)
		}
		var b bytes.Buffer
		if err := Write(&b, tensors, meta); err != nil {
			t.Fatal(err)
		}
		if binary.LittleEndian.Uint64(b.Bytes())%8 != 0 {
			t.Fatalf("the header is not padded: %q", b.Bytes())
		}
		f, err := Read(iotest.OneByteReader(bytes.NewReader(b.Bytes())))
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Tensors) != len(tensors) || !cmp.Equal(f.Meta, meta) {
			t.Fatalf("read %d tensors and meta %q, want %d and %q", len(f.Tensors), f.Meta, len(tensors), meta)
		}
		for _, want := range tensors {
			if got, _ := f.Lookup(want.Name); !cmp.Equal(got, want) {
				t.Fatal(cmp.Diff(got, want))
			}
		}
	})
}

func TestOrderOfTensorsDoesNotMatter(t *testing.T) {
	a, b, c := Of("a", []int{3}, []float32{1, 2, 3}), Of("b", nil, []float64{4}), Of("c", []int{0, 3}, []float32{})
	x, y := written(t, []Tensor{a, b, c}, nil), written(t, []Tensor{c, b, a}, nil)
	if !bytes.Equal(x, y) {
		t.Errorf("wrote\n%q and\n%q", x, y)
	}
}

func TestValues(t *testing.T) {
	f32, err := Values[float32](Of("a", []int{3}, []float32{1, float32(math.Inf(1)), -0.5}))
	if want := []float32{1, float32(math.Inf(1)), -0.5}; err != nil || !cmp.Equal(f32, want) {
		t.Errorf("got %v, %v, want %v", f32, err, want)
	}
	f64, err := Values[float64](Of("a", []int{3}, []float64{1, math.Pi, -0.5}))
	if want := []float64{1, math.Pi, -0.5}; err != nil || !cmp.Equal(f64, want) {
		t.Errorf("got %v, %v, want %v", f64, err, want)
	}
	i64, err := Values[int64](Of("a", []int{3}, []int64{1, math.MinInt64, -7}))
	if want := []int64{1, math.MinInt64, -7}; err != nil || !cmp.Equal(i64, want) {
		t.Errorf("got %v, %v, want %v", i64, err, want)
	}
	if _, err := Values[float32](Of("a", []int{3}, []int64{1, 2, 3})); err == nil {
		t.Error("I64 was read as F32")
	}
	if _, err := Values[float32](Tensor{Dtype: "F32", Shape: []int{3}, Data: make([]byte, 11)}); err == nil {
		t.Error("eleven bytes were read as three F32")
	}
}

func TestWriteRefuses(t *testing.T) {
	good := Of("a", []int{3}, []float32{1, 2, 3})
	for name, tensors := range map[string][]Tensor{
		"twice":         {good, good},
		"metadata":      {Of("__metadata__", nil, []float32{1})},
		"not UTF-8":     {Of("\xff", nil, []float32{1})},
		"dtype":         {{Name: "a", Dtype: "F31"}},
		"too few":       {Of("a", []int{4}, []float32{1, 2, 3})},
		"negative":      {Of("a", []int{-1, -3}, []float32{1, 2, 3})},
		"overflow":      {Of("a", []int{math.MaxInt, 4}, []float32{})},
		"overflow to 0": {Of("a", []int{math.MaxInt/2 + 1, 4}, []float32{})},
	} {
		var b bytes.Buffer
		if err := Write(&b, tensors, nil); err == nil || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes", name, err, b.Len())
		}
	}
	for _, meta := range []map[string]string{{"\xff": "a"}, {"a": "\xff"}} {
		if err := Write(io.Discard, nil, meta); err == nil {
			t.Errorf("meta %q was written", meta)
		}
	}
}

var hostile = map[string][]byte{
	"empty":           {},
	"no header":       {8, 0, 0, 0, 0, 0, 0, 0},
	"huge header":     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'},
	"header 100MB+1":  {0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{', '}'},
	"space first":     raw(` {}`, ""),
	"not an object":   raw(`[]`, ""),
	"not JSON":        raw(`{"a"`, ""),
	"comma":           raw(`{"__metadata__":{},}`, ""),
	"two objects":     raw(`{}{}`, ""),
	"not UTF-8":       raw("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", ""),
	"trailing":        raw(`{}`, "x"),
	"meta not text":   raw(`{"__metadata__":{"a":1}}`, ""),
	"name twice":      raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, ""),
	"truncated":       raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, "xy"),
	"hole":            raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}`, "wxyz"),
	"overlap":         raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}}`, "vwxyz"),
	"backwards":       raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[3,0]}}`, "xyz"),
	"negative offset": raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[-3,0]}}`, "xyz"),
	"one offset":      raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}}`, ""),
	"no shape":        raw(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, "x"),
	"no dtype":        raw(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, "x"),
	"wrong size":      raw(`{"a":{"dtype":"U16","shape":[3],"data_offsets":[0,3]}}`, "xyz"),
	"negative shape":  raw(`{"a":{"dtype":"U8","shape":[-1,-3],"data_offsets":[0,3]}}`, "xyz"),
	"fraction":        raw(`{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}`, "x"),
	"overflow":        raw(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, ""),
	"too large":       raw(`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, "x"),
}

func TestReadRefuses(t *testing.T) {
	for name, file := range hostile {
		f, err := Read(bytes.NewReader(file))
		if err == nil {
			t.Errorf("%s: read %+v", name, f)
		} else if !strings.HasPrefix(err.Error(), "safetensors: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken disk")
	file := written(t, []Tensor{Of("a", []int{3}, []float32{1, 2, 3})}, nil)
	for n := range file {
		r := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))
		if _, err := Read(r); !errors.Is(err, broken) {
			t.Errorf("broken after %d bytes: %v", n, err)
		}
		if _, err := Read(bytes.NewReader(file[:n])); err == nil {
			t.Errorf("truncated after %d bytes: no error", n)
		}
	}
}

// A file that was read can be written, and comes out the same.
func FuzzRead(f *testing.F) {
	for _, file := range hostile {
		f.Add(file)
	}
	f.Add(written(f, []Tensor{Of("a", []int{3}, []float32{1, 2, 3}), Of("b", nil, []int64{4})}, map[string]string{"k": "v"}))
	f.Fuzz(func(t *testing.T, file []byte) {
		read, err := Read(bytes.NewReader(file))
		if err != nil {
			return
		}
		again, err := Read(bytes.NewReader(written(t, read.Tensors, read.Meta)))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Tensors) != len(read.Tensors) {
			t.Fatalf("%d tensors became %d", len(read.Tensors), len(again.Tensors))
		}
		for _, want := range read.Tensors {
			if got, _ := again.Lookup(want.Name); !cmp.Equal(got, want) {
				t.Fatal(cmp.Diff(got, want))
			}
		}
	})
}

func Example() {
	var file bytes.Buffer
	w := Of("weight", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	if err := Write(&file, []Tensor{w}, map[string]string{"format": "pt"}); err != nil {
		fmt.Println(err)
		return
	}
	f, err := Read(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, _ := f.Lookup("weight")
	values, err := Values[float32](t)
	fmt.Println(f.Meta["format"], t.Shape, values, err)
	// Output: pt [2 3] [1 2 3 4 5 6] <nil>
}

// The checksum is of the tensors and of our metadata: others may be added.
func TestSum(t *testing.T) {
	a, b := Of("a", []int{3}, []float32{1, 2, 3}), Of("b", nil, []float64{4})
	meta := map[string]string{"format": "pt", "godistill.x": "y"}
	var out bytes.Buffer
	if err := WriteSummed(&out, []Tensor{b, a}, meta); err != nil {
		t.Fatal(err)
	}
	if len(meta) != 2 {
		t.Errorf("the caller's metadata was changed: %q", meta)
	}
	f, err := Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	f.Meta["format"], f.Meta["author"] = "tf", "me"
	if _, err := Read(bytes.NewReader(written(t, f.Tensors, f.Meta))); err != nil {
		t.Errorf("other metadata: %v", err)
	}
	for name, change := range map[string]func() ([]Tensor, string){
		"a value":      func() ([]Tensor, string) { return []Tensor{Of("a", []int{3}, []float32{1, 2, 4}), b}, "y" },
		"a name":       func() ([]Tensor, string) { return []Tensor{Of("c", []int{3}, []float32{1, 2, 3}), b}, "y" },
		"a shape":      func() ([]Tensor, string) { return []Tensor{Of("a", []int{3, 1}, []float32{1, 2, 3}), b}, "y" },
		"a tensor":     func() ([]Tensor, string) { return []Tensor{a}, "y" },
		"our metadata": func() ([]Tensor, string) { return []Tensor{a, b}, "z" },
	} {
		tensors, x := change()
		f.Meta["godistill.x"] = x
		_, err := Read(bytes.NewReader(written(t, tensors, f.Meta)))
		if err == nil || !strings.Contains(err.Error(), "damaged or changed") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := WriteSummed(nil, nil, nil); err == nil {
		t.Error("a nil writer was written to")
	}
}
