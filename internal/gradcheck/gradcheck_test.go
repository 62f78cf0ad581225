package gradcheck_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

func TestCheckPasses(t *testing.T) {
	tests := map[string]gradcheck.Build{
		"tensor": func(in []*gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.HadamardProd(in[0], in[1]) },
		"number": func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			y, err := gorgonia.HadamardProd(in[0], in[1])
			if err != nil {
				return nil, err
			}
			return gorgonia.Sum(y)
		},
	}
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, build, gradcheck.Normal(1, 3, 5), gradcheck.Normal(2, 3, 5))
		})
	}
}

func TestCheckFails(t *testing.T) {
	tests := map[string]struct {
		build gradcheck.Build
		want  string
	}{
		"gradient": { // of x², as if one factor were constant
			func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				x, err := graph.Detach(in[0])
				if err != nil {
					return nil, err
				}
				return gorgonia.HadamardProd(in[0], x)
			}, "the gradient by input 0 at 11 is",
		},
		"second run": {
			func(in []*gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Dropout(in[0], 0.5) },
			"a second run differs",
		},
		"float32": {
			func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				if in[0].Dtype() == tensor.Float32 {
					return graph.Activate(in[0], kernel.Sigmoid)
				}
				return graph.Activate(in[0], kernel.Tanh)
			}, "in float32, output 0",
		},
		"error": {
			func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Reshape(in[0], 3) },
			"has 960 elements",
		},
		"unreached input": {
			func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Detach(in[0]) },
			"Differ",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := failures(func(t testing.TB) {
				gradcheck.Check(t, test.build, gradcheck.Normal(1, 30, 32))
			})
			if !strings.Contains(got, test.want) {
				t.Errorf("the check said %q; want %q", got, test.want)
			}
		})
	}
}

func TestCompareFails(t *testing.T) {
	x := []float64{3, 5, 7}
	square := func() float64 { return x[0]*x[0] + x[1] }
	for name, grad := range map[string][]float64{"value": {6, 1.00001, 0}, "length": {6, 1}} {
		got := failures(func(t testing.TB) { gradcheck.Compare(t, name, square, x, grad) })
		if !strings.Contains(got, "the gradient by "+name) {
			t.Errorf("%s: the comparison said %q", name, got)
		}
	}
	gradcheck.Compare(t, "x", square, x, []float64{6, 1, 0})
}

// A recorder is a test that only notes its failures.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                        {}
func (r *recorder) Errorf(format string, a ...any) { r.said += fmt.Sprintf(format, a...) + "\n" }
func (r *recorder) Fatal(a ...any) {
	r.said += fmt.Sprintln(a...)
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, a ...any) { r.Fatal(fmt.Sprintf(format, a...)) }

func failures(f func(t testing.TB)) string {
	r, done := &recorder{}, make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.said
}
