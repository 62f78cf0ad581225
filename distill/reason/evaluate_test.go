package reason_test

import (
	stdcontext "context"
	"encoding/json"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/student/lm"
)

func close(a, b float64) bool { return math.Abs(a-b) < 1e-12 }

// Pass@k is the share of all sets of k answers with one of the c that are right.
func TestPassAt(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for c := 0; c <= n; c++ {
			for k := 1; k <= n; k++ {
				sets, hits := 0, 0
				for set := range uint(1) << n {
					if bits.OnesCount(set) == k {
						sets++
						hits += min(1, bits.OnesCount(set&(1<<c-1)))
					}
				}
				if got, want := reason.PassAt(n, c, k), float64(hits)/float64(sets); !close(got, want) {
					t.Errorf("pass@%d of %d right answers of %d is %v; want %v", k, c, n, got, want)
				}
			}
		}
	}
	for _, c := range []int{1, 3, 1 << 12} {
		want := -math.Expm1(float64(c) * math.Log1p(-1./(1<<10))) // nearly c draws of one in 1024
		if got := reason.PassAt(1<<20, c, 1<<10); math.Abs(got/want-1) > 1e-2 {
			t.Errorf("pass@1024 of %d right answers of a million is %v; want %v", c, got, want)
		}
	}
}

// kinds of answers by what is said: two that are right, two wrong, and what has no
// form, one of which was cut off.
var kinds = []reason.Answer{
	{Text: "7;1", Right: true, Formed: true},
	{Text: "2", Right: true, Formed: true},
	{Text: "8;3", Formed: true},
	{Text: "4", Formed: true},
	{Text: ";"},
	{Text: "5"},
}

// Consensus is the mean over all orders of preference in which ties are broken.
func TestConsensus(t *testing.T) {
	orders := permutations(4)
	for n := 1; n <= 5; n++ {
		pick := make([]int, n)
		for more := true; more; more = count(pick, len(kinds)) {
			answers, votes := make([]reason.Answer, n), make([]int, len(kinds))
			for i, k := range pick {
				answers[i] = kinds[k]
				votes[k]++
			}
			most := slices.Max(votes[:4])
			want := 0.0
			for _, order := range orders {
				winner := order[slices.IndexFunc(order, func(k int) bool { return votes[k] == most })]
				if most > 0 && kinds[winner].Right {
					want += 1 / float64(len(orders))
				}
			}
			if got := reason.Consensus(answers); !close(got, want) {
				t.Errorf("answers %v come to %v; want %v", pick, got, want)
			}
		}
	}
}

// count is the next number with digits below base, if there is one.
func count(digits []int, base int) bool {
	for i := range digits {
		if digits[i]++; digits[i] < base {
			return true
		}
		digits[i] = 0
	}
	return false
}

func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// A verifier that looks at the chain finds some of equal answers right.
func TestConsensusOfChains(t *testing.T) {
	answers := []reason.Answer{
		{Text: "1;6", Formed: true, Right: true}, {Text: "2;6", Formed: true}, {Text: "3;6", Formed: true},
		{Text: "1;5", Formed: true, Right: true}, {Text: "1;5", Formed: true, Right: true},
	}
	if got := reason.Consensus(answers); !close(got, 1./3) {
		t.Errorf("consensus is %v; want 1/3", got)
	}
}

// One answer to each problem has Wilson's interval, with the quantile of Student.
func TestRateIsWilson(t *testing.T) {
	x := make([]float64, 20)
	for i := range 7 {
		x[i] = 1
	}
	// 2.0930 is the quantile for 19 degrees of freedom.
	z := 2.093024054408263 * 2.093024054408263 / 20
	half := math.Sqrt(z * (0.35*0.65 + z/4))
	want := reason.Rate{Mean: 0.35, Low: (0.35 + z/2 - half) / (1 + z), High: (0.35 + z/2 + half) / (1 + z)}
	if got := reason.NewRate(x, 1); !close(got.Mean, want.Mean) || math.Abs(got.Low-want.Low) > 1e-9 || math.Abs(got.High-want.High) > 1e-9 {
		t.Errorf("rate is %v; want %v", got, want)
	}
}

// Away from the ends the interval is that of Student for the means of the problems.
func TestRateIsStudents(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const m, n = 2000, 1000
	x, sum, squares := make([]float64, m), 0.0, 0.0
	for i := range x {
		x[i] = 0.3 + 0.3*rng.Float64()
		sum, squares = sum+x[i], squares+x[i]*x[i]
	}
	half := 1.9612 * math.Sqrt((squares-sum*sum/m)/(m-1)/m)
	got := reason.NewRate(x, n)
	if half *= 1.05; got.High-got.Mean > half || got.Mean-got.Low > half || got.High-got.Low < 1.9*half/1.05 {
		t.Errorf("rate is %v; want half a width of %v, or a little more", got, half)
	}
}

func TestRateAtItsEnds(t *testing.T) {
	for m := 1; m <= 300; m++ {
		for _, n := range []int{1, 16} {
			none, all, half := make([]float64, m), make([]float64, m), make([]float64, m)
			for i := range m {
				all[i], half[i] = 1, 0.5
			}
			low, high, middle := reason.NewRate(none, n), reason.NewRate(all, n), reason.NewRate(half, n)
			if low.Low != 0 || high.High != 1 || !close(low.High, 1-high.Low) || !close(middle.Low, 1-middle.High) {
				t.Fatalf("%d problems: rates are %+v, %+v and %+v", m, low, middle, high)
			}
			if least := 3 / float64(m+3); low.High < least { // the rule of three
				t.Errorf("%d problems: none right is %v; want %v above it", m, low, least)
			}
			if middle.High == 0.5 {
				t.Errorf("%d problems: the width at a half is 0", m)
			}
			one := slices.Clone(none)
			one[0] = 1 / float64(n)
			if r := reason.NewRate(one, n); m > 1 && r.High < 0.98*low.High {
				t.Errorf("%d problems: with an answer more, %v became %v", m, low, r)
			}
		}
	}
}

// The interval holds the true rate in about 95 of 100 cases: with problems alike,
// with some easy and some hard, with few that a model can do, and near the ends.
// One answer to each of 100 problems, of which one in 100 is right, is Wilson's case:
// it holds where there are 2 right ones or fewer, in 92.06.
func TestRateCoverage(t *testing.T) {
	const trials = 2000
	some := func(rng *rand.Rand, share, p float64) float64 {
		if rng.Float64() < share {
			return p
		}
		return 0
	}
	for name, test := range map[string]struct {
		mean float64
		draw func(rng *rand.Rand) float64
	}{
		"alike":          {0.4, func(*rand.Rand) float64 { return 0.4 }},
		"alike and rare": {0.01, func(*rand.Rand) float64 { return 0.01 }},
		"alike and sure": {0.99, func(*rand.Rand) float64 { return 0.99 }},
		"uniform":        {0.5, func(rng *rand.Rand) float64 { return rng.Float64() }},
		"hard":           {1. / 3, func(rng *rand.Rand) float64 { u := rng.Float64(); return u * u }},
		"all or nothing": {0.7, func(rng *rand.Rand) float64 { return some(rng, 0.7, 1) }},
		"few":            {0.09, func(rng *rand.Rand) float64 { return some(rng, 0.1, 0.9) }},
		"most":           {0.86, func(rng *rand.Rand) float64 { return 1 - some(rng, 0.2, 0.7) }},
	} {
		for _, m := range []int{25, 100} {
			for _, n := range []int{1, 8} {
				rng := rand.New(rand.NewPCG(uint64(m), uint64(n)))
				held := 0
				for range trials {
					x := make([]float64, m)
					for i := range x {
						p := test.draw(rng)
						for range n {
							if rng.Float64() < p {
								x[i] += 1 / float64(n)
							}
						}
					}
					if r := reason.NewRate(x, n); r.Low <= test.mean && test.mean <= r.High {
						held++
					}
				}
				least, most := 0.9206-0.024, 1.0 // four standard deviations of so many trials
				if m == 100 && (name == "uniform" || name == "hard") {
					least, most = 0.95-0.02, 0.95+0.02
				}
				if share := float64(held) / trials; !(share >= least && share <= most) {
					t.Errorf("%s, %d problems, %d answers: %.3f of intervals hold the rate; want %.3f to %.3f", name, m, n, share, least, most)
				}
			}
		}
	}
}

// A report is what the answers come to that Solve draws, level by level.
func TestEvaluate(t *testing.T) {
	defaults := solver(model(tensor.Float32, 1))
	s := must(reason.NewSolver(defaults))
	const rows, n = 305, 7 // more answers than are drawn at once
	set := problems(rows)
	set.Levels = []int{2, 1, 1}
	report := must(reason.Evaluate(t.Context(), s, set, n, 1, 3, 7))
	levels := map[int][][]reason.Answer{}
	for i := range rows {
		p := must(set.Problem(i))
		answers := must(s.Solve(t.Context(), []task.Problem{p}, n, uint64(i*n)))[0]
		levels[0] = append(levels[0], answers)
		levels[set.Level(i)] = append(levels[set.Level(i)], answers)
	}
	if len(report.Levels) != 2 || report.Levels[0].Level != 1 || report.Levels[1].Level != 2 {
		t.Fatalf("levels are %+v", report.Levels)
	}
	for level, got := range []reason.Score{report.All, report.Levels[0].Score, report.Levels[1].Score} {
		if want := scored(levels[level], n); !reflect.DeepEqual(got, want) {
			t.Errorf("level %d: the score is\n%+v\nwant\n%+v", level, got, want)
		}
	}
	if report.All.Pass1.Mean == 0 || report.All.Formed.Mean == report.All.Pass1.Mean || report.All.Consensus.Mean == report.All.Pass1.Mean {
		t.Errorf("the score %+v tests nothing", report.All)
	}
	for i, said := range report.Samples {
		if said.Level != 1+i/2 || !strings.HasSuffix(said.Prompt, "=") || said.Right && !said.Formed {
			t.Errorf("sample %d is %+v", i, said)
		}
	}
	if len(report.Samples) != 4 {
		t.Errorf("there are %d samples; want one right and one wrong of each level", len(report.Samples))
	}
	defaults.Sampling.Batch = 5
	again := must(reason.Evaluate(t.Context(), must(reason.NewSolver(defaults)), set, n, 1, 3, 7))
	if a, b := string(must(json.Marshal(report))), string(must(json.Marshal(again))); a != b || report.String() != again.String() {
		t.Errorf("reports of one seed are\n%s\n%s", a, b)
	}
	defaults.Sampling.Seed++
	if other := must(reason.Evaluate(t.Context(), must(reason.NewSolver(defaults)), set, n)); other.All.CompletionTokens == report.All.CompletionTokens && other.All.Pass1 == report.All.Pass1 {
		t.Error("another seed changes nothing")
	}
}

// scored is the score of answers, from its definition.
func scored(all [][]reason.Answer, n int) reason.Score {
	s := reason.Score{Count: len(all)}
	var one, formed, consensus []float64
	pass := make([][]float64, 3)
	for _, answers := range all {
		right, form := 0, 0
		for _, a := range answers {
			s.PromptTokens += len(a.Prompt)
			s.CompletionTokens += len(a.IDs)
			if a.Right {
				right++
			}
			if a.Formed {
				form++
			}
		}
		one, formed = append(one, float64(right)/float64(n)), append(formed, float64(form)/float64(n))
		consensus = append(consensus, reason.Consensus(answers))
		for i, k := range []int{1, 3, 7} {
			pass[i] = append(pass[i], reason.PassAt(n, right, k))
		}
	}
	s.Pass1, s.Formed, s.Consensus = reason.NewRate(one, n), reason.NewRate(formed, n), reason.NewRate(consensus, n)
	for i, k := range []int{1, 3, 7} {
		s.Pass = append(s.Pass, reason.Pass{K: k, Rate: reason.NewRate(pass[i], n)})
	}
	return s
}

// broken is a task that fails to verify some problems.
type broken struct{ echo }

func (broken) Verify(p task.Problem, completion string) (bool, error) {
	if p.Prompt == "3=" {
		return false, errors.New("no")
	}
	return echo{}.Verify(p, completion)
}

func TestEvaluateRefuses(t *testing.T) {
	s := must(reason.NewSolver(solver(model(tensor.Float32, 1))))
	ended, cancel := stdcontext.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		s    *reason.Solver
		set  task.Set
		n    int
		k    []int
		want string
	}{
		{nil, problems(3), 1, nil, "reason: the Solver is not one that NewSolver made"},
		{&reason.Solver{}, problems(3), 1, nil, "reason: the Solver is not one that NewSolver made"},
		{s, problems(0), 1, nil, "reason: task: Set.Rows is 0; want 1 or more"},
		{s, task.Set{Task: task.Modular{}, Rows: 3}, 1, nil, "reason: the problems are of modular, and Solver.Task is echo; want one task"},
		{s, problems(3), 0, nil, "reason: Evaluate with 0 answers to a problem; want 1 or more"},
		{s, problems(3), 3, []int{3, 0}, "reason: Evaluate with pass@0; want 1 to 3"},
		{s, problems(3), 3, []int{4}, "reason: Evaluate with pass@4; want 1 to 3"},
	} {
		_, err := reason.Evaluate(t.Context(), test.s, test.set, test.n, test.k...)
		wantError(t, err, test.want)
	}
	_, err := reason.Evaluate(ended, s, problems(3), 1)
	if !errors.Is(err, stdcontext.Canceled) {
		t.Errorf("error is %v; want that the context ended", err)
	}
	stuck := solver(model(tensor.Float32, 1))
	stuck.Task = broken{}
	_, err = reason.Evaluate(t.Context(), must(reason.NewSolver(stuck)), problems(60), 5)
	wantError(t, err, `reason: problem "3=": no`)
	long := solver(model(tensor.Float32, 1))
	long.Sampling.Max = context - 2
	_, err = reason.Evaluate(t.Context(), must(reason.NewSolver(long)), problems(3), 5)
	wantError(t, err, "reason: lm: prompt 0 has 3 ids")
}

func TestSolverRefuses(t *testing.T) {
	whole := solver(model(tensor.Float32, 1))
	for want, change := range map[string]func(s *reason.Solver){
		"Solver.Model is nil":                                        func(s *reason.Solver) { s.Model = nil },
		"Solver.Tokenizer is nil":                                    func(s *reason.Solver) { s.Tokenizer = nil },
		"Solver.Task is nil":                                         func(s *reason.Solver) { s.Task = nil },
		"does not know the alphabet of modular":                      func(s *reason.Solver) { s.Task = task.Modular{} },
		"Solver.Sampling: lm: Sampling.TopP is 2":                    func(s *reason.Solver) { s.Sampling.TopP = 2 },
		"Solver.Sampling.Stop is empty and the tokenizer has no EOS": func(s *reason.Solver) { s.Tokenizer, s.Sampling.Stop = endless{s.Tokenizer}, nil },
		"Solver.Tokenizer has 15 tokens and the model 14": func(s *reason.Solver) {
			c := s.Model.Module().(lm.Config)
			c.Vocab = 14
			s.Model = must(lm.New(c, context, 1))
		},
	} {
		s := whole
		change(&s)
		_, err := reason.NewSolver(s)
		wantError(t, err, want)
	}
	s := must(reason.NewSolver(whole))
	_, err := s.Solve(t.Context(), first(3), 0, 0)
	wantError(t, err, "reason: Solve of 0 answers; want 1 or more")
	_, err = s.Solve(t.Context(), []task.Problem{{Prompt: "1+2="}}, 1, 0)
	wantError(t, err, `reason: problem "1+2=": text: character '+'`)
	if got, err := s.Solve(t.Context(), nil, 3, 0); len(got) != 0 || err != nil {
		t.Errorf("no problems have the answers %v, %v", got, err)
	}
}

// endless is a tokenizer without a token for the end.
type endless struct{ text.Tokenizer }

func (e endless) Special() text.Special {
	s := e.Tokenizer.Special()
	s.EOS = text.None
	return s
}

// An id that the tokenizer does not know makes an answer that has no form.
// hasty is a task whose verifier did not think of some answers.
type hasty struct{ echo }

func (hasty) Verify(_ task.Problem, completion string) (bool, error) {
	return completion[9] == '0', nil
}

func TestVerifierPanics(t *testing.T) {
	s := solver(model(tensor.Float32, 1))
	s.Task = hasty{}
	_, err := must(reason.NewSolver(s)).Solve(t.Context(), first(20), 9, 0)
	wantError(t, err, "panic: runtime error: index out of range [9]")
	wantError(t, err, "reason: problem ")
}

// An answer that was cut off is wrong, also where what there is of it would be right.
func TestCutOff(t *testing.T) {
	short := solver(model(tensor.Float32, 1))
	short.Sampling.Max = 1
	asked, right := first(20), 0
	for i, answers := range must(must(reason.NewSolver(short)).Solve(t.Context(), asked, 9, 0)) {
		for _, a := range answers {
			if a.Right || a.Formed {
				t.Errorf("%q to %q, stopped %t, is %+v", a.Text, asked[i].Prompt, a.Stopped, a)
			}
			if ok, err := short.Task.Verify(asked[i], a.Text); ok && err == nil {
				right++
			}
		}
	}
	if right == 0 {
		t.Error("none would have been right")
	}
}

func TestPaddedVocabulary(t *testing.T) {
	wide := solver(nil)
	c := lm.Config{Vocab: 40, Width: 12, Inner: 20, Layers: 1, Heads: 3, Context: context}
	wide.Model = must(lm.New(c, context, 1))
	strange := 0
	for _, answers := range must(must(reason.NewSolver(wide)).Solve(t.Context(), first(20), 9, 0)) {
		for _, a := range answers {
			if slices.Max(a.IDs) < digits.Size() {
				continue
			}
			if strange++; a.Formed || a.Right || a.Text != "" {
				t.Errorf("ids %v are %+v", a.IDs, a)
			}
		}
	}
	if strange == 0 {
		t.Error("no id is beyond the tokenizer's")
	}
}

func TestReportText(t *testing.T) {
	rate := func(mean float64) reason.Rate { return reason.Rate{Mean: mean, Low: mean / 2, High: mean + 0.1} }
	all := reason.Score{Count: 30, Formed: rate(0.875), Pass1: rate(0.5), Consensus: rate(0.25), Pass: []reason.Pass{{K: 4, Rate: rate(0.75)}}}
	r := reason.Report{Task: "echo", Split: "Test", N: 8, All: all, Levels: []reason.Level{{Level: 12, Score: all}}}
	r.All.Count = 1000
	want := `
echo, Test: 1000 problems, 8 answers each
level  problems  formed             pass@1             cons@8             pass@4
12     30        87.5% [43.8, 97.5]  50.0% [25.0, 60.0]  25.0% [12.5, 35.0]  75.0% [37.5, 85.0]
all    1000      87.5% [43.8, 97.5]  50.0% [25.0, 60.0]  25.0% [12.5, 35.0]  75.0% [37.5, 85.0]
`
	if got := "\n" + r.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("the table is%s", got)
	}
}
