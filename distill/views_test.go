package distill

import (
	"bytes"
	"context"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// echo is a teacher that answers what it is asked, and writes down the views.
func echo(set data.Set, views map[uint64]bool) teacher.Func {
	field := set.Spec().In["x"]
	return teacher.Func{
		Says: teacher.Card{Signals: map[string]data.Field{"seen": field}, Fingerprint: [32]byte{5}},
		Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
			for _, id := range b.ID {
				views[id.View] = true
			}
			return data.Signals{"seen": dense[float32](wide(b.In["x"])[:b.N*field.Size()], append([]int{b.N}, field.Shape...)...)}, nil
		},
	}
}

// mirror is a network that shows what it is asked.
var mirror = student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
	l1 := b.Layer("l1", student.Linear{Out: 10}, student.Flatten{}.Apply(b, in["x"]))
	return student.Taps{"logits": l1, "seen": in["x"]}
})

// Teacher and student see one and the same view of a sample (2106.05237): moved,
// mixed with the same other in the same way, in every epoch; and what a cache
// says of a view was said of that view.
func TestTeacherSeesWhatTheStudentSees(t *testing.T) {
	few := must(data.Subset(must(data.Digits()).Train, []int{3, 1, 4, 15, 92, 65, 35, 89, 79, 32, 38}))
	for name, set := range map[string]data.Set{
		"moved":           must(data.Shift{Pixels: 1}.Of(few)),
		"mixed":           must(data.Mixup{Alpha: 0.5, Views: 4}.Of(few)),
		"mixed and moved": must(data.Mixup{Views: 3}.Of(must(data.Shift{Pixels: 1}.Of(few)))),
	} {
		t.Run(name, func(t *testing.T) {
			views, recorded := map[uint64]bool{}, map[uint64]bool{}
			run := func(tr teacher.Teacher) *Run {
				return &Run{
					Student: must(student.New(mirror, set.Spec(), 1)), Teacher: tr,
					Terms:     []Term{{Name: "hard", Loss: CrossEntropy{}}, {Name: "seen", Loss: MSE{Student: "seen", Teacher: "seen"}}},
					Train:     data.Loader{Set: set, Batch: 4, Seed: 2},
					Optimizer: SGD{Rate: Constant(0.1)}, Epochs: 7, Dir: t.TempDir(),
				}
			}
			live, cached := run(echo(set, views)), run(record(t, echo(set, recorded), set, teacher.Recording{}))
			for _, r := range []*Run{live, cached} {
				for _, s := range traceOf(t, r).steps {
					if s.Terms[1].Value != 0 {
						t.Fatalf("step %d: what they see differs by %v", s.N, s.Terms[1].Value)
					}
				}
			}
			if len(views) < 3 || len(recorded) != set.Spec().Views {
				t.Errorf("%d views were seen and %d recorded; want several, and %d", len(views), len(recorded), set.Spec().Views)
			}
			if !bytes.Equal(checkpoint(t, live.Dir), checkpoint(t, cached.Dir)) {
				t.Error("the run with the cache is another")
			}
		})
	}
}
