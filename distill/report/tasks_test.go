package report_test

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
)

// What a task is measured by is in the table and in the picture, and what
// others are is not.
func TestRunsOfOtherTasks(t *testing.T) {
	nan := math.NaN()
	for name, test := range map[string]struct {
		measured   distill.Metrics
		head, tail string // of the header and the last line
		picture    string
	}{
		"numbers": {
			distill.Metrics{Accuracy: nan, NLL: nan, Numbers: &distill.Numbers{MAE: 1, RMSE: 2, R2: 0.25, TeacherRMSE: nan}},
			"valid.teacher_kl,valid.numbers.mae,valid.numbers.rmse,valid.numbers.r2", ",1,2,0.25", "RMSE (unit of the labels)",
		},
		"answers": {
			distill.Metrics{Answers: &distill.Answers{F1: 0.5, AUROC: 0.75}},
			"valid.teacher_kl,valid.answers.f1,valid.answers.auroc", ",0.5,0.75", "share of rows",
		},
		"pixels": {
			distill.Metrics{Pixels: &distill.Pixels{IoU: 0.125}}, "valid.teacher_kl,valid.pixels.iou", ",0.125", "share of rows",
		},
		"classes": {distill.Metrics{}, "valid.agreement,valid.teacher_kl", ",0,0", "share of rows"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		steps := sample(2, 3, 1)
		for i := range steps {
			if steps[i].Valid != nil {
				steps[i].Valid = &test.measured
			}
		}
		finish(t, start(t, dir, 0, steps), nil)
		lines := strings.Split(strings.TrimSpace(files(t, dir)["metrics.csv"]), "\n")
		if !strings.HasSuffix(lines[0], test.head) || !strings.HasSuffix(lines[len(lines)-1], test.tail) {
			t.Errorf("%s: the table has %q and %q", name, lines[0], lines[len(lines)-1])
		}
		var picture bytes.Buffer
		if err := report.Draw(&picture, report.SVG, name, steps); err != nil || !strings.Contains(picture.String(), test.picture) {
			t.Errorf("%s: error %v; want %q in the picture", name, err, test.picture)
		}
	}
}
