// Methods compares the methods of distillation: each teaches the same student as
// often, from the same teacher, and is compared with labels alone.
//
//	go run ./examples/methods
//
// The teacher and the student are convolutional networks of three stages, and the
// teacher has learnt from all labels. Students start from the same weights and take
// the same number of steps, each method at the learning rate that is best
// on validation data, over five seeds. Test data are looked at once, at the end. A
// method is a hard term and its own, with the weights that are usual, and nothing is
// tuned but the rate: methods.go is the list.
//
//	-on digits         1097 images of 8 by 8 pixels, all labelled
//	-on digits-100     the same; 100 have a label, and the teacher speaks of all
//	-on mnist-1000     1000 labelled images of MNIST, of 55,000 that the teacher
//	                   speaks of
//	-on mnist-60000    all of them, 5000 of which choose the rate
//
// What learns from labels alone sees the labelled images over and over. Where there is
// a teacher, every other image has a label, and the rest are of the others.
//
// The folder runs/methods/digits, or that of the other data, has summary.json, the
// table, its bars, report.html of the best, and the logs of every run. MNIST is that
// of a Go module, which is downloaded once, or of the folder that -data names. A run
// that was stopped goes on with -resume, and comes to the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godistill/godistill/data/mnist"
)

// Options are what the flags say.
type Options struct {
	On     string
	Out    string
	Data   string
	Quick  bool
	Resume bool
}

// effort is how much is done.
func (o Options) effort() (effort, error) {
	e, ok := efforts[o.On]
	if !ok {
		return e, fmt.Errorf("-on is %q; want one of %s", o.On, strings.Join(slices.Sorted(maps.Keys(efforts)), ", "))
	}
	if o.Quick {
		e.rates, e.seeds, e.epochs, e.teacherEpochs = []float64{2e-2}, 2, 2, 4
	}
	return e, nil
}

func main() {
	var o Options
	flag.StringVar(&o.On, "on", "digits", "the `data`: digits, digits-100, mnist-1000 or mnist-60000")
	flag.StringVar(&o.Out, "out", "runs/methods", "the `folder` of the results, which has one for each -on")
	flag.StringVar(&o.Data, "data", "", "the `folder` of the four files of MNIST, IDX in gzip; empty means that of\n"+mnist.Module)
	flag.BoolVar(&o.Quick, "quick", false, "two seeds, one rate and fewer steps")
	flag.BoolVar(&o.Resume, "resume", false, "go on where an earlier run with the same flags stopped")
	flag.Parse()
	o.Out = filepath.Join(o.Out, o.On)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	e, err := o.effort()
	if err == nil {
		err = run(ctx, os.Stdout, o, e, methods)
	}
	if ctx.Err() != nil {
		err = errors.New("stopped; the same command with -resume goes on")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "methods:", err)
		os.Exit(1)
	}
}
