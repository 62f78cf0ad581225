package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const kernelPackage = "github.com/godistill/godistill/internal/kernel"

// kernels run the benchmarks of the kernels, which are not public: their test
// is built once, when it is first asked.
type kernels struct {
	dir  string
	test string
}

// run is what a benchmark printed.
func (k *kernels) run(ctx context.Context, pattern, benchtime string) ([]byte, error) {
	if k.test == "" {
		test := filepath.Join(k.dir, "kernel.test")
		if _, err := output(exec.CommandContext(ctx, "go", "test", "-c", "-o", test, kernelPackage)); err != nil {
			return nil, err
		}
		k.test = test
	}
	return output(exec.CommandContext(ctx, k.test, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", benchtime, "-test.benchmem"))
}

func output(cmd *exec.Cmd) ([]byte, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return out, nil
}

// A peak is how much this machine can compute, in GFLOP/s: the most that
// BenchmarkPeak reports. It is measured in every round, as its result in ms for
// 1e9 operations: what else the machine does meets it as well.
type peak struct {
	*kernels
	ctx context.Context
}

func (p peak) take(turn) (result, error) {
	speed, err := p.most(p.ctx, "^BenchmarkPeak$", "GFLOP/s", "0.1s")
	return result{ms: 1e3 / speed, allocs: nan}, err
}

// sweep is how fast this machine can read so many bytes, in GB/s: the most that
// BenchmarkSweep reports.
func (k *kernels) sweep(ctx context.Context, bytes int) (float64, error) {
	return k.most(ctx, fmt.Sprintf("^BenchmarkSweep$/^bytes=%d$", bytes), "GB/s", "0.3s")
}

// most is the largest value of a unit that benchmarks report; NaN where the CPU
// does not run them.
func (k *kernels) most(ctx context.Context, pattern, unit, benchtime string) (float64, error) {
	out, err := k.run(ctx, pattern, benchtime)
	if err != nil {
		return nan, err
	}
	values := metric(out, unit)
	if len(values) == 0 {
		return nan, nil
	}
	return slices.Max(values), nil
}

// A product is one matrix product of BenchmarkVersus.
type product struct {
	*kernels
	ctx  context.Context
	name string
}

func (p product) take(t turn) (result, error) {
	out, err := p.run(p.ctx, "^BenchmarkVersus$/^"+p.name+"$", fmt.Sprint(t.Samples*t.Calls)+"x")
	if err != nil {
		return result{}, err
	}
	ns, allocs := metric(out, "ns/op"), metric(out, "allocs/op")
	if len(ns) != 1 || len(allocs) != 1 {
		return result{}, fmt.Errorf("%s has no BenchmarkVersus/%s:\n%s", kernelPackage, p.name, bytes.TrimSpace(out))
	}
	return result{ns[0] / 1e6, allocs[0]}, nil
}

// metric are the values of a unit in what benchmarks printed.
func metric(out []byte, unit string) (values []float64) {
	number := regexp.MustCompile(`(?m)^Benchmark.*\s([0-9.e+-]+) ` + regexp.QuoteMeta(unit) + `(\s|$)`)
	for _, m := range number.FindAllSubmatch(out, -1) {
		if v, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
			values = append(values, v)
		}
	}
	return values
}
