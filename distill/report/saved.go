package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/godistill/godistill/distill"
)

// A saved run is what a [Folder] wrote of one.
type saved struct {
	plan  description
	end   summary
	steps []distill.Step
}

// load reads the folder of a run that has ended. Its errors name the file.
func load(dir string) (s saved, err error) {
	if s.plan, err = loadFile(dir, "run.json", parseRun); err != nil {
		return s, err
	}
	if s.end, err = loadFile(dir, "summary.json", parseSummary); err != nil {
		return s, err
	}
	s.steps, err = loadFile(dir, "metrics.jsonl", func(text []byte) ([]distill.Step, error) {
		return read(bytes.NewReader(text))
	})
	return s, err
}

func loadFile[T any](dir, name string, parse func([]byte) (T, error)) (content T, err error) {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return content, fmt.Errorf("%w; want the folder of a run that has ended, as a Folder leaves it", err)
	}
	if err != nil {
		return content, err
	}
	if content, err = parse(text); err != nil {
		return content, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

// parseRun reads a run.json.
func parseRun(text []byte) (description, error) {
	d := description{Steps: -1}
	if err := json.Unmarshal(text, &d); err != nil {
		return description{}, err
	}
	switch {
	case d.Steps < 0:
		return description{}, errors.New("steps is missing or below 0; want 0 or more")
	case d.Go == "":
		return description{}, errors.New("go is missing or empty; want the version that ran it")
	}
	return d, nil
}

// parseSummary reads a summary.json.
func parseSummary(text []byte) (summary, error) {
	s := summary{Steps: -1}
	if err := json.Unmarshal(text, &s); err != nil {
		return summary{}, err
	}
	if s.Steps < 0 {
		return summary{}, errors.New("steps is missing or below 0; want 0 or more")
	}
	return s, nil
}

// final is the last of the steps' values that there is, NaN without one.
func final(steps []distill.Step, get func(distill.Step) float64) float64 {
	for _, s := range slices.Backward(steps) {
		if v := get(s); !math.IsNaN(v) {
			return v
		}
	}
	return math.NaN()
}
