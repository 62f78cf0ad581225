// Package mnisttest makes files in the form of MNIST, for tests that want to be
// done in seconds.
package mnisttest

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Write writes the four files of MNIST into a folder, with so many images to
// train on and to test on. An image is noise below 255 - light, and brighter by
// light, of 1 to 254, at a place that depends on its class: five by eight pixels,
// apart from those of other classes. The same arguments make the same files.
func Write(dir string, train, test int, light uint8) error {
	return errors.Join(write(dir, "train", train, int(light)), write(dir, "t10k", test, int(light)))
}

func write(dir, part string, n, light int) error {
	const side = 28
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	x, y := make([]byte, 0, n*side*side), make([]byte, n)
	for i := range y {
		y[i] = byte(rng.IntN(10))
		top, left := 4+12*int(y[i]/5), 1+5*int(y[i]%5)
		for p := range side * side {
			pixel := rng.IntN(255 - light)
			if r, c := p/side-top, p%side-left; r >= 0 && r < 8 && c >= 0 && c < 5 {
				pixel += light
			}
			x = append(x, byte(pixel))
		}
	}
	return errors.Join(
		pack(filepath.Join(dir, part+"-images-idx3-ubyte.gz"), []uint32{0x803, uint32(n), side, side}, x),
		pack(filepath.Join(dir, part+"-labels-idx1-ubyte.gz"), []uint32{0x801, uint32(n)}, y),
	)
}

// pack writes a file in the IDX format.
func pack(name string, head []uint32, content []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	return errors.Join(binary.Write(z, binary.BigEndian, head), binary.Write(z, binary.BigEndian, content), z.Close(), f.Close())
}
