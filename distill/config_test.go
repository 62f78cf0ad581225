package distill

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"
)

type sampleConfig struct {
	Name      string
	Epochs    int
	Limit     time.Duration
	Clip      *float64
	Optimizer Optimizer
	Weights   []float64
	Names     []string
	Key       [5]byte
	Groups    []Group
	Extra     map[string]any
	Monitor   Monitor
	Later     func()
	Events    chan int
	Dtype     tensor.Dtype
	Next      *sampleConfig
	hidden    int
}

type temperature float64

func TestDescribe(t *testing.T) {
	clip := 0.5
	c := sampleConfig{
		Name: "a b", Epochs: 3, Limit: time.Minute, Clip: &clip,
		Optimizer: &SGD{Rate: Linear(1, 0, 4), Momentum: 0.9},
		Weights:   []float64{0.1, 1e-9}, Names: []string{"x", "y z"}, Key: [5]byte{1, 2, 255},
		Groups:  []Group{{Match: "*.bias", NoDecay: true}},
		Extra:   map[string]any{"b": temperature(4), "a": 2, "c": nil, "d": []any{1.5, Constant(7), Monitor(func(Metrics) float64 { return 0 }), Monitor(ByNLL).score}},
		Monitor: ByAgreement, Later: func() {}, Dtype: tensor.Float32, hidden: 1,
	}
	c.Next = &c
	want := []string{
		`Run distill.sampleConfig`, `Run.Name "a b"`, `Run.Epochs 3`, `Run.Limit 1m0s`, `Run.Clip 0.5`,
		`Run.Optimizer distill.SGD`, `Run.Optimizer.Rate 1 to 0.25, sha256 HASH`,
		`Run.Optimizer.Momentum 0.9`, `Run.Optimizer.Nesterov false`, `Run.Optimizer.Decay 0`,
		`Run.Weights [0.1 1e-09]`, `Run.Names ["x" "y z"]`, `Run.Key 0102ff0000`,
		`Run.Groups[0].Match "*.bias"`, `Run.Groups[0].Rate 0`, `Run.Groups[0].NoDecay true`, `Run.Groups[0].MaxNorm 0`, `Run.Groups[0].Freeze false`,
		`Run.Extra[a] 2`, `Run.Extra[b] distill.temperature(4)`, `Run.Extra[c] nil`,
		`Run.Extra[d] []interface {}`, `Run.Extra[d][0] 1.5`, `Run.Extra[d][1] distill.Schedule(7)`, `Run.Extra[d][2] distill.Monitor`, `Run.Extra[d][3] func(distill.Metrics) float64`,
		`Run.Monitor distill.ByAgreement`, `Run.Later func()`, `Run.Events chan int`, `Run.Dtype.Type float32`, `Run.Next seen above`,
	}
	settings := describe("Run", &c, 4)
	var got []string
	for _, s := range settings {
		if at := strings.Index(s.Value, "sha256 "); at >= 0 {
			if len(s.Value) != at+7+16 {
				t.Errorf("%q has not 16 digits of a hash", s.Value)
			}
			s.Value = s.Value[:at+7] + "HASH"
		}
		got = append(got, s.Name+" "+s.Value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range 9 {
		if diff := cmp.Diff(settings, describe("Run", &c, 4)); diff != "" {
			t.Fatalf("the second description differs: %s", diff)
		}
	}
}

func TestDescribeFollowsSharedPointers(t *testing.T) {
	x := 1.5
	got := describe("", struct{ A, B *float64 }{&x, &x}, 1)
	if diff := cmp.Diff([]Setting{{"A", "1.5"}, {"B", "1.5"}}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever changes a run changes its description.
func TestDescribeTellsApart(t *testing.T) {
	long := func(last int) []int { return append(make([]int, 999), last) }
	tests := map[string][2]any{
		"the middle of a schedule": {Cosine(1, 0, 99), Linear(1, 0, 99)},
		"the end of a schedule":    {Linear(1, 0, 999), Linear(1, 0.5, 999)},
		"a milestone":              {MultiStepDecay(1, 0.1, 998), MultiStepDecay(1, 0.1, 999)},
		"types of one look":        {Adam{Rate: Constant(1)}, AdamW{Rate: Constant(1)}},
		"numbers of two types":     {temperature(1), struct{ T float64 }{1}},
		"long lists":               {long(1), long(2)},
		"strings with spaces":      {[]string{"a b"}, []string{"a", "b"}},
		"long lists of strings":    {append(make([]string, 20), "", "a"), append(make([]string, 20), "a", "")},
		"bytes":                    {[32]byte{31: 1}, [32]byte{}},
		"lengths":                  {[]Group{{}}, []Group{{}, {}}},
		"nil":                      {[]Group{}, nil},
		"monitors":                 {Monitor(ByLoss), Monitor(ByNLL)},
		"neighbouring floats":      {0.1, 0.1 + 1e-16},
	}
	for name, pair := range tests {
		a, b := describe("x", pair[0], 1000), describe("x", pair[1], 1000)
		if cmp.Equal(a, b) {
			t.Errorf("%s: both are %v", name, a)
		}
	}
}

func TestSamples(t *testing.T) {
	tests := []struct {
		steps       int
		calls, last int
	}{{1, 1, 0}, {2, 2, 1}, {4096, 4096, 4095}, {1e6, 1e6, 999_999}, {0, 4096, 4095}}
	for _, test := range tests {
		seen := map[int]bool{}
		text := samples(func(step int) float64 { seen[step] = true; return float64(step) }, test.steps)
		if len(seen) != test.calls || !seen[0] || !seen[test.last] {
			t.Errorf("%d steps: %d different samples; want %d, 0 and %d among them", test.steps, len(seen), test.calls, test.last)
		}
		if end := fmt.Sprint(float64(test.last)); test.last > 0 && !strings.HasPrefix(text, "0 to "+end+",") {
			t.Errorf("%d steps: %q", test.steps, text)
		}
	}
}

func TestDiff(t *testing.T) {
	a := []Setting{{"Train.Batch", "64"}, {"Seed", "1"}}
	tests := []struct {
		now  []Setting
		want string
	}{
		{a, ""},
		{[]Setting{a[1], a[0]}, ""},
		{[]Setting{{"Train.Batch", "32"}, {"Seed", "2"}}, "distill: the checkpoint was made with Train.Batch 64; this run has 32"},
		{a[:1], "distill: the checkpoint was made with Seed 1; this run has none"},
		{append(a[:2:2], Setting{"Clip", "2"}), "distill: the checkpoint was made without Clip; this run has 2"},
	}
	for _, test := range tests {
		checkError(t, diff(a, test.now), test.want)
	}
}
