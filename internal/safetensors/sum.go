package safetensors

import (
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
)

// The metadata of this library, and the entry of it that has the checksum.
const (
	ours   = "godistill."
	keySum = ours + "crc32c"
)

// WriteSummed is [Write] with a checksum in the metadata: of the tensors, and
// of the metadata whose keys begin with "godistill.". [Read] refuses a file that
// has another than it says. Files without one are as good as they look.
func WriteSummed(w io.Writer, tensors []Tensor, meta map[string]string) error {
	s, err := sum(tensors, meta)
	if err != nil {
		return err
	}
	meta = maps.Clone(meta)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[keySum] = s
	return Write(w, tensors, meta)
}

// checkSum compares the checksum of a file with its contents.
func (f *File) checkSum() error {
	want, ok := f.Meta[keySum]
	if !ok {
		return nil
	}
	if got, err := sum(f.Tensors, f.Meta); err != nil || got != want {
		return fmt.Errorf("safetensors: the file was damaged or changed: its CRC-32C is %s and should be %s", got, want)
	}
	return nil
}

// sum is the CRC-32C, in hex, of the file of these tensors and our metadata.
func sum(tensors []Tensor, meta map[string]string) (string, error) {
	meta = maps.Clone(meta)
	maps.DeleteFunc(meta, func(key, _ string) bool { return key == keySum || !strings.HasPrefix(key, ours) })
	tensors = slices.SortedStableFunc(slices.Values(tensors), order)
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	head, err := header(tensors, meta)
	if err != nil {
		return "", err
	}
	h.Write(head)
	for _, t := range tensors {
		h.Write(t.Data)
	}
	return fmt.Sprintf("%08x", h.Sum32()), nil
}
