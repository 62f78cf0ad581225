package teacher

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/atomicfile"
)

const (
	manifestName = "manifest.json"
	rowsName     = "rows"
	format       = 2
	maxManifest  = 64 << 20 // bytes; room for the names of a million classes
)

// A manifest says what a cache is a recording of.
type manifest struct {
	Format int   `json:"format"`
	Rows   int64 `json:"rows"`  // of the directory; 0 until all are there
	Total  int64 `json:"total"` // of the recording
	Shard  int   `json:"shard"` // which rows the directory is for: see span
	Shards int   `json:"shards"`

	Teacher digest   `json:"teacher"`
	Classes []string `json:"classes,omitempty"`
	Signals []field  `json:"signals"` // as the teacher answers them, by name

	Half  bool      `json:"half,omitempty"`
	TopK  int       `json:"top_k,omitempty"`
	Temps []float64 `json:"temps,omitempty"`

	Data        digest  `json:"data"`
	Norm        string  `json:"preprocessing"`
	DataClasses digest  `json:"data_classes"`
	Inputs      []field `json:"inputs"`
	Views       uint64  `json:"views"`
}

// span is which rows of the recording the directory is for, from the first on.
// The rows are shared out evenly, in order; the first shards have one more where
// they must.
func (m manifest) span() (first, rows int64) {
	shard, shards := int64(m.Shard), int64(m.Shards)
	rows, more := m.Total/shards, m.Total%shards
	first = shard*rows + min(shard, more)
	if shard < more {
		rows++
	}
	return first, rows
}

// A field is a data.Field with its name.
type field struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
	Dtype string `json:"dtype"`
}

func fields(all map[string]data.Field) []field {
	var list []field
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		list = append(list, field{name, append([]int{}, f.Shape...), dtypeName(f.Dtype)})
	}
	return list
}

// columns are fields as columns that lose nothing.
func columns(kind string, list []field) ([]column, error) {
	var all []column
	for i, f := range list {
		dtypes := map[string]tensor.Dtype{"float32": tensor.Float32, "float64": tensor.Float64, "int": tensor.Int}
		typed := data.Field{Shape: f.Shape, Dtype: dtypes[f.Dtype]}
		if err := checkField(kind, f.Name, typed); err != nil {
			return nil, err
		}
		if i > 0 && f.Name <= list[i-1].Name {
			return nil, fmt.Errorf("teacher: %s %q is out of order; want each once, sorted by name", kind, f.Name)
		}
		all = append(all, column{name: f.Name, field: typed, code: exact(typed.Dtype)})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("teacher: there is no %s; want 1 or more", kind)
	}
	return all, nil
}

// A digest is a SHA-256, in hexadecimal where it is text.
type digest [32]byte

func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

func (d *digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("digest has %d characters; want %d", len(text), hex.EncodedLen(len(d)))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// describeData is the part of a manifest that is about the data.
func describeData(spec data.Spec) manifest {
	return manifest{
		Data:        spec.Fingerprint,
		Norm:        describeNorm(spec.Norm),
		DataClasses: sha256.Sum256([]byte(text(append([]string{}, spec.Classes...)))),
		Inputs:      fields(spec.In),
		Views:       uint64(max(spec.Views, 0)),
	}
}

// describeNorm says what was done to the inputs, by its hash if that takes more
// than a line.
func describeNorm(norm map[string]data.Norm) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(norm)) {
		if n := norm[name]; len(n.Mean)+len(n.SD) > 0 {
			all = append(all, fmt.Sprintf("(%q - %v) / %v", name, n.Mean, n.SD))
		}
	}
	s := strings.Join(all, ", ")
	if len(s) > 80 {
		return fmt.Sprintf("SHA-256 %x", sha256.Sum256([]byte(s)))
	}
	return cmp.Or(s, "none")
}

// layout lays the rows out, and says what is wrong with the manifest.
func (m manifest) layout() (layout, error) {
	inputs, err := columns("input", m.Inputs)
	if err != nil {
		return layout{}, err
	}
	signals, err := columns("signal", m.Signals)
	if err != nil {
		return layout{}, err
	}
	if err := m.checkTopK(); err != nil {
		return layout{}, err
	}
	l := layout{inputs: inputs, size: rowHead + rowTail}
	for _, c := range signals {
		stored, err := m.stored(c)
		if err != nil {
			return layout{}, err
		}
		l.signals = append(l.signals, stored...)
	}
	names := map[string]bool{}
	for _, c := range l.signals {
		if err := checkField("signal", c.name, c.field); err != nil {
			return layout{}, err
		}
		if names[c.name] {
			return layout{}, fmt.Errorf("teacher: signal %q is the teacher's own and that of top-k logits", c.name)
		}
		names[c.name] = true
		if c.size() > maxRow-l.size {
			return layout{}, fmt.Errorf("teacher: a row of the cache has more than %d bytes; record fewer Signals, or TopK of them", maxRow)
		}
		l.size += c.size()
	}
	return l, nil
}

func (m manifest) checkTopK() error {
	if m.TopK < 0 {
		return fmt.Errorf("teacher: Recording.TopK is %d; want 0 or more", m.TopK)
	}
	if (m.TopK == 0) != (len(m.Temps) == 0) {
		return fmt.Errorf("teacher: Recording.TopK is %d with %d Temps; want both or neither", m.TopK, len(m.Temps))
	}
	seen := map[float64]bool{}
	for _, T := range m.Temps {
		if !(T > 0) || !finite(T) {
			return fmt.Errorf("teacher: Recording.Temps has %v; want finite and above 0", T)
		}
		if seen[T] {
			return fmt.Errorf("teacher: Recording.Temps has %v twice; want each once", T)
		}
		seen[T] = true
	}
	if m.TopK > 0 && !slices.ContainsFunc(m.Signals, func(f field) bool { return isLogits(f.Name) }) {
		return fmt.Errorf("teacher: Recording.TopK is %d, but no signal is called %q", m.TopK, Logits)
	}
	return nil
}

// stored are the columns that signal c is kept in.
func (m manifest) stored(c column) ([]column, error) {
	code := c.code
	if m.Half && code != i64 {
		code = f16
	}
	if m.TopK == 0 || !isLogits(c.name) {
		c.code = code
		return []column{c}, nil
	}
	if err := checkLogits(c.name, c.field); err != nil {
		return nil, fmt.Errorf("%w; else Recording.TopK of 0, which keeps all", err)
	}
	classes := c.field.Shape[len(c.field.Shape)-1]
	if m.TopK > classes {
		return nil, fmt.Errorf("teacher: Recording.TopK is %d, but signal %q has %d classes", m.TopK, c.name, classes)
	}
	top := column{name: c.name + TopSuffix, field: withLast(c.field, m.TopK), code: code}
	ids := column{name: c.name + IDSuffix, field: top.field, code: u16, below: classes}
	ids.field.Dtype = tensor.Int
	if classes > 1<<16 {
		ids.code = u32
	}
	// A log-sum-exp in float16 would spoil every probability of the row.
	lse := column{name: c.name + LSESuffix, field: withLast(c.field, len(m.Temps)), code: c.code}
	return []column{top, ids, lse}, nil
}

// card is what the cache answers.
func (m manifest) card(l layout) Card {
	card := Card{
		Signals:     map[string]data.Field{},
		Classes:     slices.Clone(m.Classes),
		Temps:       slices.Clone(m.Temps),
		Fingerprint: m.Teacher,
	}
	for _, c := range l.signals {
		card.Signals[c.name] = data.Field{Shape: slices.Clone(c.field.Shape), Dtype: c.field.Dtype}
	}
	if m.Half || m.TopK > 0 {
		card.Fingerprint = join(fmt.Sprintf("recorded half=%v top=%d temps=%v", m.Half, m.TopK, m.Temps), m.Teacher)
	}
	return card
}

// A trait is something that a recording and its use must have in common.
type trait struct {
	what         string
	recorded, is any
}

// traits are those that samples need to be among the recorded ones.
func (m manifest) traits(now manifest) []trait {
	return []trait{
		{"inputs", m.Inputs, now.Inputs},
		{"preprocessing", m.Norm, now.Norm},
		{"classes of the data", m.DataClasses, now.DataClasses},
	}
}

// allTraits are those that the recording of a directory needs to be the other.
func (m manifest) allTraits(now manifest) []trait {
	return append(m.recordingTraits(now), trait{"Recording.Shard", m.Shard, now.Shard})
}

// recordingTraits are those that all shards of a recording have in common.
func (m manifest) recordingTraits(now manifest) []trait {
	return append([]trait{
		{"teacher fingerprint", m.Teacher, now.Teacher},
		{"classes", m.Classes, now.Classes},
		{"signals", m.Signals, now.Signals},
		{"Recording.Half", m.Half, now.Half},
		{"Recording.TopK", m.TopK, now.TopK},
		{"Recording.Temps", m.Temps, now.Temps},
	}, append(m.traits(now),
		trait{"data fingerprint", m.Data, now.Data},
		trait{"views", m.Views, now.Views},
		trait{"number of rows", m.Total, now.Total},
		trait{"Recording.Shards", m.Shards, now.Shards})...)
}

// same is ErrStale, naming the first trait that differs, if one does.
func same(dir string, traits []trait) error {
	if t := differing(traits); t != nil {
		return fmt.Errorf("%w: %s: %s was %.80s when it was recorded and is %.80s", ErrStale, dir, t.what, text(t.recorded), text(t.is))
	}
	return nil
}

// differing is the first trait that differs, or nil.
func differing(traits []trait) *trait {
	for _, t := range traits {
		if text(t.recorded) != text(t.is) {
			return &t
		}
	}
	return nil
}

// text is v itself or in JSON, which has one form for equal values. Nothing
// that a manifest holds fails to have one.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func readManifest(dir string) (manifest, error) {
	path := filepath.Join(dir, manifestName)
	file, err := os.Open(path)
	if err != nil {
		return manifest{}, fmt.Errorf("teacher: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err != nil {
		return manifest{}, fmt.Errorf("teacher: %w", err)
	}
	m, err := parseManifest(raw)
	if err != nil {
		return manifest{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	return m, nil
}

func parseManifest(raw []byte) (manifest, error) {
	var m manifest
	if len(raw) > maxManifest {
		return m, fmt.Errorf("it has more than %d bytes", maxManifest)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	if m.Format != format {
		return m, fmt.Errorf("it has format %d; want %d", m.Format, format)
	}
	if m.Total < 1 || m.Views < 1 {
		return m, fmt.Errorf("it has %d rows of %d views; want 1 or more of both", m.Total, m.Views)
	}
	if m.Shard < 0 || m.Shard >= m.Shards || int64(m.Shards) > m.Total {
		return m, fmt.Errorf("it is shard %d of %d of %d rows; want shards of 1 row or more", m.Shard, m.Shards, m.Total)
	}
	if _, all := m.span(); m.Rows != 0 && m.Rows != all {
		return m, fmt.Errorf("it has %d rows; want %d, or 0 until all are there", m.Rows, all)
	}
	return m, nil
}

// write replaces the manifest of a directory at once, so that there is always
// a whole one.
func (m manifest) write(dir string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	err = atomicfile.Write(filepath.Join(dir, manifestName), func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	return nil
}
