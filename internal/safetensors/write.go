package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// entry is a tensor's place in the header.
type entry struct {
	Dtype   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"`
}

// Write writes a file of tensors, in any order, and of meta, which may be nil.
// It fails before the first byte when a name occurs twice, when a text is not
// UTF-8, and when data, shape and dtype of a tensor disagree.
func Write(w io.Writer, tensors []Tensor, meta map[string]string) error {
	if w == nil {
		return errors.New("safetensors: the io.Writer is nil")
	}
	tensors = slices.SortedStableFunc(slices.Values(tensors), order)
	if err := checkAll(tensors, meta); err != nil {
		return err
	}
	head, err := header(tensors, meta)
	if err != nil {
		return err
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))); err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return nil
}

func checkAll(tensors []Tensor, meta map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if !utf8.ValidString(key) || !utf8.ValidString(meta[key]) {
			return fmt.Errorf("safetensors: the metadata %q is not UTF-8", key)
		}
	}
	seen := map[string]bool{metaKey: true}
	for _, t := range tensors {
		if seen[t.Name] {
			return fmt.Errorf("safetensors: the name %q is taken", t.Name)
		}
		if !utf8.ValidString(t.Name) {
			return fmt.Errorf("safetensors: the name %q is not UTF-8", t.Name)
		}
		if err := t.check(); err != nil {
			return err
		}
		seen[t.Name] = true
	}
	return nil
}

// header is the JSON of a file, padded to a multiple of 8 bytes.
func header(tensors []Tensor, meta map[string]string) ([]byte, error) {
	var fields []string
	if len(meta) > 0 {
		fields = append(fields, encode(metaKey)+":"+encode(meta))
	}
	at := 0
	for _, t := range tensors {
		e := entry{t.Dtype, append([]int{}, t.Shape...), []int{at, at + len(t.Data)}}
		fields = append(fields, encode(t.Name)+":"+encode(e))
		at += len(t.Data)
	}
	head := "{" + strings.Join(fields, ",") + "}"
	head += strings.Repeat(" ", -len(head)&7)
	if len(head) > maxHeader {
		return nil, fmt.Errorf("safetensors: the header has %d bytes; the format allows %d", len(head), maxHeader)
	}
	return []byte(head), nil
}

// encode is the JSON of v, without the escapes that only HTML needs.
func encode(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the types of a header always encode, and b takes all
	return strings.TrimSuffix(b.String(), "\n")
}
