package report

import (
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/godistill/godistill/distill"
	"gonum.org/v1/plot/vg/draw"
)

// An Arm is one arm of a comparison: runs that differ in their seed alone.
type Arm struct {
	Name string
	// Runs are the steps of each, as [Read] returns them.
	Runs [][]distill.Step
	// Level is the accuracy from 0 to 1 of an arm without Runs, such as the
	// teacher, and drawn as a level line; 0 means none.
	Level float64
}

// Compare writes a picture of the validation accuracy of the arms over the
// epochs: the mean over the runs as a line, from the lowest to the highest as
// a band. An epoch counts where every run of the arm has it, as a mean over
// some would be one over other seeds.
func Compare(w io.Writer, format Format, title string, arms ...Arm) error {
	p := panel{x: "epoch", y: "share of rows (%)", title: "Validation accuracy"}
	last := 1.0
	for i, arm := range arms {
		s := arm.series()
		s.name, s.color, s.width = arm.Name, palette[i%len(palette)], thick
		p.add(s)
		for _, x := range s.x {
			last = max(last, x)
		}
	}
	for i, arm := range arms {
		if len(arm.Runs) == 0 && arm.Level > 0 {
			p.add(series{
				name: arm.Name, color: palette[i%len(palette)], width: thick, dashed: true,
				x: []float64{1, last}, y: []float64{100 * arm.Level, 100 * arm.Level},
			})
		}
	}
	if len(p.series) == 0 {
		return errors.New("report: Compare has no arm with a validation accuracy; want one or more")
	}
	return render(w, format, 200, func(c draw.Canvas) {
		p.draw(heading(c, title, "line: mean over seeds · band: lowest to highest"))
	})
}

func (a Arm) series() series {
	byEpoch := make(map[int][]float64)
	for _, run := range a.Runs {
		for _, step := range run {
			if step.Valid != nil {
				byEpoch[step.Epoch] = append(byEpoch[step.Epoch], 100*step.Valid.Accuracy)
			}
		}
	}
	var s series
	for _, epoch := range slices.Sorted(maps.Keys(byEpoch)) {
		runs := byEpoch[epoch]
		if len(runs) != len(a.Runs) {
			continue
		}
		mean := 0.0
		for _, accuracy := range runs {
			mean += accuracy / float64(len(runs))
		}
		s.x, s.y = append(s.x, float64(epoch+1)), append(s.y, mean)
		s.low, s.high = append(s.low, slices.Min(runs)), append(s.high, slices.Max(runs))
	}
	return s
}
