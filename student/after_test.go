package student_test

import (
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// A buffer is moved by runs of training graphs alone, is saved, and not trained.
func TestAfter(t *testing.T) {
	var runs int
	var count *student.Param
	m := must(student.New(logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		y := b.Layer("l", student.Linear{Out: 3}, x)
		p, _ := b.Buffer("count", student.Zeros, 1)
		count = p
		b.After(y, func() {
			runs++
			p.Value.Float64s()[0]++
			p.Touch()
		})
		return y
	}), of(4), 1))
	batch := sample(1, 5, 6, 4)
	must(m.Predict(batch))
	if runs != 0 {
		t.Errorf("eval mode called it %d times", runs)
	}
	p, cost := step(t, m, batch, "logits")
	if q := must(p.Only(cost)); q.Run(0) != nil || runs != 1 {
		t.Errorf("a run and a look called it %d times; want 1", runs)
	}
	if got := count.Value.Float64s()[0]; !count.Buffer || got != 1 || m.Size() != 4*3+3 {
		t.Errorf("the buffer is %v, buffer %t, in a model of %d; want 1, true and 15", got, count.Buffer, m.Size())
	}
	for ps := range p.Grads() {
		if ps == count {
			t.Error("the buffer has a gradient")
		}
	}
}

func TestAfterRefuses(t *testing.T) {
	_, err := student.New(logits(func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
		b.After(x, nil)
		return x
	}), of(4), 1)
	wantError(t, err, "After has a nil node or function; want both")
}

func TestBuilderSeed(t *testing.T) {
	var seed uint64
	_, err := student.Compile(student.NewParams(1), data.Spec{}, student.Mode{Rows: 3, Training: true, Seed: 42}, func(b *student.Builder, _ student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		seed = b.Seed()
		return nil, nil
	})
	if err != nil || seed != 42 {
		t.Errorf("the seed is %d, error %v; want 42", seed, err)
	}
}
