// Digits distils a small classifier on real data: the 8x8 digits of UCI, which
// come with the library.
//
//	go run ./examples/digits
//
// A large teacher has seen labels that the student's owner no longer has: of
// the training rows, 100 are labelled. The student learns from these and from
// what the teacher says about every row; the control is the same student on the
// 100 labels alone. Both have the same initial weights, steps and visits to
// rows, and the learning rate that is best for each on validation data. Then
// the same with all labels.
//
// The folder runs/digits has the table, the curves, report.html with all of it, and
// the logs of every run.
// A run that was stopped goes on with -resume, and comes to the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
)

// Options are what the flags say.
type Options struct {
	Out         string
	Seeds       int
	Epochs      int
	Temperature float64
	Weight      float64
	Resume      bool
}

// validate refuses before the teacher is trained what would be refused after.
func (o Options) validate() error {
	switch {
	case o.Seeds < 2:
		return fmt.Errorf("-seeds is %d; want 2 or more, for there to be an interval", o.Seeds)
	case o.Epochs < 1:
		return fmt.Errorf("-epochs is %d; want 1 or more", o.Epochs)
	case !(o.Temperature > 0) || math.IsInf(o.Temperature, 0):
		return fmt.Errorf("-temperature is %v; want a finite number above 0", o.Temperature)
	case !(o.Weight >= 0 && o.Weight <= 1):
		return fmt.Errorf("-weight is %v; want 0 to 1", o.Weight)
	}
	return nil
}

func main() {
	var o Options
	flag.StringVar(&o.Out, "out", "runs/digits", "the `folder` of the results")
	flag.IntVar(&o.Seeds, "seeds", 5, "the number of seeds, 2 or more")
	flag.IntVar(&o.Epochs, "epochs", 60, "the epochs of a student")
	flag.Float64Var(&o.Temperature, "temperature", 2, "the temperature of the soft targets")
	flag.Float64Var(&o.Weight, "weight", 0.9, "the weight of the soft term, from 0 to 1")
	flag.BoolVar(&o.Resume, "resume", false, "go on where an earlier run with the same flags stopped")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := o.validate()
	if err == nil {
		err = run(ctx, os.Stdout, o)
	}
	if ctx.Err() != nil {
		err = errors.New("stopped; the same command with -resume goes on")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "digits:", err)
		os.Exit(1)
	}
}
