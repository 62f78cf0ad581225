package student_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/x448/float16"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/safetensors"
	"github.com/godistill/godistill/student"
)

// blocks has two stages of blocks and a head, under names of its own.
var blocks = student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
	x := in["x"]
	for stage, sizes := range [][]int{{4, 6}, {7}} {
		for block, size := range sizes {
			x = b.Scope(fmt.Sprintf("stage%d", stage+1)).Scope(fmt.Sprintf("block%d", block)).Layer("conv", student.Linear{Out: size, NoBias: stage == 0}, x)
		}
	}
	return student.Taps{"logits": b.Layer("head", student.Linear{Out: 3}, x)}
})

// A value is what element i of the tensor of a name is: float16 has it, and
// bfloat16 too.
func value(name string, i int) float32 { return float32(len(name)) + float32(i%8)/4 }

// stored is a tensor of these values in a dtype.
func stored(name, dtype string, shape ...int) safetensors.Tensor {
	n := tensor.Shape(shape).TotalSize()
	single, double, half := make([]float32, n), make([]float64, n), []byte(nil)
	for i := range n {
		single[i] = value(name, i)
		double[i] = float64(single[i])
		bits := uint16(math.Float32bits(single[i]) >> 16)
		if dtype == "F16" {
			bits = uint16(float16.Fromfloat32(single[i]))
		}
		half = binary.LittleEndian.AppendUint16(half, bits)
	}
	switch dtype {
	case "F32":
		return safetensors.Of(name, shape, single)
	case "F64":
		return safetensors.Of(name, shape, double)
	}
	return safetensors.Tensor{Name: name, Dtype: dtype, Shape: shape, Data: half}
}

// resnet is a file for blocks as torchvision names what is in it.
func resnet() []safetensors.Tensor {
	return []safetensors.Tensor{
		stored("layer1.0.conv1.weight", "F16", 4, 5), stored("layer1.1.conv1.weight", "BF16", 6, 4),
		stored("layer2.0.conv1.weight", "F64", 7, 6), stored("layer2.0.conv1.bias", "F32", 7),
		stored("fc.weight", "F32", 3, 7), stored("fc.bias", "F64", 3),
		safetensors.Of("layer2.0.bn1.num_batches_tracked", nil, []int64{7}),
	}
}

// ours are the names of blocks for those of resnet.
var ours = student.Names{
	Rules: []student.Rule{
		{`^layer(\d+)\.(\d+)\.conv1\.`, `layer$1.block$2.conv.`},
		{`^layer`, `stage`},
		{`^fc\.`, `head.`},
	},
	Ignore: []string{"*.num_batches_tracked"},
}

func file(t testing.TB, tensors []safetensors.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadNamed(t *testing.T) {
	byMap := student.Names{Ignore: ours.Ignore, Map: map[string]string{
		"layer1.0.conv1.weight": "stage1.block0.conv.weight", "layer1.1.conv1.weight": "stage1.block1.conv.weight",
		"layer2.0.conv1.weight": "stage2.block0.conv.weight", "layer2.0.conv1.bias": "stage2.block0.conv.bias",
		"fc.weight": "head.weight", "fc.bias": "head.bias",
	}}
	both := student.Names{Ignore: ours.Ignore, Rules: ours.Rules[:2], Map: map[string]string{"fc.weight": "head.weight", "fc.bias": "head.bias"}}
	for name, names := range map[string]student.Names{"rules": ours, "map": byMap, "both": both} {
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			m := model(blocks, table(d).Spec(), 1)
			loaded, err := m.LoadNamed(bytes.NewReader(file(t, resnet())), names)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for p := range m.Params() {
				theirs := loaded.Read[p.Name]
				if byMap.Map[theirs] != p.Name || p.Version() == 0 {
					t.Errorf("%s: %s was read from %q, and touched %d times", name, p.Name, theirs, p.Version())
				}
				for i, v := range narrow(p.Value, p.Value.Shape()[0]) {
					if want := value(theirs, i); v != want {
						t.Fatalf("%s: element %d of %s in %v is %v; want %v", name, i, p.Name, d, v, want)
					}
				}
			}
			if len(loaded.Read) != 6 || !slices.Equal(loaded.Ignored, []string{"layer2.0.bn1.num_batches_tracked"}) || loaded.Kept != nil {
				t.Errorf("%s: %+v", name, loaded)
			}
		}
	}
}

// What Save wrote has the names already.
func TestLoadNamedOfOurOwn(t *testing.T) {
	a, b := model(net, table(tensor.Float64).Spec(), 1), model(net, table(tensor.Float64).Spec(), 2)
	loaded, err := b.LoadNamed(bytes.NewReader(saved(t, a)), student.Names{})
	if err != nil || a.Fingerprint() != b.Fingerprint() || loaded.Read["l2.bias"] != "l2.bias" {
		t.Errorf("%+v, error %v", loaded, err)
	}
	narrower := model(net, table(tensor.Float32).Spec(), 2)
	if _, err := narrower.LoadNamed(bytes.NewReader(saved(t, a)), student.Names{}); err != nil {
		t.Fatal(err)
	}
	for p := range narrower.Params() {
		for q := range a.Params() {
			if p.Name == q.Name && !sameBits(narrow(p.Value, p.Value.Shape()[0]), narrow(q.Value, q.Value.Shape()[0])) {
				t.Errorf("%s is not that of float64, rounded", p.Name)
			}
		}
	}
}

// A new head stays as it is.
func TestLoadNamedKeeps(t *testing.T) {
	m := model(blocks, table(tensor.Float32).Spec(), 1)
	before := map[string][]float32{}
	for p := range m.Params() {
		before[p.Name] = narrow(p.Value, p.Value.Shape()[0])
	}
	names := ours
	names.Keep, names.Ignore = []string{"head.*"}, append(slices.Clone(ours.Ignore), "fc.*")
	loaded, err := m.LoadNamed(bytes.NewReader(file(t, resnet())), names)
	if err != nil {
		t.Fatal(err)
	}
	for p := range m.Params() {
		kept := strings.HasPrefix(p.Name, "head")
		if sameBits(before[p.Name], narrow(p.Value, p.Value.Shape()[0])) != kept || (p.Version() == 0) != kept {
			t.Errorf("%s: want it kept: %t", p.Name, kept)
		}
	}
	want := student.Loaded{Kept: []string{"head.bias", "head.weight"}, Ignored: []string{"fc.bias", "fc.weight", "layer2.0.bn1.num_batches_tracked"}}
	loaded.Read = nil
	if diff := cmp.Diff(want, loaded); diff != "" {
		t.Error(diff)
	}
}

func TestLoadNamedRefuses(t *testing.T) {
	without := func(names ...string) []safetensors.Tensor {
		return slices.DeleteFunc(resnet(), func(t safetensors.Tensor) bool { return slices.Contains(names, t.Name) })
	}
	with := func(t ...safetensors.Tensor) []safetensors.Tensor {
		return append(without("fc.weight", "fc.bias"), t...)
	}
	weight, bias := stored("fc.weight", "F32", 3, 7), stored("fc.bias", "F32", 3)
	for name, test := range map[string]struct {
		tensors []safetensors.Tensor
		names   student.Names
		want    []string
	}{
		"missing": {without("fc.weight", "layer1.1.conv1.weight"), ours, []string{
			"student: load: the file and the model do not fit:\n\tthe file does not have stage1.block1.conv.weight, head.weight; want a name for each in Names.Map or Names.Rules, or a pattern in Names.Keep"}},
		"unknown": {append(resnet(), stored("aux.fc.weight", "F32", 2), stored("layer3.0.conv1.weight", "F32", 2)), ours, []string{
			"the model does not have", "aux.fc.weight", "layer3.0.conv1.weight → stage3.block0.conv.weight", "or a pattern in Names.Ignore"}},
		"no names":     {resnet(), student.Names{}, []string{"does not have stage1.block0.conv.weight, ", "fc.bias", "num_batches_tracked"}},
		"shape":        {with(stored("fc.weight", "F16", 7, 3), bias), ours, []string{"fc.weight → head.weight is [7 3] in the file; the model wants (3, 7)"}},
		"a lost axis":  {with(weight, stored("fc.bias", "F32", 3, 1)), ours, []string{"fc.bias → head.bias is [3 1] in the file; the model wants (3)"}},
		"two for one":  {append(resnet(), stored("head.bias", "F32", 3)), ours, []string{"fc.bias and head.bias are both head.bias"}},
		"no floats":    {with(weight, safetensors.Of("fc.bias", []int{3}, []int64{1, 2, 3})), ours, []string{`tensor "fc.bias" is I64; want F16, BF16, F32 or F64`}},
		"too large":    {with(weight, safetensors.Of("fc.bias", []int{3}, []float64{1, 1e300, 2})), ours, []string{"element 1 of fc.bias → head.bias is +Inf; want finite numbers of float32"}},
		"no number":    {with(weight, safetensors.Of("fc.bias", []int{3}, []float32{1, 2, float32(math.NaN())})), ours, []string{"element 2 of fc.bias → head.bias is NaN"}},
		"all at once":  {append(without("layer1.0.conv1.weight"), stored("aux", "F32", 3)), ours, []string{"does not have aux;", "does not have stage1.block0.conv.weight;"}},
		"a typo":       {resnet(), student.Names{Rules: ours.Rules, Ignore: ours.Ignore, Map: map[string]string{"fc.wieght": "head.weight"}}, []string{"the file does not have fc.wieght, which Names.Map has"}},
		"a bad rule":   {resnet(), student.Names{Rules: []student.Rule{{"a", "b"}, {"(", ""}}}, []string{`student: Names.Rules[1].From is "("; want a regular expression`}},
		"a bad ignore": {resnet(), student.Names{Ignore: []string{"["}}, []string{`student: Names.Ignore[0] is "["; want a pattern of path.Match`}},
		"a bad keep":   {resnet(), student.Names{Keep: []string{"*", "a["}}, []string{`student: Names.Keep[1] is "a["`}},
	} {
		m := model(blocks, table(tensor.Float32).Spec(), 1)
		before := m.Fingerprint()
		_, err := m.LoadNamed(bytes.NewReader(file(t, test.tensors)), test.names)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v; want %q", name, err, want)
			}
		}
		if m.Fingerprint() != before {
			t.Errorf("%s: the model was changed", name)
		}
	}
	m, broken := model(blocks, table(tensor.Float32).Spec(), 1), errors.New("broken disk")
	if _, err := m.LoadNamed(iotest.ErrReader(broken), ours); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := m.LoadNamed(nil, ours); err == nil {
		t.Error("a nil reader was read")
	}
}

func FuzzLoadNamed(f *testing.F) {
	f.Add(file(f, resnet()), `^layer(\d+)\.(\d+)\.conv1\.`, `stage$1.block$2.conv.`, "fc.*")
	f.Add(file(f, resnet()[:3]), "fc", "head", "*")
	spec := table(tensor.Float32).Spec()
	m := model(blocks, spec, 2)
	f.Fuzz(func(t *testing.T, file []byte, from, to, ignore string) {
		before := m.Fingerprint()
		names := student.Names{Rules: []student.Rule{{from, to}}, Ignore: []string{ignore, "*.num_batches_tracked"}, Keep: []string{"head.*", "stage*"}}
		loaded, err := m.LoadNamed(bytes.NewReader(file), names)
		if err != nil && m.Fingerprint() != before {
			t.Fatalf("the model was changed by a file with the error %v", err)
		}
		if err == nil && len(loaded.Read)+len(loaded.Kept) != 6 {
			t.Fatalf("%+v; want each of 6 parameters", loaded)
		}
	})
}

// A file of PyTorch's has other names than the model, a counter that nobody
// needs here, and a head for other classes.
func ExampleModel_LoadNamed() {
	var file bytes.Buffer // net.safetensors, as safetensors.torch.save_file writes it
	if err := safetensors.Write(&file, resnet(), nil); err != nil {
		log.Fatal(err)
	}
	m, err := student.New(blocks, table(tensor.Float32).Spec(), 1)
	if err != nil {
		log.Fatal(err)
	}
	loaded, err := m.LoadNamed(&file, student.Names{
		Rules:  []student.Rule{{`^layer(\d+)\.(\d+)\.conv1\.`, `stage$1.block$2.conv.`}},
		Ignore: []string{"*.num_batches_tracked", "fc.*"},
		Keep:   []string{"head.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loaded.Read["stage1.block0.conv.weight"], "was read")
	fmt.Println(loaded.Kept, "stay as they are")
	// Output:
	// layer1.0.conv1.weight was read
	// [head.bias head.weight] stay as they are
}
