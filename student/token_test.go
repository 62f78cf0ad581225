package student_test

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/student"
)

// idSpec is a spec of ids, (T).
func idSpec(n int) data.Spec {
	return data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{n}, Dtype: tensor.Int}}}
}

// text is a batch of 3 samples of 4 ids below 5.
func text() data.Batch {
	ids := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking([]int{4, 0, 3, 4, 4, 1, 0, 2, 2, 4, 3, 3}))
	return data.Batch{N: 3, ID: make([]data.ID, 3), In: data.Signals{data.Input: ids}}
}

// The gradient by every parameter of what works on tokens.
func TestTokenGradients(t *testing.T) {
	net := student.Sequence{
		{Name: "embed", Layer: student.Embedding{Size: 5, Width: 7}},
		{Name: "norm", Layer: student.RMSNorm{Eps: 0.1}},
		{Name: "out", Layer: student.Linear{Out: 6}},
	}
	m := must(student.NewOf(net, idSpec(4), tensor.Float64, 1))
	p, cost := step(t, m, text(), "logits")
	grads := map[string][]float64{}
	for ps, g := range p.Grads() {
		grads[ps.Name] = slices.Clone(g.Float64s())
	}
	for ps := range m.Params() {
		gradcheck.Compare(t, ps.Name, func() float64 {
			if err := p.Run(0); err != nil {
				t.Fatal(err)
			}
			return p.Scalar(cost)
		}, ps.Value.Float64s(), grads[ps.Name])
	}
}

// Several layers side by side are what they are one by one, trained and not.
func TestLinears(t *testing.T) {
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		x := b.Layer("embed", student.Embedding{Size: 5, Width: 7}, in[data.Input])
		u, v := b.Param("u", student.Torch, 3, 7), b.Param("v", student.Torch, 4, 7)
		return student.Taps{
			"both": b.Linears(x, []*gorgonia.Node{u, v}, nil),
			"u":    b.Linear(x, u, nil, student.Identity),
			"v":    b.Linear(x, v, nil, student.Identity),
		}
	})
	m := must(student.New(net, idSpec(4), 1))
	for range 3 { // the first time, then with what is packed, then after a change
		out := must(m.Predict(text(), "both", "u", "v"))
		for r := range 12 {
			want := slices.Concat(out["u"].Float32s()[3*r:3*r+3], out["v"].Float32s()[4*r:4*r+4])
			if got := out["both"].Float32s()[7*r : 7*r+7]; !slices.Equal(got, want) {
				t.Fatalf("row %d is %v; want %v", r, got, want)
			}
		}
		for p := range m.Params() {
			if p.Name == "v" {
				p.Value.Float32s()[0]++
				p.Touch()
			}
		}
	}
}

func TestNewOf(t *testing.T) {
	net := student.Sequence{{Name: "embed", Layer: student.Embedding{Size: 5, Width: 7}}}
	if d := must(student.New(net, idSpec(4), 1)).Dtype(); d != tensor.Float32 {
		t.Errorf("the dtype is %v; want float32", d)
	}
	_, err := student.NewOf(net, idSpec(4), tensor.Int, 1)
	if err == nil || err.Error() != "student: the dtype is int; want float32, float64 or none" {
		t.Errorf("error %v", err)
	}
	_, err = student.NewOf(student.MLP{Out: 3}, of(4), tensor.Float32, 1)
	if err == nil || !strings.Contains(err.Error(), "student: inputs are of float32 and float64; want one of them") {
		t.Errorf("error %v", err)
	}
}

func TestTokenLayersRefuse(t *testing.T) {
	for want, l := range map[string]student.Layer{
		"Embedding.Size is 0; want 1 or more":   student.Embedding{Width: 3},
		"Embedding.Width is -1; want 1 or more": student.Embedding{Size: 3, Width: -1},
		"graph: embed: the table is (3, 4)":     student.Embedding{Size: 3, Width: 4},
		"RMSNorm.Eps is -1":                     student.RMSNorm{Eps: -1},
	} {
		if _, err := student.New(student.Sequence{{Name: "l", Layer: l}}, of(4), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := student.New(student.Sequence{{Name: "l", Layer: student.Embedding{Size: 3, Width: 4}}}, idSpec(4), 1); err != nil {
		t.Error(err)
	}
}
