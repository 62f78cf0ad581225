package lm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/godistill/godistill/student"
)

// indexFile says which file has which weight, where there are several.
const indexFile = "model.safetensors.index.json"

// shards are the files of a folder's weights.
type shards struct {
	dir   string
	files []string
	// of is the file of each weight, nil where one file has all.
	of map[string]string
}

// findShards are the one file, or those of the index.
func findShards(dir string) (*shards, error) {
	_, none := os.Stat(filepath.Join(dir, weightsFile))
	if none == nil {
		return &shards{dir: dir, files: []string{weightsFile}}, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, none // that of the file that most folders have
	}
	if err != nil {
		return nil, err
	}
	of, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	files := slices.Compact(slices.Sorted(maps.Values(of)))
	return &shards{dir, files, of}, nil
}

// parseIndex is the file of each weight: one beside the index.
func parseIndex(text []byte) (map[string]string, error) {
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	if len(index.Map) == 0 {
		return nil, errors.New("weight_map is empty; want the file of each weight")
	}
	for _, name := range slices.Sorted(maps.Keys(index.Map)) {
		if file := index.Map[name]; name == "" || !filepath.IsLocal(file) || filepath.Base(file) != file || filepath.Ext(file) != ".safetensors" {
			return nil, fmt.Errorf("weight_map has %q for %q; want a safetensors file of the same folder", file, name)
		}
	}
	return index.Map, nil
}

// fit refuses files that are too small for the weights, for which nothing is then
// allocated.
func (w *shards) fit(c Config) error {
	var all int64
	for _, name := range w.files {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			return err
		}
		all += info.Size()
	}
	const least = 2 // bytes of a weight
	if n := c.size(); float64(all) < least*n {
		return fmt.Errorf("%s has %d bytes; %s asks for %.0f weights", weightsFile, all, configFile, n)
	}
	return nil
}

// load reads the parameters of m from the files, each from the one that has it.
func (w *shards) load(m *student.Model, tied bool) error {
	if err := w.complete(m); err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	for _, file := range w.files {
		loaded, err := w.read(file, m, tied)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, name := range slices.Sorted(maps.Keys(loaded.Read)) {
			if of, ok := w.of[name]; ok && of != file {
				return fmt.Errorf("%s has %s, which %s says is in %s", file, name, indexFile, of)
			}
		}
	}
	return nil
}

// complete wants a file for each parameter.
func (w *shards) complete(m *student.Model) error {
	for p := range m.Params() {
		if w.of != nil && w.of[p.Name] == "" {
			return fmt.Errorf("weight_map does not have %s", p.Name)
		}
	}
	return nil
}

// read reads one of the files, which need not have what others have.
func (w *shards) read(file string, m *student.Model, tied bool) (student.Loaded, error) {
	// Heads ahead share the embeddings and the head, which a file may repeat.
	names := student.Names{Ignore: []string{"*.rotary_emb.inv_freq", "model.layers.*.embed_tokens.weight", "*.shared_head.head.weight"}}
	if tied {
		names.Ignore = append(names.Ignore, "lm_head.weight")
	}
	for p := range m.Params() {
		if of, ok := w.of[p.Name]; ok && of != file {
			names.Keep = append(names.Keep, p.Name)
		}
	}
	f, err := os.Open(filepath.Join(w.dir, file))
	if err != nil {
		return student.Loaded{}, err
	}
	defer f.Close()
	return m.LoadNamed(f, names)
}
