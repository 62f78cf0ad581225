package graph_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

const batch, classes = 4, 5

// A loss is a loss of rows of the student's logits, with all else held.
type loss = func(z *gorgonia.Node) (*gorgonia.Node, error)

var (
	labels   = dense([]int{2, -1, 0, 4}, batch)
	teacher  = gradcheck.Normal(7, batch, classes)
	targets  = distribution(gradcheck.Normal(8, batch, classes))
	hardness = []float64{0.05, 1, 4, 20}
)

// distribution makes each row one.
func distribution(z *tensor.Dense) *tensor.Dense {
	var p []float64
	rows(floats(z), classes, func(_ int, row []float64) { p = append(p, softmax(row, 1)...) })
	return dense(p, batch, classes)
}

func crossEntropy(smoothing float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.CrossEntropy(z, gradcheck.Const(z, "labels", labels), smoothing)
	}
}

func softCrossEntropy(smoothing float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.SoftCrossEntropy(z, gradcheck.Const(z, "targets", targets), smoothing)
	}
}

func kl(T float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.KL(z, gradcheck.Const(z, "teacher", teacher), gradcheck.Scalar(z, "T", T))
	}
}

func mse(z *gorgonia.Node) (*gorgonia.Node, error) {
	return graph.MSE(z, gradcheck.Const(z, "teacher", teacher))
}

// topKL recorded the teacher at several temperatures, and is asked for T.
func topKL(k int, T float64) loss {
	top, id, lse := record(teacher, k, hardness)
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.TopKL(z, gradcheck.Const(z, "top", top), gradcheck.Const(z, "id", id),
			gradcheck.Const(z, "lse", lse), gradcheck.Scalar(z, "T", T), hardness)
	}
}

// record keeps the k largest of each row and its log-sum-exp at each
// temperature.
func record(t *tensor.Dense, k int, temps []float64) (top, id, lse *tensor.Dense) {
	var tops, lses []float64
	var ids []int
	rows(floats(t), classes, func(_ int, row []float64) {
		order := []int{0, 1, 2, 3, 4}
		slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, row[b]-row[a])) })
		for _, c := range order[:k] {
			tops, ids = append(tops, row[c]), append(ids, c)
		}
		for _, T := range temps {
			sum := 0.0
			for _, v := range row {
				sum += math.Exp(v / T)
			}
			lses = append(lses, math.Log(sum))
		}
	})
	return dense(tops, batch, k), dense(ids, batch, k), dense(lses, batch, len(temps))
}

// The formulas, one row at a time.

func wantCrossEntropy(smoothing float64) func(r int, z []float64) float64 {
	return func(r int, z []float64) float64 {
		label := labels.Data().([]int)[r]
		if label < 0 {
			return 0
		}
		target := make([]float64, classes)
		target[label] = 1
		return wantCross(target, z, smoothing)
	}
}

func wantSoftCrossEntropy(smoothing float64) func(r int, z []float64) float64 {
	return func(r int, z []float64) float64 {
		return wantCross(floats(targets)[r*classes:][:classes], z, smoothing)
	}
}

func wantCross(target, z []float64, smoothing float64) (sum float64) {
	for c, q := range softmax(z, 1) {
		sum -= ((1-smoothing)*target[c] + smoothing/classes) * math.Log(q)
	}
	return sum
}

func wantKL(T float64) func(r int, z []float64) float64 {
	return func(r int, z []float64) float64 {
		return divergence(softmax(floats(teacher)[r*classes:][:classes], T), softmax(z, T), T)
	}
}

// wantTopKL puts all but the k classes in one bucket.
func wantTopKL(k int, T float64) func(r int, z []float64) float64 {
	_, id, _ := record(teacher, k, nil)
	return func(r int, z []float64) float64 {
		p, q := softmax(floats(teacher)[r*classes:][:classes], T), softmax(z, T)
		var ps, qs []float64
		for c := range classes {
			if slices.Contains(id.Data().([]int)[r*k:][:k], c) {
				ps, qs = append(ps, p[c]), append(qs, q[c])
				p[c], q[c] = 0, 0
			}
		}
		return divergence(append(ps, total(p)), append(qs, total(q)), T)
	}
}

func divergence(p, q []float64, T float64) (sum float64) {
	for c := range p {
		if p[c] > 0 {
			sum += p[c] * math.Log(p[c]/q[c])
		}
	}
	return T * T * sum
}

func total(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum
}

func wantMSE(r int, z []float64) (sum float64) {
	for c, v := range z {
		d := v - floats(teacher)[r*classes+c]
		sum += d * d / classes
	}
	return sum
}

func TestLosses(t *testing.T) {
	type lossTest struct {
		loss loss
		want func(r int, z []float64) float64
	}
	tests := map[string]lossTest{"mse": {mse, wantMSE}}
	for _, smoothing := range []float64{0, 0.1} {
		tests[fmt.Sprint("cross-entropy ", smoothing)] = lossTest{crossEntropy(smoothing), wantCrossEntropy(smoothing)}
		tests[fmt.Sprint("soft ", smoothing)] = lossTest{softCrossEntropy(smoothing), wantSoftCrossEntropy(smoothing)}
	}
	for _, T := range hardness {
		tests[fmt.Sprint("kl ", T)] = lossTest{kl(T), wantKL(T)}
		for _, k := range []int{1, 3, classes} {
			tests[fmt.Sprint("top ", k, " kl ", T)] = lossTest{topKL(k, T), wantTopKL(k, T)}
		}
	}
	z := gradcheck.Normal(1, batch, classes)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, of(test.loss), z)
			var want []float64
			rows(floats(z), classes, func(r int, row []float64) { want = append(want, test.want(r, row)) })
			near(t, eval(t, must(test.loss(bind(gorgonia.NewGraph(), "z", z))))[0], want)
		})
	}
}

// The gradient of many logits is computed when it is wanted: in the same bits.
func TestLateLosses(t *testing.T) {
	z := gradcheck.Normal(1, batch, classes)
	for name, f := range map[string]loss{
		"cross-entropy": crossEntropy(0.1), "soft": softCrossEntropy(0.1), "kl": kl(4), "top-k kl": topKL(3, 4),
	} {
		t.Run(name, func(t *testing.T) {
			want, value := gradient(t, f, z), eval(t, must(f(bind(gorgonia.NewGraph(), "z", z))))[0]
			defer graph.Late()()
			gradcheck.Check(t, of(f), z)
			if !slices.Equal(gradient(t, f, z), want) || !slices.Equal(eval(t, must(f(bind(gorgonia.NewGraph(), "z", z))))[0], value) {
				t.Error("it is another one")
			}
		})
	}
}

// The logits of a vocabulary have a gradient, and no other copy.
func TestManyLogitsHaveNoCopy(t *testing.T) {
	const rows, vocabulary = 64, 1 << 16
	z := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(rows, vocabulary))
	label := tensor.New(tensor.WithBacking(make([]int, rows)))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	in := bind(gorgonia.NewGraph(), "z", z)
	cost := must(gorgonia.Sum(must(graph.CrossEntropy(in, gradcheck.Const(in, "label", label), 0))))
	m := must(graph.NewMachine(append(must(gorgonia.Grad(cost, in)), cost)...))
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(m)
	const size = 4 * rows * vocabulary
	if used := after.HeapAlloc - before.HeapAlloc; used < size || used > size+size/2 { // and scratch for the rows at hand
		t.Errorf("%d bytes are used for %d of logits; want as many again", used, size)
	}
}

func TestMSEOfBothSides(t *testing.T) {
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.MSE(in[0], in[1]) },
		gradcheck.Normal(1, 3, 5), gradcheck.Normal(2, 3, 5))
}

// gradient is that of the sum of f(z).
func gradient(t testing.TB, f loss, z *tensor.Dense) []float64 {
	t.Helper()
	in := bind(gorgonia.NewGraph(), "z", z)
	return eval(t, must(gorgonia.Grad(must(gorgonia.Sum(must(f(in)))), in))...)[0]
}

func TestTeacherIsStudent(t *testing.T) {
	for _, T := range hardness {
		for _, g := range gradient(t, kl(T), teacher) {
			if g != 0 {
				t.Errorf("at T = %v the gradient of KL has %v; want 0", T, g)
			}
		}
		for _, g := range gradient(t, topKL(3, T), teacher) {
			if math.Abs(g) > 1e-14*T {
				t.Errorf("at T = %v the gradient of top-k KL has %v; want 0", T, g)
			}
		}
	}
	for _, g := range gradient(t, mse, teacher) {
		if g != 0 {
			t.Errorf("the gradient of MSE has %v; want 0", g)
		}
	}
}

func TestTopKLBoundsKL(t *testing.T) {
	z := gradcheck.Normal(3, batch, classes)
	for _, T := range hardness {
		in := bind(gorgonia.NewGraph(), "z", z)
		whole := eval(t, must(kl(T)(in)))[0]
		for k, last := 1, make([]float64, batch); k <= classes; k++ {
			got := eval(t, must(topKL(k, T)(bind(gorgonia.NewGraph(), "z", z))))[0]
			for r := range got {
				if got[r] < last[r]-1e-12 || got[r] > whole[r]*(1+1e-12) {
					t.Errorf("at T = %v top %d of row %d is %v; want %v to %v", T, k, r, got[r], last[r], whole[r])
				}
			}
			if last = got; k == classes {
				near(t, got, whole)
			}
		}
	}
}

func TestLargeLogits(t *testing.T) {
	huge := dense([]float64{1e4, -1e4, 0, 0, 0, -1e4, 1e4, 0, 0, 0, 1e4, 1e4, 1e4, 1e4, 1e4, -1e4, -1e4, -1e4, -1e4, 1e4}, batch, classes)
	tests := map[string]loss{"cross-entropy": crossEntropy(0.1), "soft": softCrossEntropy(0.1), "mse": mse}
	for _, T := range hardness {
		tests[fmt.Sprint("kl ", T)], tests[fmt.Sprint("top ", T)] = kl(T), topKL(2, T)
	}
	for name, f := range tests {
		value := eval(t, must(f(bind(gorgonia.NewGraph(), "z", huge))))[0]
		for _, v := range append(value, gradient(t, f, huge)...) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s: the values and gradients have %v", name, v)
			}
		}
		if slices.Min(value) < 0 || slices.Max(value) < 1e2 {
			t.Errorf("%s: the values are %v; want large ones", name, value)
		}
	}
}

func TestLossErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	z := bind(g, "z", gradcheck.Normal(1, 3, 5))
	wide, vector := bind(g, "wide", gradcheck.Normal(1, 3, 6)), bind(g, "vector", gradcheck.Normal(1, 3))
	id, more := bind(g, "id", dense([]int{0, 1, 2}, 3)), bind(g, "more", dense([]int{0, 1, 2, 3}, 4))
	one := number(g, "one", 1)
	two, ids := bind(g, "two", gradcheck.Normal(1, 3, 2)), bind(g, "ids", dense(make([]int, 6), 3, 2))
	temps := []float64{1, 4}
	tests := map[string]struct {
		err  error
		want string
	}{
		"rows":         {second(graph.CrossEntropy(vector, id, 0)), "cross-entropy: the student's side is (3); want (R, C)"},
		"labels":       {second(graph.CrossEntropy(z, more, 0)), "the labels are (4); want (3)"},
		"float labels": {second(graph.CrossEntropy(z, vector, 0)), "input 1 is of float64; want int"},
		"target":       {second(graph.SoftCrossEntropy(z, wide, 0)), "the target is (3, 6), the student's side (3, 5); want equal shapes"},
		"teacher":      {second(graph.KL(z, wide, one)), "kl: the target is (3, 6), the student's side (3, 5); want equal shapes"},
		"mse":          {second(graph.MSE(z, wide)), "mse: the target is (3, 6)"},
		"top ids":      {second(graph.TopKL(z, two, id, two, one, temps)), "id (3), lse (3, 2)"},
		"top lse":      {second(graph.TopKL(z, two, ids, z, one, temps)), "want (R, k), (R, k), (R, 2), (R, C)"},
		"top types":    {second(graph.TopKL(z, two, two, two, one, temps)), "top-k kl: input 2 is of float64; want int"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}

func TestLossesRefuseBadValues(t *testing.T) {
	z := gradcheck.Normal(1, 3, 5)
	run := func(build func(z *gorgonia.Node) (*gorgonia.Node, error)) error {
		m := must(graph.NewMachine(must(build(bind(gorgonia.NewGraph(), "z", z)))))
		return m.RunAll()
	}
	two := gradcheck.Normal(1, 3, 2)
	top := func(id []int, T float64) loss {
		return func(z *gorgonia.Node) (*gorgonia.Node, error) {
			g := z.Graph()
			return graph.TopKL(z, bind(g, "top", two), bind(g, "id", dense(id, 3, 2)), bind(g, "lse", two), number(g, "T", T), []float64{1, 4})
		}
	}
	label := func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.CrossEntropy(z, bind(z.Graph(), "labels", dense([]int{0, 5, 1}, 3)), 0)
	}
	wantError(t, run(label), "out of range [5] with length 5")
	wantError(t, run(top([]int{0, 1, 2, 3, 4, 5}, 1)), "out of range [5] with length 5")
	wantError(t, run(top([]int{0, 1, 2, 3, 4, 3}, 2)), "temperature 2 was not recorded; there are [1 4]")
}
