package distill

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/gradcheck"
)

// Losses with parameters of their own, and those that no reference has, worked out
// by hand. Parameters that are not given are what they begin with.
func TestFeaturesByHand(t *testing.T) {
	type values = map[string][]float64
	sides := func(s, t []float64, shape ...int) Case {
		return Case{Student: data.Signals{"a": dense[float64](s, shape...)}, Teacher: data.Signals{"a": dense[float64](t, shape...)}}
	}
	flows := Case{
		Student: data.Signals{"a": dense[float64]([]float64{1, 2}, 1, 1, 1, 2), "b": dense[float64]([]float64{3, 4}, 1, 1, 1, 2)},
		Teacher: data.Signals{"a": dense[float64]([]float64{1, 1}, 1, 1, 1, 2), "b": dense[float64]([]float64{2, 0}, 1, 1, 1, 2)},
	}
	gates := Case{
		Student: data.Signals{"a": dense[float64]([]float64{1, 3}, 2, 1), "b": dense[float64]([]float64{3, 1}, 2, 1)},
		Teacher: data.Signals{"a": dense[float64]([]float64{0.5, 0}, 2, 1), "b": dense[float64]([]float64{1, 0}, 2, 1)},
	}
	for name, test := range map[string]struct {
		loss Loss
		of   Case
		own  values
		want float64
	}{
		// 2·1 - 2 + 0.5 and 2·3 - 4 + 0.5, which are to be 1 and 4.
		"hint": {Hint{"a", "a"}, Case{Student: data.Signals{"a": dense[float64]([]float64{1, 2, 3, 4}, 2, 2)}, Teacher: data.Signals{"a": dense[float64]([]float64{1, 4}, 2, 1)}},
			values{"regressor.weight": {2, -1}, "regressor.bias": {0.5}}, (0.5*0.5 + 1.5*1.5) / 2},
		// The mean is 2·max(0, 1·3) = 6, and -1·max(0, -3) = 0; the variance begins at 5.
		"vid": {VID{"a", "a"}, sides([]float64{3, -3}, []float64{4, 1}, 2, 1),
			values{"regressor.0.weight": {1}, "regressor.1.weight": {1}, "regressor.2.weight": {2}}, (4/5. + 1/5. + 2*math.Log(5)) / 4},
		// 5.5 of the student, and 1 of the teacher.
		"fsp":   {FSP{[2]string{"a", "b"}, [2]string{"a", "b"}}, flows, nil, 4.5 * 4.5},
		"simkd": {SimKD{"a", "a"}, sides([]float64{1, 2}, []float64{3, 5}, 1, 2), nil, (4 + 9) / 2.},
		// The norm makes -3, -1, 1 and 3 of the pixels, over √5. The first is below the
		// teacher's, which is below 0: nothing is due. 1 is let through, -2 counts as
		// the margin, and the last is to come down to -0.5.
		"ofd": {OFD{"a", "a", []float64{-1}}, sides([]float64{1, 3, 5, 7}, []float64{-0.25, 1, -2, -0.5}, 2, 1, 1, 2),
			values{"connector.0.weight": {2}}, (square(-1/math.Sqrt(5)-1) + square(1/math.Sqrt(5)+1) + square(3/math.Sqrt(5)+0.5)) / 2},
		// Both norms make -1 and 1 of two samples: 5 and 1 at the map's own size, and 4
		// and 0 at that of one pixel, which counts half.
		"review": {ReviewKD{Student: []string{"a"}, Teacher: []string{"a"}, Width: 1}, sides([]float64{1, 1, 1, 1, 3, 3, 3, 3}, []float64{0, 2, 0, 2, 0, 2, 0, 2}, 2, 1, 2, 2),
			values{"layer1.conv1.0.weight": {3}, "layer1.conv2.0.weight": {0, 0, 0, 0, 2, 0, 0, 0, 0}}, (3 + 2/2.) / 1.5},
		// The deeper layer is 1 and -1. The gates let half of both through, so that
		// nothing is left of -1 + 1 and 1 - 1 in the first, and its norm has zeros.
		"review of two": {ReviewKD{Student: []string{"a", "b"}, Teacher: []string{"a", "b"}, Width: 1}, gates, values{
			"layer2.conv1.0.weight": {1}, "layer2.conv2.0.weight": {0, 0, 0, 0, 1, 0, 0, 0, 0},
			"layer1.conv1.0.weight": {1}, "layer1.conv2.0.weight": {0, 0, 0, 0, 1, 0, 0, 0, 0}, "layer1.att_conv.weight": {0, 0, 0, 0}, "layer1.att_conv.bias": {0, 0},
		}, 0.5*0.5/2 + 1/2.},
		// All embeddings are 1, the student's memory is 1 and 1, the teacher's 1 and -1,
		// and 1/T log 2: scores are 2 of what is alike, and 1/2 of what is not. Norms
		// are twice their mean, for there are two samples, and c is 1/2.
		"crd": {CRD{Student: "a", Teacher: "a", Negatives: 1, Width: 1, T: 1 / math.Ln2}, sides([]float64{1, 2}, []float64{3, 4}, 2, 1), values{
			"student.embed.weight": {1}, "student.embed.bias": {0}, "teacher.embed.weight": {1}, "teacher.embed.bias": {0},
			"student.memory": {1, 1}, "teacher.memory": {1, -1},
		}, contrasted(2, 0.5, 2.5)/2 + contrasted(0.5, 2, 2.5)/2 + contrasted(2, 2, 4)},
	} {
		trial := must(tryOn(test.loss, test.of))
		for p := range trial.own.All() {
			if v := test.own[p.Name[len("loss."):]]; v != nil {
				if err := copyPadded(p.Value, dense[float64](v, len(v))); err != nil {
					t.Fatal(err)
				}
				delete(test.own, p.Name[len("loss."):])
			}
		}
		if len(test.own) > 0 {
			t.Errorf("%s has no parameters %v", name, test.own)
		}
		if got := trial.at(0).loss; math.Abs(got-test.want) > 1e-4 { // batch norms add 1e-5 to a variance
			t.Errorf("%s is %v; want %v", name, got, test.want)
		}
	}
}

func square(x float64) float64 { return x * x }

// contrasted is one side of CRD, of a row whose own sample has the score p, and the
// only other one k, with c = 1/2.
func contrasted(p, k, norm float64) float64 {
	p, k = p/norm, k/norm
	return -math.Log(p/(p+0.5)) - math.Log(0.5/(k+0.5))
}

// What zero means in the configuration of a loss.
func TestDefaults(t *testing.T) {
	at := Constant
	logits := compared[float64](drawn(1, 2, 6, 7), drawn(2, 2, 6, 7), 6)
	rows, maps := featureTests()["rkd"].of(1), featureTests()["attention"].of(1)
	both := Case{Student: data.Signals{"a": gradcheck.Normal(1, 4, 600, 2, 3), "projected": gradcheck.Normal(1, 4, 3)}, Teacher: data.Signals{"a": gradcheck.Normal(2, 4, 3)}}
	for name, test := range map[string]struct {
		zero, same Loss
		of         Case
	}{
		"KL":                    {KL{}, KL{T: at(1), Student: "logits", Teacher: "logits"}, logits},
		"ReverseKL":             {ReverseKL{}, ReverseKL{T: at(1)}, logits},
		"JSD":                   {JSD{}, JSD{T: at(1), Beta: at(0.5)}, logits},
		"SkewKL":                {SkewKL{}, SkewKL{T: at(1), Lambda: at(0.1)}, logits},
		"SkewReverseKL":         {SkewReverseKL{}, SkewReverseKL{T: at(1), Lambda: at(0.1)}, logits},
		"AlphaDivergence":       {AlphaDivergence{}, AlphaDivergence{T: at(1), Alpha: at(0.5)}, logits},
		"TotalVariation":        {TotalVariation{}, TotalVariation{T: at(1)}, logits},
		"UniversalLogit":        {UniversalLogit{}, UniversalLogit{T: at(1)}, logits},
		"DKD":                   {DKD{}, DKD{T: at(4), Alpha: at(1), Beta: at(8)}, logits},
		"NKD":                   {NKD{}, NKD{T: at(1), Gamma: at(1.5)}, logits},
		"WSLD":                  {WSLD{}, WSLD{T: at(2)}, logits},
		"DIST":                  {DIST{}, DIST{T: at(1), Beta: at(1), Gamma: at(1)}, logits},
		"Standardized":          {Standardized{}, Standardized{Of: KL{T: at(2)}}, logits},
		"Corrected":             {Corrected{}, Corrected{T: at(1), Margin: at(0.2)}, logits},
		"Order":                 {Order{}, Order{Top: 5}, logits},
		"Order by the hinge":    {Order{Hinge: true}, Order{Hinge: true, Margin: at(1)}, logits},
		"VirtualTeacher":        {VirtualTeacher{}, VirtualTeacher{T: at(20), Sure: at(0.99)}, logits},
		"AttentionTransfer":     {AttentionTransfer{"a", "a", 0}, AttentionTransfer{"a", "a", 2}, maps},
		"RKD":                   {RKD{Student: "a", Teacher: "a"}, RKD{Student: "a", Teacher: "a", Distance: 25, Angle: 50}, rows},
		"CorrelationCongruence": {CorrelationCongruence{Student: "a", Teacher: "a"}, CorrelationCongruence{Student: "a", Teacher: "a", Gamma: 0.4, Order: 2}, rows},
		"CRD":                   {CRD{Student: "a", Teacher: "a"}, CRD{Student: "a", Teacher: "a", Negatives: 16384, Width: 128, T: 0.07, Momentum: 0.5}, rows},
		"SimKD":                 {SimKD{Teacher: "a"}, SimKD{Student: "projected", Teacher: "a"}, both},
		"ReviewKD":              {ReviewKD{Student: []string{"a"}, Teacher: []string{"a"}}, ReviewKD{Student: []string{"a"}, Teacher: []string{"a"}, Width: 512}, both},
	} {
		var last [2]float64
		for i, loss := range []Loss{test.zero, test.same} {
			trial := must(tryOn(loss, test.of))
			for step := range 3 { // of which a memory remembers some
				last[i] = trial.at(step).loss
			}
		}
		if last[0] != last[1] || last[0] == 0 {
			t.Errorf("%s with zeros is %v; want %v", name, last[0], last[1])
		}
	}
}

// Maps of two sizes are compared at the smaller one, along each axis, to which the
// larger is pooled by means; a layer that ReviewKD reviews gets the size of its
// teacher's by repeating pixels.
func TestMapsOfOtherSizes(t *testing.T) {
	first, wide, tall := gradcheck.Normal(1, 5, 3, 4, 3), gradcheck.Normal(2, 5, 4, 2, 6), gradcheck.Normal(3, 5, 4, 8, 3)
	same := gradcheck.Normal(4, 5, 3, 2, 6) // channels
	on := func(s, t *tensor.Dense) Case {
		return Case{Student: data.Signals{"a": s, "b": s}, Teacher: data.Signals{"a": t, "b": t}}
	}
	apart, pooled := on(first, wide), on(windows(first, 2, 1), windows(wide, 1, 2))
	for name, test := range map[string]struct {
		loss    Loss
		of, one Case
	}{
		"attention": {AttentionTransfer{"a", "a", 0}, apart, pooled},
		"nst":       {NST{"a", "a"}, apart, pooled},
		"vid":       {VID{"a", "a"}, apart, pooled},
		"simkd":     {SimKD{"a", "a"}, on(first, same), on(windows(first, 2, 1), windows(same, 1, 2))},
		"ofd":       {OFD{"a", "a", margins}, on(first, tall), on(first, windows(tall, 2, 1))},
		"review":    {ReviewKD{Student: []string{"a"}, Teacher: []string{"a"}}, on(first, tall), on(repeated(first, 2), tall)},
		"fsp": {FSP{[2]string{"a", "b"}, [2]string{"a", "b"}},
			Case{Student: data.Signals{"a": first, "b": same}, Teacher: data.Signals{"a": first, "b": first}},
			Case{Student: data.Signals{"a": windows(first, 2, 1), "b": windows(same, 1, 2)}, Teacher: data.Signals{"a": first, "b": first}}},
	} {
		got, _ := evaluated(t, test.loss, test.of)
		want, _ := evaluated(t, test.loss, test.one)
		if math.Abs(got-want) > 1e-12*math.Abs(want) || want == 0 {
			t.Errorf("%s is %v; want %v, that of maps of one size", name, got, want)
		}
	}
}

// windows are the means of (a, b) pixels of maps (R, C, H, W).
func windows(v *tensor.Dense, a, b int) *tensor.Dense {
	s, x := v.Shape(), v.Float64s()
	out := dense[float64](nil, s[0], s[1], s[2]/a, s[3]/b)
	for i, p := range x {
		n, y, z := i/(s[2]*s[3]), i/s[3]%s[2], i%s[3]
		out.Float64s()[(n*(s[2]/a)+y/a)*(s[3]/b)+z/b] += p / float64(a*b)
	}
	return out
}

// repeated has each line of maps (R, C, H, W) so many times.
func repeated(v *tensor.Dense, times int) *tensor.Dense {
	s, x := v.Shape(), v.Float64s()
	var all []float64
	for i := 0; i < len(x); i += s[3] {
		for range times {
			all = append(all, x[i:i+s[3]]...)
		}
	}
	return dense[float64](all, s[0], s[1], times*s[2], s[3])
}
