package report

import (
	"math"

	"github.com/godistill/godistill/distill"
)

// A measure is a number of a validation beside the loss and its terms. Its name
// is its path in metrics.jsonl.
type measure struct {
	name string
	get  func(*distill.Metrics) float64
}

// common are the measures of every run, some of them NaN.
var common = []measure{
	{"accuracy", func(m *distill.Metrics) float64 { return m.Accuracy }},
	{"top5", func(m *distill.Metrics) float64 { return m.Top5 }},
	{"nll", func(m *distill.Metrics) float64 { return m.NLL }},
	{"ece", func(m *distill.Metrics) float64 { return m.ECE }},
	{"agreement", func(m *distill.Metrics) float64 { return m.Agreement }},
	{"teacher_kl", func(m *distill.Metrics) float64 { return m.TeacherKL }},
}

// special are the measures that only some tasks have.
var special = []measure{
	{"answers.f1", part(answers, func(a *distill.Answers) float64 { return a.F1 })},
	{"answers.auroc", part(answers, func(a *distill.Answers) float64 { return a.AUROC })},
	{"numbers.mae", part(numbers, func(n *distill.Numbers) float64 { return n.MAE })},
	{"numbers.rmse", part(numbers, func(n *distill.Numbers) float64 { return n.RMSE })},
	{"numbers.r2", part(numbers, func(n *distill.Numbers) float64 { return n.R2 })},
	{"numbers.teacher_rmse", part(numbers, func(n *distill.Numbers) float64 { return n.TeacherRMSE })},
	{"pixels.iou", part(pixels, func(p *distill.Pixels) float64 { return p.IoU })},
}

func answers(m *distill.Metrics) *distill.Answers { return m.Answers }
func numbers(m *distill.Metrics) *distill.Numbers { return m.Numbers }
func pixels(m *distill.Metrics) *distill.Pixels   { return m.Pixels }

// part gets a number of what only some tasks have, NaN in others.
func part[T any](of func(*distill.Metrics) *T, get func(*T) float64) func(*distill.Metrics) float64 {
	return func(m *distill.Metrics) float64 {
		if p := of(m); p != nil {
			return get(p)
		}
		return math.NaN()
	}
}
