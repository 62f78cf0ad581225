// Versus times this library against PyTorch, on this machine, one after the
// other.
//
//	go run ./examples/versus
//
// Each case is done by both sides in turn, round after round, so that what else
// the machine does meets both. PyTorch runs with 1 and with 2 threads, and the
// faster counts. In cases called tuned so does the faster way for it to lay out
// images, and to answer with batch norms or with these folded into convolutions.
// Before anything is timed both sides get the same weights and inputs, and their
// losses, gradients and answers must agree.
//
// The folder runs/versus has the table and a picture of the ratios. Without
// PyTorch the command says how to install it and times this library alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

// Options are what the flags say.
type Options struct {
	Out    string
	JSON   string
	Python string
	Cases  string
	Rounds int
}

func main() {
	var o Options
	flag.StringVar(&o.Out, "out", "runs/versus", "the `folder` of the table and the picture")
	flag.StringVar(&o.JSON, "json", "", "a `file` for the rows as JSON")
	flag.StringVar(&o.Python, "python", "/usr/bin/python3", "the Python that has PyTorch; empty times this library alone")
	flag.StringVar(&o.Cases, "cases", "", "the `names` of the cases, with commas between; empty means all of\n"+names(cases))
	flag.IntVar(&o.Rounds, "rounds", 7, "how often both sides take their turn")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

// run does the cases and reports them.
func run(ctx context.Context, log io.Writer, o Options) error {
	if o.Rounds < 1 {
		return fmt.Errorf("-rounds is %d; want 1 or more", o.Rounds)
	}
	chosen, err := choose(o.Cases)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "versus")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	peers, err := startPeers(ctx, o.Python, tmp)
	defer stopPeers(peers)
	switch {
	case errors.Is(err, errNoPeer):
		fmt.Fprintf(log, "%v\n%s\nThis library alone:\n\n", err, howToInstall)
	case err != nil:
		return err
	default:
		fmt.Fprintf(log, "%s\n\n", peers[0])
	}
	rows, err := compare(ctx, log, chosen, peers, tmp, o.Rounds)
	if err != nil {
		return err
	}
	return publish(log, o, rows)
}

// compare does the cases, each with a folder of its own.
func compare(ctx context.Context, log io.Writer, chosen []match, peers []*peer, tmp string, rounds int) ([]row, error) {
	bench := &kernels{dir: tmp}
	var rows []row
	for _, m := range chosen {
		fmt.Fprintln(log, m.name)
		dir := filepath.Join(tmp, m.name)
		if err := os.Mkdir(dir, 0o777); err != nil {
			return nil, err
		}
		r, err := m.play(ctx, bench, peers, dir, rounds)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		if m.weights > 0 {
			r.Read = number(float64(m.weights) / 1e6 / float64(r.Ours))
			plain, err := bench.sweep(ctx, m.weights)
			if err != nil {
				return nil, err
			}
			r.Plain = number(plain)
		}
		rows = append(rows, r)
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return rows, nil
}
