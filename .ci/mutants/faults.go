package main

// pains is how many there are in the table of distill/pains_test.go, which a
// fault counts them by.
const pains = 21

// harmless are the pains that no edit of this code brings back.
var harmless = map[int]string{
	20: "no account is asked for: it is what the library has, not a line that may be wrong",
}

// A fault is a mistake that people have made, as edits of this code.
type fault struct {
	pain  int
	what  string
	pkg   string // whose tests fail
	tests string // all of which fail
	edits []edit
}

// An edit puts new where file has old, once.
type edit struct{ file, old, new string }

var faults = []fault{
	{1, "KL is a mean over the classes as well", "distill", "TestLossesMatchPyTorch TestLossesAreTheirDefinitions", []edit{{
		"internal/graph/loss.go",
		`kernel.KL(value, grad, z, floats[F](in[1]), scalar(in[2]))`,
		`kernel.KL(value, grad, z, floats[F](in[1]), scalar(in[2]))
		for i := range value {
			value[i] /= F(len(z) / len(value))
		}
		for i := range grad {
			grad[i] /= F(len(z) / len(value))
		}`,
	}}},
	{2, "T² is missing from KL", "distill", "TestLossesMatchPyTorch TestLossesAreTheirDefinitions TestHinton", []edit{{
		"internal/graph/loss.go",
		`kernel.KL(value, grad, z, floats[F](in[1]), scalar(in[2]))`,
		`kernel.KL(value, grad, z, floats[F](in[1]), scalar(in[2]))
		square := F(scalar(in[2]) * scalar(in[2]))
		for i := range value {
			value[i] /= square
		}
		for i := range grad {
			grad[i] /= square
		}`,
	}}},
	{2, "T² is missing from the losses of distributions", "distill", "TestLossesAreTheirDefinitions", []edit{{
		"distill/distributions.go",
		`k := r.T * r.T`,
		`k := 1.0`,
	}}},
	{2, "the hard term is softened", "distill", "TestHinton", []edit{{
		"distill/term.go",
		`Weight: Constant(rest(w)), Loss: CrossEntropy{}`,
		`Weight: Constant(rest(w)), Loss: VirtualTeacher{T: Constant(T), Sure: Constant(1)}`,
	}}},
	{3, "inputs of recorded rows are not compared", "teacher", "TestCacheRefuses", []edit{{
		"teacher/read.go",
		`if w.layout.hash(w.b, i) != binary.LittleEndian.Uint32(w.row(i)[16:]) {`,
		`if binary.LittleEndian.Uint32(w.row(i)[16:]) != binary.LittleEndian.Uint32(w.row(i)[16:]) {`,
	}}},
	{3, "recorded rows are taken in the order of the batch", "teacher", "TestRowsInAnyOrder", []edit{{
		"teacher/read.go",
		"	p, at := w.place(n)",
		"	p, at := w.place(n - n + int64(i))",
	}, {
		"teacher/read.go",
		`!intact(row, id)`,
		`!sound(row)`,
	}}},
	{4, "what the top k leave out counts for nothing", "internal/graph", "TestLosses TestTopKLBoundsKL", []edit{{
		"internal/kernel/loss.go",
		`if tail := 1 - mass; len(t.Classes) < len(z) && tail > 0 {`,
		`if tail := 1 - mass; len(t.Classes) < 0 && tail > 0 {`,
	}}},
	{4, "each batch that is read leaves its memory behind", "teacher", "TestMemoryIsFlat", []edit{{
		"teacher/read.go",
		`r, _ := c.readings.Get().(*reading)`,
		`var r *reading`,
	}}},
	{5, "classes are counted, their names not compared", "distill", "TestTeacherOfOtherClasses", []edit{{
		"distill/check.go",
		`if a[i] != b[i] {`,
		`if len(a) != len(b) {`,
	}}},
	{5, "logits of other shapes come to the loss", "distill", "TestLossesOfLogitsRefuseCases", []edit{{
		"distill/distributions.go",
		`if !slices.Equal(s.Shape(), t.Shape()) {`,
		`if slices.Equal(s.Shape(), nil) {`,
	}}},
	{6, "each micro-batch has a mean of its own", "distill", "TestAccumulate", []edit{{
		"distill/engine.go",
		"	clear(e.totals)\n	for _, b := range batches {",
		"	for _, b := range batches {\n		clear(e.totals)",
	}}},
	{7, "reverse KL takes logarithms of probabilities", "distill", "TestLossesOfLargeLogits", []edit{{
		"distill/reversekl.go",
		`import (`,
		"import (\n	\"math\"\n",
	}, {
		"distill/reversekl.go",
		`d := q * (r.LogQ[c] - r.LogP[c])`,
		`d := q * (math.Log(q) - math.Log(r.P[c]))`,
	}}},
	{7, "JSD takes the logarithm of the mixture", "distill", "TestLossesOfLargeLogits", []edit{{
		"distill/jsd.go",
		`m := logAdd(ofP+r.LogP[c], ofQ+r.LogQ[c])`,
		`m := math.Log(math.Exp(ofP)*r.P[c] + math.Exp(ofQ)*q)`,
	}, {
		"distill/jsd.go",
		`if p := r.P[c]; p > 0 {`,
		`if p := r.P[c]; p >= 0 {`,
	}}},
	{7, "a gradient that is no number moves the weights", "distill", "TestFiniteLossWithoutAGradient", []edit{{
		"distill/learn.go",
		`if !isNumber(norm) {`,
		`if norm < 0 {`,
	}}},
	{8, "the mean of no rows is 0/0", "distill", "TestBatchesThatDoNotCount TestWithoutLabels", []edit{{
		"internal/graph/reduce.go",
		"	if total == 0 {\n		return 0\n	}\n",
		"",
	}}},
	{8, "rows without a label count in the mean", "distill", "TestTermsAreWeightedMeans", []edit{{
		"internal/graph/reduce.go",
		`if l >= 0 {`,
		`if l >= -1 {`,
	}}},
	{9, "DKD takes two classes", "distill", "TestLossesOfLogitsRefuseCases", []edit{{
		"distill/dkd.go",
		`s.Shape()[1] < 3 {`,
		`s.Shape()[1] < 2 {`,
	}}},
	{10, "the order of an epoch is drawn anew in each run", "distill", "TestSameSeedSameBytes", []edit{{
		"data/loader.go",
		`	"iter"`,
		"	\"iter\"\n	\"math/rand/v2\"",
	}, {
		"data/loader.go",
		`f.rows = rng.Perm(l.Set.Len())`,
		`f.rows = rand.Perm(l.Set.Len())`,
	}}},
	{10, "the learning rate is chosen on test data", "distill/study", "TestTestDataAreReadLast", []edit{{
		"distill/study/study.go",
		`if v := s.score(o.Valid); v > top ||`,
		`var tested []distill.Metrics
		for _, m := range o.Students {
			t, err := distill.Measure(ctx, m, s.Test, nil)
			if err != nil {
				return best, err
			}
			tested = append(tested, t)
		}
		if v := s.score(tested); v > top ||`,
	}}},
	{10, "validation on the training data is not told", "distill", "TestValidationOnTheTrainingData", []edit{{
		"distill/preflight.go",
		`print == s.Valid.Spec().Fingerprint {`,
		`print == [32]byte{} {`,
	}}},
	{11, "no term is said to drown", "distill", "TestGradientsThatDrown TestSoftTermsThatVanish", []edit{{
		"distill/preflight_terms.go",
		`if pull(most) > 100*pull(t) {`,
		`if pull(most) < pull(t) {`,
	}}},
	{12, "a teacher drops out", "teacher", "TestOfTeach", []edit{{
		"student/builder.go",
		`if !b.training || rate == 0 {`,
		`if rate == 0 {`,
	}}},
	{12, "a teacher normalises by the batch, and learns of it", "teacher", "TestNetworksTeachWithoutMoving", []edit{{
		"student/norm.go",
		`if !b.training || l.Fixed {`,
		`if l.Fixed {`,
	}}},
	{13, "any teacher will do", "distill", "TestTeacherOfZeros TestTeacherAtChance TestTokensThatAreShifted", []edit{{
		"distill/preflight_teacher.go",
		`if p.TeacherAccuracy > limit {`,
		`if p.TeacherAccuracy >= 0 {`,
	}}},
	{13, "weights that a file lacks stay as they were", "student", "TestLoadNamedRefuses", []edit{{
		"student/names.go",
		`missing = append(missing, p.Name)`,
		`x.loaded.Kept = append(x.loaded.Kept, p.Name)`,
	}}},
	{14, "the teacher's weights are in the checkpoint", "distill", "TestCheckpointHoldsNoTeacher", []edit{{
		"teacher/of.go",
		`func (t of) Card() (Card, error) {`,
		"func (t of) Weights() *student.Model { return t.model }\n\nfunc (t of) Card() (Card, error) {",
	}, {
		"distill/resume.go",
		`	for p := range s.extra.All() {`,
		`	if t, ok := s.Teacher.(interface{ Weights() *student.Model }); ok {
		for p := range t.Weights().Params() {
			state.Tensors["teacher/"+p.Name] = p.Value
		}
	}
	for p := range s.extra.All() {`,
	}}},
	{14, "the student takes the projectors of its losses along", "distill", "TestCheckpointHoldsNoTeacher", []edit{{
		"distill/engine.go",
		`e.add(b.Scope(t.Name).With(extra), i, t)`,
		`e.add(b.Scope(t.Name), i, t)`,
	}}},
	{15, "projectors and memories are not in the checkpoint", "distill", "TestResumeOfFeatures", []edit{{
		"distill/engine.go",
		`e.add(b.Scope(t.Name).With(extra), i, t)`,
		`e.add(b.Scope(t.Name).With(student.NewParams(mode.Seed)), i, t)`,
	}}},
	{15, "a resumed run has an optimizer that forgot", "distill", "TestResumeAfterEveryStep", []edit{{
		"distill/learn.go",
		"			if s.resumed.Tensors != nil {\n				if err := s.recall(\"slot/\"",
		"			if s.resumed.Step < 0 {\n				if err := s.recall(\"slot/\"",
	}}},
	{15, "a resumed run begins its schedules anew", "distill", "TestResumeAfterEveryStep", []edit{{
		"distill/learn.go",
		`rate := s.Optimizer.LearningRate(step)`,
		`rate := s.Optimizer.LearningRate(step - s.resumed.Step)`,
	}}},
	{15, "a resumed run begins its epoch anew", "distill", "TestResumeAfterEveryStep", []edit{{
		"distill/session.go",
		`from = s.state.Batch`,
		`from = 0`,
	}}},
	{16, "the student's side of KL is detached", "distill", "TestLossesAreTheirDefinitions", []edit{{
		"distill/kl.go",
		`graph.KL(s, t.Dense, temp)`,
		`graph.KL(b.Detach(s), t.Dense, temp)`,
	}}},
	{16, "the sides of reverse KL are swapped", "distill", "TestLossesAreTheirDefinitions TestLossesMatchPyTorch", []edit{{
		"distill/reversekl.go",
		`	for c, q := range r.Q {`,
		"	return skewKL(r, 0)\n	for c, q := range r.Q {",
	}}},
	{16, "no term is said to be dead", "distill", "TestTermsThatAreDead TestSidesThatAreSwapped", []edit{{
		"distill/preflight_terms.go",
		`case len(taps) == 0:`,
		`case len(taps) < 0:`,
	}, {
		"distill/preflight_terms.go",
		`case at == 0 && trial.dead(c, own, s.Seed):`,
		`case at < 0 && trial.dead(c, own, s.Seed):`,
	}}},
	{16, "the optimizer does not know the projectors", "distill", "TestProjectorsAreTrained TestCheckpointHoldsNoTeacher", []edit{{
		"distill/engine.go",
		`	"fmt"
`,
		`	"fmt"
	"strings"
`,
	}, {
		"distill/engine.go",
		`		e.params, e.by = append(e.params, p), append(e.by, g)`,
		`		if strings.Contains(p.Name, "regressor") {
			continue
		}
		e.params, e.by = append(e.params, p), append(e.by, g)`,
	}}},
	{17, "the teacher waits for the student", "distill", "TestRunLooksAhead", []edit{{
		"distill/session.go",
		`return s.course.apart() && next`,
		`return next < 0 && next`,
	}}},
	{18, "KL wants labels", "distill", "TestWithoutAnyLabels", []edit{{
		"distill/kl.go",
		`return Rows{Value: b.Op(graph.KL(s, t.Dense, temp))}`,
		`return Rows{Value: b.Op(graph.KL(s, t.Dense, temp)), Weight: l.labelled()}`,
	}}},
	{19, "tokens one place off are not told", "distill", "TestTokensThatAreShifted", []edit{{
		"distill/preflight_teacher.go",
		`if !by.lost() {`,
		`if by.other >= 0 {`,
	}}},
	{21, "advantages are not less the mean of their group", "distill/rl", "TestAdvantages", []edit{{
		"distill/rl/reward.go",
		`all[i] = (r - mean) / sd`,
		`all[i] = r / sd`,
	}}},
	{21, "the clip is on the other side", "distill/rl", "TestGRPO TestGRPOClipsHigher", []edit{{
		"distill/rl/loss.go",
		`if ratio*advantage > limit*advantage {`,
		`if ratio*advantage < limit*advantage {`,
	}}},
	{21, "the policy and its reference are swapped", "distill/rl", "TestReferenceKL", []edit{{
		"distill/rl/loss.go",
		`d := r.Numbers[0] - r.LogQ[r.Label]`,
		`d := r.LogQ[r.Label] - r.Numbers[0]`,
	}}},
	{21, "what is said of a token is that of the one before", "distill/rl", "TestRollout TestTheRatioBeginsAtOne", []edit{{
		"distill/rl/rollout.go",
		`at := row*r.Context + len(a.Prompt) - 1 + t`,
		`at := row*r.Context + len(a.Prompt) + t`,
	}}},
	{21, "long answers count for more", "distill/rl", "TestRollout TestPartsAreAccumulated", []edit{{
		"distill/rl/rollout.go",
		`= 1 / float32(len(a.IDs))`,
		`= 1`,
	}}},
	{21, "answers are those of the weights before", "distill", "TestLiveSourceWaitsForTheStep", []edit{{
		"distill/session.go",
		`len(held) == size && next < known && !give(false)`,
		`len(held) == size && next < min(known, 0) && !give(false)`,
	}}},
	{21, "another model is asked than the one that learns", "distill/rl", "TestOnlyTheStudentIsAsked", []edit{{
		"distill/session.go",
		`ok && src.Asks() != s.Student {`,
		`ok && src.Asks() == nil {`,
	}}},
	{21, "the rollout of the checkpoint is gone", "distill/rl", "TestKilled", []edit{{
		"distill/resume.go",
		`end && ok && live.Len() > max(s.Accumulate, 1) {`,
		`end && ok && live.Len() < 0 {`,
	}}},
	{21, "an answer that was cut off is right", "distill/reason", "TestCutOff", []edit{{
		"distill/reason/solver.go",
		`err != nil || !sample.Stopped {`,
		`err != nil {`,
	}}},
}
