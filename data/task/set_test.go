package task_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
)

func problems(s task.Set) (all []task.Problem) {
	for i := range s.Rows {
		all = append(all, must(s.Problem(i)))
	}
	return all
}

// Whatever seeds and levels they have, sets of different splits have no problem
// in common, not even one that is put another way.
func TestSplitsDoNotOverlap(t *testing.T) {
	for _, k := range tasks {
		low, _ := k.Levels()
		split := map[string]task.Split{}
		count := map[task.Split]int{}
		for _, s := range []task.Split{task.Train, task.Valid, task.Test} {
			for seed := range uint64(3) {
				set := task.Set{Task: k, Split: s, Rows: 400, Seed: seed, Levels: []int{low, low + 1, low + 2}}
				for _, p := range problems(set) {
					key := canonical(p)
					if other, ok := split[key]; ok && other != s {
						t.Fatalf("%s: %s is in %v and in %v", k.Name(), p.Prompt, other, s)
					} else if !ok {
						count[s]++
					}
					split[key] = s
				}
			}
		}
		if count[task.Train] < 300 || count[task.Valid] < 50 || count[task.Test] < 50 {
			t.Errorf("%s: problems are %v", k.Name(), count)
		}
	}
}

// canonical is a prompt with what is added or multiplied once in order.
func canonical(p task.Problem) string {
	for _, op := range []string{"+", "*"} {
		if parts := strings.Split(strings.TrimSuffix(p.Prompt, "="), op); len(parts) == 2 && p.Key != "" {
			slices.Sort(parts)
			return strings.Join(parts, op)
		}
	}
	return p.Prompt
}

func TestSplitsAreEightOneAndOne(t *testing.T) {
	count := map[task.Split]int{}
	const n = 10_000
	for seed := range uint64(n) {
		count[task.SplitOf(must(task.Modular{}.Make(seed, 8)))]++
	}
	// Four standard deviations of a binomial with n and 1/10, or 8/10.
	for split, share := range map[task.Split]float64{task.Train: 0.8, task.Valid: 0.1, task.Test: 0.1} {
		if got := float64(count[split]); got < n*share-160 || got > n*share+160 {
			t.Errorf("%v has %v of %d problems; want about %v", split, got, n, n*share)
		}
	}
}

func TestSetIsPure(t *testing.T) {
	set := task.Set{Task: task.Written{}, Split: task.Valid, Rows: 40, Seed: 3}
	want := problems(set)
	longer := set
	longer.Rows = 60
	for i := set.Rows - 1; i >= 0; i-- {
		if got := must(longer.Problem(i)); got != want[i] {
			t.Errorf("problem %d is %v, and %v in a longer set", i, want[i], got)
		}
	}
	other := set
	other.Seed = 4
	if cmp.Equal(want, problems(other)) {
		t.Error("two seeds have the same problems")
	}
}

func TestSetLevels(t *testing.T) {
	length := func(p task.Problem) int { return strings.Count(p.Chain, ",") + 1 }
	for _, test := range []struct{ levels, want []int }{
		{nil, []int{2, 3, 4, 5, 6, 7, 8, 2, 3}},
		{[]int{5, 3, 3, 8}, []int{5, 3, 3, 8, 5, 3, 3, 8, 5}},
	} {
		var got []int
		for _, p := range problems(task.Set{Task: task.Modular{}, Rows: 9, Levels: test.levels}) {
			got = append(got, length(p))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSetExamples(t *testing.T) {
	set := task.Set{Task: task.Modular{}, Rows: 5, FirstID: 100}
	p := must(set.Problem(3))
	if diff := cmp.Diff(text.Example{Prompt: p.Prompt, Completion: p.Chain + ";" + p.Answer}, must(set.Example(3))); diff != "" {
		t.Error(diff)
	}
	set.Direct = true
	if diff := cmp.Diff(text.Example{Prompt: p.Prompt, Completion: p.Answer}, must(set.Example(3))); diff != "" {
		t.Error(diff)
	}
	if set.Len() != 5 || set.ID(3) != 103 {
		t.Errorf("%d examples, the fourth of id %d", set.Len(), set.ID(3))
	}
	prints := map[[32]byte]int{}
	for i, s := range []task.Set{
		set, {}, {Task: task.Written{}, Rows: 5}, {Task: task.Written{Op: '+'}, Rows: 5}, {Task: task.Written{}, Rows: 6},
		{Task: task.Written{}, Rows: 5, Seed: 1}, {Task: task.Written{}, Rows: 5, Split: task.Test}, {Task: task.Written{}, Rows: 5, Levels: []int{3}},
		{Task: task.Written{}, Rows: 5, Direct: true}, {Task: task.Written{}, Rows: 5, FirstID: 1},
	} {
		if other, ok := prints[s.Fingerprint()]; ok {
			t.Errorf("sets %d and %d have one fingerprint", other, i)
		}
		prints[s.Fingerprint()] = i
	}
}

func TestSetRefuses(t *testing.T) {
	for _, test := range []struct {
		set  task.Set
		i    int
		want string
	}{
		{task.Set{Rows: 3}, 0, "task: Set.Task is nil"},
		{task.Set{Task: task.Modular{}}, 0, "task: Set.Rows is 0; want 1 or more"},
		{task.Set{Task: task.Modular{}, Rows: 3, Split: 3}, 0, "task: Set.Split is 3; want Train, Valid or Test"},
		{task.Set{Task: task.Modular{}, Rows: 3, Levels: []int{3, 9}}, 0, "task: Set.Levels[1] is 9; want 2 to 8 for modular"},
		{task.Set{Task: task.Modular{}, Rows: 3}, 3, "task: problem 3 of a set of 3"},
		{task.Set{Task: task.Modular{}, Rows: 3}, -1, "task: problem -1 of a set of 3"},
		{task.Set{Task: one{low: 3, high: 2}, Rows: 3}, 0, "task: one has the levels 3 to 2"},
		{task.Set{Task: one{err: errors.New("no idea")}, Rows: 3}, 1, "task: problem 1: no idea"},
		{task.Set{Task: one{}, Rows: 3, Split: otherThan(task.SplitOf(task.Problem{Prompt: "?"}))}, 2, "task: problem 2: of 1000 problems of one at level 0, none is for"},
	} {
		_, err := test.set.Problem(test.i)
		wantError(t, err, test.want)
		_, err = test.set.Example(test.i)
		wantError(t, err, test.want)
	}
}

func otherThan(s task.Split) task.Split { return (s + 1) % 3 }

// one is a task that has one problem.
type one struct {
	low, high int
	err       error
}

func (one) Name() string                                  { return "one" }
func (o one) Levels() (low, high int)                     { return o.low, o.high }
func (o one) Make(uint64, int) (task.Problem, error)      { return task.Problem{Prompt: "?"}, o.err }
func (one) Verify(p task.Problem, c string) (bool, error) { return false, nil }
func (one) Alphabet() string                              { return "?" }

// A set goes through Sequences and a Loader, and what has weight is the
// completion: decoded, it is verified.
func TestSetInSequences(t *testing.T) {
	for _, k := range tasks {
		set := task.Set{Task: k, Rows: 30, Seed: 5}
		chars := must(text.NewCharacters(k.Alphabet()))
		sequences := must(text.Sequences{Tokenizer: chars, Context: 700}.Of(set))
		for b, err := range (data.Loader{Set: sequences, Batch: 7, Seed: 1, Workers: 3}).Batches(context.Background(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for r := range b.N {
				var completion []int
				for i, w := range data.Row[float32](b.Weight, r) {
					if w > 0 {
						completion = append(completion, data.Row[int](b.Label, r)[i])
					}
				}
				p := must(set.Problem(int(b.ID[r].Sample)))
				if !must(k.Verify(p, must(chars.Decode(completion)))) {
					t.Errorf("%s: %s%v is not verified", k.Name(), p.Prompt, completion)
				}
			}
		}
	}
}
