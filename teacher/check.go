package teacher

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// Validate says what is wrong with the card, whatever the batch: no signals,
// or a signal of an impossible shape or dtype.
func (c Card) Validate() error {
	if len(c.Signals) == 0 {
		return errors.New("teacher: Card.Signals is empty; want 1 or more")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Signals)) {
		if err := checkField("signal", name, c.Signals[name]); err != nil {
			return err
		}
	}
	return nil
}

// Check says what is wrong with a teacher's answer to a batch. Each signal on
// the card must be there, with the card's dtype, of shape (b.N, shape...),
// contiguous and row-major, and without NaN or infinity; the error names the
// signal, and the sample where it can. Signals that are not on the card are
// ignored.
func Check(c Card, b data.Batch, s data.Signals) error {
	if err := checkIDs(b); err != nil {
		return err
	}
	var first error
	at := ""
	for name, f := range c.Signals {
		if first != nil && name > at {
			continue // of several errors the first in the alphabet
		}
		if err := checkSignal(name, f, b, s[name]); err != nil {
			first, at = err, name
		}
	}
	return first
}

func checkSignal(name string, f data.Field, b data.Batch, t *tensor.Dense) error {
	if err := checkTensor("signal", name, f, b.N, t); err != nil {
		return err
	}
	if i := firstNotFinite(t); i >= 0 {
		return fmt.Errorf("teacher: signal %q of %s has a NaN or an infinity; want finite numbers", name, describe(b.ID[i/f.Size()]))
	}
	return nil
}

func checkIDs(b data.Batch) error {
	if b.N < 1 {
		return fmt.Errorf("teacher: Batch.N is %d; want 1 or more", b.N)
	}
	if len(b.ID) != b.N {
		return fmt.Errorf("teacher: Batch.ID has %d ids; want Batch.N, %d", len(b.ID), b.N)
	}
	return nil
}

// maxElements is how many elements one sample may have under one name. It
// keeps sizes in bytes far from overflow, on 32-bit machines too.
const maxElements = 1 << 26

func checkField(kind, name string, f data.Field) error {
	if !slices.Contains([]tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Int}, f.Dtype) {
		return fmt.Errorf("teacher: %s %q has dtype %s; want float32, float64 or int", kind, name, dtypeName(f.Dtype))
	}
	size := 1
	for _, n := range f.Shape {
		if n < 1 || n > maxElements/size {
			return fmt.Errorf("teacher: %s %q has shape %v; want 1 to %d elements", kind, name, f.Shape, maxElements)
		}
		size *= n
	}
	return nil
}

func dtypeName(d tensor.Dtype) string {
	if d.Type == nil {
		return "none"
	}
	return d.String()
}

func checkTensor(kind, name string, f data.Field, rows int, t *tensor.Dense) error {
	if t == nil {
		return fmt.Errorf("teacher: %s %q is missing", kind, name)
	}
	if t.Dtype() != f.Dtype {
		return fmt.Errorf("teacher: %s %q has dtype %s; want %s", kind, name, t.Dtype(), f.Dtype)
	}
	if !shaped(t, f, rows) {
		return fmt.Errorf("teacher: %s %q has shape %v; want %v", kind, name, t.Shape(), append(tensor.Shape{rows}, f.Shape...))
	}
	if t.RequiresIterator() || t.DataOrder().IsColMajor() {
		return fmt.Errorf("teacher: %s %q is a view or a transpose; want a contiguous row-major tensor", kind, name)
	}
	return nil
}

// shaped says whether t has so many rows of a field. Shape.Eq would take (N, 1)
// for (N).
func shaped(t *tensor.Dense, f data.Field, rows int) bool {
	s := t.Shape()
	return len(s) == 1+len(f.Shape) && s[0] == rows && slices.Equal(s[1:], f.Shape)
}

// firstNotFinite is the index of the first NaN or infinity of t, or -1.
func firstNotFinite(t *tensor.Dense) int {
	switch t.Dtype() {
	case tensor.Float32:
		return slices.IndexFunc(t.Float32s(), func(v float32) bool { return v-v != 0 })
	case tensor.Float64:
		return slices.IndexFunc(t.Float64s(), func(v float64) bool { return v-v != 0 })
	}
	return -1
}

func describe(id data.ID) string { return fmt.Sprintf("sample %d, view %d", id.Sample, id.View) }

// agree is the one of a and b that is known, and whether they contradict each
// other.
func agree[E comparable](a, b []E) ([]E, bool) {
	if len(a) == 0 {
		return b, true
	}
	return a, len(b) == 0 || slices.Equal(a, b)
}

// join is the fingerprint of teachers taken together in some way. It is
// unknown, zero, if one of theirs is.
func join(way string, prints ...[32]byte) [32]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q", way)
	for _, p := range prints {
		if p == [32]byte{} {
			return p
		}
		h.Write(p[:])
	}
	return [32]byte(h.Sum(nil))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
