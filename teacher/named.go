package teacher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godistill/godistill/data"
)

// Named is several teachers side by side. Their signals are told apart by a
// prefix: the logits of teacher "a" are "a/logits". It refuses teachers whose
// classes or top-k temperatures contradict each other.
type Named map[string]Teacher

// Card implements [Teacher].
func (n Named) Card() (Card, error) {
	names, err := n.names()
	if err != nil {
		return Card{}, err
	}
	all := Card{Signals: map[string]data.Field{}}
	var prints [][32]byte
	for _, name := range names {
		card, err := n[name].Card()
		if err != nil {
			return Card{}, fmt.Errorf("teacher: Named[%q]: %w", name, err)
		}
		for signal, f := range card.Signals {
			all.Signals[name+"/"+signal] = f
		}
		var ok bool
		if all.Classes, ok = agree(all.Classes, card.Classes); !ok {
			return Card{}, fmt.Errorf("teacher: Named[%q] has other classes than the teachers before it; want the same, in the same order", name)
		}
		if all.Temps, ok = agree(all.Temps, card.Temps); !ok {
			return Card{}, fmt.Errorf("teacher: Named[%q] has Temps %v; want %v, as the teachers before it", name, card.Temps, all.Temps)
		}
		all.Live = all.Live || card.Live
		prints = append(prints, card.Fingerprint)
	}
	all.Fingerprint = join(fmt.Sprintf("named %q", names), prints...)
	return all, nil
}

// Teach implements [Teacher].
func (n Named) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	names, err := n.names()
	if err != nil {
		return nil, err
	}
	all := data.Signals{}
	for _, name := range names {
		signals, err := n[name].Teach(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("teacher: Named[%q]: %w", name, err)
		}
		for signal, t := range signals {
			all[name+"/"+signal] = t
		}
	}
	return all, nil
}

// Covers says before the first batch why one of the teachers cannot answer
// samples of a spec, if it can tell: see [Cache.Covers].
func (n Named) Covers(spec data.Spec) error {
	for _, name := range slices.Sorted(maps.Keys(n)) {
		if err := covers(spec, n[name]); err != nil {
			return fmt.Errorf("teacher: Named[%q]: %w", name, err)
		}
	}
	return nil
}

func (n Named) names() ([]string, error) {
	if len(n) == 0 {
		return nil, errors.New("teacher: Named is empty; want 1 teacher or more")
	}
	names := slices.Sorted(maps.Keys(n))
	for _, name := range names {
		if name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("teacher: Named has the name %q; want a name without a slash", name)
		}
		if n[name] == nil {
			return nil, fmt.Errorf("teacher: Named[%q] is nil; want a Teacher", name)
		}
	}
	return names, nil
}
