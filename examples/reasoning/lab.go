package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/rl"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
)

// A lab is what the stages share.
type lab struct {
	recipe
	log    io.Writer
	out    string
	resume bool
	chars  *text.Characters
	traces reason.Traces
	arms   []arm // that are reported
	start  arm   // the smallest model, before it is taught
}

// An arm is a model at the end of its stages.
type arm struct {
	name   string
	model  *student.Model
	flops  float64
	report reason.Report
}

// run goes from nothing to the table.
func run(ctx context.Context, log io.Writer, out string, resume bool, r recipe) error {
	chars, err := text.NewCharacters(arithmetic.Alphabet())
	if err != nil {
		return err
	}
	l := &lab{recipe: r, log: log, out: out, resume: resume, chars: chars}
	if !resume { // what is there would be gone on with
		if err := errors.Join(os.RemoveAll(l.path("traces.jsonl")), os.RemoveAll(l.path("answers"))); err != nil {
			return err
		}
	}
	for _, stages := range []func(context.Context) error{l.teach, l.distil, l.control} {
		if err := stages(ctx); err != nil {
			return err
		}
	}
	return l.conclude(ctx)
}

// teach makes the teacher, and collects its traces.
func (l *lab) teach(ctx context.Context) error {
	base, err := l.base(ctx, big, "base")
	if err != nil {
		return err
	}
	best, err := l.reinforce(ctx, base, "teacher", l.updates)
	if err != nil {
		return err
	}
	l.arms = append(l.arms, base, best)
	solver, err := l.solver(best.model, reason.R1())
	if err != nil {
		return err
	}
	c, err := reason.Collect{
		Solver: solver, Problems: l.set(task.Train, l.problems, 3), Tries: tries, Licence: licence,
	}.Write(ctx, l.path("traces.jsonl"))
	if err != nil {
		return err
	}
	fmt.Fprintln(l.log, "traces:", c)
	f, err := os.Open(l.path("traces.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	l.traces, err = reason.ReadTraces(f)
	return err
}

// distil has students of each size learn from the traces.
func (l *lab) distil(ctx context.Context) error {
	for _, s := range students {
		base, err := l.base(ctx, s, "base_"+s.name)
		if err != nil {
			return err
		}
		a, err := l.imitate(ctx, base, "distilled_"+s.name, course{of: l.traces, steps: l.lessons})
		if err != nil {
			return err
		}
		l.arms = append(l.arms, a)
		if s == small {
			l.start = base
		}
	}
	return nil
}

// control has the smallest student learn in other ways, from the same start.
func (l *lab) control(ctx context.Context) error {
	says := teacher.Of(l.arm("teacher").model)
	direct, err := l.traces.Answers()
	if err != nil {
		return err
	}
	// As many operations as those of lessons, where an update is 8 of them for each
	// parameter and position, and a lesson 6 (see operations).
	equal := l.lessons * rows * 6 / (asked * group * 8)
	for _, stage := range []func() (arm, error){
		func() (arm, error) {
			return l.imitate(ctx, l.start, "answers_only_small", course{of: direct, steps: l.lessons})
		},
		func() (arm, error) { return l.reinforce(ctx, l.start, "rl_small", equal) },
		func() (arm, error) {
			return l.imitate(ctx, l.start, "soft_small", course{of: l.traces, steps: l.lessons, teacher: says})
		},
		func() (arm, error) { return l.follow(ctx, l.start, "on_policy_small", says) },
		func() (arm, error) { return l.reinforce(ctx, l.arm("distilled_small"), "distilled_rl_small", l.more) },
	} {
		a, err := stage()
		if err != nil {
			return err
		}
		l.arms = append(l.arms, a)
	}
	return nil
}

// base is a model of a size that imitates a writer who has become careless.
func (l *lab) base(ctx context.Context, s size, name string) (arm, error) {
	s.Vocab = l.chars.Size()
	m, err := lm.New(s.Config, context_, 1)
	if err != nil {
		return arm{}, err
	}
	steps := l.careful + l.careless
	chains := careless{l.set(task.Train, steps*rows, 1), l.careful * rows, slip}
	return l.imitate(ctx, arm{model: m}, name, course{of: chains, steps: steps, inOrder: true})
}

// A course is examples to imitate.
type course struct {
	of      text.Examples
	steps   int
	inOrder bool
	teacher teacher.Teacher // who adds what it says of each token; nil for none
}

// imitate is supervised fine-tuning on completions.
func (l *lab) imitate(ctx context.Context, from arm, name string, c course) (arm, error) {
	set, err := text.Sequences{Tokenizer: l.chars, Context: context_}.Of(c.of)
	if err != nil {
		return arm{}, err
	}
	terms := distill.Hinton(1, 0)[:1]
	if c.teacher != nil {
		terms = distill.Hinton(1, 0.9)
	}
	return l.stage(ctx, from, name, 6*rows*c.steps, func(m *student.Model) (distill.Run, error) {
		return distill.Run{
			Teacher: c.teacher, Terms: terms,
			Train:     data.Loader{Set: set, Batch: rows, Seed: 1, InOrder: c.inOrder},
			Optimizer: adam(c.steps),
			MaxSteps:  c.steps,
		}, nil
	})
}

// adam is what all imitation is optimised by.
func adam(steps int) distill.Optimizer {
	return distill.AdamW{Rate: distill.Warmup(min(50, steps/10), distill.Cosine(3e-3, 0, steps)), Decay: 0.01}
}

// The rollouts of reinforcement: problems, and answers to each.
const asked, group = 24, 16

// reinforce is GRPO with rewards for answers that are right, and some for their form.
func (l *lab) reinforce(ctx context.Context, from arm, name string, updates int) (arm, error) {
	return l.stage(ctx, from, name, 8*asked*group*updates, func(m *student.Model) (distill.Run, error) {
		solver, err := l.solver(m, lm.Sampling{Temperature: 1, Seed: 2})
		rollouts := &rl.Rollouts{
			Solver: solver, Problems: l.set(task.Train, asked*updates, 2), Batch: asked, Group: group, Context: context_,
			Reward: rl.Verified{Accuracy: 1, Format: 0.1},
		}
		return distill.Run{
			Teacher: rollouts, Terms: rl.Terms(0.2, 0), Train: rollouts,
			Optimizer: distill.AdamW{Rate: distill.Constant(3e-4)},
			Epochs:    updates,
		}, err
	})
}

// follow is distillation on the student's own answers.
func (l *lab) follow(ctx context.Context, from arm, name string, says teacher.Teacher) (arm, error) {
	steps := l.lessons * 6 / 8
	return l.stage(ctx, from, name, 8*rows*steps, func(m *student.Model) (distill.Run, error) {
		solver, err := l.solver(m, lm.Sampling{Temperature: 1, Seed: 4})
		return distill.Run{
			Teacher: says,
			Terms:   []distill.Term{{Name: "reverse kl", Loss: distill.ReverseKL{}}},
			Train: reason.Own{
				Solver: solver, Problems: l.set(task.Train, steps*rows, 4), Batch: rows, Epoch: steps, Context: context_,
			},
			Optimizer: adam(steps),
			Epochs:    1, Every: 100,
		}, err
	})
}

// stage trains a copy of a model, and saves that in a folder that Hugging Face's
// transformers read. For each parameter and position in a row, it takes so many
// floating-point operations.
func (l *lab) stage(ctx context.Context, from arm, name string, operations int, with func(*student.Model) (distill.Run, error)) (a arm, err error) {
	m, err := lm.For(from.model, from.model.Spec())
	if err != nil {
		return a, err
	}
	run, err := with(m)
	if err != nil {
		return a, err
	}
	run.Student, run.Name, run.Seed, run.Clip = m, name, 1, 1
	run.Dir, run.Resume = l.path("stages", name), l.resume
	if _, err := run.Fit(ctx, new(report.Folder), &line{l.log, name}); err != nil {
		return a, err
	}
	a = arm{name: name, model: m, flops: from.flops + float64(operations)*float64(context_)*float64(m.Size())}
	return a, lm.Save(l.path("models", name), m)
}

func (l *lab) solver(m *student.Model, s lm.Sampling) (*reason.Solver, error) {
	return reason.NewSolver(reason.Solver{Model: m, Tokenizer: l.chars, Task: arithmetic, Sampling: s})
}

func (l *lab) set(split task.Split, n int, seed uint64) task.Set {
	return task.Set{Task: arithmetic, Split: split, Rows: n, Seed: seed, Levels: l.levels}
}

func (l *lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.out}, elements...)...)
}

// arm is that of a name, which is there.
func (l *lab) arm(name string) arm {
	return l.arms[slices.IndexFunc(l.arms, func(a arm) bool { return a.name == name })]
}

// A line is an observer that says how a stage goes.
type line struct {
	w    io.Writer
	name string
}

func (l *line) Start(p distill.Plan) error {
	fmt.Fprintf(l.w, "%s: %d steps\n", l.name, p.Steps)
	return nil
}

func (l *line) Step(s distill.Step) error {
	if s.N%100 == 0 {
		fmt.Fprintf(l.w, "%s: step %d", l.name, s.N)
		for _, t := range s.Terms {
			fmt.Fprintf(l.w, "  %s %.3f", t.Name, t.Value)
		}
		fmt.Fprintln(l.w)
	}
	return nil
}

func (*line) Finish(distill.Result, error) error { return nil }

// evaluated is an arm with its report, which is made once for each model.
func (l *lab) evaluated(ctx context.Context, a arm) (arm, error) {
	path, print := l.path("answers", a.name+".json"), a.model.Fingerprint()
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &a.report) == nil && a.report.Model == hex.EncodeToString(print[:]) {
		return a, nil
	}
	solver, err := l.solver(a.model, reason.R1())
	if err != nil {
		return a, err
	}
	if a.report, err = reason.Evaluate(ctx, solver, l.set(task.Test, l.test, 5), answers, 4, 16); err != nil {
		return a, err
	}
	return a, writeJSON(path, a.report)
}
