package distill

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godistill/godistill/internal/safetensors"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/tensor"
)

func sampleState() State {
	return State{
		Config: []Setting{{"Train.Batch", "64"}, {"Name", `"ü<>"`}},
		Step:   12, Epoch: 3, Batch: 4,
		Best: math.Inf(-1), BestEpoch: -1, Stale: 2,
		BestMetrics: &Metrics{Rows: 5, Loss: 0.1, Accuracy: math.NaN(), Terms: []TermValue{{"soft", 1, 0.5, 4}}},
		Tensors: map[string]*tensor.Dense{
			"param/l1.weight":  dense[float32]([]float64{1, 2, 3, 4, 5, math.Inf(1), 7, 8, 9, 10, 11, -0.5}, 3, 4),
			"slot/m/l1.weight": dense[float64](nil, 4, 3, 5),
			"param/scale":      tensor.New(tensor.FromScalar(float32(7))),
			"param/one":        dense[float32]([]float64{8}, 1),
		},
	}
}

func encoded(t testing.TB, s State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var sameTensors = cmp.Comparer(func(a, b *tensor.Dense) bool {
	return a.Dtype() == b.Dtype() && cmp.Equal([]int(a.Shape()), []int(b.Shape()), cmpopts.EquateEmpty()) && cmp.Equal(a.Data(), b.Data())
})

func TestStateComesBack(t *testing.T) {
	for name, want := range map[string]State{
		"full": sampleState(),
		"zero": {Tensors: map[string]*tensor.Dense{}},
		"NaN":  {Best: math.NaN(), Tensors: map[string]*tensor.Dense{}},
	} {
		text := encoded(t, want)
		got, err := ReadState(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, sameTensors, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for range 9 {
			if !bytes.Equal(text, encoded(t, want)) {
				t.Fatalf("%s: equal states are different bytes", name)
			}
		}
	}
}

func TestWriteRefusesTensors(t *testing.T) {
	view, err := dense[float32](nil, 3, 5).Slice(nil, tensor.S(0, 4))
	if err != nil {
		t.Fatal(err)
	}
	for want, bad := range map[string]*tensor.Dense{
		`State.Tensors["x"] is nil`:              nil,
		`State.Tensors["x"] is a view`:           view.(*tensor.Dense),
		`State.Tensors["x"] is a view or of int`: tensor.New(tensor.WithShape(3), tensor.Of(tensor.Int)),
	} {
		checkError(t, State{Tensors: map[string]*tensor.Dense{"x": bad}}.Write(io.Discard), want)
	}
}

// file is a safetensors file with the given state and one tensor.
func file(t testing.TB, state string, x safetensors.Tensor) string {
	t.Helper()
	var b strings.Builder
	if err := safetensors.Write(&b, []safetensors.Tensor{x}, map[string]string{stateKey: state}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadStateRefuses(t *testing.T) {
	x := safetensors.Of("x", []int{3}, []float32{1, 2, 3})
	whole := string(encoded(t, sampleState()))
	tests := map[string]struct{ text, want string }{
		"nothing":      {"", "distill: read checkpoint: safetensors: "},
		"a cut file":   {whole[:len(whole)-1], "distill: read checkpoint: safetensors: "},
		"a longer one": {whole + "x", "distill: read checkpoint: safetensors: "},
		"other files":  {string(emptySafetensors(t)), "the file has no godistill.state"},
		"no JSON":      {file(t, "{", x), "godistill.state: unexpected end"},
		"a wrong type": {file(t, `{"step":"1"}`, x), "godistill.state: json"},
		"a fraction":   {file(t, `{"step":1.5}`, x), "godistill.state: json"},
		"a step below": {file(t, `{"step":-1}`, x), "step -1, epoch 0"},
		"a best below": {file(t, `{"best_epoch":-2}`, x), "best epoch -2"},
		"integers":     {file(t, `{}`, safetensors.Of("x", []int{3}, []int64{1, 2, 3})), `tensor "x" is I64; want F32 or F64`},
		"no elements":  {file(t, `{}`, safetensors.Of("x", []int{3, 0}, []float32{})), `tensor "x" of shape [3 0] is empty`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ReadState(strings.NewReader(test.text))
			checkError(t, err, test.want)
		})
	}
}

// Damage is found, or does no harm.
func TestReadStateRefusesDamage(t *testing.T) {
	want := sampleState()
	whole := encoded(t, want)
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		if got, err := ReadState(bytes.NewReader(damaged)); err == nil && !cmp.Equal(want, got, sameTensors, cmpopts.EquateNaNs()) {
			t.Errorf("byte %d: another state", i)
		}
	}
	checkError(t, want.Write(nil), "distill: write checkpoint: safetensors: the io.Writer is nil")
}

func emptySafetensors(t *testing.T) []byte {
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSaveState(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last.safetensors")
	s := sampleState()
	for step := range 3 {
		s.Step = step
		if err := saveState(path, s); err != nil {
			t.Fatal(err)
		}
		got, err := loadState(path)
		if err != nil || got.Step != step {
			t.Fatalf("step %d, %v; want %d", got.Step, err, step)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v; want one file", entries, err)
	}
	if _, err := loadState(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v; want that the file does not exist", err)
	}
	checkError(t, saveState(filepath.Join(dir, "none", "x"), s), "distill: save ")
}

func FuzzReadState(f *testing.F) {
	whole := encoded(f, sampleState())
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(encoded(f, State{}))
	f.Add([]byte(file(f, `{"best":null,"best_metrics":{"loss":"+Inf"}}`, safetensors.Of("x", nil, []float64{1}))))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadState(bytes.NewReader(text))
		if err != nil {
			return
		}
		once := encoded(t, s)
		again, err := ReadState(bytes.NewReader(once))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, encoded(t, again)) {
			t.Fatal("what was read is not what is written")
		}
	})
}
