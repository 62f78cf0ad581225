package study

import (
	"errors"
	"fmt"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
)

// An effort is what arms have to have in common, for each seed.
type effort struct {
	weights                      [32]byte
	epochs, maxSteps, accumulate int
	batches, rows, views         int
}

// checkAlike refuses arms that do not get the same chance.
func (s *Study) checkAlike() error {
	for _, seed := range s.Seeds {
		var first effort
		for i, a := range s.Arms {
			run, err := a.newRun(seed, s.rates(i)[0])
			if err != nil {
				return fmt.Errorf("study: %s: %w", a.Name, err)
			}
			if run.Valid == nil && len(s.rates(i)) > 1 {
				return fmt.Errorf("study: %s: Arm.Run made a run without Valid; want validation data to choose one of %d rates by", a.Name, len(s.rates(i)))
			}
			if err := s.checkTest(a.Name, run); err != nil {
				return err
			}
			e := effortOf(run)
			if i == 0 {
				first = e
			}
			if what := first.differs(e); what != "" {
				return fmt.Errorf("study: with seed %d, the arms %q and %q differ in %s", seed, s.Arms[0].Name, a.Name, what)
			}
		}
	}
	return nil
}

// checkTest refuses test data that the run learns or chooses from, or that its
// student cannot read, which would be found after the last trial otherwise.
func (s *Study) checkTest(arm string, run *distill.Run) error {
	have, want := s.Test.Spec(), run.Student.Spec()
	if print := have.Fingerprint; print != [32]byte{} {
		if print == run.Train.Spec().Fingerprint {
			return fmt.Errorf("study: Study.Test and Run.Train of the arm %q are the same data; want test data of their own", arm)
		}
		if run.Valid != nil && print == run.Valid.Spec().Fingerprint {
			return fmt.Errorf("study: Study.Test and Run.Valid of the arm %q are the same data; want test data of their own", arm)
		}
	}
	for name, f := range want.In {
		if g, ok := have.In[name]; !ok || g.Dtype != f.Dtype || !slices.Equal(g.Shape, f.Shape) {
			return errors.New("study: Study.Test has other inputs than the student wants")
		}
	}
	if len(have.Classes) > 0 && len(want.Classes) > 0 && !slices.Equal(have.Classes, want.Classes) {
		return errors.New("study: Study.Test has other classes than the student; want the same, in the same order")
	}
	return nil
}

func effortOf(run *distill.Run) effort {
	e := effort{
		weights: run.Student.Fingerprint(), epochs: run.Epochs, maxSteps: run.MaxSteps,
		accumulate: max(run.Accumulate, 1), views: run.Train.Spec().Views,
	}
	if c, ok := run.Train.(data.Counted); ok {
		e.batches = c.Len()
	}
	if l, ok := run.Train.(data.Loader); ok && l.Set != nil {
		e.rows = l.Set.Len()
	}
	return e
}

// differs names what is not the same in e and o, "" if nothing.
func (e effort) differs(o effort) string {
	if e.weights != o.weights {
		return "the student's initial weights"
	}
	for _, count := range []struct {
		what string
		e, o int
	}{
		{"Run.Epochs", e.epochs, o.epochs},
		{"Run.MaxSteps", e.maxSteps, o.maxSteps},
		{"Run.Accumulate", e.accumulate, o.accumulate},
		{"the batches of an epoch", e.batches, o.batches},
		{"the rows of an epoch", e.rows, o.rows},
		{"the views of a sample", e.views, o.views},
	} {
		if count.e != count.o {
			return fmt.Sprintf("%s: %d and %d", count.what, count.e, count.o)
		}
	}
	return ""
}
