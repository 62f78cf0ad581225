package student_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
)

var large = student.ResNet{Depth: 8, Width: 2, Out: 5}

func graft(t *testing.T, g student.Graft, teacher *student.Model) *student.Model {
	t.Helper()
	m, err := g.From(teacher, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The student is the body up to the tap, the projector and the teacher's head,
// which is frozen: nothing else is in it.
func TestGraft(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		teacher := scatter(must(student.New(large, imagesOf(d), 1)))
		m := graft(t, student.Graft{To: student.ResNet{Depth: 8, Out: 7}, Tap: "layer2", Head: "fc", Factor: 4}, teacher)
		var frozen, names []string
		for p := range m.Params() {
			names = append(names, p.Name)
			if p.Frozen {
				frozen = append(frozen, p.Name)
			}
		}
		if !slices.Equal(frozen, []string{"head.weight", "head.bias"}) {
			t.Errorf("frozen are %q", frozen)
		}
		if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "fc") || strings.HasPrefix(n, "layer3") }); i >= 0 {
			t.Errorf("the student has %s, on which it does not depend", names[i])
		}
		want := []string{"layer1", "layer1.0", "layer2", "layer2.0", "logits", "pool", "projected", "stem"}
		if got := slices.Sorted(maps.Keys(m.Taps())); !slices.Equal(got, want) {
			t.Errorf("the taps are %q; want %q", got, want)
		}
		if got := m.Taps()[student.Projected].Shape; !slices.Equal(got, []int{128, 6, 6}) {
			t.Errorf("%q is %v", student.Projected, got)
		}
		for p := range teacher.Params() {
			if head := lookup(m, "head."+strings.TrimPrefix(p.Name, "fc.")); strings.HasPrefix(p.Name, "fc.") {
				if !slices.Equal(widened(head.Value), widened(p.Value)) || &head.Value.Raw[0] == &p.Value.Raw[0] {
					t.Errorf("%s is not a copy of the teacher's", head.Name)
				}
			}
		}
	}
}

func lookup(m *student.Model, name string) *student.Param {
	for p := range m.Params() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// What it predicts, saves and loads, in this program and without it, is one.
func TestGraftIsAModel(t *testing.T) {
	teacher := scatter(must(student.New(large, imagesOf(tensor.Float32), 1)))
	g := student.Graft{To: student.ResNet{Depth: 8, Out: 7}, Tap: "layer3", Head: "fc"}
	m := graft(t, g, teacher)
	if got := m.Describe(); !strings.Contains(got, "projected") || !strings.Contains(got, "(128, 3, 3)") {
		t.Errorf("the description is\n%s", got)
	}
	var file bytes.Buffer
	if err := m.Save(&file); err != nil {
		t.Fatal(err)
	}
	again := graft(t, g, scatter(must(student.New(large, imagesOf(tensor.Float32), 2))))
	if err := again.Load(bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	if again.Fingerprint() != m.Fingerprint() {
		t.Error("the loaded model has other parameters")
	}
	x := data.Batch{N: 4, ID: make([]data.ID, 4), In: sample(1, 4, 4, 3, 12, 11).In}
	in := tensor.New(tensor.WithShape(4, 3, 12, 11), tensor.WithBacking(narrow(x.In["x"], 4)))
	x.In["x"] = in
	want := must(m.Predict(x))["logits"]
	got := must(must(infer.Load(bytes.NewReader(file.Bytes()))).Logits(in.Float32s()))
	if !slices.Equal(want.Shape(), []int{4, 5}) || !sameBits(got, want.Float32s()) {
		t.Errorf("the logits are %v; want %v", got, want)
	}
}

func TestGraftOfRows(t *testing.T) {
	spec := data.Spec{In: map[string]data.Field{"x": {Shape: tensor.Shape{5}, Dtype: tensor.Float64}}}
	teacher := must(student.New(student.MLP{Hidden: []int{9, 8}, Out: 3}, spec, 1))
	m := graft(t, student.Graft{To: student.MLP{Hidden: []int{6}, Out: 3}, Tap: "l1", Head: "l3"}, teacher)
	if got := m.Taps(); !slices.Equal(got["projected"].Shape, []int{8}) || !slices.Equal(got["logits"].Shape, []int{3}) {
		t.Errorf("the taps are %v", got)
	}
}

func TestGraftRefuses(t *testing.T) {
	teacher := must(student.New(large, imagesOf(tensor.Float32), 1))
	body := student.ResNet{Depth: 8, Out: 7}
	for want, g := range map[string]student.Graft{
		"Graft.To is nil; want a module":                                                    {Tap: "layer3", Head: "fc"},
		"Graft.Tap or Graft.Head is empty":                                                  {To: body, Head: "fc"},
		`the teacher has no linear layer "head"; Graft.Head wants its last one`:             {To: body, Tap: "layer3", Head: "head"},
		`the teacher has no linear layer "conv1"`:                                           {To: body, Tap: "layer3", Head: "conv1"},
		`the body has no tap "layer9"; there are ["layer1"`:                                 {To: body, Tap: "layer9", Head: "fc"},
		"Graft.Factor is -1 for a head that reads 128 numbers; want 1 or more":              {To: body, Tap: "layer3", Head: "fc", Factor: -1},
		"Graft.Factor is 129 for a head that reads 128 numbers; want 1 or more and no more": {To: body, Tap: "layer3", Head: "fc", Factor: 129},
		"tap \"cube\" of the body is (3, 3, 12, 11, 1); want (B, D) or (B, C, H, W)":        {To: cube{}, Tap: "cube", Head: "fc"},
	} {
		if _, err := g.From(teacher, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
	}
	if _, err := (student.Graft{To: body, Tap: "layer3", Head: "fc"}).From(nil, 1); err == nil || !strings.Contains(err.Error(), "Graft.From has no teacher") {
		t.Errorf("error %v", err)
	}
}

// cube is a body whose tap has five axes.
type cube struct{}

func (cube) Forward(b *student.Builder, in student.Taps) student.Taps {
	return student.Taps{"cube": b.Reshape(in["x"], b.Rows(), 3, 12, 11, 1)}
}
