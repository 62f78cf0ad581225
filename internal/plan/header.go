package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The keys of the metadata of a file.
const (
	keyFormat    = "format" // "pt": what readers of PyTorch weights look for
	keyPlan      = "godistill.plan"
	keyUnlowered = "godistill.unlowered"
	keyClasses   = "godistill.classes"
	keyNorm      = "godistill.norm"
)

// A Header is what a saved network says about itself.
type Header struct {
	// Plan is the forward pass, nil when it could not be lowered.
	Plan *Plan
	// Unlowered is the reason when there is no plan.
	Unlowered string
	// Classes are the names of the classes in the order of the logits, if known.
	Classes []string
	// Norm is what was done to the raw inputs, by name.
	Norm map[string]Norm
}

// A Norm is the change (raw - Mean) / SD of an input. Mean and SD have one
// element for the whole input, one for each element of it, or none.
type Norm struct {
	Mean []float64 `json:"mean"`
	SD   []float64 `json:"sd"`
}

// Encode is the metadata of h. It fails when a norm is not finite.
func (h Header) Encode() (map[string]string, error) {
	meta := map[string]string{keyFormat: "pt"}
	put := func(key string, value any, present bool) error {
		if !present {
			return nil
		}
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("plan: %s: %w", key, err)
		}
		meta[key] = string(text)
		return nil
	}
	if h.Unlowered != "" {
		meta[keyUnlowered] = h.Unlowered
	}
	return meta, errors.Join(
		put(keyPlan, h.Plan, h.Plan != nil),
		put(keyClasses, h.Classes, len(h.Classes) > 0),
		put(keyNorm, h.Norm, len(h.Norm) > 0))
}

// Decode reads a header from metadata, and ignores keys that it does not know.
// The plan that it returns is still to be validated.
func Decode(meta map[string]string) (Header, error) {
	h := Header{Unlowered: meta[keyUnlowered]}
	take := func(key string, field any) error {
		text, ok := meta[key]
		if !ok {
			return nil
		}
		if err := json.Unmarshal([]byte(text), field); err != nil {
			return fmt.Errorf("plan: %s: %w", key, err)
		}
		return nil
	}
	err := errors.Join(take(keyPlan, &h.Plan), take(keyClasses, &h.Classes), take(keyNorm, &h.Norm))
	if err != nil {
		return Header{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(h.Norm)) {
		if err := h.Norm[name].check(); err != nil {
			return Header{}, fmt.Errorf("plan: %s: input %q: %w", keyNorm, name, err)
		}
	}
	return h, nil
}

func (n Norm) check() error {
	if len(n.Mean) != len(n.SD) {
		return fmt.Errorf("%d means and %d SDs", len(n.Mean), len(n.SD))
	}
	for _, sd := range n.SD {
		if sd <= 0 {
			return fmt.Errorf("an SD of %v; want more than 0", sd)
		}
	}
	return nil
}
