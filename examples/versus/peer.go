package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed peer.py
var script []byte

var errNoPeer = errors.New("no PyTorch")

const howToInstall = `On Debian it comes with

	apt-get install python3-torch libopenblas0-openmp

and needs the OpenMP build of OpenBLAS: with the other PyTorch is half as fast.`

// tolerance is how far losses, gradients and answers of both sides may differ,
// relative to the largest.
const tolerance = 1e-4

// A peer is PyTorch in a process of its own, with a number of threads.
type peer struct {
	threads int
	version string
	blas    []string
	core    string // whose kernels OpenBLAS has taken
	onednn  string // the version of what computes convolutions

	cmd *exec.Cmd
	in  io.Closer
	enc *json.Encoder
	dec *json.Decoder
}

// A reply is what the peer says.
type reply struct {
	Version string    `json:"version"`
	BLAS    []string  `json:"blas"`
	Core    string    `json:"core"`
	OneDNN  string    `json:"onednn"` // "" where convolutions do without
	Losses  []float64 `json:"losses"`
	Off     float64   `json:"off"`
	MS      []float64 `json:"ms"`
	Error   string    `json:"error"`
}

// startPeers starts one with 1 thread and one with 2. The error is errNoPeer
// where there is no PyTorch.
func startPeers(ctx context.Context, python, tmp string) ([]*peer, error) {
	if python == "" {
		return nil, fmt.Errorf("%w: -python is empty", errNoPeer)
	}
	file := filepath.Join(tmp, "peer.py")
	if err := os.WriteFile(file, script, 0o666); err != nil {
		return nil, err
	}
	if err := exec.CommandContext(ctx, python, "-c", "import torch").Run(); err != nil {
		return nil, fmt.Errorf("%w: %s does not import it: %w", errNoPeer, python, err)
	}
	start := func(threads int, core string) (*peer, error) {
		return startPeer(exec.CommandContext(ctx, python, file, fmt.Sprint(threads)), threads, core)
	}
	core, err := fastestCore(start)
	if err != nil {
		return nil, err
	}
	var peers []*peer
	for _, threads := range []int{1, 2} {
		p, err := start(threads, core)
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// cores are the CPUs that OpenBLAS has kernels for, as far as one of them may be
// the fastest here; the first is its own choice. On a CPU that is newer than the
// library that is a core of 2004, with which PyTorch takes four times as long.
var cores = []string{"", "Haswell", "Zen", "SkylakeX"}

// fastestCore is the one whose kernels multiply fastest. Those that this CPU
// cannot run end the process that tries.
func fastestCore(start func(threads int, core string) (*peer, error)) (string, error) {
	fastest, best, why := "", math.Inf(1), error(nil)
	for _, core := range cores {
		p, err := start(1, core)
		if err != nil {
			why = errors.Join(why, err)
			continue
		}
		r, err := p.speed()
		p.stop()
		switch {
		case err != nil:
			why = errors.Join(why, err)
		case r.ms < best:
			fastest, best = core, r.ms
		}
	}
	if math.IsInf(best, 1) {
		return "", why
	}
	return fastest, nil
}

// speed is how long a matrix product takes.
func (p *peer) speed() (result, error) {
	if _, err := p.ask(task{Do: "gemm", MKN: []int{512, 512, 512}}); err != nil {
		return result{}, err
	}
	return p.take(turn{Samples: 20, Calls: 1})
}

func startPeer(cmd *exec.Cmd, threads int, core string) (*peer, error) {
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "OPENBLAS_") || strings.HasPrefix(v, "OMP_") || strings.HasPrefix(v, "GOMP_")
	})
	cmd.Env = append(cmd.Env, fmt.Sprintf("OMP_NUM_THREADS=%d", threads))
	if core != "" {
		cmd.Env = append(cmd.Env, "OPENBLAS_CORETYPE="+core)
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{threads: threads, cmd: cmd, in: in, enc: json.NewEncoder(in), dec: json.NewDecoder(out)}
	hello, err := p.hear()
	if err == nil {
		p.version, p.blas, p.core, p.onednn = hello.Version, hello.BLAS, hello.Core, hello.OneDNN
		err = hello.check()
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// check refuses a comparison that PyTorch could only lose.
func (hello reply) check() error {
	for _, f := range hello.BLAS {
		if strings.Contains(f, "openblas-pthread") {
			return fmt.Errorf("PyTorch has loaded %s; want the OpenMP build\n%s", f, howToInstall)
		}
	}
	if hello.OneDNN == "" {
		return fmt.Errorf("PyTorch computes convolutions without oneDNN; want a build that has it enabled\n%s", howToInstall)
	}
	return nil
}

// String is what the peer consists of.
func (p *peer) String() string {
	return fmt.Sprintf("PyTorch %s with %s, kernels for %s, and oneDNN %s", p.version, strings.Join(p.blas, ", "), p.core, p.onednn)
}

func stopPeers(peers []*peer) {
	for _, p := range peers {
		p.stop()
	}
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// ask sends a message and waits for the reply.
func (p *peer) ask(message any) (reply, error) {
	if err := p.enc.Encode(message); err != nil {
		return reply{}, fmt.Errorf("PyTorch with %d threads: %w", p.threads, err)
	}
	return p.hear()
}

func (p *peer) hear() (r reply, err error) {
	if err = p.dec.Decode(&r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	if err != nil {
		err = fmt.Errorf("PyTorch with %d threads: %w", p.threads, err)
	}
	return r, err
}

// prepare asks for a task, and compares what it computes with what we did.
func (p *peer) prepare(t task, dir string, losses []float64) error {
	t.Dir, t.Tolerance = dir, tolerance
	r, err := p.ask(t)
	if err != nil {
		return err
	}
	if len(r.Losses) != len(losses) {
		return fmt.Errorf("PyTorch has the losses of %d steps, we of %d", len(r.Losses), len(losses))
	}
	for i, want := range losses {
		if got := r.Losses[i]; !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
			return fmt.Errorf("at step %d our loss is %v and PyTorch's %v", i+1, want, got)
		}
	}
	if !(r.Off <= tolerance) {
		return fmt.Errorf("%s: our values and PyTorch's differ by %.2g of the largest; want %v or less", t.Do, r.Off, tolerance)
	}
	return nil
}

func (p *peer) take(t turn) (result, error) {
	r, err := p.ask(struct {
		Do string `json:"do"`
		turn
	}{"take", t})
	if err == nil && len(r.MS) != t.Samples {
		err = fmt.Errorf("PyTorch answered %d samples; want %d", len(r.MS), t.Samples)
	}
	return result{ms: median(r.MS), allocs: nan}, err
}
