package kernel

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// A rowLoss is a loss of a row of logits z by a target t, of any precision.
type rowLoss[F Float] func(grad, z, t []F) float64

func rowLosses[F Float]() map[string]rowLoss[F] {
	return map[string]rowLoss[F]{
		"cross-entropy": func(grad, z, t []F) float64 {
			return one(func(v []F) { CrossEntropy(v, grad, z, []int{len(z) / 2}, 0) })
		},
		"smoothed": func(grad, z, t []F) float64 {
			return one(func(v []F) { CrossEntropy(v, grad, z, []int{0}, 0.1) })
		},
		"kl":  func(grad, z, t []F) float64 { return one(func(v []F) { KL(v, grad, z, t, 3) }) },
		"mse": func(grad, z, t []F) float64 { return one(func(v []F) { MSE(v, grad, z, t) }) },
		"topkl": func(grad, z, t []F) float64 {
			return one(func(v []F) { TopKL(v, grad, z, topK(t, 1, len(z)/2, 3), 3) })
		},
		"l1":      func(grad, z, t []F) float64 { return one(func(v []F) { L1(v, grad, z, t) }) },
		"huber":   func(grad, z, t []F) float64 { return one(func(v []F) { Huber(v, grad, z, t, 1.5) }) },
		"bounded": func(grad, z, t []F) float64 { return one(func(v []F) { Bounded(v, grad, z, turned(z), t, 0.5) }) },
		"bce":     func(grad, z, t []F) float64 { return one(func(v []F) { BCE(v, grad, z, t, ramp(len(z))) }) },
		"binary":  func(grad, z, t []F) float64 { return one(func(v []F) { BinaryKL(v, grad, z, t, 3) }) },
		"soft": func(grad, z, t []F) float64 {
			p := make([]F, len(t))
			Softmax(p, t, 1)
			return one(func(v []F) { SoftCrossEntropy(v, grad, z, p, 0.1) })
		},
	}
}

// one is the value of one row.
func one[F Float](loss func(value []F)) float64 {
	value := make([]F, 1)
	loss(value)
	return float64(value[0])
}

// turned begins with the last element of x.
func turned[F Float](x []F) []F { return append(slices.Clone(x[len(x)-1:]), x[:len(x)-1]...) }

// ramp is n weights, all different.
func ramp(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 0.5 + float64(i)/8
	}
	return w
}

// topK keeps the k largest logits of each row, for temperature T, as float32 does.
func topK[F Float](z []F, rows, k int, T float64) TopK[F] {
	c, kept := len(z)/rows, TopK[F]{}
	for r := range rows {
		z := row(z, r, c)
		order := make([]int, c)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(z[b], z[a]) })
		for _, class := range order[:k] {
			kept.Classes, kept.Logits = append(kept.Classes, class), append(kept.Logits, z[class])
		}
		kept.LSE = append(kept.LSE, F(float32(LogSumExp(z, 1/T))))
	}
	return kept
}

// In float32 the losses are those of float64, a student that is near its
// teacher or sure of its label included.
func TestLossesInFloat32(t *testing.T) {
	wide := rowLosses[float64]()
	paths(t, func(t *testing.T) {
		for name, loss := range rowLosses[float32]() {
			for _, n := range []int{1, 3, 10, 37, 1000} {
				for _, apart := range []float64{0, 1e-4, 1, 30} {
					target := random[float32](n, 1)
					z := random[float32](n, 2)
					for i := range z {
						z[i] = target[i] + float32(apart)*z[i]
					}
					grad, intact := guarded(z)
					got := loss(grad, z, target)
					grad64, z64, t64 := make([]float64, n), widened(z), widened(target)
					want := wide[name](grad64, z64, t64)
					if !intact() || math.Abs(got-want) > 1e-6*(math.Abs(want)+1e-6) {
						t.Errorf("%s of %d classes, %v apart: %v, want %v", name, n, apart, got, want)
					}
					checkGradient(t, name, grad, grad64)
				}
			}
		}
	})
}

func checkGradient(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	largest, off := 0.0, 0.0
	for i, w := range want {
		largest, off = max(largest, math.Abs(w)), max(off, math.Abs(float64(got[i])-w))
	}
	// A target that was rounded to float32 moves the gradient of what is soft.
	if tol := 1e-6*largest + 1e-7; off > tol || name != "soft" && off > 1e-6*largest+1e-12 {
		t.Errorf("%s of %d classes: the gradient is %v off; its largest element is %v", name, len(got), off, largest)
	}
}

func TestKLOfEqualLogits(t *testing.T) {
	paths(t, func(t *testing.T) {
		for n := 1; n < 40; n++ {
			z := random[float32](n, uint64(n))
			grad := random[float32](n, 1)
			if v := one(func(v []float32) { KL(v, grad, z, z, 4) }); v != 0 || !same(grad, make([]float32, n)) {
				t.Errorf("%d classes: value %v, gradient %v; want 0", n, v, grad)
			}
		}
	})
}

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// A rowsLoss is a loss of rows of float32, and of one of them by its definition.
type rowsLoss struct {
	rows  func(value, grad, z, t []float32)
	naive func(z, t []float32) (value float64, grad []float64)
}

func rowsLosses() map[string]rowsLoss {
	all := map[string]rowsLoss{
		"mse": {MSE[float32], naiveMSE},
		"kl": {
			func(value, grad, z, t []float32) { KL(value, grad, z, t, 3) },
			func(z, t []float32) (float64, []float64) {
				p, logp, _ := naiveSoftmax(t, 1/3.0)
				q, logq, _ := naiveSoftmax(z, 1/3.0)
				return naiveKL(p, logp, q, logq, 3)
			},
		},
		"kl of a row": {
			func(value, grad, z, t []float32) {
				EachRow(value, grad, z, Beside[float32]{Teacher: t, T: 3}, rowKL)
			},
			func(z, t []float32) (float64, []float64) {
				p, logp, _ := naiveSoftmax(t, 1/3.0)
				q, logq, _ := naiveSoftmax(z, 1/3.0)
				return naiveKL(p, logp, q, logq, 3)
			},
		},
		"topkl": {
			func(value, grad, z, t []float32) { TopKL(value, grad, z, kept(t, len(value)), 3) },
			func(z, t []float32) (float64, []float64) { return naiveTopKL(z, kept(t, 1), 3) },
		},
	}
	maps.Copy(all, targetLosses())
	for _, smoothing := range []float64{0, 0.1} {
		all[fmt.Sprint("cross ", smoothing)] = rowsLoss{
			func(value, grad, z, t []float32) {
				CrossEntropy(value, grad, z, slices.Repeat([]int{0}, len(value)), smoothing)
			},
			func(z, t []float32) (float64, []float64) {
				return naiveCross(z, append([]float32{1}, make([]float32, len(z)-1)...), smoothing)
			},
		}
		all[fmt.Sprint("soft ", smoothing)] = rowsLoss{
			func(value, grad, z, t []float32) { SoftCrossEntropy(value, grad, z, t, smoothing) },
			func(z, t []float32) (float64, []float64) { return naiveCross(z, t, smoothing) },
		}
	}
	return all
}

// rowKL is T² times the divergence.
func rowKL(r *Row) (sum float64) {
	for c, p := range r.P {
		if r.Grad[c] != 0 {
			panic("the gradient of the row before is there")
		}
		if r.Grad[c] = -r.T * r.T * p; p > 0 {
			sum += r.T * r.T * p * (r.LogP[c] - r.LogQ[c])
		}
	}
	return sum
}

// targetLosses are those of numbers, and of independent answers.
func targetLosses() map[string]rowsLoss {
	return map[string]rowsLoss{
		"l1": {L1[float32], func(z, t []float32) (float64, []float64) {
			return naiveApart(z, t, func(d float64) (float64, float64) { return math.Abs(d), sign(d) })
		}},
		"huber": {
			func(value, grad, z, t []float32) { Huber(value, grad, z, t, 1.5) },
			func(z, t []float32) (float64, []float64) {
				return naiveApart(z, t, func(d float64) (float64, float64) {
					if math.Abs(d) <= 1.5 {
						return d * d / 2, d
					}
					return 1.5 * (math.Abs(d) - 0.75), 1.5 * sign(d)
				})
			},
		},
		"bounded": {
			func(value, grad, z, t []float32) {
				c := len(z) / len(value)
				var teacher []float32
				for r := range value {
					teacher = append(teacher, turned(row(z, r, c))...)
				}
				Bounded(value, grad, z, teacher, t, 0.5)
			},
			func(z, t []float32) (float64, []float64) {
				value, grad := naiveMSE(z, t)
				if bound, _ := naiveMSE(turned(z), t); value+0.5 <= bound {
					return 0, make([]float64, len(z))
				}
				return value, grad
			},
		},
		"bce": {
			func(value, grad, z, t []float32) { BCE(value, grad, z, t, ramp(len(z)/len(value))) },
			naiveBCE,
		},
		"binary": {
			func(value, grad, z, t []float32) { BinaryKL(value, grad, z, t, 3) },
			func(z, t []float32) (value float64, grad []float64) {
				for c := range z {
					p, logp, _ := naiveSoftmax([]float32{0, t[c]}, 1/3.0)
					q, logq, _ := naiveSoftmax([]float32{0, z[c]}, 1/3.0)
					v, g := naiveKL(p, logp, q, logq, 3)
					value, grad = value+v, append(grad, g[1])
				}
				return value, grad
			},
		},
	}
}

func naiveApart(a, b []float32, f func(d float64) (v, slope float64)) (value float64, grad []float64) {
	n := float64(len(a))
	for i, v := range a {
		v, slope := f(float64(v) - float64(b[i]))
		value, grad = value+v/n, append(grad, slope/n)
	}
	return value, grad
}

func sign(x float64) float64 {
	if x == 0 {
		return 0
	}
	return math.Copysign(1, x)
}

// naiveBCE is cross-entropy over the classes no, of logit 0, and yes.
func naiveBCE(z, target []float32) (value float64, grad []float64) {
	for c, w := range ramp(len(z)) {
		q, logq, _ := naiveSoftmax([]float32{0, z[c]}, 1)
		t := float64(target[c])
		value -= w*t*logq[1] + (1-t)*logq[0]
		grad = append(grad, (1-t)*q[1]-w*t*q[0])
	}
	return value, grad
}

// kept is about a third of the classes.
func kept(t []float32, rows int) TopK[float32] { return topK(t, rows, (len(t)/rows+2)/3, 3) }

func naiveMSE(a, b []float32) (value float64, grad []float64) {
	for i, v := range a {
		d := float64(v) - float64(b[i])
		value += d * d / float64(len(a))
		grad = append(grad, 2*d/float64(len(a)))
	}
	return value, grad
}

func naiveCross(z, target []float32, smoothing float64) (value float64, grad []float64) {
	q, logq, _ := naiveSoftmax(z, 1)
	total := 0.0
	for c := range z {
		t := (1-smoothing)*float64(target[c]) + smoothing/float64(len(z))
		value -= t * logq[c]
		total += t
		grad = append(grad, -t)
	}
	for c := range z {
		grad[c] += total * q[c]
	}
	return value, grad
}

func naiveKL(p, logp, q, logq []float64, T float64) (value float64, grad []float64) {
	for c := range p {
		value += T * T * p[c] * (logp[c] - logq[c])
		grad = append(grad, T*(q[c]-p[c]))
	}
	return value, grad
}

// naiveTopKL is KL with the classes that are not kept as one. Its gradient is
// shared among them as q is.
func naiveTopKL(z []float32, t TopK[float32], T float64) (value float64, grad []float64) {
	q, logq, lse := naiveSoftmax(z, 1/T)
	var p, logp, few, logfew []float64
	rest, tail := slices.Clone(z), 1.0
	for i, c := range t.Classes {
		logp = append(logp, float64(t.Logits[i])/T-float64(t.LSE[0]))
		p = append(p, math.Exp(logp[i]))
		few, logfew = append(few, q[c]), append(logfew, logq[c])
		tail -= p[i]
		rest[c] = float32(math.Inf(-1))
	}
	share, _, lseRest := naiveSoftmax(rest, 1/T)
	if len(t.Classes) < len(z) && tail > 0 {
		p, logp = append(p, tail), append(logp, math.Log(tail))
		few, logfew = append(few, math.Exp(lseRest-lse)), append(logfew, lseRest-lse)
	} else {
		share, tail = make([]float64, len(z)), 0
	}
	value, short := naiveKL(p, logp, few, logfew, T)
	for c := range z {
		grad = append(grad, T*(q[c]-tail*share[c]))
	}
	for i, c := range t.Classes {
		grad[c] = short[i]
	}
	return value, grad
}

// Losses are those of their definitions. Of a NaN or an infinity, the assembly
// makes what the portable code does.
func FuzzLosses(f *testing.F) {
	addSizes(f)
	losses := rowsLosses()
	names := slices.Sorted(maps.Keys(losses))
	f.Fuzz(func(t *testing.T, seed uint64, size uint16, variant uint8) {
		c, rows := fuzzSize(size), 1+int(seed%5)
		z, target := spread(random[float32](rows*c, seed), variant), spread(random[float32](rows*c, seed+1), variant/3)
		finite := variant&128 != 0
		if !finite {
			z, target = odd(rows*c, seed), odd(rows*c, seed+1)
		}
		for _, name := range names {
			loss := losses[name]
			got := eachPath(t, seed, [][]float32{make([]float32, rows), make([]float32, rows*c), z, target}, func(x [][]float32) {
				loss.rows(x[0], x[1], x[2], x[3])
			})
			for r := range rows {
				value, grad := float64(got[0][0][r]), widened(row(got[0][1], r, c))
				tol := 1e-12 * (10 + largestOf(row(z, r, c), row(target, r, c)))
				if finite {
					want, wantGrad := loss.naive(row(z, r, c), row(target, r, c))
					checkClose(t, name, got[0][0][r:r+1], []float64{want}, tol, 1e-12)
					checkClose(t, name+" gradient", row(got[0][1], r, c), wantGrad, tol, 1e-12)
				}
				checkClose(t, name+" with AVX2", got[1][0][r:r+1], []float64{value}, tol, 0x1p-23)
				checkClose(t, name+" gradient with AVX2", row(got[1][1], r, c), grad, tol, 0x1p-23)
			}
		}
	})
}

// largestOf is the largest of what is finite.
func largestOf(x ...[]float32) (top float64) {
	for _, v := range slices.Concat(x...) {
		if a := math.Abs(float64(v)); a < math.Inf(1) {
			top = max(top, a)
		}
	}
	return top
}

// A row's loss is the same, to the last bit, whatever rows there are besides,
// on however many threads.
func TestLossesDoNotDependOnOthers(t *testing.T) {
	paths(t, func(t *testing.T) {
		for _, s := range [][2]int{{300, 7}, {37, 50}, {5, 1500}} {
			rows, c := s[0], s[1]
			z, target := random[float32](rows*c, 1), random[float32](rows*c, 2)
			for name, loss := range rowsLosses() {
				value, grad := make([]float32, rows), make([]float32, rows*c)
				for r := range rows {
					loss.rows(value[r:r+1], row(grad, r, c), row(z, r, c), row(target, r, c))
				}
				threaded(func(threads int) {
					v, values := guarded(make([]float32, rows))
					g, grads := guarded(make([]float32, rows*c))
					if loss.rows(v, g, z, target); !same(v, value) || !same(g, grad) || !values() || !grads() {
						t.Errorf("%s of %d rows of %d on %d threads is another than of each alone", name, rows, c, threads)
					}
				})
			}
		}
	})
}

// A class that is impossible, and that the target has no part of, counts for
// nothing.
func TestLossesOfImpossibleClasses(t *testing.T) {
	none := float32(math.Inf(-1))
	z, target := []float32{1, 2, none, 3, -1}, []float32{0.5, 1, none, 2, none}
	p := make([]float32, len(z))
	Softmax(p, target, 1)
	paths(t, func(t *testing.T) {
		for name, loss := range rowsLosses() {
			to := target
			switch name {
			case "soft 0":
				to = p
			case "soft 0.1", "cross 0.1", "mse", "l1", "huber", "bounded", "bce", "binary":
				continue // which have a part of all
			}
			value, grad := make([]float32, 1), make([]float32, len(z))
			loss.rows(value, grad, z, to)
			if v := slices.Concat(value, grad); slices.ContainsFunc(v, func(x float32) bool { return !(math.Abs(float64(x)) < 10) }) {
				t.Errorf("%s: value and gradient are %v", name, v)
			}
		}
	})
}

// Without a teacher there is no loss to speak of.
func TestKLOfNaN(t *testing.T) {
	paths(t, func(t *testing.T) {
		value, grad, target := make([]float32, 1), make([]float32, 5), random[float32](5, 1)
		target[3] = float32(math.NaN())
		if KL(value, grad, random[float32](5, 2), target, 2); value[0] == value[0] || grad[0] == grad[0] {
			t.Errorf("value %v, gradient %v; want NaN", value, grad)
		}
	})
}

func TestCrossEntropyWithoutLabel(t *testing.T) {
	paths(t, func(t *testing.T) {
		z, value, grad := random[float32](15, 1), random[float32](3, 2), random[float32](15, 3)
		CrossEntropy(value, grad, z, []int{4, -1, 0}, 0.1)
		if value[1] != 0 || !same(grad[5:10], make([]float32, 5)) || value[0] <= 0 || grad[4] >= 0 {
			t.Errorf("values %v, gradients %v; want 0 in the second row", value, grad)
		}
	})
}

func TestScaleRows(t *testing.T) {
	nan := float32(math.NaN())
	paths(t, func(t *testing.T) {
		dst, intact := guarded(make([]float32, 33))
		src := slices.Concat(random[float32](11, 1), slices.Repeat([]float32{nan}, 11), random[float32](11, 2))
		ScaleRows(dst, src, []float32{-3, 0, 0.1})
		for i, v := range dst {
			if want := src[i] * []float32{-3, 0, 0.1}[i/11]; i/11 != 1 && v != want || i/11 == 1 && v != 0 || !intact() {
				t.Errorf("element %d is %v, of %v", i, v, src[i])
			}
		}
	})
}

// What is sure is 0 or its logit, and never NaN.
func TestBinaryLossesOfLargeLogits(t *testing.T) {
	z, grad, value := []float32{1e4, -1e4, 1e4, -1e4}, make([]float32, 4), make([]float32, 4)
	BCE(value, grad, z, []float32{1, 0, 0, 1}, nil)
	if !slices.Equal(value, []float32{0, 0, 1e4, 1e4}) || !slices.Equal(grad, []float32{0, 0, 1, -1}) {
		t.Errorf("BCE is %v, with gradient %v", value, grad)
	}
	BinaryKL(value, grad, z, []float32{1e4, -1e4, -1e4, 1e4}, 2)
	if !slices.Equal(value, []float32{0, 0, 2e4, 2e4}) || !slices.Equal(grad, []float32{0, 0, 2, -2}) {
		t.Errorf("BinaryKL is %v, with gradient %v", value, grad)
	}
}

func TestChannelsLast(t *testing.T) {
	dst := make([]float32, 3*4*5)
	x := make([]float32, len(dst))
	for i := range x {
		x[i] = float32(i)
	}
	ChannelsLast(dst, x, 3, 4, 5)
	for n := range 3 {
		for c := range 4 {
			for p := range 5 {
				if got, want := dst[(n*5+p)*4+c], x[(n*4+c)*5+p]; got != want {
					t.Fatalf("sample %d, channel %d, pixel %d is %v; want %v", n, c, p, got, want)
				}
			}
		}
	}
}
