// Package rl lets a language model learn from rewards that can be verified: it
// answers problems, and is drawn to those of its answers that were better than its
// others to the same problem (GRPO, Shao et al. 2024, 2402.03300; DeepSeek-R1,
// 2501.12948).
//
// [Rollouts] are the source of a distill.Run, and its teacher, who says what the
// answers were worth:
//
//	rollouts := &rl.Rollouts{Solver: solver, Problems: problems, Batch: 24, Group: 16, Context: 40}
//	run := distill.Run{
//		Student:   model, // which the solver asks
//		Teacher:   rollouts,
//		Terms:     rl.Terms(0.2, 0),
//		Train:     rollouts,
//		Optimizer: distill.AdamW{Rate: distill.Constant(3e-4)},
//		Epochs:    200,
//		Clip:      1,
//	}
//
// So it is resumed, observed and reported as any other run. An epoch is one
// rollout: problems, a group of answers to each, and one pass over them or more. How
// well the model answers is measured by reason.Evaluate, before and after, or within a
// loop over Run.Steps; Rollouts do not teach a Run.Valid.
//
// In the words of others (as those of TRL's GRPOTrainer):
//
//	num_generations, G          Rollouts.Group
//	num_iterations, μ           Rollouts.Passes
//	steps of a generation       Rollouts.Parts, over Run.Accumulate
//	beta                        of Terms, with Rollouts.Reference
//	epsilon, epsilon_high       GRPO.Clip, GRPO.High
//	loss_type grpo              the zero Rows: answers count alike
//	loss_type dapo              Rows.Tokens
//	loss_type dr_grpo           Rows.Tokens and Rollouts.Unscaled, but for a factor at
//	                            each step: the tokens there are, by the most there may be
//	scale_rewards               not Rollouts.Unscaled
//
// What it does not have: a learned judge of answers, a value network, and rollouts
// beside the steps. Answers that were cut off are learnt from as wrong ones, at the
// tokens that there are.
package rl
