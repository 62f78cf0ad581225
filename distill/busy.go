package distill

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/godistill/godistill/student"
)

// busy are the students and the folders of the runs that are under way: two
// runs of one would spoil it without a word.
var busy sync.Map

// hold claims the student and the folder for this run.
func (s *session) hold() error {
	if err := s.claim("Student", s.Student); err != nil {
		return err
	}
	if m := s.Average.Model; m != nil {
		if err := s.claim("Average.Model", m); err != nil {
			return err
		}
	}
	if s.Dir == "" {
		return nil
	}
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return fmt.Errorf("distill: Run.Dir: %w", err)
	}
	return s.claim("Dir", dir)
}

func (s *session) claim(field string, thing any) error {
	if _, taken := busy.LoadOrStore(thing, true); taken {
		return fmt.Errorf("distill: Run.%s is that of a run that is under way; want one run at a time", field)
	}
	s.held = append(s.held, thing)
	return nil
}

// release gives back what hold has claimed, and what the models keep to predict
// faster: from now on they rest, as hundreds of a study do.
func (s *session) release() {
	for _, thing := range s.held {
		if m, ok := thing.(*student.Model); ok {
			m.Trim()
		}
		busy.Delete(thing)
	}
	s.held = nil
}
