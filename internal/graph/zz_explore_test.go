package graph_test

import (
	"fmt"
	"runtime"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"github.com/godistill/godistill/internal/gradcheck"
)
type rec struct { testing.TB; said string }
func (r *rec) Helper() {}
func (r *rec) Errorf(f string, a ...any) { r.said = fmt.Sprintf(f, a...) }
func (r *rec) Fatal(a ...any) { r.said += fmt.Sprintln(a...); runtime.Goexit() }
func (r *rec) Fatalf(format string, a ...any) { r.Fatal(fmt.Sprintf(format, a...)) }

func chk(b gradcheck.Build, in ...*tensor.Dense) string {
	r, done := &rec{}, make(chan int)
	go func() { defer close(done); defer func() { if x := recover(); x != nil { r.said = fmt.Sprint("PANIC ", x) } }(); gradcheck.Check(r, b, in...) }()
	<-done
	return r.said
}
func TestZZ(t *testing.T) {
	for _, sh := range [][]int{{3,4},{3,5,4}, {3,5,4,7}, {2,3,4,3,5}} {
		for mask := 1; mask < 1<<len(sh); mask++ {
			small := append([]int{}, sh...)
			var pat []byte
			for k := range sh { if mask>>k&1 == 1 { small[k] = 1; pat = append(pat, byte(k)) } }
			fmt.Println(sh, pat, chk(func(in []*G.Node) (*G.Node, error) { return G.BroadcastHadamardProd(in[0], in[1], nil, pat) }, gradcheck.Normal(1, sh...), gradcheck.Normal(2, small...)))
		}
	}
	sh := []int{3,5,4,6}
	for name, b := range map[string]gradcheck.Build{
		"sum[0 2]": func(in []*G.Node) (*G.Node, error) { return G.Sum(in[0], 0,2) },
		"sum[3]": func(in []*G.Node) (*G.Node, error) { return G.Sum(in[0], 3) },
		"mean": func(in []*G.Node) (*G.Node, error) { return G.Mean(in[0], 1) },
		"max": func(in []*G.Node) (*G.Node, error) { return G.Max(in[0], 1) },
		"maxpool": func(in []*G.Node) (*G.Node, error) { return G.MaxPool2D(in[0], tensor.Shape{2,2}, []int{0,0}, []int{1,1}) },
		"avgpool": func(in []*G.Node) (*G.Node, error) { return G.AveragePool2D(in[0], tensor.Shape{2,2}, []int{0,0}, []int{1,1}) },
		"gap": func(in []*G.Node) (*G.Node, error) { return G.GlobalAveragePool2D(in[0]) },
		"invsqrt": func(in []*G.Node) (*G.Node, error) { return G.InverseSqrt(G.Must(G.Exp(in[0]))) },
		"log2": func(in []*G.Node) (*G.Node, error) { return G.Log2(G.Must(G.Exp(in[0]))) },
		"softmax": func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) },
		"transp": func(in []*G.Node) (*G.Node, error) { return G.Transpose(in[0], 0,2,1,3) },
		"relu": func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) },
		"conv": func(in []*G.Node) (*G.Node, error) { return G.Conv2d(in[0], gradcheck.Const(in[0], "f", gradcheck.Normal(3, 2,5,3,3)), tensor.Shape{3,3}, []int{1,1}, []int{1,1}, []int{1,1}) },
		"slice": func(in []*G.Node) (*G.Node, error) { return G.Slice(in[0], G.S(1)) },
		"concat": func(in []*G.Node) (*G.Node, error) { return G.Concat(1, in[0], G.Must(G.Square(in[0]))) },
	} {
		fmt.Println(name, chk(b, gradcheck.Normal(1, sh...)))
	}
}
