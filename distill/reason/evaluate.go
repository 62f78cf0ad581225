package reason

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/student/lm"
)

// R1 is how DeepSeek-R1 is sampled to be evaluated: at temperature 0.6, with a
// nucleus of 0.95 (2501.12948, section 3).
func R1() lm.Sampling { return lm.Sampling{Temperature: 0.6, TopP: 0.95} }

// A Report is how well a model answers problems. Written as JSON, it has the same
// bytes for the same weights, problems and sampling.
type Report struct {
	Task  string `json:"task"`  // its name
	Split string `json:"split"` // of the problems
	// Problems and Model are fingerprints, in hexadecimal.
	Problems string `json:"problems"`
	Model    string `json:"model"`
	// Sampling is how answers were drawn.
	Sampling lm.Sampling `json:"sampling"`
	// N is how many answers each problem has.
	N int `json:"n"`
	// All is the score over all problems, and Levels that of each level of
	// difficulty, from low to high.
	All    Score   `json:"all"`
	Levels []Level `json:"levels"`
	// Samples are, of each level, the first answer that is right and the first that
	// is not.
	Samples []Said `json:"samples"`
}

// A Level is the score at a level of difficulty.
type Level struct {
	Level int `json:"level"`
	Score
}

// A Score is how well problems are answered.
type Score struct {
	// Count is how many problems there are.
	Count int `json:"count"`
	// Pass1 is pass@1, the share of right answers (DeepSeek-R1, 2501.12948, section
	// 3), and Formed that of answers in the form of one, which came to their end.
	Pass1  Rate `json:"pass_at_1"`
	Formed Rate `json:"formed"`
	// Consensus is cons@n, the share of problems whose most frequent answer is right
	// (self-consistency, Wang et al. 2023, 2203.11171). What is after the chain is
	// compared, as text, and answers that are not formed have no vote. Of several
	// that are as frequent, each counts as its share of them; where there is none at
	// all, the problem is not solved.
	Consensus Rate `json:"consensus"`
	// Pass is pass@k for each k that was asked for.
	Pass []Pass `json:"pass,omitempty"`
	// PromptTokens and CompletionTokens are how many went through the model: those of
	// a prompt once for each answer.
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// A Pass is pass@k, the probability that one of k answers to a problem is right, by
// the estimator without bias of Chen et al. 2021 (2107.03374, equation 1).
type Pass struct {
	K int `json:"k"`
	Rate
}

// A Said is an answer to be read.
type Said struct {
	Level  int    `json:"level"`  // of the problem
	Prompt string `json:"prompt"` // its question
	Answer string `json:"answer"` // all that was said
	Right  bool   `json:"right"`  // says the verifier
	Formed bool   `json:"formed"` // has the form of an answer
}

// Evaluate has a solver answer each problem of a set n times. Pass@k is for each k,
// from 1 to n. A context that ends is an error.
func Evaluate(ctx context.Context, s *Solver, problems task.Set, n int, k ...int) (Report, error) {
	if err := s.Takes(problems); err != nil {
		return Report{}, err
	}
	if n < 1 {
		return Report{}, fmt.Errorf("reason: Evaluate with %d answers to a problem; want 1 or more", n)
	}
	for _, k := range k {
		if k < 1 || k > n {
			return Report{}, fmt.Errorf("reason: Evaluate with pass@%d; want 1 to %d, the number of answers", k, n)
		}
	}
	r := newReport(s, problems, n)
	var marks []mark
	for q, err := range s.ask(ctx, problems, 0, n) {
		if err != nil {
			return Report{}, err
		}
		m := newMark(problems.Level(q.number), q.answers)
		r.quote(m.level, q)
		marks = append(marks, m)
	}
	r.All = score(marks, n, k)
	slices.SortStableFunc(marks, func(a, b mark) int { return a.level - b.level })
	for len(marks) > 0 {
		level := marks[0].level
		end := slices.IndexFunc(marks, func(m mark) bool { return m.level != level })
		if end < 0 {
			end = len(marks)
		}
		r.Levels = append(r.Levels, Level{level, score(marks[:end], n, k)})
		marks = marks[end:]
	}
	slices.SortStableFunc(r.Samples, func(a, b Said) int { return a.Level - b.Level })
	return r, nil
}

func newReport(s *Solver, problems task.Set, n int) Report {
	set, model := problems.Fingerprint(), s.Model.Fingerprint()
	return Report{
		Task: s.Task.Name(), Split: problems.Split.String(), N: n, Sampling: s.Sampling,
		Problems: hex.EncodeToString(set[:]), Model: hex.EncodeToString(model[:]),
	}
}

// quote keeps answers that are the first of their kind at a level.
func (r *Report) quote(level int, q question) {
	for _, a := range q.answers {
		if !slices.ContainsFunc(r.Samples, func(s Said) bool { return s.Level == level && s.Right == a.Right }) {
			r.Samples = append(r.Samples, Said{level, q.problem.Prompt, a.Text, a.Right, a.Formed})
		}
	}
}

// A mark is what the answers to one problem are worth.
type mark struct {
	level, right, formed int
	consensus            float64
	prompt, completion   int // tokens
}

func newMark(level int, answers []Answer) mark {
	m := mark{level: level, consensus: consensus(answers)}
	for _, a := range answers {
		m.prompt += len(a.Prompt)
		m.completion += len(a.IDs)
		if a.Right {
			m.right++
		}
		if a.Formed {
			m.formed++
		}
	}
	return m
}

// consensus is how much of the most frequent answer is right. A verifier may look
// at the chain too: then answers that are the same are not all right.
func consensus(answers []Answer) float64 {
	votes, right := map[string]int{}, map[string]int{}
	most := 0
	for _, a := range answers {
		_, answer, err := task.Parse(a.Text)
		if !a.Formed || err != nil {
			continue
		}
		votes[answer]++
		most = max(most, votes[answer])
		if a.Right {
			right[answer]++
		}
	}
	leaders, sum := 0, 0
	for answer, n := range votes {
		if n == most {
			leaders++
			sum += right[answer]
		}
	}
	if leaders == 0 {
		return 0
	}
	return float64(sum) / float64(most*leaders)
}

// passAt is the share of sets of k of n answers, c of them right, in which one is
// right: 1 - C(n-c, k)/C(n, k), as a product of numbers from 0 to 1.
func passAt(n, c, k int) float64 {
	none := 1.0
	for i := n - c + 1; i <= n; i++ {
		none *= 1 - min(1, float64(k)/float64(i))
	}
	return 1 - none
}

// score is what marks come to, of problems with n answers each.
func score(marks []mark, n int, k []int) Score {
	s := Score{Count: len(marks)}
	for _, m := range marks {
		s.PromptTokens += m.prompt
		s.CompletionTokens += m.completion
	}
	over := func(value func(m mark) float64) Rate {
		x := make([]float64, len(marks))
		for i, m := range marks {
			x[i] = value(m)
		}
		return newRate(x, n)
	}
	s.Pass1 = over(func(m mark) float64 { return float64(m.right) / float64(n) })
	s.Formed = over(func(m mark) float64 { return float64(m.formed) / float64(n) })
	s.Consensus = over(func(m mark) float64 { return m.consensus })
	for _, k := range k {
		s.Pass = append(s.Pass, Pass{k, over(func(m mark) float64 { return passAt(n, m.right, k) })})
	}
	return s
}

// String is a table: a line for each level and one for all, in percent with
// intervals.
func (r Report) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %s: %d problems, %d answers each\n", r.Task, r.Split, r.All.Count, r.N)
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "level\tproblems\tformed\tpass@1\tcons@%d", r.N)
	for _, p := range r.All.Pass {
		fmt.Fprintf(w, "\tpass@%d", p.K)
	}
	fmt.Fprintln(w)
	for _, l := range r.Levels {
		l.line(w, fmt.Sprint(l.Level))
	}
	r.All.line(w, "all")
	w.Flush() // to a Builder, which does not fail
	return text.String()
}

func (s Score) line(w *tabwriter.Writer, name string) {
	fmt.Fprintf(w, "%s\t%d\t%v\t%v\t%v", name, s.Count, s.Formed, s.Pass1, s.Consensus)
	for _, p := range s.Pass {
		fmt.Fprintf(w, "\t%v", p.Rate)
	}
	fmt.Fprintln(w)
}
