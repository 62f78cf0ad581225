// Reasoning reruns the recipe of DeepSeek-R1 (2501.12948) on a laptop: a model that
// reasons badly learns by reinforcement, from problems whose answers are verified, to
// reason well; small models then learn its chains of thought.
//
//	go run ./examples/reasoning
//
// The problems are chains of two to eight operations modulo 10, as 3+5*2-7=, and what
// is said is each result and then the answer, 8,6,9;9. Models begin by imitating a
// writer who takes care at first, and then takes every fourth operator for another one.
// These are the arms:
//
//	base                the largest model, which imitates alone
//	teacher             base, after GRPO with rewards for right answers
//	distilled_*         three smaller models of two architectures, which imitate like
//	                    base, and then the teacher's chains that were right
//	answers_only_small  the smallest, with the answers of these, without the chains
//	rl_small            the smallest, by GRPO as the teacher, with as many floating-point
//	                    operations as distilled_small, rollouts included, but for what
//	                    is less than an update
//	soft_small          distilled_small, with the teacher's logits beside its chains
//	on_policy_small     the smallest, with what the teacher says of its own answers
//	distilled_rl_small  distilled_small, after GRPO
//
// All are asked the same test problems, 64 times each at a temperature of 0.6 and a
// top-p of 0.95. HYPOTHESES.md was written before the first run.
//
// The folder runs/reasoning has summary.json, the traces, the models, the logs of every
// stage, pictures, and report.html. A run that was stopped goes on with -resume, and
// comes to the same bytes. With -quick chains are of two or three operations, and
// there is less of everything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	out := flag.String("out", "runs/reasoning", "the `folder` of the results")
	quick := flag.Bool("quick", false, "chains of two or three operations, and less of everything")
	resume := flag.Bool("resume", false, "go on where an earlier run with the same flags stopped")
	flag.Parse()
	r := full
	if *quick {
		r = short
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, *out, *resume, r)
	if ctx.Err() != nil {
		err = errors.New("stopped; the same command with -resume goes on")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reasoning:", err)
		os.Exit(1)
	}
}
