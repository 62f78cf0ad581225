package lm_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

// variants are models with each of the parts that there are.
var variants = map[string]lm.Config{
	"llama":  {Vocab: 11, Width: 24, Inner: 20, Layers: 3, Heads: 6, KeyHeads: 2, Context: 90},
	"biases": {Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 3, HeadWidth: 10, Context: 90, Bias: true},
	"qwen2":  {Type: lm.Qwen2, Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 3, Context: 90, Tied: true},
	"stretched": {Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 3, Context: 90,
		Stretch: &lm.Stretch{Kind: lm.Llama3, Factor: 8, Low: 1, High: 4, Trained: 500}},
	"latent":  {Vocab: 13, Width: 20, Inner: 18, Layers: 2, Heads: 3, Context: 90, Latent: &lm.Latent{Rank: 7, Plain: 5, Turned: 4, Values: 6}},
	"experts": {Vocab: 13, Width: 20, Inner: 18, Layers: 2, Heads: 5, Context: 90, Mixture: &lm.Mixture{Experts: 5, Each: 2, ExpertWidth: 9, Factor: 1.5}},
	"every": {
		Vocab: 11, Width: 24, Inner: 20, Layers: 3, Heads: 6, Context: 90, Ahead: 1, Theta: 500, Eps: 1e-5,
		Mixture: every.Mixture, Latent: every.Latent,
	},
}

const longest = 85

// variant is a model for sequences of so many ids.
func variant(c lm.Config, d tensor.Dtype) *student.Model {
	m := must(lm.NewOf(c, longest, d, 1))
	for p := range m.Params() {
		fill(p.Value, parameter(p.Name, p.Value.Shape()))
		p.Touch()
	}
	return m
}

// uncached are the logits after each of the ids, computed at once.
func uncached(m *student.Model, ids []int) [][]float64 {
	all := make([]int, longest)
	copy(all, ids)
	in := inputs(tensor.New(tensor.WithShape(1, longest), tensor.WithBacking(all)))
	vocab := m.Module().(lm.Config).Vocab
	z := widened(must(m.Predict(in))["logits"])
	return slices.Collect(slices.Chunk(z[:len(ids)*vocab], vocab))
}

func sequence(vocab, n int, seed uint64) []int {
	rng := rand.New(rand.NewPCG(seed, 5))
	ids := make([]int, n)
	for i := range ids {
		ids[i] = rng.IntN(vocab)
	}
	return ids
}

// Logits that are computed with a cache, one id at a time or many, are those of a
// forward pass.
func TestCacheChangesNothing(t *testing.T) {
	for name, c := range variants {
		t.Run(name, func(t *testing.T) {
			ids := sequence(c.Vocab, longest, 1)
			for d, tolerance := range map[tensor.Dtype]float64{tensor.Float64: 1e-12, tensor.Float32: 2e-5} {
				m := variant(c, d)
				want := uncached(m, ids)
				for _, runs := range [][]int{slices.Repeat([]int{1}, longest), {longest}, {3, 1, 70, 2, 9}} {
					end := 0
					for i, got := range lm.Grow(m, ids, runs) {
						end += runs[i]
						if off := apart(got, want[end-1]); !(off <= tolerance) {
							t.Fatalf("%v, runs %v: after %d ids logits differ by %g of the largest", d, runs, end, off)
						}
					}
					if end != longest {
						t.Fatalf("there are logits after %d ids; want %d", end, longest)
					}
				}
			}
		})
	}
}

// apart is the largest difference, relative to the largest value.
func apart(got, want []float64) float64 {
	off, top := 0.0, 0.0
	for i, v := range want {
		off, top = max(off, math.Abs(got[i]-v)), max(top, math.Abs(v))
	}
	return off / top
}

var prompts = [][]int{{1, 2, 3, 4}, {5}, {10, 0, 7, 7, 2, 9, 1}, {3, 3}, {5}, {4, 2, 8, 6, 0}, {9, 9, 1}}

var sampling = lm.Sampling{Temperature: 0.8, TopP: 0.9, TopK: 6, Stop: []int{3, 9}, Max: 20, Seed: 3}

// What is generated with a cache is what forward passes of growing sequences
// generate, id by id.
func TestGenerate(t *testing.T) {
	for name, c := range variants {
		t.Run(name, func(t *testing.T) {
			m := variant(c, tensor.Float64)
			for _, s := range []lm.Sampling{sampling, {Max: 20}, {Temperature: 1, Seed: 4, Max: 20}} {
				for i, got := range must(must(lm.NewSampler(m, s)).Generate(t.Context(), prompts)) {
					checkSample(t, m, s, prompts[i], uint64(i), got)
				}
			}
		})
	}
}

func checkSample(t *testing.T, m *student.Model, s lm.Sampling, prompt []int, id uint64, got lm.Sample) {
	t.Helper()
	ids := slices.Clone(prompt)
	for i := range got.IDs {
		z := uncached(m, ids)[len(ids)-1]
		next, drawn := lm.Draw(s, z, lm.Uniform(s.Seed, id, uint64(len(ids))))
		logProb := math.Log(softmax(z, 1)[next])
		if got.IDs[i] != next || !(math.Abs(got.LogProbs[i]-logProb) < 1e-12) || !(math.Abs(got.Drawn[i]-drawn) < 1e-12) {
			t.Fatalf("prompt %v: id %d is %d with %v and %v; want %d, %v and %v", prompt, i, got.IDs[i], got.LogProbs[i], got.Drawn[i], next, logProb, drawn)
		}
		if ids = append(ids, next); slices.Contains(s.Stop, next) != (got.Stopped && i == len(got.IDs)-1) {
			t.Fatalf("prompt %v: id %d of %v is %d and it has stopped: %v", prompt, i, got.IDs, next, got.Stopped)
		}
	}
	if !got.Stopped && len(got.IDs) != s.Max {
		t.Fatalf("prompt %v: there are %d ids; want %d", prompt, len(got.IDs), s.Max)
	}
}

func softmax(z []float64, T float64) []float64 {
	p, sum := make([]float64, len(z)), 0.0
	for i, v := range z {
		p[i] = math.Exp((v - slices.Max(z)) / T)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// What a prompt is answered depends on nothing beside it: not on others, their
// order or number, nor on the batch and the threads, in a single bit.
func TestBatchChangesNothing(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	many := slices.Clone(prompts)
	var keys []uint64
	for i := range 24 {
		many = append(many, sequence(11, 1+i*7%60, uint64(i)))
	}
	for i := range many {
		keys = append(keys, uint64(1000-7*i))
	}
	for name, c := range variants {
		t.Run(name, func(t *testing.T) {
			m := variant(c, tensor.Float32)
			want := must(must(lm.NewSampler(m, sampling)).Generate(t.Context(), many, keys...))
			for threads := 1; threads <= 4; threads++ {
				runtime.GOMAXPROCS(threads)
				s := sampling
				s.Batch = []int{0, 1, 3, 30, 1000}[threads]
				sampler := must(lm.NewSampler(m, s))
				for range 2 {
					if got := must(sampler.Generate(t.Context(), many, keys...)); !reflect.DeepEqual(got, want) {
						t.Fatalf("%d threads and a batch of %d change samples", threads, s.Batch)
					}
				}
				back, other := slices.Clone(many), slices.Clone(keys)
				slices.Reverse(back)
				slices.Reverse(other)
				got := must(sampler.Generate(t.Context(), back, other...))
				slices.Reverse(got)
				if !reflect.DeepEqual(got, want) {
					t.Fatal("the order of prompts changes samples")
				}
				if got := must(sampler.Generate(t.Context(), many[9:10], keys[9])); !reflect.DeepEqual(got, want[9:10]) {
					t.Fatal("a prompt has another sample alone")
				}
			}
		})
	}
}

// Draws are those of the distribution that is asked for, by its definition.
func TestDraw(t *testing.T) {
	z := []float64{0.3, -1.2, 2, 0.3, 1.1, -4, 0.3, 1.9}
	for _, s := range []lm.Sampling{
		{Temperature: 1}, {Temperature: 0.4}, {Temperature: 3, TopK: 1}, {Temperature: 1, TopK: 3}, {Temperature: 1, TopK: 4},
		{Temperature: 1, TopK: 8}, {Temperature: 1, TopK: 100}, {Temperature: 1, TopP: 0.5}, {Temperature: 0.7, TopP: 0.95},
		{Temperature: 2, TopP: 1e-9}, {Temperature: 1, TopP: 0.999999}, {Temperature: 1.3, TopK: 5, TopP: 0.8}, {Temperature: 1, TopK: 3, TopP: 1},
	} {
		t.Run(fmt.Sprint(s.Temperature, s.TopK, s.TopP), func(t *testing.T) {
			testDraw(t, s, z, 1e-9)
			single := make([]float32, len(z))
			for i, v := range z {
				single[i] = float32(v)
			}
			testDraw(t, s, single, 1e-6)
		})
	}
}

func testDraw[F float32 | float64](t *testing.T, s lm.Sampling, z []F, tolerance float64) {
	t.Helper()
	const n = 1 << 14
	wide, counts := make([]float64, len(z)), make([]float64, len(z))
	for i, v := range z {
		wide[i] = float64(v)
	}
	want := filtered(s, wide)
	for u := range n {
		id, logProb := lm.Draw(s, z, float64(u)/n)
		counts[id]++
		if !(math.Abs(logProb-math.Log(want[id])) <= tolerance) {
			t.Fatalf("id %d is drawn with %v; want %v", id, logProb, math.Log(want[id]))
		}
	}
	for id, p := range want {
		if math.Abs(counts[id]-p*n) > 2 {
			t.Errorf("id %d has %v of %d draws; want %.1f", id, counts[id], n, p*n)
		}
	}
	if id, _ := lm.Draw(s, z, 1-1.0/(1<<53)); want[id] == 0 {
		t.Errorf("the last id to draw is %d, which has no probability", id)
	}
}

// filtered are the probabilities of ids by the definitions of top-k and top-p.
func filtered(s lm.Sampling, z []float64) []float64 {
	p := softmax(z, s.Temperature)
	order := make([]int, len(z))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] > p[b]:
			return -1
		case p[a] < p[b]:
			return 1
		}
		return a - b
	})
	if s.TopK > 0 {
		order = order[:min(s.TopK, len(order))]
	}
	mass := func(ids []int) (sum float64) {
		for _, id := range ids {
			sum += p[id]
		}
		return sum
	}
	if s.TopP > 0 {
		all := mass(order)
		for n := range order {
			if mass(order[:n+1]) >= s.TopP*all {
				order = order[:n+1]
				break
			}
		}
	}
	kept := make([]float64, len(z))
	for _, id := range order {
		kept[id] = p[id] / mass(order)
	}
	return kept
}

// Many samples of one prompt have the probabilities of the model.
func TestFrequencies(t *testing.T) {
	m := variant(variants["llama"], tensor.Float32)
	const n = 4000
	p := softmax(uncached(m, prompts[0])[len(prompts[0])-1], 1)
	counts := make([]float64, len(p))
	for _, s := range must(must(lm.NewSampler(m, lm.Sampling{Temperature: 1, Max: 1, Seed: 5})).Generate(t.Context(), slices.Repeat(prompts[:1], n))) {
		counts[s.IDs[0]]++
	}
	for id, p := range p {
		if sd := math.Sqrt(n * p * (1 - p)); math.Abs(counts[id]-n*p) > 4*sd {
			t.Errorf("id %d was drawn %v times; want %.0f ± %.0f", id, counts[id], n*p, sd)
		}
	}
}

// A seed makes other samples, and so does the id of a prompt.
func TestSeeds(t *testing.T) {
	m := variant(variants["llama"], tensor.Float32)
	s := lm.Sampling{Temperature: 1, Max: 30, Seed: 1}
	a := must(must(lm.NewSampler(m, s)).Generate(t.Context(), [][]int{{5}, {5}, {5}}, 7, 8, 7))
	s.Seed = 2
	b := must(must(lm.NewSampler(m, s)).Generate(t.Context(), [][]int{{5}}, 7))
	if !slices.Equal(a[0].IDs, a[2].IDs) || slices.Equal(a[0].IDs, a[1].IDs) || slices.Equal(a[0].IDs, b[0].IDs) {
		t.Errorf("samples of ids 7, 8, 7, and of 7 with another seed are\n%v\n%v\n%v\n%v", a[0].IDs, a[1].IDs, a[2].IDs, b[0].IDs)
	}
}

// Without Max a sample ends with the context.
func TestContextEnds(t *testing.T) {
	c := variants["qwen2"]
	for i, s := range must(must(lm.NewSampler(variant(c, tensor.Float32), lm.Sampling{})).Generate(t.Context(), prompts)) {
		if len(s.IDs) != c.Context-len(prompts[i]) || s.Stopped {
			t.Errorf("prompt %d: there are %d ids, stopped: %v; want %d", i, len(s.IDs), s.Stopped, c.Context-len(prompts[i]))
		}
	}
}

// A sampler sees the weights that there are.
func TestLiveWeights(t *testing.T) {
	for _, name := range []string{"llama", "every"} {
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			m := variant(variants[name], d)
			live := must(lm.NewSampler(m, sampling))
			before := must(live.Generate(t.Context(), prompts))
			for p := range m.Params() {
				v := parameter("another "+p.Name, p.Value.Shape())
				if !strings.Contains(p.Name, "norm") {
					fill(p.Value, v)
					p.Touch()
				}
			}
			after := must(live.Generate(t.Context(), prompts))
			if reflect.DeepEqual(before, after) {
				t.Errorf("%s: other weights change nothing", name)
			}
			if want := must(must(lm.NewSampler(m, sampling)).Generate(t.Context(), prompts)); !reflect.DeepEqual(after, want) {
				t.Errorf("%s: a new sampler says something else", name)
			}
		}
	}
}

func TestNotFinite(t *testing.T) {
	m := variant(variants["llama"], tensor.Float32)
	s := must(lm.NewSampler(m, sampling))
	var head *student.Param
	for p := range m.Params() {
		if p.Name == "lm_head.weight" {
			head = p
		}
	}
	v := head.Value.Float32s()
	for value, want := range map[float32]string{
		float32(math.NaN()):  "lm: parameter lm_head.weight is NaN at element 7; want finite numbers",
		float32(math.Inf(1)): "lm: parameter lm_head.weight is +Inf at element 7; want finite numbers",
	} {
		v[7] = value
		head.Touch()
		for range 2 {
			if _, err := s.Generate(t.Context(), prompts); err == nil || err.Error() != want {
				t.Errorf("error %v; want %s", err, want)
			}
		}
	}
	for i := range v {
		v[i] = 3e38
	}
	head.Touch()
	for _, greedy := range []bool{false, true} {
		if greedy {
			s = must(lm.NewSampler(m, lm.Sampling{Max: 4}))
		}
		if _, err := s.Generate(t.Context(), prompts); err == nil || err.Error() != "lm: prompt 0: its logits are not finite" {
			t.Errorf("error %v", err)
		}
	}
}

func TestSamplerRefuses(t *testing.T) {
	m := must(lm.New(small, positions, 1))
	for want, s := range map[string]lm.Sampling{
		"Sampling.Temperature is -1; want a finite number of 0.001 or more":   {Temperature: -1},
		"Sampling.Temperature is 1e-300":                                      {Temperature: 1e-300},
		"Sampling.Temperature is NaN":                                         {Temperature: math.NaN()},
		"Sampling.Temperature is +Inf":                                        {Temperature: math.Inf(1)},
		"Sampling.TopK is -1; want 0 or more":                                 {TopK: -1},
		"Sampling.TopP is -0.1; want a number above 0, and 1 at most":         {TopP: -0.1},
		"Sampling.TopP is 1.1":                                                {TopP: 1.1},
		"Sampling.TopP is NaN":                                                {TopP: math.NaN()},
		"Sampling.Max is -1; want 0 or more, and less than Config.Context, 9": {Max: -1},
		"Sampling.Max is 9":                                                   {Max: 9},
		"Sampling.Batch is -1; want 0 to":                                     {Batch: -1},
		"Sampling.Stop has the id 11; want 0 to 10":                           {Stop: []int{3, 11}},
		"Sampling.Stop has the id -1":                                         {Stop: []int{-1}},
	} {
		if _, err := lm.NewSampler(m, s); err == nil || !strings.HasPrefix(err.Error(), "lm: "+want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := lm.NewSampler(nil, lm.Sampling{}); err == nil || err.Error() != "lm: the model is nil; want one that New or Load made" {
		t.Errorf("error %v", err)
	}
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"logits": b.Layer("embed", student.Embedding{Size: 3, Width: 4}, in[data.Input])}
	})
	if _, err := lm.NewSampler(must(student.New(net, lm.Spec(3), 1)), lm.Sampling{}); err == nil || !strings.Contains(err.Error(), "is a student.ModuleFunc; want a Config") {
		t.Errorf("error %v", err)
	}
	if _, err := new(lm.Sampler).Generate(t.Context(), prompts); err == nil || !strings.Contains(err.Error(), "not one that NewSampler made") {
		t.Errorf("error %v", err)
	}
}

func TestGenerateRefuses(t *testing.T) {
	s := must(lm.NewSampler(must(lm.New(small, positions, 1)), lm.Sampling{Max: 4}))
	for want, prompts := range map[string][][]int{
		"prompt 1 is empty; want one id or more":                                     {{1}, {}},
		"prompt 0 has 6 ids, which 4 or more are to follow; want 9 together at most": {{1, 2, 3, 4, 5, 6}},
		"prompt 2 has the id 11 at position 1; want 0 to 10":                         {{1}, {2}, {3, 11}},
		"prompt 0 has the id -1 at position 0":                                       {{-1}},
	} {
		if _, err := s.Generate(t.Context(), prompts); err == nil || !strings.HasPrefix(err.Error(), "lm: "+want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := s.Generate(t.Context(), prompts[:3], 1, 2); err == nil || err.Error() != "lm: there are 3 prompts and 2 ids of them; want as many, or none" {
		t.Errorf("error %v", err)
	}
	if got, err := s.Generate(t.Context(), nil); len(got) != 0 || err != nil {
		t.Errorf("no prompts have %v, %v", got, err)
	}
	if got := must(s.Generate(t.Context(), [][]int{{1, 2, 3, 4, 5}})); len(got[0].IDs) != 4 {
		t.Errorf("there are %d ids; want 4", len(got[0].IDs))
	}
}

// An ending is a context that ends after it was asked some times.
type ending struct {
	context.Context
	cancel context.CancelFunc
	asks   chan struct{}
}

func (e ending) Err() error {
	select {
	case <-e.asks:
	default:
		e.cancel()
	}
	return e.Context.Err()
}

// Generation ends with its context, wherever it is, and the sampler goes on.
func TestGenerateEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := must(lm.NewSampler(variant(variants["llama"], tensor.Float32), sampling))
	many := slices.Repeat(prompts, 9)
	want := must(s.Generate(t.Context(), many))
	for asks := range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		e := ending{ctx, cancel, make(chan struct{}, asks)}
		for range asks {
			e.asks <- struct{}{}
		}
		if got, err := s.Generate(e, many); got != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("after %d asks: %d samples, %v; want that it was cancelled", asks, len(got), err)
		}
		cancel()
	}
	if got := must(s.Generate(t.Context(), many)); !reflect.DeepEqual(got, want) {
		t.Error("a sampler that was stopped says something else")
	}
}

// Ids cost no allocations: prompts do.
func TestGenerateAllocates(t *testing.T) {
	for _, name := range []string{"llama", "every"} {
		m := variant(variants[name], tensor.Float32)
		var allocs []float64
		for _, n := range []int{5, 60} {
			s := must(lm.NewSampler(m, lm.Sampling{Temperature: 1, TopP: 0.9, Max: n}))
			many := slices.Repeat(prompts, 3)
			allocs = append(allocs, testing.AllocsPerRun(5, func() { must(s.Generate(t.Context(), many)) }))
		}
		if allocs[1] > allocs[0]+5 && !testing.Short() { // the race detector makes some
			t.Errorf("%s: 60 ids take %v allocations, and 5 take %v", name, allocs[1], allocs[0])
		}
	}
}

// kept is the memory of a sampler that has answered so many prompts of so many ids
// altogether.
func kept(t *testing.T, c lm.Config, batch, length int) float64 {
	t.Helper()
	c.Context = length
	m := must(lm.New(c, 3, 1))
	s := must(lm.NewSampler(m, lm.Sampling{Batch: batch}))
	some := slices.Repeat([][]int{sequence(c.Vocab, length-1, 1)}, batch)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	must(s.Generate(t.Context(), some))
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(s)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// What a sampler keeps is linear in the batch and in the length, and of latent
// attention it keeps the short vectors alone.
func TestSamplerMemory(t *testing.T) {
	latent := lm.Config{Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 12, Latent: &lm.Latent{Rank: 8, Plain: 8, Turned: 8, Values: 16}}
	plain := lm.Config{Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 12, HeadWidth: 16}
	base := kept(t, plain, 64, 64)
	for name, n := range map[string]float64{"batch": kept(t, plain, 256, 64), "length": kept(t, plain, 64, 256)} {
		if n > 4.2*base {
			t.Errorf("%s: %.0f bytes became %.0f; want 4.2 times as many at most", name, base, n)
		}
	}
	if n := kept(t, latent, 64, 64); n > base/4 {
		t.Errorf("latent attention keeps %.0f bytes, and all heads %.0f; want a quarter at most", n, base)
	}
}
