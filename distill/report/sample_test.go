package report_test

import (
	"math"
	"math/rand/v2"

	"github.com/godistill/godistill/distill"
)

// sample makes up a run that looks like one: losses fall, accuracies rise, and
// there is noise.
func sample(epochs, perEpoch int, seed uint64) []distill.Step {
	noise := rand.New(rand.NewPCG(seed, 0))
	total := float64(epochs * perEpoch)
	var steps []distill.Step
	for n := 1; n <= epochs*perEpoch; n++ {
		at := float64(n) / total
		fall := math.Exp(-5*at) + 0.02
		hard := 2.3*fall + 0.1*fall*noise.NormFloat64()
		soft := 0.9*fall + 0.05*fall*noise.NormFloat64()
		s := distill.Step{
			N: n, Epoch: (n - 1) / perEpoch, End: n%perEpoch == 0, Rows: 32,
			Loss: 0.1*hard + 0.9*16*soft,
			Terms: []distill.TermValue{
				{Name: "hard", Value: hard, Weight: 0.1},
				{Name: "soft", Value: soft, Weight: 0.9 * 16, T: 4 - 2*at},
			},
			Accuracy: math.Round(32*min(1, 1-0.8*fall+0.04*noise.NormFloat64())) / 32,
			Rate:     0.1 * min(1, 20*at) * (1 + math.Cos(math.Pi*at)) / 2,
			GradNorm: 3 * fall * math.Exp(0.3*noise.NormFloat64()),
		}
		if n == 1 || s.End {
			s.Gradients = []distill.TapGradient{{Term: "hard", Tap: "logits", Norm: 0.3 * fall}, {Term: "soft", Tap: "logits", Norm: 0.8 * fall}}
		}
		if s.End {
			s.Valid, s.Best = measure(fall, noise), true
		}
		steps = append(steps, s)
	}
	return steps
}

func measure(fall float64, noise *rand.Rand) *distill.Metrics {
	accuracy := 0.97 - 0.75*fall + 0.01*noise.NormFloat64()
	return &distill.Metrics{
		Rows: 360, Loss: 14*fall + 0.2,
		Terms: []distill.TermValue{
			{Name: "hard", Value: 2.3*fall + 0.08, Weight: 0.1},
			{Name: "soft", Value: 0.9*fall + 0.02, Weight: 0.9 * 16},
		},
		Accuracy: accuracy, Top5: 0.99, NLL: 2.3*fall + 0.08, ECE: 0.02,
		Agreement: accuracy + 0.01, TeacherKL: 0.9 * fall,
	}
}
