package distill

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/teacher"
)

// validate says what is wrong with the configuration.
func (r *Run) validate() error {
	switch {
	case r.Student == nil:
		return errors.New("distill: Run.Student is nil; want a student.Model")
	case r.Student.Module() == nil:
		return errors.New("distill: Run.Student is empty; want one that student.New made")
	case r.Train == nil:
		return errors.New("distill: Run.Train is nil; want a data.Source, such as a data.Loader")
	case r.Optimizer == nil:
		return errors.New("distill: Run.Optimizer is nil; want one, such as Adam{Rate: Constant(1e-3)}")
	case r.Epochs == 0 && r.MaxSteps == 0:
		return errors.New("distill: Run.Epochs and Run.MaxSteps are 0; want one of them, or the run has no end")
	case r.Patience > 0 && r.Valid == nil:
		return fmt.Errorf("distill: Run.Patience is %d and Run.Valid is nil; want validation data to be patient about", r.Patience)
	case r.Resume && r.Dir == "":
		return errors.New("distill: Run.Resume is true and Run.Dir is empty; want the folder of the checkpoint")
	}
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"Accumulate", float64(r.Accumulate)}, {"Epochs", float64(r.Epochs)}, {"MaxSteps", float64(r.MaxSteps)},
		{"Patience", float64(r.Patience)}, {"Every", float64(r.Every)}, {"Clip", r.Clip}, {"Budget", float64(r.Budget)},
	} {
		if err := checkFactor("Run."+f.name, f.value); err != nil {
			return err
		}
	}
	if err := checkTerms(r.Terms, r.Accumulate); err != nil {
		return err
	}
	if _, err := r.Average.pairs(r.Student); err != nil {
		return err
	}
	return r.Optimizer.Validate()
}

// validateSchedules checks what depends on the step, over all steps.
func (r *Run) validateSchedules(steps int, card teacher.Card) error {
	learns := false
	for i := range looked(steps) {
		for _, t := range r.Terms {
			if err := t.validate(i); err != nil {
				return err
			}
		}
		if err := r.checkRate(i); err != nil {
			return err
		}
		if err := r.Average.validate(i); err != nil {
			return err
		}
		learns = learns || r.Optimizer.LearningRate(i) > 0
	}
	if !learns && steps > 0 {
		return fmt.Errorf("distill: the learning rate is 0 at each of %d steps; want more than 0", looked(steps))
	}
	return r.validateTemps(steps, card)
}

// validateTemps refuses temperatures that a teacher of top-k logits does not
// answer. Where the number of steps is not known it looks at those that there may
// be, before a schedule panics: it may be a table.
func (r *Run) validateTemps(steps int, card teacher.Card) (err error) {
	look := looked(steps)
	if steps < 1 {
		look = foreseen
		defer func() { _ = recover() }()
	}
	for i := range look {
		for _, t := range r.Terms {
			if k, ok := t.Loss.(KL); ok {
				if err := k.answered(i, card); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkRate refuses a learning rate that is negative or not finite.
func (r *Run) checkRate(step int) error {
	return checkAt(step, "the learning rate", r.Optimizer.LearningRate(step))
}

// checkAt is checkFactor for the value of a schedule.
func checkAt(step int, what string, v float64) error {
	if checkFactor("", v) == nil {
		return nil
	}
	return checkFactor(fmt.Sprintf("%s at step %d", what, step), v)
}

// foreseen is how many steps of a schedule are looked at where their number is
// not known, if there may be as many.
const foreseen = 4096

// looked is how many steps of a schedule are looked at beforehand: at least
// one where their number is not known, and a million of more.
func looked(steps int) int { return min(max(steps, 1), 1_000_000) }

// checkData refuses data that the student or the teacher was not made for.
func (r *Run) checkData(field string, spec data.Spec, card teacher.Card) error {
	want := r.Student.Spec()
	for _, name := range slices.Sorted(maps.Keys(want.In)) {
		have, ok := spec.In[name]
		if w := want.In[name]; !ok || !have.Shape.Eq(w.Shape) || have.Dtype != w.Dtype {
			return fmt.Errorf("distill: %s has %s; the student wants %q of %v, %v", field, describeInputs(spec.In), name, w.Shape, w.Dtype)
		}
		if a, b := spec.Norm[name], want.Norm[name]; !slices.Equal(a.Mean, b.Mean) || !slices.Equal(a.SD, b.SD) {
			return fmt.Errorf("distill: input %q of %s is %s and that of the student %s; want one data.Norm for all, and a student made from the Spec of normalised data", name, field, describeNorm(a), describeNorm(b))
		}
	}
	if err := sameClasses(field+" and the student", spec.Classes, want.Classes); err != nil {
		return err
	}
	if err := sameClasses(field+" and the teacher", spec.Classes, card.Classes); err != nil {
		return err
	}
	if err := sameCount(field, spec, "teacher", card.Signals[teacher.Logits]); err != nil {
		return err
	}
	return sameCount(field, spec, "student", r.Student.Taps()["logits"])
}

// sameCount refuses logits that are not one for each class, or whatever else has
// a name, where both are known.
func sameCount(field string, spec data.Spec, who string, logits data.Field) error {
	names := len(spec.Classes)
	if names == 0 || logits.Dtype.Type == nil {
		return nil
	}
	if axes := spec.Label.Shape; spec.Label.Dtype == tensor.Int && len(axes) > 0 && !rowsOf(logits.Shape, axes) {
		return fmt.Errorf("distill: the %s's logits are %v for a sample; %s has a label for each of %v", who, logits.Shape, field, axes)
	}
	n, what := classCount(logits, spec.Label), "classes"
	if spec.Task != data.Classification {
		n, what = logits.Size(), "names for what it asks"
	}
	if n != names {
		return fmt.Errorf("distill: the %s's logits are %v for a sample; %s has %d %s", who, logits.Shape, field, names, what)
	}
	return nil
}

func describeInputs(in map[string]data.Field) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(in)) {
		all = append(all, fmt.Sprintf("%q of %v, %v", name, in[name].Shape, in[name].Dtype))
	}
	if len(all) == 0 {
		return "no inputs"
	}
	return "the inputs " + strings.Join(all, ", ")
}

// describeNorm says what was done to an input, with the first of its elements.
func describeNorm(n data.Norm) string {
	switch {
	case len(n.Mean) == 0 || len(n.SD) == 0:
		return "raw"
	case len(n.Mean) == 1:
		return fmt.Sprintf("(raw - %v) / %v", n.Mean[0], n.SD[0])
	}
	return fmt.Sprintf("(raw - %v ...) / %v ..., of %d elements", n.Mean[0], n.SD[0], len(n.Mean))
}

// sameClasses refuses lists of class names that are both known and differ.
func sameClasses(who string, a, b []string) error {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	if len(a) != len(b) {
		return fmt.Errorf("distill: %s have %d and %d classes; want the same, in the same order", who, len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			return fmt.Errorf("distill: %s call class %d %q and %q; want the same classes in the same order", who, i, a[i], b[i])
		}
	}
	return nil
}
