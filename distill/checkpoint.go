package distill

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/atomicfile"
	"github.com/godistill/godistill/internal/safetensors"
)

// stateKey is the entry of a checkpoint's metadata that has the state, in JSON
// and without the tensors.
const stateKey = "godistill.state"

// stateJSON is a State without its tensors.
type stateJSON struct {
	Config      []Setting `json:"config"`
	Step        int       `json:"step"`
	Epoch       int       `json:"epoch"`
	Batch       int       `json:"batch"`
	Best        number    `json:"best"`
	BestEpoch   int       `json:"best_epoch"`
	BestMetrics *Metrics  `json:"best_metrics"`
	Stale       int       `json:"stale"`
}

// Write writes the state as a safetensors file, in which any reader of that
// format finds the tensors. Equal states are equal bytes. It fails when w does,
// and for tensors other than of float32 and float64 in row-major order.
func (s State) Write(w io.Writer) error {
	text, err := json.Marshal(stateJSON{
		Config: s.Config, Step: s.Step, Epoch: s.Epoch, Batch: s.Batch,
		Best: number(s.Best), BestEpoch: s.BestEpoch, BestMetrics: s.BestMetrics, Stale: s.Stale,
	})
	if err != nil {
		return fmt.Errorf("distill: write checkpoint: %w", err)
	}
	tensors := make([]safetensors.Tensor, 0, len(s.Tensors)) // Write puts them in order
	for name, t := range s.Tensors {
		packed, err := pack(name, t)
		if err != nil {
			return err
		}
		tensors = append(tensors, packed)
	}
	if err := safetensors.WriteSummed(w, tensors, map[string]string{stateKey: string(text)}); err != nil {
		return fmt.Errorf("distill: write checkpoint: %w", err)
	}
	return nil
}

// ReadState reads what [State.Write] wrote, to the end of r. It fails when r
// does, and on anything but a whole and consistent checkpoint.
func ReadState(r io.Reader) (State, error) {
	s, err := readState(r)
	if err != nil {
		return State{}, fmt.Errorf("distill: read checkpoint: %w", err)
	}
	return s, nil
}

func readState(r io.Reader) (State, error) {
	file, err := safetensors.Read(r)
	if err != nil {
		return State{}, err
	}
	text, ok := file.Meta[stateKey]
	if !ok {
		return State{}, fmt.Errorf("the file has no %s; want one that State.Write wrote", stateKey)
	}
	var j stateJSON
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return State{}, fmt.Errorf("%s: %w", stateKey, err)
	}
	if min(j.Step, j.Epoch, j.Batch, j.BestEpoch+1, j.Stale) < 0 {
		return State{}, fmt.Errorf("step %d, epoch %d, batch %d, best epoch %d, stale %d; want none below 0, and the best epoch not below -1",
			j.Step, j.Epoch, j.Batch, j.BestEpoch, j.Stale)
	}
	s := State{
		Config: j.Config, Step: j.Step, Epoch: j.Epoch, Batch: j.Batch,
		Best: float64(j.Best), BestEpoch: j.BestEpoch, BestMetrics: j.BestMetrics, Stale: j.Stale,
		Tensors: make(map[string]*tensor.Dense, len(file.Tensors)),
	}
	for _, t := range file.Tensors {
		if s.Tensors[t.Name], err = unpack(t); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

func pack(name string, t *tensor.Dense) (safetensors.Tensor, error) {
	switch {
	case t == nil:
		return safetensors.Tensor{}, fmt.Errorf("distill: State.Tensors[%q] is nil; want a tensor", name)
	case !plain(t):
		return safetensors.Tensor{}, fmt.Errorf("distill: State.Tensors[%q] is a view or of %v; want row-major float32 or float64", name, t.Dtype())
	case t.Dtype() == tensor.Float32:
		return safetensors.Of(name, t.Shape(), t.Float32s()), nil
	}
	return safetensors.Of(name, t.Shape(), t.Float64s()), nil
}

func unpack(t safetensors.Tensor) (*tensor.Dense, error) {
	switch {
	case len(t.Data) == 0:
		return nil, fmt.Errorf("tensor %q of shape %v is empty", t.Name, t.Shape)
	case t.Dtype == "F32":
		return unpackAs[float32](t)
	case t.Dtype == "F64":
		return unpackAs[float64](t)
	}
	return nil, fmt.Errorf("tensor %q is %s; want F32 or F64", t.Name, t.Dtype)
}

func unpackAs[T floating](t safetensors.Tensor) (*tensor.Dense, error) {
	values, err := safetensors.Values[T](t)
	if err != nil {
		return nil, err
	}
	if len(t.Shape) == 0 {
		return tensor.New(tensor.FromScalar(values[0])), nil
	}
	return tensor.New(tensor.WithShape(t.Shape...), tensor.WithBacking(values)), nil
}

// saveState writes a checkpoint to a file. If that fails, or the machine does,
// the file that was there before is still there and whole.
func saveState(path string, s State) error { return saving(path, atomicfile.Write(path, s.Write)) }

// saving is an error of saving a checkpoint, nil if err is.
func saving(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("distill: save %s: %w", path, err)
}

// loadState reads a checkpoint from a file.
func loadState(path string) (State, error) {
	f, err := os.Open(path)
	if err != nil {
		return State{}, fmt.Errorf("distill: %w", err)
	}
	defer f.Close()
	s, err := readState(bufio.NewReader(f))
	if err != nil {
		return State{}, fmt.Errorf("distill: read checkpoint: %s: %w", path, err)
	}
	return s, nil
}

// makeDir makes the folder, and sees that a checkpoint can be written there.
func (s *session) makeDir() error {
	if s.Dir == "" {
		return nil
	}
	err := os.MkdirAll(s.Dir, 0o755)
	if err == nil {
		err = tryFile(filepath.Join(s.Dir, CheckpointFile+atomicfile.Suffix))
	}
	if err != nil {
		return fmt.Errorf("distill: Run.Dir: %w", err)
	}
	return nil
}

// tryFile makes and removes a file.
func tryFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(path))
}
