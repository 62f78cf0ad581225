package main

import (
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/student/lm"
)

const (
	context_ = 40   // ids of the longest problem and its answer
	rows     = 64   // of a batch of chains
	tries    = 4    // answers of the teacher to a problem, to find a right one
	answers  = 64   // to a test problem
	slip     = 0.25 // of the careless writer, at each operation
	licence  = "Apache-2.0"
)

var arithmetic = task.Modular{}

// A recipe is how much of everything there is.
type recipe struct {
	levels   []int // of the problems; nil means all, 2 to 8 operations
	careful  int   // steps of imitating careful chains, of each model
	careless int   // and careless ones, after these
	updates  int   // rollouts of the teacher's reinforcement
	problems int   // for which traces are asked
	lessons  int   // steps of each student
	more     int   // rollouts of distilled_rl_small
	test     int   // problems
}

var (
	full  = recipe{careful: 2000, careless: 700, updates: 50, problems: 20_000, lessons: 100, more: 25, test: 280}
	short = recipe{levels: []int{2, 3}, careful: 600, careless: 200, updates: 30, problems: 2000, lessons: 150, more: 5, test: 60}
)

// A size of model.
type size struct {
	name string
	lm.Config
}

var (
	big      = size{"big", llama(96, 3)}
	small    = size{"small", llama(48, 2)}
	medium   = size{"medium", qwen(64, 2)}
	large    = size{"large", llama(64, 3)}
	students = []size{small, medium, large}
)

func llama(width, layers int) lm.Config {
	// Positions are few, and so are the chains to imitate: rotation is faster and
	// weights begin larger than in models of thousands of positions.
	return lm.Config{Width: width, Inner: width * 8 / 3, Layers: layers, Heads: 4, Context: context_, Theta: 30, Spread: 0.12}
}

func qwen(width, layers int) lm.Config {
	c := llama(width, layers)
	c.Type, c.KeyHeads = lm.Qwen2, 2
	return c
}
