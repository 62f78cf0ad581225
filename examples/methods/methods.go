package main

import (
	"fmt"

	"github.com/godistill/godistill/distill"
)

// The families of methods, by what they look at.
const (
	labels    = "labels" // alone: without a teacher
	logits    = "logits"
	features  = "features"
	relations = "relations" // between the rows of a batch
)

// A method is one way to teach the student.
type method struct {
	Name, Family, Paper string

	Terms func(lesson) []distill.Term
	// At is where it looks at the teacher.
	At []string
	// Graft says that the student ends in its teacher's last layer.
	Graft bool
}

// A lesson is what methods depend on.
type lesson struct {
	steps   int         // of a run
	widths  []int       // channels of the teacher's stages
	margins [][]float64 // of its batch norms, for OFD
}

const control = "labels alone"

// methods are all of them, with the weights that are usual: see the tables of
// package distill. The first is the control of the others.
var methods = []method{
	{Name: control, Family: labels, Terms: only(distill.CrossEntropy{})},
	{Name: "label smoothing", Family: labels, Paper: "Szegedy 2016, 1512.00567", Terms: only(distill.CrossEntropy{Smoothing: 0.1})},
	{Name: "VirtualTeacher", Family: labels, Paper: "Yuan 2020, 1909.11723", Terms: shared(0.9, distill.VirtualTeacher{})},

	{Name: "KL", Family: logits, Paper: "Hinton 2015, 1503.02531", Terms: shared(0.9, distill.KL{T: distill.Constant(4)})},
	{Name: "ReverseKL", Family: logits, Paper: "Gu 2024, 2306.08543", Terms: shared(0.9, distill.ReverseKL{})},
	{Name: "JSD", Family: logits, Paper: "Agarwal 2024, 2306.13649", Terms: shared(0.9, distill.JSD{})},
	{Name: "SkewKL", Family: logits, Paper: "Ko 2024, 2402.03898", Terms: shared(0.9, distill.SkewKL{})},
	{Name: "SkewReverseKL", Family: logits, Paper: "Ko 2024, 2402.03898", Terms: shared(0.9, distill.SkewReverseKL{})},
	{Name: "AlphaDivergence", Family: logits, Paper: "Wang 2021, 2102.07954", Terms: shared(0.9, distill.AlphaDivergence{})},
	{Name: "TotalVariation", Family: logits, Paper: "Wen 2023, 2307.15190", Terms: shared(0.9, distill.TotalVariation{})},
	{Name: "UniversalLogit", Family: logits, Paper: "Boizard 2024, 2402.12030", Terms: plus(1.5, distill.UniversalLogit{})},
	{Name: "MSE", Family: logits, Paper: "Ba 2014, 1312.6184", Terms: shared(0.9, distill.MSE{})},
	{Name: "DKD", Family: logits, Paper: "Zhao 2022, 2203.08679", Terms: rising(1, distill.DKD{})},
	{Name: "NKD", Family: logits, Paper: "Yang 2023, 2303.13005", Terms: plus(1, distill.NKD{})},
	{Name: "WSLD", Family: logits, Paper: "Zhou 2021, 2102.00650", Terms: plus(2.5, distill.WSLD{})},
	{Name: "DIST", Family: logits, Paper: "Huang 2022, 2205.10536", Terms: plus(1, distill.DIST{})},
	{Name: "Standardized", Family: logits, Paper: "Sun 2024, 2403.01427", Terms: plus(9, distill.Standardized{})},
	{Name: "Corrected", Family: logits, Paper: "Lan 2024, 2404.03693", Terms: shared(0.9, distill.Corrected{})},
	{Name: "Order", Family: logits, Paper: "Burges 2005, RankNet", Terms: plus(1, distill.Order{})},

	{Name: "Hint", Family: features, Paper: "Romero 2015, 1412.6550", At: []string{"stage2"}, Terms: plus(100, distill.Hint{Student: "stage2", Teacher: "stage2"})},
	{Name: "AttentionTransfer", Family: features, Paper: "Zagoruyko 2017, 1612.03928", At: []string{"stage1", "stage2"}, Terms: staged(2, func(i int, at string) (float64, distill.Loss) {
		return 1000, distill.AttentionTransfer{Student: at, Teacher: at}
	})},
	{Name: "NST", Family: features, Paper: "Huang 2017, 1707.01219", At: []string{"stage1", "stage2"}, Terms: staged(2, func(i int, at string) (float64, distill.Loss) {
		return 50, distill.NST{Student: at, Teacher: at}
	})},
	{Name: "VID", Family: features, Paper: "Ahn 2019, 1904.05835", At: []string{"stage1", "stage2", "stage3"}, Terms: staged(3, func(i int, at string) (float64, distill.Loss) {
		return 1, distill.VID{Student: at, Teacher: at}
	})},
	{Name: "FSP", Family: features, Paper: "Yim 2017, CVPR", At: []string{"stage1", "stage2"}, Terms: func(l lesson) []distill.Term {
		of := distill.FSP{Student: [2]string{"stage1", "stage2"}, Teacher: [2]string{"stage1", "stage2"}}
		return plus(50, widened{Of: of, Taps: of.Student[:], Width: l.widths[:2]})(l)
	}},
	{Name: "OFD", Family: features, Paper: "Heo 2019, 1904.01866", At: []string{"bn1", "bn2", "bn3"}, Terms: func(l lesson) []distill.Term {
		return staged(3, func(i int, at string) (float64, distill.Loss) {
			norm := fmt.Sprint("bn", i+1)
			return []float64{2.5e-4, 5e-4, 1e-3}[i], distill.OFD{Student: norm, Teacher: norm, Margin: l.margins[i]}
		})(l)
	}},
	{Name: "ReviewKD", Family: features, Paper: "Chen 2021, 2104.09044", At: []string{"stage1", "stage2", "stage3"}, Terms: rising(1, distill.ReviewKD{
		Student: []string{"stage1", "stage2", "stage3"}, Teacher: []string{"stage1", "stage2", "stage3"},
	})},
	{Name: "SimKD", Family: features, Paper: "Chen 2022, 2203.14001", At: []string{"stage3"}, Terms: only(distill.SimKD{Teacher: "stage3"}), Graft: true},

	{Name: "SimilarityPreserving", Family: relations, Paper: "Tung 2019, 1907.09682", At: []string{"stage3"}, Terms: plus(3000, distill.SimilarityPreserving{Student: "stage3", Teacher: "stage3"})},
	{Name: "RKD", Family: relations, Paper: "Park 2019, 1904.05068", At: []string{"pool"}, Terms: plus(1, distill.RKD{Student: "pool", Teacher: "pool"})},
	{Name: "PKT", Family: relations, Paper: "Passalis 2018, 1803.10837", At: []string{"pool"}, Terms: plus(30000, distill.PKT{Student: "pool", Teacher: "pool"})},
	{Name: "CorrelationCongruence", Family: relations, Paper: "Peng 2019, ICCV", At: []string{"pool"}, Terms: plus(0.02, distill.CorrelationCongruence{Student: "pool", Teacher: "pool", Unit: true})},
	{Name: "CRD", Family: relations, Paper: "Tian 2020, 1910.10699", At: []string{"pool"}, Terms: plus(0.8, distill.CRD{Student: "pool", Teacher: "pool", Negatives: 1024, Width: 32})},
}

// only is a loss alone.
func only(l distill.Loss) func(lesson) []distill.Term {
	return func(lesson) []distill.Term { return []distill.Term{{Name: "all", Loss: l}} }
}

// shared is a hard term of weight 1-w beside a loss of weight w.
func shared(w float64, l distill.Loss) func(lesson) []distill.Term {
	return func(lesson) []distill.Term {
		terms := distill.Hinton(1, w)
		terms[1].Loss = l
		return terms
	}
}

// plus is a hard term beside a loss of some weight.
func plus(weight float64, l distill.Loss) func(lesson) []distill.Term {
	return staged(1, func(int, string) (float64, distill.Loss) { return weight, l })
}

// rising is plus where the weight rises over the first twelfth of the steps: 20 of
// 240 epochs, as published.
func rising(weight float64, l distill.Loss) func(lesson) []distill.Term {
	return func(to lesson) []distill.Term {
		terms := plus(weight, l)(to)
		terms[1].Weight = distill.Warmup(to.steps/12, terms[1].Weight)
		return terms
	}
}

// staged is a hard term beside one for each of the first n stages, with the weight
// and the loss that of returns for it.
func staged(n int, of func(i int, stage string) (float64, distill.Loss)) func(lesson) []distill.Term {
	return func(lesson) []distill.Term {
		terms := []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}}
		for i := range n {
			weight, loss := of(i, fmt.Sprint("stage", i+1))
			terms = append(terms, distill.Term{Name: fmt.Sprint("taught", i+1), Weight: distill.Constant(weight), Loss: loss})
		}
		return terms
	}
}
