package lm

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/atomicfile"
	"github.com/godistill/godistill/internal/safetensors"
	"github.com/godistill/godistill/student"
)

// The files of a folder.
const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
)

// Load reads a model from a folder in the layout of Hugging Face, config.json and
// model.safetensors or, where the weights are in several files, the
// model.safetensors.index.json that names them, for sequences of so many positions.
// It computes in float64 if the configuration says so, and else in float32; weights
// of float16 and bfloat16 are widened. It fails on a configuration that means
// something else than what a [Config] says, and where a weight is missing, or is one
// too many.
func Load(dir string, positions int) (*student.Model, error) {
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return nil, fmt.Errorf("lm: load: %w", err)
	}
	c, d, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("lm: load: %s: %w", configFile, err)
	}
	w, err := findShards(dir)
	if err == nil {
		err = w.fit(c)
	}
	if err != nil {
		return nil, fmt.Errorf("lm: load: %w", err)
	}
	m, err := NewOf(c, positions, d, 0)
	if err != nil {
		return nil, err
	}
	if err := w.load(m, c.Tied); err != nil {
		return nil, fmt.Errorf("lm: load: %w", err)
	}
	return m, nil
}

// size is how many weights there are, without the small ones.
func (c Config) size() float64 {
	c = c.defaults()
	width := float64(c.Width)
	attention := 2 * width * float64(c.HeadWidth) * float64(c.Heads+c.KeyHeads)
	if c.Latent != nil {
		attention = width * float64(c.Heads*c.Values) // and more
	}
	dense, feed := float64(c.Layers), 0.0
	if c.Mixture != nil {
		dense = min(dense, float64(c.Dense))
		feed = (float64(c.Layers) - dense) * 3 * width * float64(c.ExpertWidth) * float64(c.Experts)
	}
	return float64(c.Layers)*attention + dense*3*width*float64(c.Inner) + feed + width*float64(c.Vocab)
}

// settings are what config.json says besides, of which one value is computed here.
var settings = map[string][]string{
	"hidden_act":            {`"silu"`},
	"mlp_bias":              {`false`},
	"use_sliding_window":    {`false`},
	"partial_rotary_factor": {`1`, `1.0`},
	"pretraining_tp":        {`1`},
	"quantization_config":   {`null`},
	"scoring_func":          {`"sigmoid"`},
	"topk_method":           {`"noaux_tc"`},
	"moe_layer_freq":        {`1`},
	"rope_interleave":       {`true`},
}

// precision are the names of dtypes.
var precision = map[string]tensor.Dtype{
	"": tensor.Float32, "float16": tensor.Float32, "bfloat16": tensor.Float32, "float32": tensor.Float32, "float64": tensor.Float64,
}

// A file is config.json: a Config with what other programs want to know.
type file struct {
	Config
	Architectures []string `json:"architectures,omitempty"`
	Act           string   `json:"hidden_act,omitempty"`
	Dtype         string   `json:"torch_dtype,omitempty"`
	NewDtype      string   `json:"dtype,omitempty"` // its name in newer files
	Rope          *rope    `json:"rope_parameters,omitempty"`
}

// rope is where newer files have theta, and what stretches positions.
type rope struct {
	Theta float64
	Stretch
}

// UnmarshalJSON reads both: embedded, Stretch would read all alone.
func (r *rope) UnmarshalJSON(text []byte) error {
	var theta struct {
		Theta float64 `json:"rope_theta"`
	}
	if err := json.Unmarshal(text, &theta); err != nil {
		return err
	}
	r.Theta = theta.Theta
	return json.Unmarshal(text, &r.Stretch)
}

// parse is the configuration of a config.json, and what to compute in.
func parse(text []byte) (Config, tensor.Dtype, error) {
	var all map[string]json.RawMessage
	var f file
	if err := json.Unmarshal(text, &all); err != nil {
		return Config{}, tensor.Dtype{}, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return Config{}, tensor.Dtype{}, err
	}
	for key, known := range settings {
		if value, ok := all[key]; ok && !slices.Contains(known, string(value)) {
			return Config{}, tensor.Dtype{}, fmt.Errorf("%s is %s; want %s", key, value, known[0])
		}
	}
	if r := f.Rope; r != nil {
		f.Theta, f.Stretch = r.Theta, &r.Stretch
		if r.Kind == "" {
			f.Stretch = nil
		}
	}
	if f.Stretch != nil && f.Stretch.Kind == "default" {
		f.Stretch = nil
	}
	d, ok := precision[f.Dtype+f.NewDtype]
	if !ok {
		return Config{}, tensor.Dtype{}, fmt.Errorf("the dtype is %q; want float16, bfloat16, float32 or float64", f.Dtype+f.NewDtype)
	}
	return f.Config, d, f.Config.Validate()
}

// architectures are the names of the programs that read such a model elsewhere.
var architectures = map[string]string{Llama: "LlamaForCausalLM", Qwen2: "Qwen2ForCausalLM", DeepSeekV3: "DeepseekV3ForCausalLM"}

// Save writes a model that New or Load made to a folder, which it makes if there is
// none, in the layout that [Load] and Hugging Face's transformers read.
func Save(dir string, m *student.Model) error {
	c, err := configOf(m)
	if err != nil {
		return err
	}
	c = c.defaults()
	f := file{Config: c, Architectures: []string{architectures[c.Type]}, Act: "silu", Dtype: m.Dtype().String()}
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, weightsFile), func(w io.Writer) error { return weights(w, m) })
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, configFile), func(w io.Writer) error {
			_, err := w.Write(append(text, '\n'))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("lm: save: %w", err)
	}
	return nil
}

// weights writes all parameters, with what transformers wants to be told.
func weights(w io.Writer, m *student.Model) error {
	var all []safetensors.Tensor
	for p := range m.Params() {
		switch v := p.Value.Data().(type) {
		case []float32:
			all = append(all, safetensors.Of(p.Name, p.Value.Shape(), v))
		case []float64:
			all = append(all, safetensors.Of(p.Name, p.Value.Shape(), v))
		}
	}
	return safetensors.WriteSummed(w, all, map[string]string{"format": "pt"})
}
