package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
)

// Learning rates, as -tune chose them.
const (
	aloneRate     = 1e-3
	distilledRate = 1e-3
)

// run does all that the flags ask for.
func run(ctx context.Context, log io.Writer, o Options, e effort) (err error) {
	if o.Tune {
		o.Out = filepath.Join(o.Out, "tune")
	}
	l := &lab{Options: o, effort: e, log: log}
	if l.images, err = read(ctx, o.Data, e); err != nil {
		return err
	}
	defer l.close()
	if !o.Resume { // what teachers of another run said
		if err := os.RemoveAll(filepath.Join(o.Out, "logits")); err != nil {
			return err
		}
	}
	if o.Tune {
		return l.tune(ctx)
	}
	t, err := l.table(ctx)
	if err != nil {
		return err
	}
	return l.publish(ctx, t)
}

// A table is what the arms came to.
type table struct {
	teachers, main study.Outcomes
	wide, narrow   study.Outcomes // at the temperatures
	without, only  study.Outcomes // of some classes
	// What students came to whose transfer set had no 3, or 7s and 8s alone.
	without3, only7and8 []corrected
}

// The temperatures that are compared, of students with many and with few units.
var (
	wideHeat   = []float64{1, 4, 8, 20, 40}
	narrowHeat = []float64{1, 2.5, 4, 8, 20, 40}
)

func (l *lab) table(ctx context.Context) (t table, err error) {
	if t.teachers, err = l.teach(ctx, l.moved); err != nil {
		return t, err
	}
	if err := l.record(ctx, t.teachers[0].Students, l.train); err != nil {
		return t, err
	}
	alone := arm{name: "alone", units: l.setting.student, rate: aloneRate, set: l.train}
	distilled := arm{name: "distilled", units: l.setting.student, T: temperature, rate: distilledRate, set: l.train}
	if t.main, err = l.students(ctx, l.seeds, alone, distilled); err != nil || l.sweepSeeds == 0 {
		return t, err
	}
	if t.wide, err = l.sweep(ctx, l.setting.student, wideHeat); err != nil {
		return t, err
	}
	if t.narrow, err = l.sweep(ctx, l.setting.narrow, narrowHeat); err != nil {
		return t, err
	}
	if t.without, t.without3, err = l.partial(ctx, "without-3", []int{0, 1, 2, 4, 5, 6, 7, 8, 9}, 3); err != nil {
		return t, err
	}
	t.only, t.only7and8, err = l.partial(ctx, "only-7-8", []int{7, 8}, 7, 8)
	return t, err
}

// tune compares learning rates of students, on images that neither they nor their
// teachers have learnt from.
func (l *lab) tune(ctx context.Context) error {
	teachers, err := l.teach(ctx, l.movedSome)
	if err != nil {
		return err
	}
	if err := l.record(ctx, teachers[0].Students, l.train); err != nil {
		return err
	}
	judged := func(a arm) study.Arm {
		return study.Arm{Name: a.name, Run: func(seed uint64, rate float64) (*distill.Run, error) {
			r, err := l.run(a, seed, rate)
			if err == nil {
				r.Valid = inOrder(l.held)
			}
			return r, err
		}}
	}
	outcomes, err := l.study(ctx, l.seeds,
		judged(arm{name: "alone", units: l.setting.student, set: l.some}),
		judged(arm{name: "distilled", units: l.setting.student, T: temperature, set: l.some}))
	if err != nil {
		return err
	}
	fmt.Fprint(l.log, outcomes)
	return nil
}

// sweep distils students of a size at some temperatures.
func (l *lab) sweep(ctx context.Context, units int, temperatures []float64) (study.Outcomes, error) {
	var arms []arm
	for _, T := range temperatures {
		arms = append(arms, arm{name: fmt.Sprintf("%d-units-T-%v", units, T), units: units, T: T, rate: distilledRate, set: l.train})
	}
	return l.lasting(l.sweepEpochs).students(ctx, l.sweepSeeds, arms...)
}

// A corrected student is one whose transfer set lacked some classes, before and
// after its biases were corrected by the images that were held out.
type corrected struct {
	shift         float64
	before, after verdict
}

// A verdict is the errors among the test images, in number and as their share,
// and the share of those of the classes in question that are right.
type verdict struct {
	errors       int
	share, right float64
}

// partial distils students from some of the classes, and corrects the biases of
// those that were missing, or were all there was.
func (l *lab) partial(ctx context.Context, name string, classes []int, biases ...int) (outcomes study.Outcomes, all []corrected, err error) {
	set, err := data.OfClasses(l.some, classes...)
	if err != nil {
		return nil, nil, err
	}
	if outcomes, err = l.lasting(l.partialEpochs).students(ctx, l.seeds, arm{name: name, units: l.setting.student, T: temperature, rate: distilledRate, set: set}); err != nil {
		return nil, nil, err
	}
	all, err = l.correct(ctx, outcomes[0].Students, biases)
	return outcomes, all, err
}

// correct judges students before and after their biases are corrected.
func (l *lab) correct(ctx context.Context, students []*student.Model, biases []int) (all []corrected, err error) {
	some, err := data.OfClasses(l.test, biases...)
	if err != nil {
		return nil, err
	}
	for _, m := range students {
		var c corrected
		if c.before, err = judge(ctx, m, l.test, some); err != nil {
			return nil, err
		}
		if c.shift, err = distill.CorrectBias(ctx, m, "l3.bias", inOrder(l.held), biases...); err != nil {
			return nil, err
		}
		if c.after, err = judge(ctx, m, l.test, some); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
