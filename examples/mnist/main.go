// Mnist reruns the experiments on MNIST of "Distilling the Knowledge in a Neural
// Network" (Hinton, Vinyals and Dean 2015, 1503.02531, section 3).
//
//	go run ./examples/mnist
//
// A teacher with two hidden layers of 1200 units learns with dropout, with a
// bound on the weights into each unit, and from images that are moved by up to
// two pixels. A student with two hidden layers of 800 learns alone, without any
// of this, and then from what the teacher says about the same images as they are,
// at a temperature of 20. Then come students at other temperatures and with 30
// units a layer, those whose transfer set has no 3, and those who only ever see a
// 7 or an 8.
//
// Everything is done once for each seed, the teachers too, with as many steps for
// each student of a size. Learning rates and the rest were chosen by -tune, where
// teacher and students learn from 50,000 of the images and are judged by the
// other 10,000. Then all learn from 60,000, and test images are looked at once,
// at the end.
//
// The images are those of a Go module, which is downloaded once, or of the folder
// that -data names. The folder runs/mnist has the summary, the report, a picture
// of the errors, and the logs of every run. A run that was stopped goes on with
// -resume, and comes to the same bytes. On two cores it takes about an hour; with
// -quick, which leaves out what comes after the first three rows of the table and
// trains too shortly for the teacher to pay, two minutes.
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
	Tune   bool
	Resume bool
}

func main() {
	var o Options
	flag.StringVar(&o.Out, "out", "runs/mnist", "the `folder` of the results")
	flag.StringVar(&o.Data, "data", "", "the `folder` of the four files of MNIST, IDX in gzip; empty means that of\n"+mnist.Module)
	flag.BoolVar(&o.Quick, "quick", false, "the first three rows of the table, with fewer seeds and epochs")
	flag.BoolVar(&o.Tune, "tune", false, "compare learning rates on images held out, and end")
	flag.BoolVar(&o.Resume, "resume", false, "go on where an earlier run with the same flags stopped")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, o, o.effort())
	if ctx.Err() != nil {
		err = errors.New("stopped; the same command with -resume goes on")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mnist:", err)
		os.Exit(1)
	}
}

func (o Options) effort() effort {
	switch {
	case o.Tune:
		return tune
	case o.Quick:
		return quick
	}
	return full
}
