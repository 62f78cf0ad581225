package data

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"gorgonia.org/tensor"
)

// A digest hashes values so that different lists of them never have the same
// bytes: whatever varies in length is preceded by it.
type digest struct {
	hash hash.Hash
	buf  []byte
}

func newDigest(kind string) *digest {
	d := &digest{hash: sha256.New()}
	d.text(kind)
	return d
}

// derive is the fingerprint of a set made from one with the given fingerprint.
func derive(inner [32]byte, kind string, change func(*digest)) [32]byte {
	d := newDigest(kind)
	d.hash.Write(inner[:])
	change(d)
	return d.sum()
}

func (d *digest) sum() [32]byte { return [32]byte(d.hash.Sum(nil)) }

func (d *digest) number(n int) { numbers(d, []int64{int64(n)}) }

func (d *digest) text(s string) {
	d.number(len(s))
	d.hash.Write([]byte(s))
}

func (d *digest) texts(all []string) {
	d.number(len(all))
	for _, s := range all {
		d.text(s)
	}
}

func (d *digest) ints(v []int) {
	d.number(len(v))
	for part := range slices.Chunk(v, 1024) {
		wide := make([]int64, len(part))
		for i, x := range part {
			wide[i] = int64(x)
		}
		numbers(d, wide)
	}
}

func (d *digest) floats(v []float64) {
	d.number(len(v))
	numbers(d, v)
}

// tensor hashes dtype, shape and values. Nil has a hash as well.
func (d *digest) tensor(t *tensor.Dense) {
	if t == nil {
		d.text("none")
		return
	}
	d.text(t.Dtype().String())
	d.ints(t.Shape())
	switch v := t.Data().(type) {
	case []float32:
		numbers(d, v)
	case []float64:
		numbers(d, v)
	case []int:
		d.ints(v)
	case []uint8:
		d.hash.Write(v)
	}
}

// numbers hashes v, a piece at a time: it may be the pixels of a whole set.
func numbers[E float32 | float64 | int64 | uint64](d *digest, v []E) {
	for part := range slices.Chunk(v, 4096) {
		// Append fails on types of no fixed size only.
		d.buf, _ = binary.Append(d.buf[:0], binary.LittleEndian, part)
		d.hash.Write(d.buf)
	}
}
