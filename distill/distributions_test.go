package distill

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
)

// A definition is that of a loss of a single row, over probabilities and
// in the order of the paper. What has no gradient is computed of held, which is
// s until s is moved.
type definition func(s, held, t []float64, y int) float64

// A defined loss is what it is by definition, with what the mathematics grants it,
// as a [method] has it, and its value by hand at T = 1: of p = (0.2, 0.3, 0.5),
// q = (0.125, 0.25, 0.625) and the label 2.
type defined struct {
	loss Loss
	is   definition
	has  property
	most float64
	hand float64
}

// definitions are the losses of logits that are defined for a row, at a temperature. All of them are among the methods
// whose properties are tested.
func definitions(T float64) map[string]defined {
	at, square := Constant(T), T*T
	// of is the definition by the two distributions.
	of := func(f func(q, p []float64) float64) definition {
		return func(s, _, t []float64, _ int) float64 { return f(softmax(s, T), softmax(t, T)) }
	}
	amari := func(alpha float64) func(q, p []float64) float64 {
		return func(q, p []float64) float64 {
			sum := 0.0
			for c := range q {
				sum += math.Pow(p[c], alpha) * math.Pow(q[c], 1-alpha)
			}
			return square * (1 - sum) / (alpha * (1 - alpha))
		}
	}
	log := math.Log
	return map[string]defined{
		"KL": {KL{T: at}, of(func(q, p []float64) float64 { return square * relative(p, q) }), divergence, 0,
			0.2*log(1.6) + 0.3*log(1.2) + 0.5*log(0.8)},
		"ReverseKL": {ReverseKL{T: at}, of(func(q, p []float64) float64 { return square * relative(q, p) }), divergence, 0,
			0.125*log(0.625) + 0.25*log(1/1.2) + 0.625*log(1.25)},
		"JSD": {JSD{T: at, Beta: Constant(0.3)}, of(func(q, p []float64) float64 {
			m := mixed(0.3, p, q)
			return 0.3*relative(p, m) + 0.7*relative(q, m)
		}), divergence, -0.3*log(0.3) - 0.7*log(0.7),
			0.06*log(0.2/0.1475) + 0.09*log(0.3/0.265) + 0.15*log(0.5/0.5875) + 0.0875*log(0.125/0.1475) + 0.175*log(0.25/0.265) + 0.4375*log(0.625/0.5875)},
		"SkewKL": {SkewKL{T: at, Lambda: Constant(0.3)}, of(func(q, p []float64) float64 { return square * relative(p, mixed(0.3, p, q)) }), divergence, -square * log(0.3),
			0.2*log(0.2/0.1475) + 0.3*log(0.3/0.265) + 0.5*log(0.5/0.5875)},
		"SkewReverseKL": {SkewReverseKL{T: at}, of(func(q, p []float64) float64 { return square * relative(q, mixed(0.1, q, p)) }), divergence, square * log(10),
			0.125*log(0.125/0.1925) + 0.25*log(0.25/0.295) + 0.625*log(0.625/0.5125)},
		"AlphaDivergence": {AlphaDivergence{T: at, Alpha: Constant(0.3)}, of(amari(0.3)), divergence, square / 0.21,
			(1 - 0.125*math.Pow(1.6, 0.3) - 0.25*math.Pow(1.2, 0.3) - 0.625*math.Pow(0.8, 0.3)) / 0.21},
		"AlphaDivergence, 0.8": {AlphaDivergence{T: at, Alpha: Constant(0.8)}, of(amari(0.8)), divergence, square / 0.16,
			(1 - 0.2*math.Pow(0.625, 0.2) - 0.3*math.Pow(1/1.2, 0.2) - 0.5*math.Pow(1.25, 0.2)) / 0.16},
		"TotalVariation": {TotalVariation{T: at}, of(func(q, p []float64) (most float64) {
			for c := range q {
				most += max(0, q[c]-p[c]) // of the classes that the student has more of
			}
			return most
		}), divergence | symmetric, 1, 0.125},
		"UniversalLogit": {UniversalLogit{T: at}, of(func(q, p []float64) (sum float64) {
			slices.Sort(q)
			slices.Sort(p)
			for c := range q {
				sum += math.Abs(q[c] - p[c])
			}
			return sum
		}), divergence | symmetric, 2, 0.25},
		"MSE": {MSE{}, func(s, _, t []float64, _ int) (mean float64) {
			for c := range s {
				mean += (s[c] - t[c]) * (s[c] - t[c]) / float64(len(s))
			}
			return mean
		}, divergence&^freeOfLevel | symmetric, 0,
			(log(1.6)*log(1.6) + log(1.2)*log(1.2) + log(0.8)*log(0.8)) / 3},
		"CrossEntropy": {CrossEntropy{}, func(s, _, _ []float64, y int) float64 { return surprise(s, y) }, ofClasses, 0, -log(0.625)},
		"CrossEntropy, smooth": {CrossEntropy{Smoothing: 0.1}, func(s, _, _ []float64, y int) float64 {
			sum := 0.9 * surprise(s, y)
			for c := range s {
				sum += 0.1 * surprise(s, c) / float64(len(s))
			}
			return sum
		}, ofClasses, 0, -2.8/3*log(0.625) - 0.1/3*(log(0.125)+log(0.25))},
		"DKD": {DKD{T: at, Alpha: Constant(1.5), Beta: Constant(3)}, func(s, _, t []float64, y int) float64 {
			p, q := softmax(t, T), softmax(s, T)
			label := relative([]float64{p[y], remains(p, y)}, []float64{q[y], remains(q, y)})
			return square * (1.5*label + 3*relative(softmax(others(t, y), T), softmax(others(s, y), T)))
		}, divergence, 0,
			1.5*(0.5*log(0.5/0.625)+0.5*log(0.5/0.375)) + 3*(0.4*log(0.4*3)+0.6*log(0.9))},
		"NKD": {NKD{T: at, Gamma: Constant(0.7)}, func(s, _, t []float64, y int) float64 {
			return softmax(t, 1)[y]*surprise(s, y) + 0.7*square*crossed(softmax(others(t, y), T), softmax(others(s, y), T))
		}, ofClasses, 0,
			-0.5*log(0.625) - 0.7*(0.4*log(1/3.0)+0.6*log(2/3.0))},
		"WSLD": {WSLD{T: at}, func(s, held, t []float64, y int) float64 {
			weight := 1 - math.Exp(-surprise(held, y)/(surprise(t, y)+1e-7))
			return weight * square * crossed(softmax(t, T), softmax(s, T))
		}, ofClasses | restsAtTeacher, 0,
			(1 - math.Exp(log(0.625)/(-log(0.5)+1e-7))) * -(0.2*log(0.125) + 0.3*log(0.25) + 0.5*log(0.625))},
		// By hand, 0.5k + 1-k leads 0.3k by 0.6 where k is 0.5.
		"Corrected": {Corrected{T: at, Margin: Constant(0.6)}, func(s, _, t []float64, y int) float64 {
			return square * relative(led(softmax(t, T), y, 0.6), softmax(s, T))
		}, ofClasses, 0,
			0.1*log(0.1/0.125) + 0.15*log(0.15/0.25) + 0.75*log(0.75/0.625)},
		"VirtualTeacher": {VirtualTeacher{T: at, Sure: Constant(0.9)}, func(s, _, _ []float64, y int) float64 {
			p := make([]float64, len(s))
			for c := range p {
				p[c] = log(0.1 / float64(len(p)-1))
			}
			p[y] = log(0.9)
			return square * relative(softmax(p, T), softmax(s, T))
		}, ofClasses, 0,
			0.9*log(0.9/0.625) + 0.05*log(0.05/0.125) + 0.05*log(0.05/0.25)},
		"Order": {Order{Top: 3}, func(s, _, t []float64, _ int) float64 {
			return ordered(s, t, 3, func(d float64) float64 { return -log(1 / (1 + math.Exp(-d))) })
		}, ofClasses, 0,
			(log(1+0.5) + log(1+0.2) + log(1+0.4)) / 3},
		"Order by the hinge": {Order{Hinge: true, Margin: at}, func(s, _, t []float64, _ int) float64 {
			return ordered(s, t, 5, func(d float64) float64 { return max(0, T-d) })
		}, ofClasses, 0,
			(1 - log(2) + 0 + 1 - log(2.5)) / 3},
		"Standardized": {Standardized{Of: KL{T: at}}, func(s, _, t []float64, _ int) float64 {
			return square * relative(softmax(standard(t), T), softmax(standard(s), T))
		}, divergence | freeOfScale, 0, 0.0000448876},
	}
}

// relative is KL(p ‖ q), with Σ(q - p), which is nothing but what rounding leaves:
// of many classes it is more than their divergence.
func relative(p, q []float64) (sum float64) {
	for c := range p {
		sum += q[c] - p[c]
		if p[c] > 0 {
			sum += p[c] * logRatio(p[c], q[c])
		}
	}
	return sum
}

// logRatio is log(p/q), as exact where they are nearly equal.
func logRatio(p, q float64) float64 {
	if d := (p - q) / q; math.Abs(d) < 0.5 {
		return math.Log1p(d)
	}
	return math.Log(p / q)
}

func crossed(p, q []float64) (sum float64) {
	for c := range p {
		if p[c] > 0 {
			sum -= p[c] * math.Log(q[c])
		}
	}
	return sum
}

func mixed(k float64, p, q []float64) []float64 {
	m := make([]float64, len(p))
	for c := range m {
		m[c] = k*p[c] + (1-k)*q[c]
	}
	return m
}

func others(z []float64, y int) []float64 { return slices.Delete(slices.Clone(z), y, y+1) }

// remains is the probability of all but the label.
func remains(p []float64, y int) (sum float64) {
	for _, v := range others(p, y) {
		sum += v
	}
	return sum
}

// surprise is the cross-entropy with a label.
func surprise(z []float64, y int) float64 {
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(v - z[y])
	}
	return math.Log(sum)
}

// led is p with the least of the label in it, found by halving, that lets it lead.
func led(p []float64, y int, margin float64) []float64 {
	mix := func(a float64) []float64 {
		m := mixed(1-a, p, make([]float64, len(p)))
		m[y] += a
		return m
	}
	low, high := 0.0, 1.0
	for range 60 {
		a := (low + high) / 2
		if m := mix(a); m[y]-slices.Max(others(m, y)) < margin {
			low = a
		} else {
			high = a
		}
	}
	return mix(high)
}

func ordered(s, t []float64, top int, f func(d float64) float64) float64 {
	byT := slices.Clone(t)
	slices.Sort(byT)
	least, sum, pairs := byT[max(0, len(t)-top)], 0.0, 0.0
	for i := range t {
		for j := range t {
			if t[i] > t[j] && t[j] >= least {
				sum += f(s[i] - s[j])
				pairs++
			}
		}
	}
	return sum / pairs
}

func standard(z []float64) []float64 {
	var sum, squares float64
	for _, v := range z {
		sum += v
		squares += v * v
	}
	n := float64(len(z))
	y, sd := make([]float64, len(z)), math.Sqrt((squares-sum*sum/n)/(n-1))
	for c, v := range z {
		y[c] = (v - sum/n) / (sd + 1e-7)
	}
	return y
}

// temperatures are those that all losses of logits are tried at.
var temperatures = []float64{0.05, 1, 4, 20}

// drawn is a number of rows of logits.
func drawn(seed uint64, size float64, rows, classes int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 2))
	z := make([]float64, rows*classes)
	for i := range z {
		z[i] = size * rng.NormFloat64()
	}
	return z
}

// compared are rows of logits with labels in turn, all of the same weight.
func compared[T floating](s, t []float64, rows int) Case {
	c, label := len(s)/rows, make([]int, rows)
	for i := range label {
		label[i] = (2*i + 1) % c
	}
	return Case{
		Student: data.Signals{"logits": dense[T](s, rows, c)}, Teacher: data.Signals{"logits": dense[T](t, rows, len(t)/rows)},
		Label: tensor.New(tensor.WithShape(rows), tensor.WithBacking(label)),
	}
}

// mean is the loss of all rows of a case, by their weights.
func (is definition) mean(c Case, held []float64) float64 {
	label, s, t := c.Label.Ints(), wide(c.Student["logits"]), wide(c.Teacher["logits"])
	n := len(s) / len(label)
	sum, total := 0.0, 0.0
	for r, y := range label {
		w := 1.0
		if c.Weight != nil {
			w = float64(c.Weight.Float32s()[r])
		}
		sum, total = sum+w*is(s[r*n:][:n], held[r*n:][:n], t[r*n:][:n], y), total+w
	}
	return sum / total
}

// alongLines compares a gradient by s with differences along some lines, where its
// elements are too many to move each. Lines are as long as moves the logits at T
// by little.
func alongLines(t *testing.T, T float64, is func() float64, s, grad []float64) {
	t.Helper()
	from := slices.Clone(s)
	for seed := range uint64(3) {
		along, step, want := drawn(seed+5, min(1, T), 1, len(s)), []float64{0}, 0.0
		for i, g := range grad {
			want += g * along[i]
		}
		gradcheck.Compare(t, "a line", func() float64 {
			for i := range s {
				s[i] = from[i] + step[0]*along[i]
			}
			return is()
		}, step, []float64{want})
	}
	copy(s, from)
}

// Values are those of the definition, and gradients those of its differences, of
// rows of which one is masked. No kink of a loss that has some is near them.
func TestLossesAreTheirDefinitions(t *testing.T) {
	for _, T := range temperatures {
		for name, d := range definitions(T) {
			for _, classes := range []int{2, 5} {
				if _, decoupled := d.loss.(DKD); decoupled && classes == 2 {
					continue
				}
				t.Run(fmt.Sprint(name, " of ", classes, " at ", T), func(t *testing.T) {
					c := compared[float64](drawn(3, 1.5, 4, classes), drawn(4, 1.5, 4, classes), 4)
					c.Weight = dense[float32]([]float64{1, 0, 2, 0.5}, 4)
					value, grads, err := Evaluate(d.loss, c)
					if err != nil {
						t.Fatal(err)
					}
					s := c.Student["logits"].Float64s()
					held := slices.Clone(s)
					if err := near(1e-12, []float64{value}, []float64{d.is.mean(c, held)}); err != nil {
						t.Error(err)
					}
					is := func() float64 { return d.is.mean(c, held) + 1e-3 } // lest all is tiny
					gradcheck.Compare(t, "logits", is, s, wide(grads["logits"]))
				})
			}
		}
	}
}

// Of many classes, differences are taken in some directions.
func TestLossesOfAThousandClasses(t *testing.T) {
	const classes = 1000
	for _, T := range temperatures {
		for name, d := range definitions(T) {
			t.Run(fmt.Sprint(name, " at ", T), func(t *testing.T) {
				c := compared[float64](drawn(3, 1, 3, classes), drawn(4, 3, 3, classes), 3)
				c.Weight = dense[float32]([]float64{1, 0, 2}, 3)
				value, grads, err := Evaluate(d.loss, c)
				if err != nil {
					t.Fatal(err)
				}
				s := c.Student["logits"].Float64s()
				held := slices.Clone(s)
				if err := near(1e-11, []float64{value}, []float64{d.is.mean(c, held)}); err != nil {
					t.Error(err)
				}
				alongLines(t, T, func() float64 { return d.is.mean(c, held) }, s, wide(grads["logits"]))
			})
		}
	}
}

func TestLossesInFloat32(t *testing.T) {
	for _, T := range temperatures {
		for name, d := range definitions(T) {
			s, taught := cast[float64](cast[float32](drawn(1, 1, 3, 7))), cast[float64](cast[float32](drawn(2, 1, 3, 7)))
			want, grads, err := Evaluate(d.loss, compared[float64](s, taught, 3))
			got, grads32, err32 := Evaluate(d.loss, compared[float32](s, taught, 3))
			if err := cmp.Or(err, err32); err != nil {
				t.Fatal(err)
			}
			g, largest := wide(grads["logits"]), 0.0
			for _, v := range g {
				largest = max(largest, math.Abs(v))
			}
			if math.Abs(got-want) > 1e-4*want {
				t.Errorf("%s at %v is %v in float32; want %v", name, T, got, want)
			}
			for i, v := range wide(grads32["logits"]) {
				if math.Abs(v-g[i]) > 1e-5*largest {
					t.Errorf("%s at %v: gradient %d is %v in float32; want %v", name, T, i, v, g[i])
				}
			}
		}
	}
}

// Logits to ±1e4 give finite values and gradients, in both precisions.
func TestLossesOfLargeLogits(t *testing.T) {
	far := []float64{1e4, -1e4, 0, 1e4, 1e4, 1e4, -1e4, -1e4, 0, 9999, 1e4, -9999, 0, 0, 0, 1e4, 0, -1e4, -1e4, 1e4}
	for _, shape := range [][2]int{{4, 5}, {10, 2}, {3, 1000}} {
		rows, classes := shape[0], shape[1]
		far := slices.Repeat(far, rows*classes/len(far))
		back := slices.Clone(far)
		slices.Reverse(back)
		for _, T := range temperatures {
			for name, d := range definitions(T) {
				if _, decoupled := d.loss.(DKD); decoupled && classes == 2 {
					continue
				}
				for _, other := range [][]float64{far, back, make([]float64, len(far))} {
					finiteLoss(t, fmt.Sprint(name, " at ", T), d.loss, compared[float64](far, other, rows), compared[float64](other, far, rows),
						compared[float32](far, other, rows), compared[float32](other, far, rows))
				}
			}
			loss := DIST{T: Constant(T)}
			finiteLoss(t, fmt.Sprint("DIST at ", T), loss, compared[float64](far, far, rows), compared[float32](make([]float64, len(far)), far, rows))
		}
	}
}

func finiteLoss(t *testing.T, name string, loss Loss, cases ...Case) {
	t.Helper()
	for _, c := range cases {
		value, grads, err := Evaluate(loss, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range append(wide(grads["logits"]), value) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s of %v by %v: the value is %v, the gradient %v", name, c.Student["logits"], c.Teacher["logits"], value, grads["logits"])
				return
			}
		}
		if value < -1e-13 { // what rounding leaves of equal logits
			t.Errorf("%s is %v; want 0 or more", name, value)
		}
	}
}

// Values worked out by hand: those of the table, and of other labels and numbers.
func TestLossesByHand(t *testing.T) {
	logits := func(p ...float64) []float64 {
		z := make([]float64, len(p))
		for c, v := range p {
			z[c] = math.Log(v) + 3
		}
		return z
	}
	c := compared[float64](logits(0.125, 0.25, 0.625), logits(0.2, 0.3, 0.5), 1)
	wrong := c
	c.Label, wrong.Label = tensor.New(tensor.WithShape(1), tensor.WithBacking([]int{2})), tensor.New(tensor.WithShape(1), tensor.WithBacking([]int{0}))
	check := func(name string, loss Loss, of Case, want float64) {
		tolerance := 1e-12
		if _, ok := loss.(Standardized); ok {
			tolerance = 1e-6 // of what is added to sd
		}
		value, _, err := Evaluate(loss, of)
		if err := cmp.Or(err, near(tolerance, []float64{value}, []float64{want})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, d := range definitions(1) {
		if d.hand <= 0 {
			t.Errorf("%s has no value by hand", name)
		}
		check(name, d.loss, c, d.hand)
	}
	log, kl := math.Log, definitions(1)["KL"].hand
	check("jsd of both", JSD{}, c, (0.2*log(0.2/0.1625)+0.3*log(0.3/0.275)+0.5*log(0.5/0.5625)+0.125*log(0.125/0.1625)+0.25*log(0.25/0.275)+0.625*log(0.625/0.5625))/2)
	check("corrected, which leads", Corrected{}, c, kl)
	// 0.2k + 1-k leads 0.5k by 0.2 where k = 0.8/1.3.
	check("corrected", Corrected{}, wrong, 6.6/13*log(6.6/13/0.125)+2.4/13*log(2.4/13/0.25)+4/13.0*log(4/13.0/0.625))
	check("order of two", Order{Top: 2}, c, log(1+0.4))
	check("standardized", Standardized{Of: TotalVariation{}}, compared[float64]([]float64{1, 2, 3}, []float64{30, 20, 10}, 1), (math.E*math.E-1)/(math.E*math.E+math.E+1))
}

// dist by hand: probabilities of two classes are on one line, so that ρ is 1 or -1.
func TestDISTByHand(t *testing.T) {
	odds := func(p ...float64) (z []float64) {
		for _, v := range p {
			z = append(z, math.Log(v), math.Log(1-v))
		}
		return z
	}
	// Over rows ρ is 1 for both classes, over classes 1, 1 and -1.
	c := compared[float64](odds(0.9, 0.8, 0.6), odds(0.8, 0.6, 0.2), 3)
	value, _, err := Evaluate(DIST{Beta: Constant(3), Gamma: Constant(5)}, c)
	if err := cmp.Or(err, near(1e-12, []float64{value}, []float64{2})); err != nil {
		t.Error(err)
	}
	// Of what does not vary ρ is 0.
	flat := compared[float64](make([]float64, 6), odds(0.8, 0.6, 0.2), 3)
	value, grads, err := Evaluate(DIST{Beta: Constant(3), Gamma: Constant(5)}, flat)
	if err := cmp.Or(err, near(0, []float64{value}, []float64{8}), near(0, wide(grads["logits"]), make([]float64, 6))); err != nil {
		t.Error(err)
	}
}

func TestDISTIsItsDefinition(t *testing.T) {
	for _, T := range temperatures {
		for _, classes := range []int{2, 5, 1000} {
			distIsItsDefinition(t, T, classes)
		}
	}
}

func distIsItsDefinition(t *testing.T, T float64, classes int) {
	const rows = 4
	size := min(1.5, 3*T) // of which no class has a norm below the least
	if classes == 1000 {
		size = min(1.5, T)
	}
	c := compared[float64](drawn(3, size, rows, classes), drawn(4, size, rows, classes), rows)
	c.Weight = dense[float32]([]float64{1, 0, 1, 1}, rows)
	s, taught := c.Student["logits"].Float64s(), c.Teacher["logits"].Float64s()
	is := func() float64 {
		var q, p [][]float64
		for _, r := range []int{0, 2, 3} {
			q, p = append(q, softmax(s[r*classes:][:classes], T)), append(p, softmax(taught[r*classes:][:classes], T))
		}
		sum := 0.0
		for r := range q {
			sum += 2 * (1 - correlation(q[r], p[r])) / float64(len(q))
		}
		for k := range classes {
			sum += 3 * (1 - correlation(column(q, k), column(p, k))) / float64(classes)
		}
		return T * T * sum
	}
	value, grads, err := Evaluate(DIST{T: Constant(T), Beta: Constant(2), Gamma: Constant(3)}, c)
	if err := cmp.Or(err, near(1e-11, []float64{value}, []float64{is()})); err != nil {
		t.Errorf("%d classes at %v: %v", classes, T, err)
	}
	if classes == 1000 {
		alongLines(t, T, is, s, wide(grads["logits"]))
		return
	}
	gradcheck.Compare(t, "logits", is, s, wide(grads["logits"]))
}

// correlation is the covariance over both deviations.
func correlation(x, y []float64) float64 {
	var ex, ey, exx, eyy, exy float64
	n := float64(len(x))
	for i := range x {
		ex, ey = ex+x[i]/n, ey+y[i]/n
	}
	for i := range x {
		dx, dy := x[i]-ex, y[i]-ey
		exx, eyy, exy = exx+dx*dx, eyy+dy*dy, exy+dx*dy
	}
	return exy / math.Sqrt(exx*eyy)
}

func column(rows [][]float64, c int) (all []float64) {
	for _, r := range rows {
		all = append(all, r[c])
	}
	return all
}
