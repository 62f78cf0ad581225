package distill

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
)

// load takes up the checkpoint, if the run is to be resumed and there is one.
func (s *session) load() error {
	if !s.Resume {
		return nil
	}
	state, err := loadState(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := diff(state.Config, s.config); err != nil {
		return err
	}
	s.resumed = state
	s.state = State{
		Step: state.Step, Epoch: state.Epoch, Batch: state.Batch,
		Best: state.Best, BestEpoch: state.BestEpoch, BestMetrics: state.BestMetrics, Stale: state.Stale,
	}
	return nil
}

// restore gives the student the weights of the checkpoint, if the run goes on
// from one, and its average those that it has there.
func (s *session) restore() error {
	if err := s.startAverage(); err != nil || s.resumed.Tensors == nil {
		return err
	}
	if s.state.BestMetrics != nil {
		s.keep()
		for name, t := range s.best {
			if err := s.recall("best/"+name, t); err != nil {
				return err
			}
		}
	}
	return s.recallAll(s.Student.Params)
}

// recallAll copies the checkpoint's parameters.
func (s *session) recallAll(params func() iter.Seq[*student.Param]) error {
	for p := range params() {
		if err := s.recall("param/"+p.Name, p.Value); err != nil {
			return err
		}
		p.Touch()
	}
	return nil
}

func (s *session) recall(name string, dst *tensor.Dense) error {
	src := s.resumed.Tensors[name]
	if src == nil || !src.Shape().Eq(dst.Shape()) || src.Dtype() != dst.Dtype() {
		return fmt.Errorf("distill: the checkpoint has no %s of %v, %v", name, dst.Shape(), dst.Dtype())
	}
	return copyPadded(dst, src)
}

// checkpoint saves the state, if it is time to.
func (s *session) checkpoint(end bool) error {
	if s.Dir == "" || !s.due(end) {
		return nil
	}
	return s.save()
}

// due says whether it is time for a checkpoint: at the end of an epoch, or after
// Every steps. A live source of several steps to an epoch may keep what that is
// made of, and no more: there each end is one.
func (s *session) due(end bool) bool {
	live, ok := s.Train.(data.Live)
	if s.Every == 0 || end && ok && live.Len() > max(s.Accumulate, 1) {
		return end
	}
	return s.state.Step%s.Every == 0
}

func (s *session) save() error { return saveState(s.path(), s.snapshot()) }

// path is that of the checkpoint.
func (r *Run) path() string { return filepath.Join(r.Dir, CheckpointFile) }

// snapshot is the state with the tensors that are in use: it is not a copy.
func (s *session) snapshot() State {
	state := s.state
	state.Config = s.config
	state.Tensors = map[string]*tensor.Dense{}
	for p := range s.Student.Params() {
		state.Tensors["param/"+p.Name] = p.Value
	}
	for p := range s.extra.All() {
		state.Tensors["param/"+p.Name] = p.Value
	}
	for p, t := range s.tuned {
		for i, name := range s.Optimizer.Slots() {
			state.Tensors["slot/"+name+"/"+p.Name] = t.slots[i]
		}
	}
	for _, p := range s.pairs {
		state.Tensors["average/"+p.mean.Name] = p.mean.Value
	}
	for name, t := range s.best {
		state.Tensors["best/"+name] = t
	}
	return state
}

// current is the snapshot, while the run lasts.
func (s *session) current() (State, error) {
	if s.closed {
		return State{}, errors.New("distill: the run has ended; want State before the next step is taken")
	}
	return s.snapshot(), nil
}

// close leaves a checkpoint, if the last step is sound, and ends the session.
func (s *session) close(sound bool) error {
	var err error
	if s.Dir != "" && sound && s.moved() {
		err = s.save()
	}
	return errors.Join(err, s.end())
}

// moved says whether a step was taken.
func (s *session) moved() bool { return s.state.Step > s.resumed.Step }

// end gives the student its best weights, and makes sure that the teacher is
// what it was.
func (s *session) end() error {
	defer s.release()
	s.closed = true
	if s.ending != Interrupted {
		s.settle()
	}
	return s.checkFrozen()
}

// settle gives what was measured the weights of the best epoch.
func (s *session) settle() {
	for p := range s.measured().Params() {
		if t := s.best[p.Name]; t != nil {
			_ = copyPadded(p.Value, t) // same shape and dtype
			p.Touch()
		}
	}
}
