package lm

import (
	"cmp"
	"fmt"
	"math"
)

// What Config.Type knows.
const (
	Llama = "llama" // no biases, or all of attention's with Config.Bias
	Qwen2 = "qwen2" // biases of queries, keys and values
)

// A Config says what a language model is. Its fields have the names of Hugging
// Face's config.json in the file.
type Config struct {
	Type      string  `json:"model_type"`              // Llama or Qwen2; "" means Llama
	Vocab     int     `json:"vocab_size"`              // ids, from 0
	Width     int     `json:"hidden_size"`             // of what goes from layer to layer
	Inner     int     `json:"intermediate_size"`       // width inside of a feed-forward network
	Layers    int     `json:"num_hidden_layers"`       // blocks of attention and a feed-forward network
	Heads     int     `json:"num_attention_heads"`     // of queries
	KeyHeads  int     `json:"num_key_value_heads"`     // of keys and values, a divisor of Heads; 0 means Heads
	HeadWidth int     `json:"head_dim,omitempty"`      // of a head, an even number; 0 means Width/Heads
	Context   int     `json:"max_position_embeddings"` // the longest sequence
	Eps       float64 `json:"rms_norm_eps"`            // of norms; 0 means 1e-6
	Theta     float64 `json:"rope_theta"`              // of rotary positions; 0 means 10000
	Tied      bool    `json:"tie_word_embeddings"`     // the head's weight is that of the embeddings
	Bias      bool    `json:"attention_bias"`          // attention's four layers have biases
	// Spread is the standard deviation of new weights; 0 means 0.02.
	Spread float64 `json:"initializer_range"`
}

// defaults are the fields with what 0 means.
func (c Config) defaults() Config {
	c.Type = cmp.Or(c.Type, Llama)
	c.KeyHeads = cmp.Or(c.KeyHeads, c.Heads)
	c.HeadWidth = cmp.Or(c.HeadWidth, c.Width/max(c.Heads, 1))
	c.Eps, c.Theta, c.Spread = cmp.Or(c.Eps, 1e-6), cmp.Or(c.Theta, 10000), cmp.Or(c.Spread, 0.02)
	return c
}

// most bounds sizes, so that their products fit an int.
const most = 1 << 24

// Validate says what is wrong with the configuration, naming the field.
func (c Config) Validate() error {
	d := c.defaults()
	if d.Type != Llama && d.Type != Qwen2 {
		return fmt.Errorf("lm: Config.Type is %q; want %q or %q", c.Type, Llama, Qwen2)
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Vocab", d.Vocab}, {"Width", d.Width}, {"Inner", d.Inner}, {"Layers", d.Layers},
		{"Heads", d.Heads}, {"KeyHeads", d.KeyHeads}, {"HeadWidth", d.HeadWidth}, {"Context", d.Context},
	} {
		if f.value < 1 || f.value > most {
			return fmt.Errorf("lm: Config.%s is %d; want 1 to %d", f.name, f.value, most)
		}
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"Eps", d.Eps}, {"Theta", d.Theta}, {"Spread", d.Spread}} {
		if !(f.value > 0) || math.IsInf(f.value, 0) {
			return fmt.Errorf("lm: Config.%s is %v; want a finite number above 0, or 0 for the default", f.name, f.value)
		}
	}
	return d.checkHeads()
}

func (c Config) checkHeads() error {
	switch {
	case c.Heads%c.KeyHeads != 0:
		return fmt.Errorf("lm: Config.KeyHeads is %d and Config.Heads %d; want a divisor", c.KeyHeads, c.Heads)
	case c.HeadWidth%2 != 0:
		return fmt.Errorf("lm: Config.HeadWidth is %d; want an even number", c.HeadWidth)
	}
	return nil
}

// scale is that of scores, so that their spread does not grow with the width.
func scale(width int) float64 { return 1 / math.Sqrt(float64(width)) }
