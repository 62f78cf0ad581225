package distill

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// An Average follows a student: a model of its own that holds the moving average
// of the student's weights. As the teacher of a run it is the mean teacher of
// Tarvainen and Valpola (2017, 1703.01780):
//
//	mean, err := student.New(net, spec, 1)
//	...
//	run.Average = distill.Average{Model: mean, Decay: distill.MovingAverage(0.99)}
//	run.Teacher = teacher.Live(teacher.Of(mean))
//
// Without a teacher it is averaged weights, which are often better than the last
// ones (Polyak and Juditsky 1992, doi 10.1137/0330046). It is saved and resumed
// with the run, to the bit. Running statistics are averaged as weights are. The
// mean teacher of the paper has noise and dropout of its own; this one answers
// in eval mode, of the view that the student sees.
type Average struct {
	// Model has the network of Run.Student. When the run begins, its
	// weights become the student's; they move after each step, and before
	// anything is measured. Nil keeps no average.
	Model *student.Model `config:"-"`
	// Decay at a step, from 0 to 1, is how much of the average is kept:
	//
	//	average = Decay·average + (1-Decay)·student
	//
	// MovingAverage is the usual one.
	Decay Schedule
	// Valid measures Model on Run.Valid, in the student's place. It is then Model
	// that has the weights of the best epoch in the end; the student has its last.
	Valid bool
}

// MovingAverage is the decay of a moving average, of 1/(1-decay) steps or so,
// that begins as the mean of all weights there have been, the first included:
// min(decay, 1 - 1/(step+2)), as in the code of Tarvainen and Valpola. A decay is
// 0 to 1; 0.99 to 0.9999 are usual, the larger the longer the run.
func MovingAverage(decay float64) Schedule {
	return func(step int) float64 { return min(decay, 1-1/float64(step+2)) }
}

// A pair is a parameter of a student, and its average.
type pair struct{ own, mean *student.Param }

// pairs are the parameters of a student with their averages, none without a
// model. It validates a.
func (a Average) pairs(of *student.Model) ([]pair, error) {
	switch {
	case a.Model == nil && (a.Decay != nil || a.Valid):
		return nil, errors.New("distill: Run.Average.Model is nil, with Decay or Valid; want a model, made as the student is")
	case a.Model == nil:
		return nil, nil
	case a.Model == of:
		return nil, errors.New("distill: Run.Average.Model is Run.Student; want a model of its own")
	case a.Decay == nil:
		return nil, errors.New("distill: Run.Average.Decay is nil; want a Schedule, such as MovingAverage(0.99)")
	}
	own, means := slices.Collect(of.Params()), slices.Collect(a.Model.Params())
	if len(own) != len(means) {
		return nil, fmt.Errorf("distill: Run.Average.Model has %d parameters and the student %d; want the student's network", len(means), len(own))
	}
	all := make([]pair, len(own))
	for i, p := range own {
		q := means[i]
		if q.Name != p.Name || !q.Value.Shape().Eq(p.Value.Shape()) || q.Value.Dtype() != p.Value.Dtype() {
			return nil, fmt.Errorf("distill: Run.Average.Model has %s of %v, %v, and the student %s of %v, %v; want the student's network",
				q.Name, q.Value.Shape(), q.Value.Dtype(), p.Name, p.Value.Shape(), p.Value.Dtype())
		}
		all[i] = pair{p, q}
	}
	return all, nil
}

// validate says what is wrong with Decay at a step.
func (a Average) validate(step int) error {
	if a.Model == nil {
		return nil
	}
	if d := a.Decay(step); !(d >= 0 && d <= 1) {
		return fmt.Errorf("distill: Run.Average.Decay is %v at step %d; want 0 to 1", d, step)
	}
	return nil
}

// follow moves the average, if there is one, after a step of the student.
func (s *session) follow(step int) error {
	if err := s.Average.validate(step); err != nil {
		return err
	}
	for _, p := range s.pairs {
		taken := 1 - s.Average.Decay(step)
		if p.own.Value.Dtype() == tensor.Float32 {
			approach(floats[float32](p.mean.Value), floats[float32](p.own.Value), float32(taken))
		} else {
			approach(floats[float64](p.mean.Value), floats[float64](p.own.Value), taken)
		}
		p.mean.Touch()
	}
	return nil
}

// approach moves mean by a share of its way to w: mean + share*(w - mean), which
// is a step of descent. As a sum of two shares it would end beside a w that
// stays, for these are rounded.
func approach[T floating](mean, w []T, share T) {
	step := kernel.SGD[T]{Rate: -share, Decay: -1}
	step.Update(mean, w, nil)
}

// startAverage makes the average what it is when the run goes on.
func (s *session) startAverage() error {
	for _, p := range s.pairs {
		var err error
		if s.resumed.Tensors != nil {
			err = s.recall("average/"+p.mean.Name, p.mean.Value)
		} else {
			err = copyPadded(p.mean.Value, p.own.Value)
		}
		if err != nil {
			return err
		}
		p.mean.Touch()
	}
	return nil
}

// measured is the model that is measured on Run.Valid.
func (r *Run) measured() *student.Model {
	if r.Average.Valid {
		return r.Average.Model
	}
	return r.Student
}
