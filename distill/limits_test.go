package distill

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
)

// At a high temperature T² times a divergence is half the variance, over the
// classes, of how far the logits are apart, times what its second derivative is;
// probabilities differ by as much as logits, over T and the number of classes; and
// what is left of a teacher is that it does not know.
func TestHighTemperatures(t *testing.T) {
	const T, rows, classes = 1e4, 3, 5
	c := compared[float64](drawn(1, 1, rows, classes), drawn(2, 1, rows, classes), rows)
	// mean is that of f over rows, of the logits around their means and the label.
	mean := func(f func(s, t []float64, y int) float64) (sum float64) {
		s, taught := c.Student["logits"].Float64s(), c.Teacher["logits"].Float64s()
		for r, y := range c.Label.Ints() {
			sum += f(centred(s[r*classes:][:classes]), centred(taught[r*classes:][:classes]), y) / rows
		}
		return sum
	}
	variance := mean(func(s, t []float64, _ int) float64 { return halfVariance(s, t) })
	at := Constant(T)
	for name, test := range map[string]struct {
		loss Loss
		want float64
	}{
		"KL":            {KL{T: at}, variance},
		"ReverseKL":     {ReverseKL{T: at}, variance},
		"SkewKL":        {SkewKL{T: at, Lambda: Constant(0.2)}, 0.64 * variance},
		"SkewReverseKL": {SkewReverseKL{T: at, Lambda: Constant(0.2)}, 0.64 * variance},
		"JSD":           {JSD{T: at, Beta: Constant(0.3)}, 0.21 * variance / T / T},
		"Alpha":         {AlphaDivergence{T: at, Alpha: Constant(0.3)}, variance},
		"DKD, others": {DKD{T: at, Alpha: Constant(0), Beta: Constant(1)}, mean(func(s, t []float64, y int) float64 {
			return halfVariance(others(s, y), others(t, y))
		})},
		"Standardized": {Standardized{Of: KL{T: at}}, mean(func(s, t []float64, _ int) float64 {
			return halfVariance(standard(s), standard(t))
		})},
		"VirtualTeacher": {VirtualTeacher{T: at, Sure: Constant(0.9)}, mean(func(s, _ []float64, y int) float64 {
			sure := make([]float64, classes)
			sure[y] = math.Log(0.9) - math.Log(0.1/(classes-1))
			return halfVariance(s, sure)
		})},
		"TotalVariation": {TotalVariation{T: at}, mean(func(s, t []float64, _ int) float64 { return apart(s, t) / 2 / classes / T })},
		"UniversalLogit": {UniversalLogit{T: at}, mean(func(s, t []float64, _ int) float64 {
			slices.Sort(s)
			slices.Sort(t)
			return apart(s, t) / classes / T
		})},
		"DIST, between classes": {DIST{T: at, Gamma: Constant(0)}, T * T * mean(func(s, t []float64, _ int) float64 { return 1 - correlation(s, t) })},
		"NKD":                   {NKD{T: at, Gamma: Constant(2)}, 2 * T * T * math.Log(classes-1)},
		"WSLD": {WSLD{T: at}, T * T * math.Log(classes) * mean(func(s, t []float64, y int) float64 {
			return 1 - math.Exp(-surprise(s, y)/surprise(t, y))
		})},
		// Of a uniform teacher 0.8 is left, and the label has 0.2 besides.
		"Corrected": {Corrected{T: at}, T * T * (0.36*math.Log(0.36*classes) + 0.64*math.Log(0.16*classes))},
	} {
		value, _, err := Evaluate(test.loss, c)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(value-test.want) > 1e-3*test.want {
			t.Errorf("%s is %v at T = %v; want about %v", name, value, T, test.want)
		}
	}
}

// centred is z less its mean.
func centred(z []float64) (all []float64) {
	for _, v := range z {
		all = append(all, v-mean(z))
	}
	return all
}

// halfVariance is half of that of the differences.
func halfVariance(s, t []float64) (sum float64) {
	d := make([]float64, len(s))
	for c := range d {
		d[c] = s[c] - t[c]
	}
	for _, v := range centred(d) {
		sum += v * v / 2 / float64(len(d))
	}
	return sum
}

// apart is the sum of distances.
func apart(s, t []float64) (sum float64) {
	for c := range s {
		sum += math.Abs(s[c] - t[c])
	}
	return sum
}

// At a low temperature the most probable class is all that counts.
func TestLowTemperatures(t *testing.T) {
	const T = 1e-3
	one, other := []float64{1, 2, 3, 0}, []float64{3, 2, 1, 0}
	at, hard := Constant(T), softmax(one, 1)[1]*surprise(one, 1) // at T = 1
	for name, test := range map[string]struct {
		loss              Loss
		agree, contradict float64
	}{
		"KL":             {KL{T: at}, 0, 2 * T},
		"ReverseKL":      {ReverseKL{T: at}, 0, 2 * T},
		"JSD":            {JSD{T: at, Beta: Constant(0.3)}, 0, -0.3*math.Log(0.3) - 0.7*math.Log(0.7)},
		"SkewKL":         {SkewKL{T: at}, 0, T * T * math.Log(10)},
		"SkewReverseKL":  {SkewReverseKL{T: at}, 0, T * T * math.Log(10)},
		"TotalVariation": {TotalVariation{T: at}, 0, 1},
		"UniversalLogit": {UniversalLogit{T: at}, 0, 0},
		"Standardized":   {Standardized{Of: TotalVariation{T: at}}, 0, 1},
		// The label is class 1, to neither the most probable, and as probable to both.
		"DKD, others":    {DKD{T: at, Alpha: Constant(0), Beta: Constant(1)}, 0, 2 * T},
		"DKD, the label": {DKD{T: at, Alpha: Constant(1), Beta: Constant(0)}, 0, 0},
		"NKD":            {NKD{T: at}, hard, hard + 1.5*2*T},
		"WSLD":           {WSLD{T: at}, 0, (1 - 1/math.E) * 2 * T},
		"VirtualTeacher": {VirtualTeacher{T: at, Sure: Constant(0.9)}, T, T},
		// Half of the teacher's class, and half of the label, which is T off.
		"Corrected": {Corrected{T: at, Margin: Constant(0)}, 0.5*T - T*T*math.Ln2, 1.5*T - T*T*math.Ln2},
	} {
		for taught, want := range map[*[]float64]float64{&one: test.agree, &other: test.contradict} {
			value, _, err := Evaluate(test.loss, compared[float64](one, *taught, 1))
			if err != nil || math.Abs(value-want) > 1e-9 {
				t.Errorf("%s is %v, error %v; want %v", name, value, err, want)
			}
		}
	}
}

// What a method becomes where a number of it is at its end.
func TestEndsOfMethods(t *testing.T) {
	c := compared[float64](drawn(1, 2, 4, 5), drawn(2, 2, 4, 5), 4)
	T, none, one := Constant(2), Constant(0), Constant(1)
	for name, pair := range map[string][2]Loss{
		"SkewKL is KL":                      {SkewKL{T: T, Lambda: none}, KL{T: T}},
		"SkewReverseKL is ReverseKL":        {SkewReverseKL{T: T, Lambda: none}, ReverseKL{T: T}},
		"JSD is KL":                         {JSD{Beta: none}, KL{}},
		"JSD is ReverseKL":                  {JSD{Beta: one}, ReverseKL{}},
		"AlphaDivergence is KL":             {AlphaDivergence{T: T, Alpha: one}, KL{T: T}},
		"AlphaDivergence is ReverseKL":      {AlphaDivergence{T: T, Alpha: none}, ReverseKL{T: T}},
		"AlphaDivergence is nearly a KL":    {AlphaDivergence{T: T, Alpha: Constant(1 - 1e-13)}, KL{T: T}},
		"AlphaDivergence is nearly reverse": {AlphaDivergence{T: T, Alpha: Constant(1e-13)}, ReverseKL{T: T}},
		"Standardized has a KL":             {Standardized{}, Standardized{Of: KL{T: T}}},
		"a sure virtual teacher is a label": {VirtualTeacher{T: one, Sure: one}, CrossEntropy{}},
	} {
		a, gradA, errA := Evaluate(pair[0], c)
		b, gradB, errB := Evaluate(pair[1], c)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if err := (result{value: a, grad: wide(gradA["logits"])}).same(result{value: b, grad: wide(gradB["logits"])}, 1e-12); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, smooth, _ := Evaluate(CrossEntropy{Smoothing: 0.1 * 5 / 4}, c)
	_, virtual, _ := Evaluate(VirtualTeacher{T: one, Sure: Constant(0.9)}, c)
	if err := near(1e-12, wide(virtual["logits"]), wide(smooth["logits"])); err != nil {
		t.Errorf("a virtual teacher at T = 1 does not smooth labels: %v", err)
	}
	for name, loss := range map[string]Loss{"SkewKL": SkewKL{Lambda: one}, "SkewReverseKL": SkewReverseKL{Lambda: one}, "DIST": DIST{Beta: none, Gamma: none}, "DKD": DKD{Alpha: none, Beta: none}} {
		value, grads, err := Evaluate(loss, c)
		if err != nil || math.Abs(value) > 1e-15 || slices.Max(wide(grads["logits"])) > 1e-15 {
			t.Errorf("%s of nothing is %v, error %v; want 0", name, value, err)
		}
	}
}

// A teacher of top-k logits gives a lower bound, which rises with k to the whole
// and stays a number where float32 leaves nothing, or less, for the rest.
func TestTopKLBoundsKL(t *testing.T) {
	for _, T := range temperatures {
		for _, size := range []float64{1, 20, 1e4} {
			topKLBoundsKL(t, T, size, 5, 1, 2, 3, 4, 5)
			topKLBoundsKL(t, T, size, 1000, 1, 20, 100, 999, 1000)
		}
	}
}

func topKLBoundsKL(t *testing.T, T, size float64, classes int, ks ...int) {
	const rows = 4
	s, taught := drawn(1, size, rows, classes), drawn(2, size, rows, classes)
	whole, _, err := Evaluate(KL{T: Constant(T)}, compared[float64](s, taught, rows))
	if err != nil {
		t.Fatal(err)
	}
	last, slack := 0.0, 1e-12*whole
	if size == 1e4 && classes == 1000 {
		slack = 1e-10 * whole // a log-sum-exp of 6e5 is known to 6e-11
	}
	for _, k := range ks {
		c := topped[float64](s, taught, rows, k, T)
		value, grads, err := Evaluate(KL{T: Constant(T)}, c)
		if err != nil || value < last-slack || value > whole+slack {
			t.Errorf("top %d of %d, size %v, at %v is %v, error %v; want %v to %v", k, classes, size, T, value, err, last, whole)
		}
		last = value
		finiteLoss(t, "top-k KL", KL{T: Constant(T)}, topped[float32](s, taught, rows, k, T))
		if k == classes && math.Abs(value-whole) > slack {
			t.Errorf("top %d of all classes is %v; want %v", k, value, whole)
		}
		level := 0.0
		for _, g := range wide(grads["logits"])[:classes] {
			level += g
		}
		if math.Abs(level) > 1e-9*T {
			t.Errorf("the gradient of a row by its level is %v; want 0", level)
		}
		if size == 1 {
			isBucketed(t, c, taught, k, T, value, wide(grads["logits"]))
		}
	}
}

// isBucketed compares the loss of the top k with the divergence over them and one
// bucket for all others.
func isBucketed(t *testing.T, c Case, taught []float64, k int, T, value float64, grad []float64) {
	t.Helper()
	s, id := c.Student["logits"].Float64s(), c.Teacher["logits.id"].Ints()
	rows := len(id) / k
	classes := len(s) / rows
	is := func() (sum float64) {
		for r := range rows {
			q, p := softmax(s[r*classes:][:classes], T), softmax(taught[r*classes:][:classes], T)
			var qs, ps []float64
			for _, class := range id[r*k:][:k] {
				qs, ps = append(qs, q[class]), append(ps, p[class])
				q[class], p[class] = 0, 0
			}
			sum += T * T * relative(append(ps, total(p)), append(qs, total(q))) / float64(rows)
		}
		return sum
	}
	if err := near(1e-11, []float64{value}, []float64{is()}); err != nil {
		t.Errorf("top %d of %d at %v: %v", k, classes, T, err)
	}
	alongLines(t, T, is, s, grad)
}

// topped is a case of a teacher's k largest logits.
func topped[F floating](s, taught []float64, rows, k int, T float64) Case {
	c := len(s) / rows
	var top, lse []float64
	var id []int
	for r := range rows {
		z := taught[r*c:][:c]
		order := span(0, c)
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(z[b], z[a]) })
		sum := 0.0
		for _, v := range z {
			sum += math.Exp((v - z[order[0]]) / T)
		}
		lse = append(lse, z[order[0]]/T+math.Log(sum))
		for _, class := range order[:k] {
			top, id = append(top, z[class]), append(id, class)
		}
	}
	return Case{
		Student: data.Signals{"logits": dense[F](s, rows, c)},
		Teacher: data.Signals{
			"logits.top": dense[F](top, rows, k), "logits.lse": dense[F](lse, rows, 1),
			"logits.id": tensor.New(tensor.WithShape(rows, k), tensor.WithBacking(id)),
		},
		Temps: []float64{T},
	}
}

// Tokens and pixels are rows: (B, T, C), and (B, C, H, W) of labels (B, H, W).
func TestShapesOfLogits(t *testing.T) {
	const b, h, w, classes = 2, 3, 4, 5
	s, taught := drawn(1, 2, b*h*w, classes), drawn(2, 2, b*h*w, classes)
	flat := compared[float64](s, taught, b*h*w)
	for _, y := range []int{3, 17} {
		flat.Label.Ints()[y] = data.Unlabelled
	}
	first := func(z []float64) *tensor.Dense { // channels first
		all := make([]float64, len(z))
		for i, v := range z {
			row, c := i/classes, i%classes
			all[(row/(h*w)*classes+c)*h*w+row%(h*w)] = v
		}
		return dense[float64](all, b, classes, h, w)
	}
	shaped := func(s, taught *tensor.Dense, axes ...int) Case {
		return Case{
			Student: data.Signals{"logits": s}, Teacher: data.Signals{"logits": taught},
			Label: tensor.New(tensor.WithShape(axes...), tensor.WithBacking(flat.Label.Ints())),
		}
	}
	tokens := shaped(dense[float64](s, b, h*w, classes), dense[float64](taught, b, h*w, classes), b, h*w)
	pixels := shaped(first(s), first(taught), b, h, w)
	for name, m := range methods {
		want := m.at(flat)
		if err := m.at(tokens).same(want, 1e-12); err != nil {
			t.Errorf("%s of tokens: %v", name, err)
		}
		want.grad = wide(first(want.grad))
		if err := m.at(pixels).same(want, 1e-12); err != nil {
			t.Errorf("%s of pixels: %v", name, err)
		}
	}
}

// A student and a teacher of other classes, either of which may have more.
func TestUniversalLogitOfTwoVocabularies(t *testing.T) {
	few, many := []float64{0, math.Log(3), math.Log(4)}, []float64{math.Log(2), math.Log(5), 0, math.Log(8)}
	// (4, 3, 1, 0)/8 and (8, 5, 2, 1)/16
	for _, c := range []Case{compared[float64](few, many, 1), compared[float64](many, few, 1)} {
		value, grads, err := Evaluate(UniversalLogit{}, c)
		if err := cmp.Or(err, near(1e-12, []float64{value}, []float64{(0 + 1 + 0 + 1) / 16.0})); err != nil {
			t.Error(err)
		}
		if g := grads["logits"]; !g.Shape().Eq(c.Student["logits"].Shape()) {
			t.Errorf("the gradient is %v; want %v", g.Shape(), c.Student["logits"].Shape())
		}
	}
	c := compared[float64](drawn(1, 1, 3, 4), drawn(2, 2, 3, 7), 3)
	_, grads, err := Evaluate(UniversalLogit{T: Constant(2)}, c)
	value := func() float64 {
		v, _, err := Evaluate(UniversalLogit{T: Constant(2)}, c)
		return must(v, err)
	}
	gradcheck.Compare(t, "logits", value, c.Student["logits"].Float64s(), wide(must(grads, err)["logits"]))
}

func total(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum
}
