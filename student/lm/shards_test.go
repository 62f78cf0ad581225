package lm_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godistill/godistill/internal/safetensors"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
)

const (
	first  = "model-00001-of-00002.safetensors"
	second = "model-00002-of-00002.safetensors"
)

// sharded is a folder whose weights are in two files, as the index says, which may be
// changed first. Another has the tensors of either in which it puts them.
func sharded(t *testing.T, m *student.Model, put, index map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := lm.Save(dir, m); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	files, weights := map[string][]safetensors.Tensor{first: nil, second: nil}, map[string]string{}
	for p := range m.Params() {
		file := second
		if strings.HasPrefix(p.Name, "model.layers.0.") || strings.Contains(p.Name, "embed") {
			file = first
		}
		weights[p.Name] = file
		if other, ok := put[p.Name]; ok {
			file = other
		}
		files[file] = append(files[file], safetensors.Of(p.Name, p.Value.Shape(), p.Value.Float32s()))
	}
	for name, file := range index {
		if weights[name] = file; file == "none" {
			delete(weights, name)
		}
	}
	for name, all := range files {
		f := must(os.Create(filepath.Join(dir, name)))
		if err := safetensors.WriteSummed(f, all, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text := must(json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 7}, "weight_map": weights}))
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A model whose weights are in several files is the one whose weights are in one.
func TestLoadShards(t *testing.T) {
	for _, c := range []lm.Config{small, every} {
		m := must(lm.New(c, positions, 1))
		n, err := lm.Load(sharded(t, m, nil, nil), positions)
		if err != nil {
			t.Fatal(err)
		}
		if n.Fingerprint() != m.Fingerprint() {
			t.Error("the model is another one")
		}
	}
}

func TestLoadShardsRefuses(t *testing.T) {
	const norm, head = "model.norm.weight", "lm_head.weight"
	m := must(lm.New(small, positions, 1))
	for want, change := range map[string]struct{ put, index map[string]string }{
		"model.safetensors.index.json: weight_map does not have model.norm.weight":                {nil, map[string]string{norm: "none"}},
		first + " has model.norm.weight, which model.safetensors.index.json says is in " + second: {map[string]string{norm: first}, nil},
		first + ": student: load: the file and the model do not fit:\n\tthe file does not have lm_head.weight": {
			nil, map[string]string{head: first},
		},
		"model-00003-of-00002.safetensors: no such file": {nil, map[string]string{norm: "model-00003-of-00002.safetensors"}},
		`weight_map has "../x.safetensors" for "model.norm.weight"; want a safetensors file of the same folder`: {
			nil, map[string]string{norm: "../x.safetensors"},
		},
		"the model does not have model.more": {map[string]string{}, map[string]string{"model.more": first}},
	} {
		dir := sharded(t, m, change.put, change.index)
		if change.put != nil && len(change.put) == 0 { // a tensor that nobody knows
			f := must(os.Create(filepath.Join(dir, first)))
			if err := safetensors.WriteSummed(f, []safetensors.Tensor{safetensors.Of("model.more", []int{3}, []float32{1, 2, 3})}, nil); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := lm.Load(dir, positions)
		if err == nil || !strings.HasPrefix(err.Error(), "lm: load: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
}

// Whatever an index says, it is refused or names files of the folder.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":7},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"/etc/x.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"..","":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		of, err := lm.ParseIndex(text)
		if err != nil {
			return
		}
		if len(of) == 0 {
			t.Fatal("there are no weights")
		}
		for name, file := range of {
			if name == "" || filepath.Join("dir", file) != "dir"+string(filepath.Separator)+file || !strings.HasSuffix(file, ".safetensors") {
				t.Fatalf("%q is in %q", name, file)
			}
		}
	})
}
