// Package reason asks language models problems whose answers can be verified.
//
// A [Solver] is a model, its tokenizer and a task:
//
//	s, err := reason.NewSolver(reason.Solver{
//		Model: model, Tokenizer: chars, Task: task.Modular{},
//		Sampling: lm.Sampling{Temperature: 0.6, TopP: 0.95},
//	})
//	if err != nil {
//		return err
//	}
//	answers, err := s.Solve(ctx, problems, 4, 0) // four answers to each
package reason
