package distill

import (
	"errors"
	"os"

	"github.com/godistill/godistill/internal/atomicfile"
)

// checkpointAll saves all runs when it is time to save one of them: they are
// resumed together.
func checkpointAll(sessions []*session, steps []Step) error {
	for i, s := range sessions {
		if s.due(steps[i].End) {
			return saveAll(sessions)
		}
	}
	return nil
}

// saveAll leaves checkpoints of one step. Each is written beside the one before
// it, and none takes that one's place until all are whole: whoever is killed
// leaves all the old ones, or the new ones, of which some have still to be put in
// their places.
func saveAll(sessions []*session) error {
	var paths []string
	for _, s := range sessions {
		if s.Dir == "" {
			continue
		}
		if err := atomicfile.Prepare(s.path(), s.snapshot().Write); err != nil {
			for _, path := range paths {
				err = errors.Join(err, atomicfile.Discard(path))
			}
			return saving(s.path(), err)
		}
		paths = append(paths, s.path())
	}
	for _, path := range paths {
		if err := atomicfile.Commit(path); err != nil {
			return saving(path, err)
		}
	}
	return nil
}

// finishSaving puts the checkpoints in their places that saveAll left beside
// them, if it had put one of them there. What is left otherwise is not whole, or
// has no others of its step.
func finishSaving(sessions []*session) error {
	var left []*session
	for _, s := range sessions {
		if _, err := os.Stat(s.path() + atomicfile.Suffix); s.Resume && err == nil {
			left = append(left, s)
		}
	}
	if left == nil {
		return nil
	}
	last := lastSaved(sessions)
	for _, s := range left {
		state, err := loadState(s.path() + atomicfile.Suffix)
		if err != nil || state.Step != last {
			continue
		}
		if err := atomicfile.Commit(s.path()); err != nil {
			return saving(s.path(), err)
		}
	}
	return nil
}

// lastSaved is the last step that one of the runs resumes after.
func lastSaved(sessions []*session) (step int) {
	for _, s := range sessions {
		if state, err := loadState(s.path()); s.Resume && err == nil {
			step = max(step, state.Step)
		}
	}
	return step
}
