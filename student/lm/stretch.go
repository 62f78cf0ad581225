package lm

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/godistill/godistill/internal/kernel"
)

// What Stretch.Kind knows, as transformers' modeling_rope_utils.py has them.
const (
	// Linear divides all frequencies by Factor (Chen et al. 2023, 2306.15595).
	Linear = "linear"
	// Llama3 divides low frequencies alone, as Llama 3.1 does: those of pairs that
	// turn Low times or less in Trained positions. Those that turn High times or more
	// stay as they are, and between them it goes from one to the other.
	Llama3 = "llama3"
)

// A Stretch makes the frequencies of rotary positions lower, for longer sequences
// than a model was trained on: config.json's rope_scaling.
type Stretch struct {
	Kind   string  `json:"rope_type"` // one of the above
	Factor float64 `json:"factor"`    // what frequencies are divided by, 1 or more
	// Low and High are turns in Trained positions, Low above 0 and High above it, and
	// Trained is how many a sequence had in training: of Llama3 alone.
	Low     float64 `json:"low_freq_factor,omitempty"`
	High    float64 `json:"high_freq_factor,omitempty"`
	Trained int     `json:"original_max_position_embeddings,omitempty"`
}

// UnmarshalJSON reads also the name that Kind has in older files.
func (s *Stretch) UnmarshalJSON(text []byte) error {
	type plain Stretch
	var all struct {
		plain
		Old string `json:"type"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	*s = Stretch(all.plain)
	s.Kind = cmp.Or(s.Kind, all.Old)
	return nil
}

func (s *Stretch) validate() error {
	if s == nil {
		return nil
	}
	set := s.Low != 0 || s.High != 0
	switch {
	case s.Kind != Linear && s.Kind != Llama3:
		return fmt.Errorf("lm: Stretch.Kind is %q; want %q or %q", s.Kind, Linear, Llama3)
	case s.Kind == Linear && set:
		return fmt.Errorf("lm: Stretch.Low is %v and Stretch.High %v, with Kind %q; want none", s.Low, s.High, Linear)
	case s.Kind == Llama3 && !(s.High > 0):
		return fmt.Errorf("lm: Stretch.High is %v; want a number above Stretch.Low, %v", s.High, s.Low)
	}
	if err := s.kernel().Check(); err != nil {
		return fmt.Errorf("lm: Config.Stretch has %w", err)
	}
	return nil
}

// kernel is what the arithmetic is told.
func (s *Stretch) kernel() *kernel.Stretch {
	switch {
	case s == nil:
		return nil
	case s.Kind == Linear:
		return &kernel.Stretch{Factor: s.Factor}
	}
	return &kernel.Stretch{Factor: s.Factor, Low: s.Low, High: s.High, Trained: s.Trained}
}
