package lm

import (
	"cmp"
	"fmt"
	"math"

	"github.com/godistill/godistill/internal/kernel"
)

// What Config.Type knows.
const (
	Llama = "llama" // no biases, or all of attention's with Config.Bias
	Qwen2 = "qwen2" // biases of queries, keys and values
	// DeepSeekV3 has a Mixture, a Latent, or both, and may have Ahead.
	DeepSeekV3 = "deepseek_v3"
)

// A Config says what a language model is. Its fields have the names of Hugging
// Face's config.json in the file.
type Config struct {
	Type      string  `json:"model_type"`              // one of the above; "" means Llama, or DeepSeekV3 where only that fits
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
	// Stretch makes rotary frequencies lower; nil leaves them as they are.
	Stretch *Stretch `json:"rope_scaling,omitempty"`
	Tied    bool     `json:"tie_word_embeddings"` // the head's weight is that of the embeddings
	Bias    bool     `json:"attention_bias"`      // attention's four layers have biases
	// Spread is the standard deviation of new weights; 0 means 0.02.
	Spread float64 `json:"initializer_range"`
	// Ahead is how many heads besides predict what comes later, one id further each:
	// an extra training term (DeepSeek-V3, 2412.19437, section 2.2).
	Ahead int `json:"num_nextn_predict_layers,omitempty"`

	*Mixture // of experts in place of a feed-forward network; nil for none
	*Latent  // attention whose keys and values are compressed; nil for none
}

// defaults are the fields with what 0 means.
func (c Config) defaults() Config {
	if c.Type == "" {
		c.Type = Llama
		if c.Mixture != nil || c.Latent != nil || c.Ahead > 0 {
			c.Type = DeepSeekV3
		}
	}
	c.KeyHeads = cmp.Or(c.KeyHeads, c.Heads)
	c.HeadWidth = cmp.Or(c.HeadWidth, c.Width/max(c.Heads, 1))
	if c.Latent != nil {
		c.HeadWidth = c.Turned // as transformers has it
	}
	if c.Mixture != nil {
		m := c.Mixture.defaults()
		c.Mixture = &m
	}
	c.Eps, c.Theta, c.Spread = cmp.Or(c.Eps, 1e-6), cmp.Or(c.Theta, 10000), cmp.Or(c.Spread, 0.02)
	return c
}

// most bounds sizes, so that their products fit an int.
const most = 1 << 24

// A size is a field that counts something.
type size struct {
	field string
	value int
}

// inRange refuses sizes that are below 1, or a slip of the pen.
func inRange(of string, sizes []size) error {
	for _, s := range sizes {
		if s.value < 1 || s.value > most {
			return fmt.Errorf("lm: %s.%s is %d; want 1 to %d", of, s.field, s.value, most)
		}
	}
	return nil
}

// Validate says what is wrong with the configuration, naming the field.
func (c Config) Validate() error {
	d := c.defaults()
	if err := d.checkType(); err != nil {
		return err
	}
	sizes := []size{
		{"Vocab", d.Vocab}, {"Width", d.Width}, {"Inner", d.Inner}, {"Layers", d.Layers},
		{"Heads", d.Heads}, {"KeyHeads", d.KeyHeads}, {"HeadWidth", d.HeadWidth}, {"Context", d.Context},
	}
	if err := inRange("Config", sizes); err != nil {
		return err
	}
	if d.Ahead < 0 || d.Ahead >= d.Context {
		return fmt.Errorf("lm: Config.Ahead is %d; want 0 or more, and fewer than Config.Context, %d", d.Ahead, d.Context)
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"Eps", d.Eps}, {"Theta", d.Theta}, {"Spread", d.Spread}} {
		if !(f.value > 0) || math.IsInf(f.value, 0) {
			return fmt.Errorf("lm: Config.%s is %v; want a finite number above 0, or 0 for the default", f.name, f.value)
		}
	}
	if err := d.Stretch.validate(); err != nil {
		return err
	}
	return d.checkParts()
}

// checkType refuses parts that a type does not have.
func (c Config) checkType() error {
	switch c.Type {
	case DeepSeekV3:
		return nil
	case Llama, Qwen2:
	default:
		return fmt.Errorf("lm: Config.Type is %q; want %q, %q or %q", c.Type, Llama, Qwen2, DeepSeekV3)
	}
	if c.Mixture != nil || c.Latent != nil || c.Ahead > 0 {
		return fmt.Errorf("lm: Config.Type is %q, with a Mixture, a Latent or Ahead; want %q", c.Type, DeepSeekV3)
	}
	return nil
}

func (c Config) checkParts() error {
	if c.Mixture != nil {
		if err := c.Mixture.validate(c.Layers); err != nil {
			return err
		}
	}
	if c.Latent != nil {
		return c.Latent.validate(c)
	}
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

// angles are those of rotary positions.
func (c Config) angles() kernel.Angles {
	return kernel.Angles{Width: c.HeadWidth, Theta: c.Theta, Beside: c.Latent != nil, Stretch: c.Stretch.kernel()}
}
