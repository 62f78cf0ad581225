// Reasoning checks the summary.json of examples/reasoning: that it has the arms, and
// that the teacher is above its base and each distilled student above the one that
// learnt answers alone.
//
//	go run .ci/reasoning.go runs/reasoning/summary.json
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// An arm is a model at the end of its stages.
type arm struct {
	Arm    string  `json:"arm"`
	Params int     `json:"params"`
	Pass1  float64 `json:"pass1"`
	Low    float64 `json:"pass1_low"`
	High   float64 `json:"pass1_high"`
	Cons64 float64 `json:"cons64"`
	Flops  float64 `json:"train_flops"`
}

func main() {
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s struct {
		Arms []arm `json:"arms"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	of := map[string]arm{}
	for _, a := range s.Arms {
		of[a.Arm] = a
	}
	for better, worse := range map[string]string{
		"teacher": "base", "distilled_small": "answers_only_small", "distilled_medium": "answers_only_small", "distilled_large": "answers_only_small",
	} {
		if of[better].Pass1 <= of[worse].Pass1 {
			return fmt.Errorf("pass1 is %v of %s and %v of %s; want more", of[better].Pass1, better, of[worse].Pass1, worse)
		}
	}
	for _, name := range []string{"base", "teacher", "distilled_small", "distilled_medium", "distilled_large", "answers_only_small", "rl_small"} {
		if a := of[name]; a.Params < 1 || a.Flops <= 0 || a.Low > a.Pass1 || a.Pass1 > a.High || a.High > 1 || a.Cons64 > 1 {
			return fmt.Errorf("%s is %+v; want an arm with shares from 0 to 1", name, a)
		}
	}
	return nil
}
