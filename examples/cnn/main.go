// Cnn distils a convolutional network on MNIST, where the student's owner has
// 100 labels.
//
//	go run ./examples/cnn
//
// A teacher has learnt from 55,000 labelled images. A student of a few thousand
// parameters learns alone from 100 of the labels, and from these and what the
// teacher says about every image; then both ways with all labels. The initial
// weights are the same, and so is the number of steps; images are moved by a
// pixel in all cases, and the learning rate is the one that is best on
// validation data. Test data are looked at once, at the end.
//
// The images are those of a Go module, which is downloaded once, or of the folder
// that -data names. The folder runs/cnn has the summary, the curves,
// report.html, and the logs of every run. A run that was stopped goes on with -resume, and comes to the
// same bytes. On two cores it takes four minutes; with -quick, which has fewer
// seeds, steps and learning rates, half a minute.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/godistill/godistill/data/mnist"
)

// Options are what the flags say.
type Options struct {
	Out    string
	Data   string
	Quick  bool
	Resume bool
}

func (o Options) effort() effort {
	if o.Quick {
		return quick
	}
	return full
}

func main() {
	var o Options
	flag.StringVar(&o.Out, "out", "runs/cnn", "the `folder` of the results")
	flag.StringVar(&o.Data, "data", "", "the `folder` of the four files of MNIST, IDX in gzip; empty means that of\n"+mnist.Module)
	flag.BoolVar(&o.Quick, "quick", false, "fewer seeds and steps")
	flag.BoolVar(&o.Resume, "resume", false, "go on where an earlier run with the same flags stopped")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, o, o.effort())
	if ctx.Err() != nil {
		err = errors.New("stopped; the same command with -resume goes on")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cnn:", err)
		os.Exit(1)
	}
}
