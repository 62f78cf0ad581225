package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLogSumExp(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		z    []float64
		invT float64
		want float64
	}{
		{nil, 1, -inf},
		{[]float64{-inf, -inf, -inf}, 1, -inf},
		{[]float64{3, inf, 1}, 1, inf},
		{[]float64{3, -inf, -inf}, 0.5, 1.5},
		{[]float64{1e4, 1e4, -1e4}, 1, 1e4 + math.Ln2},
		{[]float64{-1e4, -1e4, -1e4}, 0.25, -2500 + math.Log(3)},
		{[]float64{0, math.Log(2), math.Log(5)}, 1, math.Log(8)},
	} {
		if got := LogSumExp(test.z, test.invT); got != test.want && !(math.Abs(got-test.want) < 1e-12) {
			t.Errorf("LogSumExp(%v, %v) = %v, want %v", test.z, test.invT, got, test.want)
		}
	}
	if got := LogSumExp([]float32{1, float32(math.NaN()), 2}, 1); got == got {
		t.Errorf("LogSumExp of a NaN is %v", got)
	}
}

func TestSoftmax(t *testing.T) {
	z := []float32{0, float32(math.Inf(-1)), 1e4, 1e4}
	if Softmax(z, z, 1); !slices.Equal(z, []float32{0, 0, 0.5, 0.5}) {
		t.Errorf("got %v", z)
	}
	none := []float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	if LogSoftmax(none, none, 1); !math.IsNaN(none[1]) {
		t.Errorf("without any finite logit: got %v, want NaN", none)
	}
}

func TestSoftmaxProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SliceOfN(rapid.Float64Range(-1e4, 1e4), 3, 9).Draw(t, "z")
		invT := rapid.Float64Range(0.01, 10).Draw(t, "invT")
		shift := rapid.Float64Range(-100, 100).Draw(t, "shift")
		p, logp, moved := make([]float64, len(z)), make([]float64, len(z)), make([]float64, len(z))
		Softmax(p, z, invT)
		LogSoftmax(logp, z, invT)
		for i := range z {
			moved[i] = z[i] + shift
		}
		Softmax(moved, moved, invT)
		sum := 0.0
		for i := range z {
			sum += p[i]
			if math.Abs(p[i]-math.Exp(logp[i])) > 1e-9 {
				t.Fatalf("probability %d is %v, its logarithm %v", i, p[i], logp[i])
			}
			if math.Abs(p[i]-moved[i]) > 1e-9 {
				t.Fatalf("a shift of the logits moves probability %d from %v to %v", i, p[i], moved[i])
			}
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Fatalf("the probabilities sum to %v", sum)
		}
	})
}

// The bounds that are documented, in units of the last place.
const (
	farthestExp, farthestPortableExp = 1, 2
	farthestLog                      = 1
	farthestSoftmax                  = 0.51
)

// worst is the largest of some errors, and where it is.
type worst struct{ off, at float64 }

func (w *worst) add(off, at float64) {
	if !(off <= w.off) {
		w.off, w.at = off, at
	}
}

func (w *worst) check(t *testing.T, name string, most float64) {
	t.Helper()
	t.Logf("%s: %.3f units at %v", name, w.off, w.at)
	if !(w.off <= most) {
		t.Errorf("%s at %v is %v units in the last place off; want %v at most", name, w.at, w.off, most)
	}
}

func TestExponentialsAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	z := []float32{0}
	for i := range 8000 {
		z = append(z, float32(i)/-4000, float32(-708*r.Float64()), float32(-math.Exp2(-40*r.Float64())))
	}
	for fast, most := range map[bool]float64{false: farthestPortableExp, true: farthestExp} {
		t.Run(fmt.Sprint("fast=", fast), func(t *testing.T) {
			use(t, fast)
			e, w := make([]float64, len(z)), worst{}
			if top, _ := exponentials(e, z, 1); top != 0 {
				t.Errorf("the largest is %v, want 0", top)
			}
			for i, v := range z {
				w.add(apart(e[i], bigExp(exactly(float64(v)))), float64(v))
			}
			w.check(t, "exp", most)
		})
	}
}

func TestLogarithmsAreExact(t *testing.T) {
	paths(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 0))
		x := []float64{1, math.MaxFloat64, math.SmallestNonzeroFloat64, 0x1p-1022, 0x1p-1022 - 0x1p-1074, math.Sqrt2 / 2, math.Nextafter(math.Sqrt2/2, 0)}
		for i := range 4000 {
			x = append(x, 0.5+float64(i)/2000, 1+math.Ldexp(r.Float64()-0.5, -r.IntN(50)), math.Ldexp(r.Float64(), r.IntN(2100)-1074))
		}
		y, w := make([]float64, len(x)), worst{}
		logarithms(y, x)
		for i, v := range x {
			if v != 1 {
				w.add(apart(y[i], bigLog(exactly(v))), v)
			}
		}
		if y[0] != 0 {
			t.Errorf("log(1) is %v, want 0", y[0])
		}
		w.check(t, "log", farthestLog)
	})
}

func TestLogarithmsOfWhatHasNone(t *testing.T) {
	inf, nan, denormal := math.Inf(1), math.NaN(), math.SmallestNonzeroFloat64
	x := []float64{0, math.Copysign(0, -1), -denormal, -1, -inf, inf, nan}
	want := []float64{-inf, -inf, nan, nan, nan, inf, nan}
	paths(t, func(t *testing.T) {
		for from := range x {
			y, intact := guarded(x[from:])
			if logarithms(y, y); !same(y, want[from:]) || !intact() {
				t.Errorf("logarithms of %v are %v, want %v", x[from:], y, want[from:])
			}
		}
	})
}

// Probabilities and their logarithms are those of the real numbers, rounded.
func TestSoftmaxIsExact(t *testing.T) {
	paths(t, func(t *testing.T) {
		var ps, logs worst
		for seed := range uint64(120) {
			z, invT := random[float32](3+int(seed)%17, seed), []float64{1, 0.25, 1 / 3.0}[seed%3]
			largest := 0.0
			for i := range z {
				z[i] = z[i]*float32(math.Exp2(float64(seed%7))) + float32(seed%5*seed%5*1000)
				largest = max(largest, math.Abs(float64(z[i])*invT))
			}
			p, logp := make([]float32, len(z)), make([]float32, len(z))
			Softmax(p, z, invT)
			LogSoftmax(logp, z, invT)
			wantP, wantLog := bigSoftmax(z, invT)
			for i := range z {
				ps.add(apart(p[i], wantP[i]), float64(z[i]))
				w, _ := wantLog[i].Float64()
				logs.add(apart(logp[i], wantLog[i])-5e-16*largest/unit[float32](w), float64(z[i]))
			}
		}
		ps.check(t, "softmax", farthestSoftmax)
		logs.check(t, "log-softmax", farthestSoftmax)
	})
}

// What remains of a student that is near its teacher is right to almost all of
// its digits, in float32 too.
func TestKLOfNearLogits(t *testing.T) {
	paths(t, func(t *testing.T) {
		const T = 4.0
		target, z := random[float32](11, 1), random[float32](11, 2)
		for i := range z {
			z[i] = target[i] + 1e-4*z[i]
		}
		value, grad := make([]float32, 1), make([]float32, len(z))
		KL(value, grad, z, target, T)
		p, logp := bigSoftmax(target, 1/T)
		q, logq := bigSoftmax(z, 1/T)
		want := exactly(0)
		for c := range z {
			d := new(big.Float).Sub(q[c], p[c])
			if off := apart(grad[c], d.Mul(d, exactly(T))); off > 0.51 {
				t.Errorf("gradient %d is %v, %v units in the last place off", c, grad[c], off)
			}
			d = new(big.Float).Sub(logp[c], logq[c])
			want.Add(want, d.Mul(d, p[c]))
		}
		if off := apart(value[0], want.Mul(want, exactly(T*T))); off > 10 {
			t.Errorf("the value is %v, %v units in the last place off", value[0], off)
		}
	})
}

// The gradient of log-softmax is the one of its definition, whatever its inputs
// hold.
func FuzzSoftmax(f *testing.F) {
	addSizes(f)
	f.Fuzz(func(t *testing.T, seed uint64, size uint16, variant uint8) {
		n, invT := fuzzSize(size), []float64{1, 0.25, 1 / 3.0, 20}[variant%4]
		z, dy := odd(n, seed), odd(n, seed+1) // without probabilities that vanish: 0·Inf is a NaN
		if variant&128 != 0 {
			z, dy = spread(random[float32](n, seed), variant), random[float32](n, seed+1)
		}
		want, wantLog, lse := naiveSoftmax(z, invT)
		atMost := 2e-13 * (1 + math.Abs(lse))
		got := eachPath(t, seed, [][]float32{z, z, z, dy}, func(x [][]float32) {
			if v := LogSumExp(x[0], invT); !within(v, lse, atMost) {
				t.Errorf("LogSumExp of %d is %v, want %v", n, v, lse)
			}
			Softmax(x[0], x[0], invT)
			LogSoftmax(x[1], x[1], invT)
			LogSoftmax(x[2], x[2], 1)
			LogSoftmaxGrad(x[3], x[2], x[3])
		})
		for _, x := range got {
			checkClose(t, "softmax", x[0], want, 1e-300, atMost)
			checkClose(t, "log-softmax", x[1], wantLog, atMost, 0)
			checkClose(t, "gradient", x[3], naiveLogSoftmaxGrad(x[2], dy), 1e-11, 0)
		}
	})
}

func naiveSoftmax(z []float32, invT float64) (p, logp []float64, lse float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range z {
		top = max(top, float64(v)*invT)
	}
	for _, v := range z {
		sum += math.Exp(float64(v)*invT - top)
	}
	for _, v := range z {
		p = append(p, math.Exp(float64(v)*invT-top)/sum)
		logp = append(logp, float64(v)*invT-top-math.Log(sum))
	}
	if lse = top + math.Log(sum); math.IsInf(top, 0) {
		return p, logp, top
	}
	return p, logp, lse
}

func naiveLogSoftmaxGrad(y, dy []float32) (dx []float64) {
	sum := 0.0
	for _, d := range dy {
		sum += float64(d)
	}
	for i, d := range dy {
		dx = append(dx, float64(d)-sum*math.Exp(float64(y[i])))
	}
	return dx
}

func FuzzLogarithms(f *testing.F) {
	f.Add(uint64(1), 1.0, uint8(5))
	f.Add(uint64(2), 1e-310, uint8(3))
	f.Add(uint64(3), -1.0, uint8(70))
	f.Add(uint64(4), math.Inf(1), uint8(4))
	f.Fuzz(func(t *testing.T, seed uint64, first float64, size uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		x := []float64{first}
		for range size {
			x = append(x, math.Float64frombits(r.Uint64()))
		}
		for _, fast := range []bool{false, true} {
			use(t, fast)
			y, intact := guarded(x)
			if logarithms(y, y); !intact() {
				t.Fatal("it wrote outside of its operand")
			}
			for i, v := range x {
				if 0 < v && v < math.Inf(1) && v != 1 {
					if off := apart(y[i], bigLog(exactly(v))); off > farthestLog {
						t.Errorf("log(%v) is %v, %v units in the last place off", v, y[i], off)
					}
				} else if want := math.Log(v); !same(y[i:i+1], []float64{want}) {
					t.Errorf("log(%v) is %v, want %v", v, y[i], want)
				}
			}
		}
	})
}
