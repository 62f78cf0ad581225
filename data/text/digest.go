package text

import (
	"crypto/sha256"
	"fmt"
	"hash"
)

// A digest hashes lines. What is added must not let two different lists of
// values look alike: texts are quoted.
type digest struct{ hash.Hash }

func newDigest(kind string) digest {
	d := digest{sha256.New()}
	d.add("%q", kind)
	return d
}

func (d digest) add(format string, values ...any) { fmt.Fprintf(d, format+"\n", values...) }

func (d digest) sum() [32]byte { return [32]byte(d.Sum(nil)) }
