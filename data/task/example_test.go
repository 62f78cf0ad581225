package task_test

import (
	"errors"
	"fmt"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
)

func Example() {
	for _, t := range []task.Task{task.Modular{}, task.Written{Op: '+'}, task.Written{Op: '*'}, task.Countdown{}} {
		p, err := t.Make(1, 3)
		if err != nil {
			panic(err)
		}
		right, err := t.Verify(p, p.Completion())
		fmt.Println(p.Prompt, p.Completion(), right, err)
	}
	// Output:
	// 5*9*5+9= 5,5,4;4 true <nil>
	// 610+724= 0+4=4,1+2=3,6+7=13;1334 true <nil>
	// 610*724= 610*4=2440,610*20=12200,2440+12200=14640,610*700=427000,14640+427000=441640;441640 true <nil>
	// 15,18,25:720= 25+15=40,40*18=720;(25+15)*18 true <nil>
}

func ExampleTask() {
	p := task.Problem{Prompt: "2,3,7,8:6="}
	for _, completion := range []string{"2*3=6,8-7=1,6*1=6;2*3*(8-7)", "2*3", "two times three"} {
		right, err := task.Countdown{}.Verify(p, completion)
		fmt.Println(right, errors.Is(err, task.ErrFormat))
	}
	// Output:
	// true false
	// false false
	// false true
}

func ExampleSet() {
	test := task.Set{Task: task.Modular{}, Split: task.Test, Rows: 3, Seed: 1, Levels: []int{3}}
	for i := range test.Len() {
		e, err := test.Example(i)
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Prompt, e.Completion)
	}
	chars, err := text.NewCharacters(test.Task.Alphabet())
	if err != nil {
		panic(err)
	}
	set, err := text.Sequences{Tokenizer: chars, Context: 20}.Of(test)
	if err != nil {
		panic(err)
	}
	fmt.Println(set.Len(), "rows of", set.Spec().Label.Shape)
	// Output:
	// 9+7*1-6= 6,6,0;0
	// 4-0+5-4= 4,9,5;5
	// 1*7+6+9= 7,3,2;2
	// 3 rows of (20)
}
