package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Read reads a file to its end and refuses one that breaks a rule of the
// format, or has a checksum of [WriteSummed] that is not its own.
func Read(r io.Reader) (*File, error) {
	if r == nil {
		return nil, errors.New("safetensors: the io.Reader is nil")
	}
	head, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	meta, parts, err := parse(head)
	if err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	size, err := layout(parts)
	if err != nil {
		return nil, err
	}
	data, err := readData(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{Meta: meta}
	for _, p := range parts {
		p.Data = data[p.from:p.to:p.to]
		f.Tensors = append(f.Tensors, p.Tensor)
	}
	if err := f.checkSum(); err != nil {
		return nil, err
	}
	return f, nil
}

// readHeader returns the JSON of a file.
func readHeader(r io.Reader) ([]byte, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("it has %d bytes; the format allows %d", n, maxHeader)
	}
	head, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, err
	}
	if uint64(len(head)) < n {
		return nil, io.ErrUnexpectedEOF
	}
	if !bytes.HasPrefix(head, []byte("{")) || !utf8.Valid(head) {
		return nil, errors.New("it is not a JSON object in UTF-8")
	}
	return head, nil
}

// readData returns the rest of the file, which should have size bytes.
func readData(r io.Reader, size int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if len(data) < size {
		return nil, fmt.Errorf("safetensors: %d of %d bytes of tensors: %w", len(data), size, io.ErrUnexpectedEOF)
	}
	if n, _ := io.ReadFull(r, make([]byte, 1)); n > 0 {
		return nil, errors.New("safetensors: the file goes on after the last tensor")
	}
	return data, nil
}

// A part is a tensor without its data, and where that is.
type part struct {
	Tensor
	from, to int
}

// parse takes the header apart. It goes from token to token because
// json.Unmarshal would accept a name that occurs twice.
func parse(head []byte) (meta map[string]string, parts []part, err error) {
	d := json.NewDecoder(bytes.NewReader(head))
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		name := key.(string) // the decoder accepts no other key
		if seen[name] {
			return nil, nil, fmt.Errorf("the name %q occurs twice", name)
		}
		seen[name] = true
		var p part
		if name == metaKey {
			err = d.Decode(&meta)
		} else if p, err = decodePart(d, name); err == nil {
			parts = append(parts, p)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", name, err)
		}
	}
	return meta, parts, decodeEnd(d)
}

func decodePart(d *json.Decoder, name string) (part, error) {
	var e entry
	if err := d.Decode(&e); err != nil {
		return part{}, err
	}
	if e.Shape == nil || len(e.Offsets) != 2 {
		return part{}, errors.New("want a shape and two data_offsets")
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from {
		return part{}, fmt.Errorf("data_offsets is %v; want 0 <= begin <= end", e.Offsets)
	}
	return part{Tensor{Name: name, Dtype: e.Dtype, Shape: e.Shape}, from, to}, nil
}

// decodeEnd accepts the end of the object, and then nothing but space.
func decodeEnd(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("it goes on after its end")
	}
	return nil
}

// layout sorts the parts as they lie in the file, checks that they cover it
// without hole or overlap, and returns its size.
func layout(parts []part) (int, error) {
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	end := 0
	for _, p := range parts {
		size, err := p.size()
		if err != nil {
			return 0, err
		}
		if p.to-p.from != size {
			return 0, fmt.Errorf("safetensors: tensor %q has %d bytes; %s of shape %v has %d", p.Name, p.to-p.from, p.Dtype, p.Shape, size)
		}
		if p.from != end {
			return 0, fmt.Errorf("safetensors: tensor %q begins at %d; want %d, where the one before it ends", p.Name, p.from, end)
		}
		end = p.to
	}
	return end, nil
}
