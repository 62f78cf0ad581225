// Package reason asks language models problems whose answers can be verified: to
// measure them, and to teach smaller ones what they say.
//
//	task.Set ──► Solver: model, tokenizer, task, sampling
//	               │  answers, right or not
//	               ├──► Evaluate ──► Report       pass@1, cons@n, pass@k, by level
//	               ├──► Collect ───► traces.jsonl a teacher's right answers
//	               │                    └──► ReadTraces ──► text.Sequences ──► distill.Run
//	               └──► Own ───────► distill.Run  a student's own answers, on-policy
//
// A [Solver] is a model with what it takes to ask it:
//
//	s, err := reason.NewSolver(reason.Solver{
//		Model: model, Tokenizer: chars, Task: task.Modular{}, Sampling: reason.R1(),
//	})
//	if err != nil {
//		return err
//	}
//	test := task.Set{Task: task.Modular{}, Split: task.Test, Rows: 500, Seed: 1}
//	report, err := reason.Evaluate(ctx, s, test, 16) // sixteen answers to each
//
// What is drawn depends on the weights, the seed and the ids of answers alone, to the
// last bit. An answer that has no form, or no end, is wrong. What it is not: a judge of
// answers that only people, or other models, can judge.
package reason
