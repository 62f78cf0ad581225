package lm_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/infer"
	"github.com/godistill/godistill/student/lm"
)

// every is a model with all parts.
var every = lm.Config{
	Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 6, Context: 9, Ahead: 1,
	Mixture: &lm.Mixture{Experts: 6, Each: 3, Shared: 1, ExpertWidth: 10, Dense: 1, Groups: 3, Kept: 2, Normalized: true},
	Latent:  &lm.Latent{Queries: 9, Rank: 7, Plain: 3, Turned: 4, Values: 5},
}

var small = lm.Config{Vocab: 11, Width: 24, Inner: 20, Layers: 2, Heads: 6, KeyHeads: 2, Context: 9}

// logits of ids (B, T), by a prediction and by a graph.
func logits(t testing.TB, m *student.Model, v []int, samples int) []float32 {
	t.Helper()
	in := inputs(tensor.New(tensor.WithShape(samples, len(v)/samples), tensor.WithBacking(v)))
	return must(m.Predict(in))["logits"].Float32s()
}

// What a sample comes to does not depend on the others, on their order or on
// padding, and what a position does on nothing behind it, in a single bit.
func TestOthersChangeNothing(t *testing.T) {
	for name, c := range map[string]lm.Config{"small": small, "every": every} {
		t.Run(name, func(t *testing.T) {
			m := must(lm.New(c, positions, 1))
			v := ids(c.Vocab).Ints()
			all := logits(t, m, v, batch)
			size := positions * c.Vocab
			for s := range batch {
				alone := logits(t, m, slices.Clone(v[s*positions:(s+1)*positions]), 1)
				if !slices.Equal(alone, all[s*size:(s+1)*size]) {
					t.Errorf("sample %d is another alone", s)
				}
			}
			turned := slices.Concat(v[2*positions:], v[:2*positions])
			if got := logits(t, m, turned, batch); !slices.Equal(got, slices.Concat(all[2*size:], all[:2*size])) {
				t.Error("the order of samples changes them")
			}
			padded := slices.Concat(v, make([]int, 2*positions))
			if got := logits(t, m, padded, batch+2); !slices.Equal(got[:len(all)], all) {
				t.Error("padding changes samples")
			}
			const seen = 4
			for s := range batch {
				for p := seen; p < positions; p++ {
					v[s*positions+p] = (v[s*positions+p] + 3) % c.Vocab
				}
			}
			later := logits(t, m, v, batch)
			for s := range batch {
				at, mid := s*size, s*size+seen*c.Vocab
				if !slices.Equal(all[at:mid], later[at:mid]) {
					t.Errorf("sample %d: later ids changed earlier logits", s)
				}
				if slices.Equal(all[mid:at+size], later[mid:at+size]) {
					t.Errorf("sample %d: later ids changed nothing", s)
				}
			}
		})
	}
}

// A shorter model is a longer one at its positions.
func TestLength(t *testing.T) {
	long, short := must(lm.New(small, 9, 1)), must(lm.New(small, 5, 1))
	v := bits("ids", 9)
	for i := range v {
		v[i] %= small.Vocab
	}
	if !slices.Equal(logits(t, long, v, 1)[:5*small.Vocab], logits(t, short, slices.Clone(v[:5]), 1)) {
		t.Error("the first positions depend on the length")
	}
}

// Hidden states are those that Hugging Face counts.
func TestTaps(t *testing.T) {
	m := must(lm.New(every, positions, 1))
	want := map[string][]int{
		"logits": {positions, 11}, "ahead1": {positions, 11}, "balance": {positions},
		"hidden0": {positions, 24}, "hidden1": {positions, 24}, "hidden2": {positions, 24},
	}
	taps := m.Taps()
	if len(taps) != len(want) {
		t.Errorf("there are %d taps; want %d", len(taps), len(want))
	}
	for name, shape := range want {
		if !slices.Equal(taps[name].Shape, shape) {
			t.Errorf("tap %s is %v; want %v", name, taps[name].Shape, shape)
		}
	}
}

func TestUnknownIDs(t *testing.T) {
	m := must(lm.New(small, positions, 1))
	for _, id := range []int{-1, 11, math.MaxInt, math.MinInt} {
		v := ids(11)
		v.Ints()[positions+3] = id
		_, err := m.Predict(inputs(v))
		if err == nil || !strings.Contains(err.Error(), "at position 3 of sample 1; want 0 to 10") {
			t.Errorf("id %d: error %v", id, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(c *lm.Config){
		`Config.Type is "gpt2"; want "llama", "qwen2" or "deepseek_v3"`:       func(c *lm.Config) { c.Type = "gpt2" },
		"Config.Vocab is 0; want 1 to 16777216":                               func(c *lm.Config) { c.Vocab = 0 },
		"Config.Width is -3":                                                  func(c *lm.Config) { c.Width = -3 },
		"Config.Layers is 1000000000":                                         func(c *lm.Config) { c.Layers = 1e9 },
		"Config.KeyHeads is 4 and Config.Heads 6; want a divisor":             func(c *lm.Config) { c.Latent, c.KeyHeads = nil, 4 },
		"Config.HeadWidth is 3; want an even number":                          func(c *lm.Config) { c.Latent, c.HeadWidth = nil, 3 },
		"Config.HeadWidth is 0; want 1":                                       func(c *lm.Config) { c.Latent, c.Heads = nil, 60 },
		"Config.Context is 0":                                                 func(c *lm.Config) { c.Context = 0 },
		"Config.Eps is -1; want a finite number above 0":                      func(c *lm.Config) { c.Eps = -1 },
		"Config.Theta is NaN":                                                 func(c *lm.Config) { c.Theta = math.NaN() },
		"Config.Ahead is 9; want 0 or more, and fewer than Config.Context, 9": func(c *lm.Config) { c.Ahead = 9 },
		`Config.Type is "qwen2", with a Mixture, a Latent or Ahead`:           func(c *lm.Config) { c.Type = lm.Qwen2 },
		`Stretch.Kind is "ntk"; want "linear" or "llama3"`:                    func(c *lm.Config) { c.Stretch = &lm.Stretch{Kind: "ntk"} },
		"Config.Stretch has a factor of 0.5; want a finite number, 1 or more": func(c *lm.Config) { c.Stretch = &lm.Stretch{Kind: lm.Linear, Factor: 0.5} },
		`Stretch.Low is 1 and Stretch.High 0, with Kind "linear"; want none`:  func(c *lm.Config) { c.Stretch = &lm.Stretch{Kind: lm.Linear, Factor: 2, Low: 1} },
		"Stretch.High is 0; want a number above Stretch.Low, 1":               func(c *lm.Config) { c.Stretch = &lm.Stretch{Kind: lm.Llama3, Factor: 2, Low: 1, Trained: 5} },
		"Config.Stretch has frequencies from 4 to 4 turns in 5 positions":     func(c *lm.Config) { c.Stretch = &lm.Stretch{Kind: lm.Llama3, Factor: 2, Low: 4, High: 4, Trained: 5} },
		"Config.Stretch has frequencies from 1 to 4 turns in 0 positions":     func(c *lm.Config) { c.Stretch = &lm.Stretch{Kind: lm.Llama3, Factor: 2, Low: 1, High: 4} },
		"Mixture.Experts is 0":                                                func(c *lm.Config) { c.Experts = 0 },
		"Mixture.Shared is -1":                                                func(c *lm.Config) { c.Shared = -1 },
		"Mixture.Dense is 3; want 0 to Config.Layers, 2":                      func(c *lm.Config) { c.Dense = 3 },
		"Mixture.Groups is 4 and Mixture.Experts 6; want a divisor":           func(c *lm.Config) { c.Groups = 4 },
		"Mixture.Kept is 4; want Mixture.Groups, 3, at most":                  func(c *lm.Config) { c.Kept = 4 },
		"Mixture.Each is 5; a token chooses from 4 experts":                   func(c *lm.Config) { c.Each = 5 },
		"Mixture.Factor is -1":                                                func(c *lm.Config) { c.Factor = -1 },
		"Latent.Rank is 0":                                                    func(c *lm.Config) { c.Rank = 0 },
		"Latent.Queries is -1":                                                func(c *lm.Config) { c.Queries = -1 },
		"Latent.Turned is 3; want an even number":                             func(c *lm.Config) { c.Turned = 3 },
		"Config.KeyHeads is 3 with a Latent; want Config.Heads, 6, or 0":      func(c *lm.Config) { c.KeyHeads = 3 },
		"Config.Bias is true with a Latent; want false":                       func(c *lm.Config) { c.Bias = true },
		"sequences have 7 positions; want 1 to Config.Context, 6":             func(c *lm.Config) { c.Context = 6 },
	} {
		c, mixture, latent := every, *every.Mixture, *every.Latent
		c.Mixture, c.Latent = &mixture, &latent
		change(&c)
		if _, err := lm.New(c, positions, 1); err == nil || !strings.HasPrefix(err.Error(), "lm: "+want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := lm.New(small, 0, 1); err == nil || err.Error() != "lm: sequences have 0 positions; want 1 to Config.Context, 9" {
		t.Errorf("error %v", err)
	}
	spec := data.Spec{In: map[string]data.Field{data.Input: {Shape: tensor.Shape{7}, Dtype: tensor.Float32}}}
	if _, err := student.New(small, spec, 1); err == nil || !strings.Contains(err.Error(), `a language model wants the input "x" of ids, (T) of int`) {
		t.Errorf("error %v", err)
	}
	if _, err := student.New(small, lm.Spec(10), 1); err == nil || !strings.Contains(err.Error(), "sequences have 10 positions") {
		t.Errorf("error %v", err)
	}
}

// folder is a model in a folder, whose config.json was changed.
func folder(t *testing.T, change func(config map[string]any)) string {
	t.Helper()
	dir := t.TempDir()
	if err := lm.Save(dir, must(lm.New(small, positions, 1))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	config := map[string]any{}
	if err := json.Unmarshal(must(os.ReadFile(path)), &config); err != nil {
		t.Fatal(err)
	}
	change(config)
	if err := os.WriteFile(path, must(json.Marshal(config)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoadRefuses(t *testing.T) {
	for want, change := range map[string]func(c map[string]any){
		`config.json: hidden_act is "gelu"; want "silu"`:                      func(c map[string]any) { c["hidden_act"] = "gelu" },
		`config.json: lm: Stretch.Kind is ""; want "linear" or "llama3"`:      func(c map[string]any) { c["rope_scaling"] = map[string]any{"factor": 8} },
		`config.json: use_sliding_window is true; want false`:                 func(c map[string]any) { c["use_sliding_window"] = true },
		`config.json: lm: Stretch.Kind is "yarn"; want "linear" or "llama3"`:  func(c map[string]any) { c["rope_parameters"] = map[string]any{"rope_type": "yarn"} },
		`config.json: the dtype is "int8"`:                                    func(c map[string]any) { c["torch_dtype"] = "int8" },
		`config.json: lm: Config.Type is "mamba"`:                             func(c map[string]any) { c["model_type"] = "mamba" },
		"model.safetensors: student: load: the file and the model do not fit": func(c map[string]any) { c["vocab_size"] = 12 },
		"model.layers.1.input_layernorm.weight":                               func(c map[string]any) { c["num_hidden_layers"] = 1 },
		"model.safetensors has":                                               func(c map[string]any) { c["num_hidden_layers"] = 1 << 20 },
	} {
		if _, err := lm.Load(folder(t, change), positions); err == nil || !strings.HasPrefix(err.Error(), "lm: load: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := lm.Load(t.TempDir(), positions); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("error %v", err)
	}
	if _, err := lm.Load(folder(t, func(map[string]any) {}), 10); err == nil || !strings.Contains(err.Error(), "sequences have 10 positions") {
		t.Errorf("error %v", err)
	}
}

// Newer files have theta and the dtype somewhere else.
func TestLoadNewerConfig(t *testing.T) {
	m, err := lm.Load(folder(t, func(c map[string]any) {
		delete(c, "rope_theta")
		delete(c, "torch_dtype")
		c["rope_parameters"] = map[string]any{"rope_type": "default", "rope_theta": 500.0}
		c["dtype"] = "float64"
	}), positions)
	if err != nil {
		t.Fatal(err)
	}
	if c := m.Module().(lm.Config); c.Theta != 500 || m.Dtype() != tensor.Float64 || c.Stretch != nil {
		t.Errorf("theta is %v and the dtype %v, with %v; want 500 and float64, with no stretch", c.Theta, m.Dtype(), c.Stretch)
	}
	want := lm.Stretch{Kind: lm.Llama3, Factor: 8, Low: 1, High: 4, Trained: 8192}
	for _, change := range []func(c map[string]any){
		func(c map[string]any) {
			c["rope_parameters"] = map[string]any{"rope_type": "llama3", "rope_theta": 500.0, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}
		},
		func(c map[string]any) {
			c["rope_theta"] = 500.0
			c["rope_scaling"] = map[string]any{"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}
		},
	} {
		m, err := lm.Load(folder(t, change), positions)
		if err != nil {
			t.Fatal(err)
		}
		if c := m.Module().(lm.Config); c.Stretch == nil || *c.Stretch != want || c.Theta != 500 {
			t.Errorf("the stretch is %+v, and theta %v; want %+v, and 500", c.Stretch, c.Theta, want)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	if err := lm.Save(t.TempDir(), nil); err == nil || err.Error() != "lm: the model is nil; want one that New or Load made" {
		t.Errorf("error %v", err)
	}
	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
		return student.Taps{"logits": b.Layer("embed", student.Embedding{Size: 3, Width: 4}, in[data.Input])}
	})
	if err := lm.Save(t.TempDir(), must(student.New(net, lm.Spec(3), 1))); err == nil || !strings.Contains(err.Error(), "the module of the model is a student.ModuleFunc; want a Config") {
		t.Errorf("error %v", err)
	}
}

// The bias of an expert falls when too many tokens go to it, and those of others
// rise: in training, and there alone.
func TestBiasBalances(t *testing.T) {
	c := every
	mixture := *every.Mixture
	mixture.BiasStep = 0.25
	c.Mixture = &mixture
	m := must(lm.New(c, positions, 1))
	var bias *student.Param
	for p := range m.Params() {
		if p.Name == "model.layers.1.mlp.gate.e_score_correction_bias" {
			bias = p
		}
	}
	in := inputs(ids(c.Vocab))
	must(m.Predict(in))
	if slices.ContainsFunc(bias.Value.Float32s(), func(v float32) bool { return v != 0 }) {
		t.Fatalf("a prediction moved the bias to %v", bias.Value)
	}
	p := must(m.Compile(student.Mode{Rows: batch, Training: true}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return nil, []*gorgonia.Node{taps["logits"]}
	}))
	if err := p.Bind(in); err != nil {
		t.Fatal(err)
	}
	sum := float32(0)
	for range 3 {
		if err := p.Run(0); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range bias.Value.Float32s() {
		if v != 0 && math.Abs(float64(v)) < 0.25 {
			t.Errorf("a bias is %v; want multiples of 0.25", v)
		}
		sum += float32(math.Abs(float64(v)))
	}
	if sum == 0 || !bias.Buffer {
		t.Errorf("the bias is %v, a buffer: %v; want one that moved", bias.Value, bias.Buffer)
	}
}

// used is the memory of a training graph after a run, for so many samples and
// positions.
func used(t *testing.T, c lm.Config, samples, length int) float64 {
	t.Helper()
	c.Context = length
	m := must(lm.New(c, length, 1))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := tensor.New(tensor.WithShape(samples, length), tensor.WithBacking(make([]int, samples*length)))
	p := must(m.Compile(student.Mode{Rows: samples, Training: true}, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		return b.Op(gorgonia.Sum(b.Op(gorgonia.Square(taps["logits"])))), nil
	}))
	if err := p.Bind(inputs(v)); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(0); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(p)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// Four times the samples, or the length, take four times the memory, and not more, of
// each kind of model.
func TestMemoryIsLinear(t *testing.T) {
	for kind, c := range map[string]lm.Config{"small": small, "every": every} {
		base := used(t, c, 8, 64)
		for name, n := range map[string]float64{"batch": used(t, c, 32, 64), "length": used(t, c, 8, 256)} {
			if n > 4.2*base {
				t.Errorf("%s, %s: %.0f bytes became %.0f; want 4.2 times as many at most", kind, name, base, n)
			}
		}
	}
}

// Whatever a configuration says, it is refused or valid.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"llama","vocab_size":11,"hidden_size":24,"intermediate_size":20,"num_hidden_layers":2,"num_attention_heads":6,"max_position_embeddings":9,"head_dim":null}`))
	f.Add([]byte(`{"model_type":"deepseek_v3","n_routed_experts":6,"kv_lora_rank":3,"rope_parameters":{"rope_theta":1e4}}`))
	f.Add([]byte(`{"rope_scaling":{}}`))
	f.Add([]byte(`{"vocab_size":11,"hidden_size":24,"intermediate_size":20,"num_hidden_layers":2,"num_attention_heads":6,"max_position_embeddings":9,"rope_parameters":{"type":"llama3","factor":2,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":5}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, d, err := lm.Parse(text)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if d != tensor.Float32 && d != tensor.Float64 {
			t.Fatalf("the dtype is %v", d)
		}
	})
}

// A saved student of each kind is run without Gorgonia, on ids, and knows no others.
func TestInfer(t *testing.T) {
	for _, r := range references(t) {
		m := r.model(tensor.Float32)
		p := inferred(t, m)
		v := ids(r.Config.Vocab)
		in := asFloats(v)
		want := everything(m, inputs(v))
		for name, got := range must(p.Run(map[string][]float32{data.Input: in})) {
			if !slices.Equal(got, want[name].Float32s()) {
				t.Errorf("%s: infer says something else of %s than the model", r.Name, name)
			}
		}
		in[positions+3] = float32(r.Config.Vocab)
		got := must(p.Run(map[string][]float32{data.Input: in}))["logits"]
		if size := positions * r.Config.Vocab; !slices.Equal(got[:size], want["logits"].Float32s()[:size]) || got[size+3*r.Config.Vocab] == got[size+3*r.Config.Vocab] {
			t.Errorf("%s: an unknown id is known, or changes another sample", r.Name)
		}
	}
}

// Weights of fewer bits are those of experts and of latent attention as well.
func TestInferPrecisions(t *testing.T) {
	for _, r := range references(t) {
		m := r.model(tensor.Float32)
		var file bytes.Buffer
		if err := m.Save(&file); err != nil {
			t.Fatal(err)
		}
		v := ids(r.Config.Vocab)
		want := widened(must(m.Predict(inputs(v)))["logits"])
		for precision, most := range map[infer.Precision]float64{infer.Float16: 0.01, infer.Int8: 0.2} {
			p, err := precision.Load(bytes.NewReader(file.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			got := []float64{}
			for _, z := range must(p.Run(map[string][]float32{data.Input: asFloats(v)}))["logits"] {
				got = append(got, float64(z))
			}
			if off := apart(got, want); !(off > 1e-6 && off < most) {
				t.Errorf("%s in %v: logits are off by %v of the largest; want less than %v, and some", r.Name, precision, off, most)
			}
		}
	}
}

// everything is all that a model says.
func everything(m *student.Model, batch data.Batch) data.Signals {
	return must(m.Predict(batch, slices.Sorted(maps.Keys(m.Taps()))...))
}

// inferred is a model that was saved, and is run without Gorgonia.
func inferred(t *testing.T, m *student.Model) *infer.Predictor {
	t.Helper()
	var file bytes.Buffer
	if err := m.Save(&file); err != nil {
		t.Fatal(err)
	}
	p, err := infer.Load(&file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func asFloats(v *tensor.Dense) (all []float32) {
	for _, id := range v.Ints() {
		all = append(all, float32(id))
	}
	return all
}
